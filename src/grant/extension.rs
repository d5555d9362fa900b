//! [`GrantStorageExt`]: loops over the batches and pages of [`GrantStorage`].

use std::future::Future;
use std::ops::ControlFlow;

use crate::error::Result;
use crate::grant::{Grant, GrantStorage, Purged};

/// Operations over all batches or pages, for every [`GrantStorage`].
pub trait GrantStorageExt: GrantStorage {
    /// Removes expired rows in batches until none is left or the callback breaks, and returns the
    /// sum. The callback runs after each batch, to report progress or to stop.
    ///
    /// The crate does not run it in the background. Call it from your scheduler, on any number of
    /// nodes.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use oauth_storage::{GrantStorageExt, MemoryStorage};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// # let storage = MemoryStorage::new();
    /// let purged = storage
    ///     .purge_with(5_000, |batch| {
    ///         println!("{} tokens, {} codes", batch.tokens, batch.authorization_codes);
    ///         ControlFlow::Continue(())
    ///     })
    ///     .await?;
    /// assert!(!purged.more);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns the error of [`GrantStorage::purge_expired`] for the batch that failed. Earlier
    /// batches stay removed. After any error except [`Error::Invalid`](crate::Error::Invalid) call
    /// it again to continue.
    fn purge_with(
        &self,
        batch: usize,
        progress: impl FnMut(Purged) -> ControlFlow<()> + Send,
    ) -> impl Future<Output = Result<Purged>> + Send {
        purge(self, batch, progress)
    }

    /// Removes all expired rows, in batches of 5,000, and returns the number: [`purge_with`](Self::purge_with)
    /// without a callback.
    ///
    /// ```
    /// use oauth_storage::{GrantStorageExt, MemoryStorage};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// # let storage = MemoryStorage::new();
    /// println!("{} tokens removed", storage.purge().await?.tokens);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`purge_with`](Self::purge_with).
    fn purge(&self) -> impl Future<Output = Result<Purged>> + Send {
        purge(self, 5_000, |_| ControlFlow::Continue(()))
    }

    /// Lists every live grant of a subject, newest first, from all pages of
    /// [`GrantStorage::list_grants`].
    ///
    /// ```
    /// use oauth_storage::{GrantStorageExt, MemoryStorage};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// # let storage = MemoryStorage::new();
    /// for grant in storage.list_all_grants("248289761001").await? {
    ///     println!("{} may {}", grant.client_id, grant.scope);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`GrantStorage::list_grants`].
    fn list_all_grants(&self, subject: &str) -> impl Future<Output = Result<Vec<Grant>>> + Send {
        list_all_grants(self, subject)
    }
}

impl<S: GrantStorage + ?Sized> GrantStorageExt for S {}

async fn purge<S: GrantStorage + ?Sized>(
    storage: &S,
    batch: usize,
    mut progress: impl FnMut(Purged) -> ControlFlow<()> + Send,
) -> Result<Purged> {
    let mut sum = Purged::default();
    loop {
        let purged = storage.purge_expired(batch).await?;
        sum.tokens += purged.tokens;
        sum.authorization_codes += purged.authorization_codes;
        sum.grants += purged.grants;
        sum.records += purged.records;
        sum.sessions += purged.sessions;
        sum.more = purged.more;
        if progress(purged).is_break() || !purged.more {
            return Ok(sum);
        }
    }
}

async fn list_all_grants<S: GrantStorage + ?Sized>(
    storage: &S,
    subject: &str,
) -> Result<Vec<Grant>> {
    const PAGE: usize = 100;
    let mut grants: Vec<Grant> = Vec::new();
    let mut after = None;
    loop {
        let page = storage.list_grants(subject, after, PAGE).await?;
        grants.extend(page.grants);
        after = page.next;
        if after.is_none() {
            return Ok(grants);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStorage;
    use crate::client::{ClientMetadata, ClientRegistry, NewClient};
    use crate::request::RequestContext;
    use crate::scope::Scope;
    use crate::token::{NewToken, TokenPair, TokenStorage};
    use crate::user::User;

    #[tokio::test]
    async fn all_grants_are_those_of_every_page() {
        let storage = MemoryStorage::new();
        let new = NewClient::new(ClientMetadata::client_credentials());
        let id = storage.register_client(new).await.unwrap().client.client_id;
        let alice = RequestContext::for_user(User::new("alice"));
        for count in 1..=201 {
            let tokens = TokenPair::generate().unwrap();
            let new = NewToken::new(&id, Scope::default(), tokens);
            storage.create_token(&alice, new).await.unwrap();
            if matches!(count, 1 | 99 | 100 | 101 | 200 | 201) {
                assert_eq!(storage.list_all_grants("alice").await.unwrap().len(), count);
            }
        }
        assert!(storage.list_all_grants("bob").await.unwrap().is_empty());
    }
}
