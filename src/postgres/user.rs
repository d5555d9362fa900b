//! [`PgUsers`]: users with passwords, in a table of this crate.

mod precis;

use std::fmt;

use async_trait::async_trait;

use crate::check::check_subject;
use crate::error::{Error, InvalidReason, Result};
use crate::password::{self, Owner};
use crate::postgres::batching::{Connections as _, Pooled};
use crate::postgres::error::Effect;
use crate::postgres::telemetry::{Meters, observe};
use crate::secret::Secret;
use crate::user::{User, UserStorage};

/// A user to create with [`PgUsers::create`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewUser {
    /// The name that the user types, at most 255 bytes. Case, and the different ways to encode a
    /// character, do not matter (RFC 8265 3.3).
    pub username: String,
    /// The stable identifier that tokens carry, at most 255 bytes.
    pub subject: String,
    /// The password, 8 to 1024 bytes. The different ways to encode a character do not matter (RFC 8265
    /// 4.2).
    pub password: Secret,
}

impl NewUser {
    /// A user with this name, subject and password.
    #[must_use]
    pub fn new(
        username: impl Into<String>,
        subject: impl Into<String>,
        password: impl Into<Secret>,
    ) -> Self {
        Self { username: username.into(), subject: subject.into(), password: password.into() }
    }
}

/// Users in the table `oauth_storage.user_account`, their passwords as Argon2id hashes.
///
/// They are for deployments without users of their own. Otherwise implement [`UserStorage`] for
/// your users.
///
/// ```no_run
/// use oauth_storage::{PgStorage, Secret};
/// use oauth_storage::postgres::NewUser;
///
/// # async fn run() -> Result<(), oauth_storage::Error> {
/// let storage = PgStorage::builder()
///     .password_users()
///     .connect("postgres://app@localhost/app")
///     .await?;
/// let user = storage
///     .password_users()
///     .create(NewUser::new("alice", "248289761001", "wonderland"))
///     .await?;
/// assert_eq!(user.subject, "248289761001");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PgUsers {
    connections: Pooled,
}

impl PgUsers {
    fn meters(&self) -> &Meters {
        self.connections.meters()
    }

    pub(super) const fn on(connections: Pooled) -> Self {
        Self { connections }
    }

    /// Creates a user.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid, such as a username
    /// with a space or an invisible character; with [`InvalidReason::Duplicate`] if the `username` or `subject` already exists.
    pub async fn create(&self, user: NewUser) -> Result<User> {
        observe!(self, create_user on user_account, subject = user.subject)
            .run(self.insert(user))
            .await
    }

    async fn insert(&self, user: NewUser) -> Result<User> {
        let username = precis::username(&user.username)?;
        check_subject(&user.subject)?;
        let hash = password::hash(Owner::User, precis::new_password(&user.password)?).await?;
        let mut call = self.connections.begin(Effect::Write).await?;
        // The statement reports which of the two exists, so that no error text is parsed.
        let outcome = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/create_user.sql", username, user.subject, hash,)
                    .fetch_one(connection)
            })
            .await?;
        match (outcome.stored, outcome.subject_exists) {
            (true, _) => Ok(User::new(user.subject)),
            (false, true) => Err(Error::invalid("subject", InvalidReason::Duplicate)),
            (false, false) => Err(Error::invalid("username", InvalidReason::Duplicate)),
        }
    }

    /// Sets a new password. Returns false for an unknown user.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the `password` is too short or too long, or has a control
    /// character.
    pub async fn set_password(&self, username: &str, new: Secret) -> Result<bool> {
        observe!(self, set_user_password on user_account)
            .run(self.update_password(username, new))
            .await
    }

    async fn update_password(&self, username: &str, new: Secret) -> Result<bool> {
        let new = precis::new_password(&new)?;
        let Ok(username) = precis::username(username) else { return Ok(false) };
        let hash = password::hash(Owner::User, new).await?;
        let mut call = self.connections.begin(Effect::Write).await?;
        let done = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/set_user_password.sql", username, hash,)
                    .execute(connection)
            })
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Deletes a user. Their grants and sessions stay;
    /// [`erase_subject`](crate::GrantStorage::erase_subject) deletes them. Returns false for an unknown user.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`]).
    pub async fn delete(&self, username: &str) -> Result<bool> {
        observe!(self, delete_user on user_account).run(self.delete_row(username)).await
    }

    async fn delete_row(&self, username: &str) -> Result<bool> {
        let Ok(username) = precis::username(username) else { return Ok(false) };
        let mut call = self.connections.begin(Effect::Write).await?;
        let done = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/delete_user.sql", username).execute(connection)
            })
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Disables a user or enables them again. Their grants and sessions stay; end them with
    /// [`end_sessions_of`](crate::UserSessionStorage::end_sessions_of) and
    /// [`revoke_subject`](crate::GrantStorage::revoke_subject). Returns false for an unknown user.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`]).
    pub async fn set_disabled(&self, username: &str, disabled: bool) -> Result<bool> {
        observe!(self, set_user_disabled on user_account, disabled)
            .run(self.update_disabled_at(username, disabled))
            .await
    }

    async fn update_disabled_at(&self, username: &str, disabled: bool) -> Result<bool> {
        let Ok(username) = precis::username(username) else { return Ok(false) };
        let mut call = self.connections.begin(Effect::Write).await?;
        let done = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/set_user_disabled.sql", username, disabled,)
                    .execute(connection)
            })
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

#[async_trait]
impl UserStorage for PgUsers {
    async fn authenticate(&self, username: &str, password: &Secret) -> Result<Option<User>> {
        observe!(self, authenticate on user_account).run(self.verify(username, password)).await
    }
}

impl PgUsers {
    async fn verify(&self, username: &str, password: &Secret) -> Result<Option<User>> {
        let (Ok(username), Ok(password)) = (precis::username(username), precis::password(password))
        else {
            return Ok(None);
        };
        let mut call = self.connections.begin(Effect::Read).await?;
        let row = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/find_user.sql", username,)
                    .fetch_optional(connection)
            })
            .await?;
        // The check takes milliseconds; other calls can use the connection meanwhile.
        drop(call);
        let (user, hash) = match row {
            Some(row) => {
                (Some(User::new(row.subject).with_auth_time(row.now)), Some(row.password_hash))
            }
            None => (None, None),
        };
        // An unknown user costs as much as a wrong password (OWASP ASVS 11.2.4).
        let verified = password::verify(Owner::User, password, hash).await?;
        Ok(user.filter(|_| verified))
    }
}

impl fmt::Debug for PgUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgUsers").field("connections", &self.connections).finish()
    }
}
