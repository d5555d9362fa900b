//! Each method of the storage, dropped after each of its polls.

mod method;
mod rows;

use std::ops::ControlFlow;

use oauth_storage::client::ClientSecretRotation;
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::id_token::NewIdToken;
use oauth_storage::postgres::NewUser;
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, ClientStorage as _,
    CodeRedemption, GrantStorage as _, GrantStorageExt as _, IdTokenStorage as _, PgStorage,
    RedemptionOutcome, Secret, TokenPair, TokenStorage as _, UserStorage as _,
};
use uuid::Uuid;

use crate::caller::Reply;
use crate::cut::{Cut, When};
use crate::error::Result;
use crate::ledger::{ClientHistory, Code, History, Origin, Pair};
use crate::outcome::Outcome;
use crate::world::URI;
pub(super) use method::Method;
pub(super) use rows::Sweep;
use rows::{StoredGrant, new_client};

/// More than the await points of any method.
const MAX_POLLS: u32 = 300;

impl Sweep {
    /// Drops the method after no poll, after one, after two, until it ends. Returns how often it was
    /// dropped, and after how many polls it ended.
    pub(crate) async fn run(&self, method: Method) -> Result<(u64, u64)> {
        let (mut dropped, mut most) = (0, 0);
        for when in [When::AtOnce, When::WhenWoken] {
            for polls in 0..MAX_POLLS {
                if !self.once(method, Cut { polls, when }).await? {
                    most = most.max(u64::from(polls));
                    break;
                }
                dropped += 1;
            }
        }
        Ok((dropped, most))
    }

    /// Stores the rows that the method needs, and runs it up to the cut. Returns true if it was
    /// dropped there.
    async fn once(&self, method: Method, at: Cut) -> Result<bool> {
        match method {
            Method::Connect | Method::Migrate | Method::PendingMigrations | Method::Close => {
                self.setting_up(method, at).await
            }
            Method::CreateToken
            | Method::GetToken
            | Method::RevokeAccess
            | Method::RevokeRefresh
            | Method::Rotate
            | Method::Introspect
            | Method::GetGrant
            | Method::RevokeGrant
            | Method::RevokeGrantOf
            | Method::RevokeGrantsOf
            | Method::RevokeSubject
            | Method::EraseSubject => self.of_pair(method, at).await,
            Method::CreateCode | Method::GetCode | Method::DeleteCode | Method::Redeem => {
                self.of_code(method, at).await
            }
            Method::GetClient
            | Method::RegisterClient
            | Method::ReadClient
            | Method::UpdateClient
            | Method::RotateClientSecret
            | Method::SetClientDisabled
            | Method::DeleteClient
            | Method::RevokeClient => self.of_client(method, at).await,
            _ => self.other(method, at).await,
        }
    }

    async fn setting_up(&self, method: Method, at: Cut) -> Result<bool> {
        let cut = Some(at);
        let (caller, storage) = (&self.caller, &self.caller.storage);
        Ok(match method {
            Method::Connect => {
                let (reply, dropped) = caller.call_cut(PgStorage::connect(&self.url), cut).await;
                if let Some(storage) = reply.value {
                    storage.close().await;
                }
                dropped
            }
            Method::Migrate => caller.call_cut(storage.migrate(), cut).await.1,
            Method::PendingMigrations => caller.call_cut(storage.pending_migrations(), cut).await.1,
            _ => {
                let another = PgStorage::connect(&self.url).await?;
                let close = async {
                    another.close().await;
                    Ok(())
                };
                let dropped = caller.call_cut(close, cut).await.1;
                another.close().await;
                dropped
            }
        })
    }

    async fn of_pair(&self, method: Method, at: Cut) -> Result<bool> {
        let cut = Some(at);
        let (caller, storage) = (&self.caller, &self.caller.storage);
        let StoredGrant { mut history, request, tokens, .. } = self.with_pair().await?;
        let client_id = history.client_id.clone();
        let subject = request.subject().unwrap_or_default();
        let grant_id = history.grant_id.unwrap_or_default();
        let access = TokenRef::Any(&tokens.access_token);
        let refresh = tokens.refresh_token.as_ref().ok_or("a pair without a refresh token")?;
        let revoked = match method {
            Method::GetToken => {
                let get = storage.get_token(&request, &client_id, access);
                return self.read(history, caller.call_cut(get, cut).await);
            }
            Method::Introspect => {
                let get = storage.introspect(&tokens.access_token);
                return self.read(history, caller.call_cut(get, cut).await);
            }
            Method::GetGrant => {
                let get = storage.get_grant(grant_id);
                return self.read(history, caller.call_cut(get, cut).await);
            }
            Method::CreateToken => {
                let tokens = TokenPair::generate_for(grant_id)?;
                let new = NewToken::new(&client_id, self.world.scope.clone(), tokens.clone());
                let create = storage.create_token(&request, new.with_grant_id(grant_id));
                let (reply, dropped) = caller.call_cut(create, cut).await;
                history.pairs.push(Pair::new(&tokens, Origin::Nothing, reply.outcome));
                caller.ledger.close(history);
                return Ok(dropped);
            }
            Method::Rotate => {
                let new = TokenPair::generate_for(grant_id)?;
                let rotation = TokenRotation::new(&client_id, refresh.clone());
                let rotation = rotation.with_tokens(new.clone());
                let rotate = storage.rotate_refresh_token(&request, rotation);
                let (reply, dropped) = caller.call_cut(rotate, cut).await;
                if !matches!(reply.value, Some(RotationOutcome::Issued(_)) | None) {
                    return Err("a valid rotation was refused".into());
                }
                history.pairs.push(Pair::new(&new, Origin::Refresh(0), reply.outcome));
                caller.ledger.close(history);
                return Ok(dropped);
            }
            Method::EraseSubject => {
                let (reply, dropped) = caller.call_cut(storage.erase_subject(subject), cut).await;
                history.erase(reply.outcome);
                caller.ledger.close(history);
                return Ok(dropped);
            }
            Method::RevokeAccess => {
                let revoke = storage.revoke_token(&request, &client_id, access);
                outcome(caller.call_cut(revoke, cut).await)
            }
            Method::RevokeRefresh => {
                let refresh = TokenRef::Refresh(refresh);
                let revoke = storage.revoke_token(&request, &client_id, refresh);
                outcome(caller.call_cut(revoke, cut).await)
            }
            Method::RevokeGrant => {
                outcome(caller.call_cut(storage.revoke_grant(grant_id), cut).await)
            }
            Method::RevokeGrantOf => {
                outcome(caller.call_cut(storage.revoke_grant_of(subject, grant_id), cut).await)
            }
            Method::RevokeGrantsOf => {
                outcome(caller.call_cut(storage.revoke_grants_of(subject, &client_id), cut).await)
            }
            _ => outcome(caller.call_cut(storage.revoke_subject(subject), cut).await),
        };
        let (outcome, dropped) = revoked;
        history.revoke(outcome);
        caller.ledger.close(history);
        Ok(dropped)
    }

    /// Closes the history of a call that only reads.
    fn read<T>(&self, history: History, (_, dropped): (Reply<T>, bool)) -> Result<bool> {
        self.caller.ledger.close(history);
        Ok(dropped)
    }

    async fn of_code(&self, method: Method, at: Cut) -> Result<bool> {
        let cut = Some(at);
        let (caller, storage) = (&self.caller, &self.caller.storage);
        let StoredGrant { mut history, request, code, tokens } = self.with_code().await?;
        let client_id = history.client_id.clone();
        let dropped = match method {
            Method::CreateCode => {
                let code = Secret::generate()?;
                let new = self.new_code(&history, &code);
                let create = storage.create_authorization_code(&request, new);
                let (reply, dropped) = caller.call_cut(create, cut).await;
                let mut other = History::new(&client_id, true);
                other.grant_id = code.grant_id();
                let created = reply.outcome;
                other.code = Some(Code { digest: code.digest(), created, deleted: None });
                caller.ledger.close(other);
                dropped
            }
            Method::GetCode => {
                let get = storage.get_authorization_code(&request, &client_id, &code);
                caller.call_cut(get, cut).await.1
            }
            Method::DeleteCode => {
                let delete = storage.delete_authorization_code(&request, &client_id, &code);
                let (reply, dropped) = caller.call_cut(delete, cut).await;
                if let Some(code) = &mut history.code {
                    code.deleted = Some(reply.outcome);
                }
                dropped
            }
            _ => {
                let redemption = CodeRedemption::new(&client_id, URI, code);
                let redemption = redemption.with_tokens(tokens.clone());
                let redeem = storage.redeem_authorization_code(&request, redemption);
                let (reply, dropped) = caller.call_cut(redeem, cut).await;
                if !matches!(reply.value, Some(RedemptionOutcome::Issued(_)) | None) {
                    return Err("a valid redemption was refused".into());
                }
                history.pairs.push(Pair::new(&tokens, Origin::Code, reply.outcome));
                dropped
            }
        };
        caller.ledger.close(history);
        Ok(dropped)
    }

    async fn of_client(&self, method: Method, at: Cut) -> Result<bool> {
        let cut = Some(at);
        let (caller, storage) = (&self.caller, &self.caller.storage);
        let (mut history, secret) = self.with_client().await?;
        let client_id = history.client_id.clone();
        let dropped = match method {
            Method::GetClient => {
                let get = storage.get_client(&self.request, &client_id, secret.as_ref());
                caller.call_cut(get, cut).await.1
            }
            Method::ReadClient => caller.call_cut(storage.read_client(&client_id), cut).await.1,
            Method::RegisterClient => {
                let mut other = ClientHistory::new(format!("swept-{}", Uuid::now_v7()));
                let register = storage.register_client(new_client(&other));
                let (reply, dropped) = caller.call_cut(register, cut).await;
                other.registered = reply.outcome;
                caller.ledger.close_client(other);
                dropped
            }
            Method::UpdateClient => {
                let metadata =
                    ClientMetadata::authorization_code([URI]).with_client_name("renamed");
                caller.call_cut(storage.update_client(&client_id, metadata), cut).await.1
            }
            Method::RotateClientSecret => {
                let rotation = ClientSecretRotation::default();
                caller.call_cut(storage.rotate_client_secret(&client_id, rotation), cut).await.1
            }
            Method::SetClientDisabled => {
                let disable = storage.set_client_disabled(&client_id, true);
                let (reply, dropped) = caller.call_cut(disable, cut).await;
                history.disabled = (true, reply.outcome);
                dropped
            }
            Method::RevokeClient => caller.call_cut(storage.revoke_client(&client_id), cut).await.1,
            _ => {
                let (reply, dropped) =
                    caller.call_cut(storage.delete_client(&client_id), cut).await;
                history.deleted = Some(reply.outcome);
                dropped
            }
        };
        caller.ledger.close_client(history);
        Ok(dropped)
    }

    async fn other(&self, method: Method, at: Cut) -> Result<bool> {
        let cut = Some(at);
        let (caller, storage) = (&self.caller, &self.caller.storage);
        let users = storage.password_users();
        let name = format!("swept-{}", Uuid::now_v7());
        let password = || Secret::new("a looking glass");
        Ok(match method {
            Method::ListGrants => {
                caller.call_cut(storage.list_grants(&self.subject, None, 10), cut).await.1
            }
            Method::PurgeExpired => caller.call_cut(storage.purge_expired(100), cut).await.1,
            Method::Purge => {
                let all = storage.purge_with(100, |_| ControlFlow::Continue(()));
                caller.call_cut(all, cut).await.1
            }
            Method::ListClients => caller.call_cut(storage.list_clients(None, 10), cut).await.1,
            Method::Authenticate => {
                let password = password();
                caller.call_cut(storage.authenticate(&name, &password), cut).await.1
            }
            Method::GetIdToken => {
                let client_id = self.world.any_client();
                let new = NewIdToken::new(client_id, &self.world.scope).at_token_endpoint();
                caller.call_cut(storage.get_id_token(&self.request, new), cut).await.1
            }
            Method::CreateUser => {
                let user = NewUser::new(name.clone(), name, password());
                caller.call_cut(users.create(user), cut).await.1
            }
            Method::SetPassword => {
                caller.call_cut(users.set_password(&name, password()), cut).await.1
            }
            Method::SetUserDisabled => {
                caller.call_cut(users.set_disabled(&name, true), cut).await.1
            }
            _ => caller.call_cut(users.delete(&name), cut).await.1,
        })
    }
}

fn outcome<T>((reply, dropped): (Reply<T>, bool)) -> (Outcome, bool) {
    (reply.outcome, dropped)
}
