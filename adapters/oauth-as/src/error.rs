//! Errors of the driver and of the records, as texts without values.

use std::time::Duration;

use oauth_as::StorageError;

/// The number of attempts of a statement that meets another one.
const ATTEMPTS: u32 = 8;

/// Runs a statement again if the server rolled it back for the sake of another one: oauth-as expects
/// contention to be resolved by the storage.
macro_rules! run {
    ($statement:expr) => {{
        let mut attempts = $crate::error::Attempts::default();
        loop {
            match $statement.await {
                Err(error) if attempts.again(&error).await => {}
                result => break result,
            }
        }
    }};
}
pub(crate) use run;

/// The attempts of a statement.
#[derive(Default)]
pub(crate) struct Attempts(u32);

impl Attempts {
    /// Returns true after a pause if another attempt may succeed.
    pub(crate) async fn again(&mut self, error: &sqlx::Error) -> bool {
        self.0 += 1;
        let contended = matches!(code(error).as_deref(), Some("40P01" | "40001"));
        if contended && self.0 < ATTEMPTS {
            pause(self.0).await;
        }
        contended && self.0 < ATTEMPTS
    }
}

/// Waits a little longer before each attempt.
async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(u64::from(attempt) * 5)).await;
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
}

/// Returns true if a unique constraint was violated.
pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("23505")
}

/// Converts an error of the driver. Only the message is kept, because DETAIL and CONTEXT contain values.
pub(crate) fn database(error: sqlx::Error) -> StorageError {
    match error {
        sqlx::Error::Database(error) => {
            let hint = match error.code().as_deref() {
                Some("3F000" | "42P01" | "42883") => "; run `OauthAsStorage::migrate`",
                _ => "",
            };
            let code = error.code().unwrap_or_default();
            StorageError::new(format!("{} ({code}){hint}", error.message()))
        }
        sqlx::Error::PoolTimedOut => StorageError::new("every connection is busy"),
        error => StorageError::new(error.to_string()),
    }
}

/// The error of a record that cannot be written as JSON, such as a time before 1970.
pub(crate) fn encode(error: &serde_json::Error) -> StorageError {
    StorageError::new(format!("a record cannot be stored as JSON ({:?})", error.classify()))
}

/// The error of a document that this version did not write. The text of the parser may quote a value.
pub(crate) fn decode(error: &serde_json::Error) -> StorageError {
    StorageError::new(format!(
        "a stored document is not a record of this version ({:?} at column {})",
        error.classify(),
        error.column()
    ))
}

pub(crate) fn no_randomness() -> StorageError {
    StorageError::new("the operating system provided no randomness")
}
