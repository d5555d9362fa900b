//! Invalid input of `create_token`. Each is refused, and nothing is stored.

use std::time::Duration;

use super::cases::{bad_contexts, bad_credentials, bad_settings, bad_subjects};
use super::context::{
    ACTIVE, Context, Pair, foreign_secret, foreign_tokens, is_duplicate, new_token, outlast,
    refused, request, scope, secret, short_lived, strange_client_ids, together, unique,
};
use oauth_storage::backend::MAX_CREDENTIAL_BYTES;
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::GrantContext;
use oauth_storage::token::{NewToken, TokenRef, TokenState};
use oauth_storage::{Error, RequestContext, Secret, Settings, TokenPair, User};

rules!("token" {
    ill_formed_access_token: "contract 3, bad input: an access token that breaks the syntax (RFC 6749 A.12)",
    ill_formed_refresh_token: "contract 3, bad input: a refresh token that breaks the syntax (RFC 6749 A.17)",
    ill_formed_client_id: "contract 3, bad input: a client id that breaks the syntax (RFC 6749 A.1)",
    ill_formed_subject: "contract 3, bad input: a subject that is empty, too long, or not text",
    ill_formed_context: "contract 3, bad input: every field of the context",
    deep_json_is_whole_or_refused: "contract 3, bad input: nested JSON is refused or comes back",
    lifetime_out_of_range: "contract 3, bad input: a lifetime of zero, or more than a timestamp holds",
    pair_must_differ: "contract 3, bad input: the access token again as the refresh token",
    duplicate_access_token: "contract 3, bad input: an access token that exists; the old one stays",
    duplicate_refresh_token: "contract 3, bad input: a refresh token that exists; the pair is not stored",
    duplicate_generated_pair: "contract 3, bad input: a pair that was stored before is refused, in its grant and out of it",
    duplicate_of_another_client: "contract 3, bad input: a duplicate of another client's token reveals and takes nothing",
    duplicate_of_the_dead: "contract 3, bad input: an expired or revoked token is not revived",
    bad_input_affects_no_other_call: "contract 3, bad input: it does not affect concurrent requests",
});

/// A pair that was made elsewhere.
fn pair(access: impl Into<Secret>, refresh: impl Into<Secret>) -> TokenPair {
    TokenPair::new(access).with_refresh_token(refresh)
}

/// New tokens that were made elsewhere.
fn foreign_token(client_id: &str) -> NewToken {
    NewToken::new(client_id, scope(), foreign_tokens())
}

/// Asserts that the call is refused so, and that no well-formed part of it was stored.
async fn refuses(
    cx: &Context,
    request: &RequestContext,
    new: NewToken,
    field: &'static str,
    reason: InvalidReason,
) {
    let (client, tokens) = (new.client_id.clone(), new.tokens.clone());
    let what = format!("create_token with a bad {field}");
    refused(cx.storage.create_token(request, new).await, field, reason, &what);
    for secret in [Some(tokens.access_token), tokens.refresh_token].into_iter().flatten() {
        let found = cx.get(&client, TokenRef::Any(&secret)).await;
        assert_eq!(found, None, "{what} must store nothing, not even half of the pair");
    }
}

async fn ill_formed_access_token(cx: Context) {
    let client = cx.client().await;
    for (text, reason) in bad_credentials(MAX_CREDENTIAL_BYTES) {
        let new = NewToken::new(&client, scope(), pair(text, foreign_secret()));
        refuses(&cx, &request(), new, "access_token", reason).await;
    }
}

async fn ill_formed_refresh_token(cx: Context) {
    let client = cx.client().await;
    for (text, reason) in bad_credentials(MAX_CREDENTIAL_BYTES) {
        for access in [foreign_secret(), secret()] {
            let new = NewToken::new(&client, scope(), pair(access, text.as_str()));
            refuses(&cx, &request(), new, "refresh_token", reason).await;
        }
    }
}

async fn ill_formed_client_id(cx: Context) {
    for (text, reason) in bad_credentials(255) {
        refuses(&cx, &request(), new_token(&text), "client_id", reason).await;
    }
    for text in strange_client_ids() {
        // Well-formed or not, it is not registered.
        let result = cx.storage.create_token(&request(), new_token(&text)).await;
        let named = matches!(result, Err(Error::Invalid { field: "client_id", .. }));
        assert!(named, "a client id that is not registered must be refused: {result:?}");
    }
}

async fn ill_formed_subject(cx: Context) {
    let client = cx.client().await;
    for (subject, reason) in bad_subjects() {
        let request = RequestContext::for_user(User::new(subject.clone()));
        refuses(&cx, &request, new_token(&client), "subject", reason).await;
        let named = new_token(&client).with_subject(subject);
        refuses(&cx, &RequestContext::default(), named, "subject", reason).await;
    }
}

async fn ill_formed_context(cx: Context) {
    let client = cx.client().await;
    for (context, field, reason) in bad_contexts() {
        let new = new_token(&client).with_context(context);
        refuses(&cx, &request(), new, field, reason).await;
    }
    // The same from the request's user.
    let user = User::new(unique()).with_amr(vec!["a\0b".into()]);
    let request = RequestContext::for_user(user);
    refuses(&cx, &request, new_token(&client), "amr", InvalidReason::Character).await;
}

async fn deep_json_is_whole_or_refused(cx: Context) {
    let client = cx.client().await;
    for depth in [60, 126, 127, 128, 200] {
        let nested = (0..depth).fold(serde_json::json!("x"), |inner, _| serde_json::json!([inner]));
        let context = GrantContext::default()
            .with_claims(super::cases::object(serde_json::json!({ "a": nested })));
        let new = new_token(&client).with_context(context);
        let access = new.tokens.access_token.clone();
        match cx.storage.create_token(&request(), new).await {
            Ok(stored) => {
                let found = cx.get(&client, TokenRef::Any(&access)).await;
                assert_eq!(found, Some(stored), "an accepted value must be readable");
            }
            Err(Error::Invalid { field: "claims", .. }) => {
                assert!(depth > 60, "claims of a modest depth are accepted");
            }
            Err(other) => panic!("claims of depth {depth} must be accepted or named: {other:?}"),
        }
    }
}

async fn lifetime_out_of_range(cx: Context) {
    let client = cx.client().await;
    for (settings, field) in bad_settings() {
        let request = request().with_settings(settings);
        refuses(&cx, &request, new_token(&client), field, InvalidReason::OutOfRange).await;
    }
}

async fn pair_must_differ(cx: Context) {
    let client = cx.client().await;
    for both in [foreign_secret(), secret()] {
        let new = NewToken::new(&client, scope(), pair(both.clone(), both));
        refuses(&cx, &request(), new, "refresh_token", InvalidReason::Duplicate).await;
    }
}

async fn duplicate_access_token(cx: Context) {
    let client = cx.client().await;
    let old = cx.pair_of(&request(), foreign_token(&client)).await;
    // Neither does a refresh token become an access token.
    for taken in [&old.access, &old.refresh] {
        let refresh = foreign_secret();
        let new = NewToken::new(&client, scope(), pair(taken.clone(), refresh.clone()));
        let result = cx.storage.create_token(&request(), new).await;
        refused(result, "access_token", InvalidReason::Duplicate, "an access token that exists");
        let found = cx.get(&client, TokenRef::Any(&refresh)).await;
        assert_eq!(found, None, "the refresh token of a refused pair is not stored");
    }
    let found = cx.get(&client, TokenRef::Access(&old.access)).await;
    assert_eq!(found.as_ref(), Some(&old.token), "the token that exists stays as it is");
    assert_eq!(cx.states(&client, &old).await, [ACTIVE; 2]);
}

async fn duplicate_refresh_token(cx: Context) {
    let client = cx.client().await;
    let old = cx.pair_of(&request(), foreign_token(&client)).await;
    let before = cx.get(&client, TokenRef::Refresh(&old.refresh)).await;
    for taken in [&old.refresh, &old.access] {
        let access = foreign_secret();
        let new = NewToken::new(&client, scope(), pair(access.clone(), taken.clone()));
        let result = cx.storage.create_token(&request(), new).await;
        refused(result, "refresh_token", InvalidReason::Duplicate, "a refresh token that exists");
        let found = cx.get(&client, TokenRef::Any(&access)).await;
        assert_eq!(found, None, "a pair is stored whole or not at all");
    }
    let after = cx.get(&client, TokenRef::Refresh(&old.refresh)).await;
    assert_eq!(after, before, "the token that exists stays as it is");
    // A retry of the same call may name either field.
    let new = NewToken::new(&client, scope(), pair(old.access, old.refresh));
    let again = cx.storage.create_token(&request(), new).await;
    assert!(is_duplicate(&again, &["access_token", "refresh_token"]), "{again:?}");
}

async fn duplicate_generated_pair(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let old = cx.pair(&user, &client).await;
    let again = || NewToken::new(&client, scope(), pair(old.access.clone(), old.refresh.clone()));
    let result = cx.storage.create_token(&user, again()).await;
    let fields = ["access_token", "refresh_token", "grant_id"];
    assert!(is_duplicate(&result, &fields), "a retry of the same call: {result:?}");
    let result = cx.storage.create_token(&user, again().with_grant_id(old.grant_id())).await;
    assert!(is_duplicate(&result, &fields[..2]), "into the same grant: {result:?}");
    let found = cx.get(&client, TokenRef::Access(&old.access)).await;
    assert_eq!(found.as_ref(), Some(&old.token), "the token that exists stays as it is");
}

async fn duplicate_of_another_client(cx: Context) {
    let (owner, other) = (cx.client().await, cx.client().await);
    let old = cx.pair_of(&request(), foreign_token(&owner)).await;
    let new = NewToken::new(&other, scope(), TokenPair::new(old.access.clone()));
    let result = cx.storage.create_token(&request(), new).await;
    refused(result, "access_token", InvalidReason::Duplicate, "another client's access token");
    assert_eq!(cx.get(&other, TokenRef::Any(&old.access)).await, None, "it keeps its owner");
    assert_eq!(cx.get(&owner, TokenRef::Any(&old.access)).await, Some(old.token));
}

async fn duplicate_of_the_dead(cx: Context) {
    let client = cx.client().await;
    let revoked = cx.pair_of(&request(), foreign_token(&client)).await;
    cx.revoke(&client, TokenRef::Refresh(&revoked.refresh)).await;
    let mut short_access = short_lived();
    short_access.settings.refresh_token_expires_in = Duration::from_hours(1);
    let expired = cx.pair_of(&short_access, foreign_token(&client)).await;
    outlast().await;
    for (dead, state) in [(revoked, TokenState::Revoked), (expired, TokenState::Expired)] {
        let new = NewToken::new(&client, scope(), TokenPair::new(dead.access.clone()));
        let result = cx.storage.create_token(&request(), new).await;
        refused(result, "access_token", InvalidReason::Duplicate, "a token that is dead");
        let found = cx.get(&client, TokenRef::Access(&dead.access)).await;
        assert_eq!(found.map(|token| token.state), Some(state), "a dead token stays dead");
    }
}

async fn bad_input_affects_no_other_call(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let taken: Pair = cx.pair_of(&user, foreign_token(&client)).await;
    let results = together(64, |index| {
        let (cx, client, taken, mut request) =
            (cx.clone(), client.clone(), taken.clone(), user.clone());
        async move {
            let mut new = new_token(&client);
            match index % 8 {
                1 => new.tokens = pair(taken.access, foreign_secret()),
                3 => new.tokens = pair(foreign_secret(), taken.refresh),
                4 => new = new.with_grant_id(taken.token.grant_id),
                5 => new.client_id = unique(),
                6 => new.context.nonce = Some("a\0b".into()),
                7 => {
                    let access_token_expires_in = Duration::MAX;
                    request.settings =
                        Settings::default().with_access_token_expires_in(access_token_expires_in);
                }
                _ => return (true, cx.storage.create_token(&request, new).await),
            }
            (false, cx.storage.create_token(&request, new).await)
        }
    });
    for (good, result) in results.await {
        match good {
            true => drop(result.expect("a good call beside bad ones succeeds")),
            false => assert!(
                matches!(result, Err(Error::Invalid { .. })),
                "a bad call beside good ones is refused: {result:?}"
            ),
        }
    }
}
