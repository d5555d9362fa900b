//! The applications that a subject has allowed something.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::future::Future;

use chrono::{DateTime, Utc};

use crate::consent::ConsentStorage;
use crate::error::Result;
use crate::grant::{GrantStorage, GrantStorageExt as _};

/// The consents of one call.
const PAGE: usize = 100;

/// An application that a subject has allowed something, or that has live grants of the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectedApplication {
    /// The client.
    pub client_id: String,
    /// The scope tokens of the consent and of the grants, each once, in alphabetical order.
    pub scope: Vec<String>,
    /// Time of the first consent or grant that still exists.
    pub since: DateTime<Utc>,
    /// Time of the last change of the consent, or of the newest grant.
    pub last: DateTime<Utc>,
    /// The number of live grants: usually one for each device.
    pub grants: usize,
}

/// Operations over consents and grants, for every storage.
pub trait ConsentStorageExt: ConsentStorage + GrantStorage {
    /// Lists the applications of a subject, the one with the newest consent or grant first: "your connected
    /// applications". [`withdraw_consent`](ConsentStorage::withdraw_consent) disconnects one.
    ///
    /// ```
    /// use oauth_storage::{ConsentStorageExt, MemoryStorage};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// # let storage = MemoryStorage::new();
    /// for own in storage.list_connected_applications("248289761001").await? {
    ///     println!("{} may {}", own.client_id, own.scope.join(" "));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`list_consents`](ConsentStorage::list_consents) and
    /// [`list_grants`](GrantStorage::list_grants).
    fn list_connected_applications(
        &self,
        subject: &str,
    ) -> impl Future<Output = Result<Vec<ConnectedApplication>>> + Send {
        list(self, subject)
    }
}

impl<S: ConsentStorage + GrantStorage + ?Sized> ConsentStorageExt for S {}

async fn list<S: ConsentStorage + GrantStorage + ?Sized>(
    storage: &S,
    subject: &str,
) -> Result<Vec<ConnectedApplication>> {
    let mut found = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = storage.list_consents(subject, after.as_deref(), PAGE).await?;
        for own in &page {
            let application = ConnectedApplication {
                client_id: own.client_id.clone(),
                scope: own.scope.iter().map(str::to_owned).collect(),
                since: own.granted_at,
                last: own.updated_at,
                grants: 0,
            };
            found.insert(own.client_id.clone(), application);
        }
        after = page.last().map(|own| own.client_id.clone());
        if page.len() < PAGE {
            break;
        }
    }
    for own in storage.list_all_grants(subject).await? {
        let application =
            found.entry(own.client_id.clone()).or_insert_with(|| ConnectedApplication {
                client_id: own.client_id,
                scope: Vec::new(),
                since: own.granted_at,
                last: own.granted_at,
                grants: 0,
            });
        application.scope.extend(own.scope.iter().map(str::to_owned));
        application.since = application.since.min(own.granted_at);
        application.last = application.last.max(own.granted_at);
        application.grants += 1;
    }
    let mut applications: Vec<_> = found.into_values().collect();
    for own in &mut applications {
        own.scope.sort();
        own.scope.dedup();
    }
    applications.sort_by_key(|own| Reverse(own.last));
    Ok(applications)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStorage;
    use crate::client::{ClientMetadata, ClientRegistry, NewClient};
    use crate::request::RequestContext;
    use crate::token::{NewToken, TokenPair, TokenStorage};
    use crate::user::User;

    #[tokio::test]
    async fn consents_and_grants_of_a_client_are_one_application() {
        let storage = MemoryStorage::new();
        let mut clients = Vec::new();
        for _ in 0..2 {
            let new = NewClient::new(ClientMetadata::client_credentials());
            clients.push(storage.register_client(new).await.unwrap().client.client_id);
        }
        let alice = RequestContext::for_user(User::new("alice"));
        let grant = async |client: &str| {
            let tokens = TokenPair::generate().unwrap();
            let new = NewToken::new(client, "phone openid".parse().unwrap(), tokens);
            storage.create_token(&alice, new).await.unwrap();
        };
        storage.add_consent("alice", &clients[0], &"openid email".parse().unwrap()).await.unwrap();
        grant(&clients[0]).await;
        grant(&clients[0]).await;
        grant(&clients[1]).await;
        let [newest, oldest] = &storage.list_connected_applications("alice").await.unwrap()[..]
        else {
            panic!("two applications");
        };
        assert_eq!((&newest.client_id, newest.grants), (&clients[1], 1));
        assert_eq!((&oldest.client_id, oldest.grants), (&clients[0], 2));
        assert_eq!(oldest.scope, ["email", "openid", "phone"]);
        assert!(oldest.since < oldest.last);
        // More consents than one call returns.
        for n in 0..PAGE {
            let new = NewClient::new(ClientMetadata::client_credentials());
            let id = storage.register_client(new).await.unwrap().client.client_id;
            storage.add_consent("bob", &id, &"openid".parse().unwrap()).await.unwrap();
            if n + 1 == PAGE || n + 2 == PAGE {
                let listed = storage.list_connected_applications("bob").await.unwrap();
                assert_eq!(listed.len(), n + 1);
            }
        }
    }
}
