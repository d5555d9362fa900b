//! Remembered consents of other projects.

use oauth_storage::ConsentStorage as _;

use super::{HYDRA, HYDRA_ROWS, NODE, NODE_ROWS, import};
use crate::support::TestStorage;

/// The consents of a subject: client, scope, and age in days.
async fn consents(test: &TestStorage, subject: &str) -> Vec<(String, String, i64)> {
    let consents = test.storage.list_consents(subject, None, 10).await.unwrap();
    let days = |at: chrono::DateTime<chrono::Utc>| (chrono::Utc::now() - at).num_days();
    consents
        .into_iter()
        .map(|consent| (consent.client_id, consent.scope.to_string(), days(consent.granted_at)))
        .collect()
}

#[tokio::test]
async fn the_newest_remembered_consent_of_hydra_is_kept() {
    let test = TestStorage::new("imports_hydra_consents").await;
    import(&test, HYDRA_ROWS, "", HYDRA).await;
    let expected = [("web".to_owned(), "openid photos.read".to_owned(), 5)];
    assert_eq!(consents(&test, "alice").await, expected, "not those of a skipped page");
    assert_eq!(consents(&test, "bob").await, [], "it ends");
    assert_eq!(consents(&test, "carol").await, [], "an error");
    let dave = consents(&test, "dave").await;
    assert_eq!(dave, [("web".to_owned(), "openid".to_owned(), 3)], "the newer one has ended");
}

#[tokio::test]
async fn a_grant_of_node_oidc_provider_is_a_consent() {
    let test = TestStorage::new("imports_node_consents").await;
    import(&test, NODE_ROWS, "openid offline_access api:read", NODE).await;
    let expected = [("web".to_owned(), "openid offline_access api:read".to_owned(), 0)];
    assert_eq!(consents(&test, "alice").await, expected, "without the rejected scope");
}
