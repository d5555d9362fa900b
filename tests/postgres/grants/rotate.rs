//! Rotating refresh tokens.

use std::time::Duration;

use oauth_storage::error::InvalidReason;
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::token::{NewToken, TokenRef, TokenState};
use oauth_storage::{
    Error, GrantStorage, RequestContext, Secret, Settings, TokenPair, TokenStorage as _,
};

use super::{code, grace, issue, next, refresh_of, rotate, rows};
use crate::support::{TestStorage, alice, scope};

#[tokio::test]
async fn s6_reuse_of_a_rotated_refresh_token_revokes_the_grant() {
    let test = TestStorage::new("s6").await;
    let (client_id, _) = test.client().await;
    let issued = issue(&test.storage, &code(&test, &client_id, &alice()).await).await;
    let strict = grace(Duration::ZERO);
    let refresh = refresh_of(&issued);
    let moved = next(&test.storage, &strict, &client_id, refresh).await;
    // A token of another client, or an access token, is no reuse.
    let (other_id, _) = test.client().await;
    for (client_id, token) in [(&other_id, refresh), (&client_id, &issued.tokens.access_token)] {
        let foreign = TokenRotation::new(client_id, token.clone());
        assert_eq!(rotate(&test.storage, &strict, &foreign).await, RotationOutcome::Invalid);
    }
    assert!(test.storage.introspect(&moved.tokens.access_token).await.unwrap().is_some());

    let again = TokenRotation::new(&client_id, refresh.clone());
    let reused = RotationOutcome::Reused { grant_id: issued.token.grant_id };
    assert_eq!(rotate(&test.storage, &strict, &again).await, reused);
    assert_eq!(test.storage.introspect(&moved.tokens.access_token).await.unwrap(), None);
    for refresh in [refresh_of(&moved), refresh] {
        let after = TokenRotation::new(&client_id, refresh.clone());
        assert_eq!(rotate(&test.storage, &strict, &after).await, RotationOutcome::Invalid);
    }
    assert_eq!(rows(&test).await.2, 0);
}

#[tokio::test]
async fn s7_a_retry_inside_the_grace_period_succeeds_and_after_it_does_not() {
    let test = TestStorage::new("s7").await;
    let (client_id, _) = test.client().await;
    let issued = issue(&test.storage, &code(&test, &client_id, &alice()).await).await;
    let request = grace(Duration::from_secs(10));
    let refresh = refresh_of(&issued);
    let _lost = next(&test.storage, &request, &client_id, refresh).await;
    let retried = next(&test.storage, &request, &client_id, refresh).await;
    next(&test.storage, &request, &client_id, refresh_of(&retried)).await;

    // A retry does not extend the period, which begins with the first exchange.
    test.sql(
        "UPDATE oauth_storage.token SET rotated_at = rotated_at - interval '9 seconds 900 ms'
         WHERE rotated_at IS NOT NULL",
    )
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let late = TokenRotation::new(&client_id, refresh.clone());
    let outcome = rotate(&test.storage, &request, &late).await;
    assert!(matches!(outcome, RotationOutcome::Reused { .. }), "{outcome:?}");
    assert_eq!(rows(&test).await.2, 0, "every branch is dead");
}

#[tokio::test]
async fn s8_rotation_neither_moves_the_end_nor_widens_the_scope() {
    let test = TestStorage::new("s8").await;
    let (client_id, _) = test.client().await;
    let issued = issue(&test.storage, &code(&test, &client_id, &alice()).await).await;
    let mut refresh = refresh_of(&issued).clone();
    let record = async |refresh: &Secret| {
        let token = TokenRef::Refresh(refresh);
        test.storage.get_token(&alice(), &client_id, token).await.unwrap().unwrap()
    };
    let before = record(&refresh).await;
    let of_scope = |refresh: &Secret, scope: &str| {
        TokenRotation::new(&client_id, refresh.clone()).with_scope(scope.parse().unwrap())
    };

    let wider = of_scope(&refresh, "openid profile admin");
    let error =
        test.storage.rotate_refresh_token(&RequestContext::default(), wider).await.unwrap_err();
    assert!(
        matches!(error, Error::Invalid { field: "scope", reason: InvalidReason::NotAllowed }),
        "{error}"
    );
    assert_eq!(record(&refresh).await.state, TokenState::Active, "not spent");

    for _ in 0..5 {
        let narrower = of_scope(&refresh, "openid");
        refresh = match rotate(&test.storage, &grace(Duration::ZERO), &narrower).await {
            RotationOutcome::Issued(issued) => {
                assert_eq!(issued.token.scope.as_str(), "openid");
                refresh_of(&issued).clone()
            }
            other => panic!("{other:?}"),
        };
        let after = record(&refresh).await;
        assert_eq!(after.expires_at, before.expires_at);
        // RFC 6749 6: the refresh token's scope stays what it was.
        assert_eq!(after.scope, before.scope);
    }
    assert_eq!(rows(&test).await.0, 6);

    // No access token outlives the grant.
    test.sql("UPDATE oauth_storage.token SET expires_at = now() + interval '1 minute'").await;
    let last = next(&test.storage, &RequestContext::default(), &client_id, &refresh).await;
    assert!(last.token.expires_in() <= 60);
}

/// The scope is compared before the token is spent, by a lookup that may reach another server. A view
/// hides the token from that lookup alone.
#[tokio::test]
async fn s8_a_scope_that_could_not_be_compared_is_refused() {
    let test = TestStorage::new("s8_hidden").await;
    let (client_id, _) = test.client().await;
    let issued = issue(&test.storage, &code(&test, &client_id, &alice()).await).await;
    test.sql(
        "ALTER TABLE oauth_storage.token RENAME TO behind;
         CREATE FUNCTION is_visible() RETURNS boolean LANGUAGE sql VOLATILE
             AS $$ SELECT current_query() NOT LIKE '-- Tokens by the first half%' $$;
         CREATE VIEW oauth_storage.token AS
             SELECT * FROM oauth_storage.behind WHERE public.is_visible()",
    )
    .await;
    assert_eq!(test.storage.introspect(&issued.tokens.access_token).await.unwrap(), None);
    let refresh = refresh_of(&issued);
    let wider = TokenRotation::new(&client_id, refresh.clone())
        .with_scope("openid profile admin".parse().unwrap());
    let error =
        test.storage.rotate_refresh_token(&RequestContext::default(), wider).await.unwrap_err();
    assert!(
        matches!(error, Error::Invalid { field: "scope", reason: InvalidReason::NotAllowed }),
        "{error}"
    );
    // Without a scope there is nothing to compare, and the token was not spent.
    next(&test.storage, &RequestContext::default(), &client_id, refresh).await;
}

/// A refresh token that joined the grant later may end later than the grant's refresh tokens do.
#[tokio::test]
async fn s8_nothing_is_issued_after_the_absolute_end_of_a_grant() {
    let test = TestStorage::new("s8_end").await;
    let (client_id, _) = test.client().await;
    let settings = Settings::default().with_refresh_token_idle_expires_in(Duration::from_hours(1));
    let tokens = TokenPair::generate().unwrap();
    let refresh = tokens.refresh_token.clone().unwrap();
    let new = NewToken::new(&client_id, scope(), tokens);
    test.storage.create_token(&alice().with_settings(settings), new).await.unwrap();
    let issued = next(&test.storage, &RequestContext::default(), &client_id, &refresh).await;
    test.sql("UPDATE oauth_storage.authorization_grant SET refresh_expires_at = now()").await;
    let late = TokenRotation::new(&client_id, refresh_of(&issued).clone());
    let outcome = rotate(&test.storage, &RequestContext::default(), &late).await;
    assert_eq!(outcome, RotationOutcome::Invalid);
}
