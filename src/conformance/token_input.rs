//! What `create_token` must refuse, with nothing stored.

use std::time::Duration;

use super::cases::{bad_contexts, bad_credentials, bad_settings, bad_subjects};
use super::context::{
    Context, is_duplicate, outlast, refused, request, scope, secret, short_lived,
    strange_client_ids, together, unique,
};
use crate::error::{Error, Problem};
use crate::model::{GrantContext, NewToken, TokenRef, TokenState, User};
use crate::request::{Request, Settings};
use crate::secret::{MAX_CREDENTIAL_BYTES, Secret};

super::room!("token" {
    ill_formed_access_token: "contract 3, bad input: an access token that breaks the syntax (RFC 6749 A.12)",
    ill_formed_refresh_token: "contract 3, bad input: a refresh token that breaks the syntax (RFC 6749 A.17)",
    ill_formed_client_id: "contract 3, bad input: a client id that breaks the syntax (RFC 6749 A.1)",
    ill_formed_subject: "contract 3, bad input: a subject that is empty, too long, or no text",
    ill_formed_context: "contract 3, bad input: every field of the context",
    deep_json_is_whole_or_refused: "contract 3, bad input: nested JSON is refused or comes back",
    lifetime_out_of_range: "contract 3, bad input: a lifetime beyond what a timestamp holds, or none",
    pair_must_differ: "contract 3, bad input: the access token again as the refresh token",
    duplicate_access_token: "contract 3, bad input: an access token that exists; the old one stays",
    duplicate_refresh_token: "contract 3, bad input: a refresh token that exists; the pair is not stored",
    duplicate_of_another_client: "contract 3, bad input: a duplicate of another client's tells and takes nothing",
    duplicate_of_the_dead: "contract 3, bad input: an expired or revoked token is not brought back to life",
    bad_input_harms_no_neighbour: "contract 3, bad input: it never harms the request beside it",
});

/// Asserts that the call is refused so, and that no well-formed part of it was stored.
async fn refuses(
    cx: &Context,
    request: &Request,
    new: NewToken,
    field: &'static str,
    problem: Problem,
) {
    let (client, access, refresh) =
        (new.client_id.clone(), new.access_token.clone(), new.refresh_token.clone());
    let what = format!("create_token with a bad {field}");
    refused(cx.storage.create_token(request, new).await, field, problem, &what);
    for secret in [Some(access), refresh].into_iter().flatten() {
        let found = cx.get(&client, TokenRef::Any(&secret)).await;
        assert_eq!(found, None, "{what} must store nothing, not even half of the pair");
    }
}

async fn ill_formed_access_token(cx: Context) {
    let client = cx.client().await;
    for (text, problem) in bad_credentials(MAX_CREDENTIAL_BYTES) {
        let new = NewToken::new(&client, scope(), Secret::new(text)).with_refresh_token(secret());
        refuses(&cx, &request(), new, "access_token", problem).await;
    }
}

async fn ill_formed_refresh_token(cx: Context) {
    let client = cx.client().await;
    for (text, problem) in bad_credentials(MAX_CREDENTIAL_BYTES) {
        let new = NewToken::new(&client, scope(), secret()).with_refresh_token(Secret::new(text));
        refuses(&cx, &request(), new, "refresh_token", problem).await;
    }
}

async fn ill_formed_client_id(cx: Context) {
    for (text, problem) in bad_credentials(255) {
        let new = NewToken::new(text, scope(), secret()).with_refresh_token(secret());
        refuses(&cx, &request(), new, "client_id", problem).await;
    }
    for text in strange_client_ids() {
        // Well-formed or not, nobody has registered it.
        let new = NewToken::new(text, scope(), secret());
        let result = cx.storage.create_token(&request(), new).await;
        let named = matches!(result, Err(Error::Invalid { field: "client_id", .. }));
        assert!(named, "a client id that nobody has must be refused: {result:?}");
    }
}

async fn ill_formed_subject(cx: Context) {
    let client = cx.client().await;
    for (subject, problem) in bad_subjects() {
        let new = NewToken::new(&client, scope(), secret()).with_refresh_token(secret());
        refuses(&cx, &Request::for_user(User::new(subject)), new, "subject", problem).await;
    }
}

async fn ill_formed_context(cx: Context) {
    let client = cx.client().await;
    for (context, field, problem) in bad_contexts() {
        let mut new = NewToken::new(&client, scope(), secret()).with_refresh_token(secret());
        new.context = context;
        refuses(&cx, &request(), new, field, problem).await;
    }
    // The same, where it comes from the request's user.
    let new = NewToken::new(&client, scope(), secret()).with_refresh_token(secret());
    let user = User { amr: vec!["a\0b".into()], ..User::new(unique()) };
    refuses(&cx, &Request::for_user(user), new, "amr", Problem::Character).await;
}

async fn deep_json_is_whole_or_refused(cx: Context) {
    let client = cx.client().await;
    for depth in [60, 126, 127, 128, 200] {
        let nested = (0..depth).fold(serde_json::json!("x"), |inner, _| serde_json::json!([inner]));
        let context = GrantContext {
            claims: Some(super::cases::object(serde_json::json!({ "a": nested }))),
            ..GrantContext::default()
        };
        let access = secret();
        let mut new = NewToken::new(&client, scope(), access.clone());
        new.context = context.clone();
        match cx.storage.create_token(&request(), new).await {
            Ok(stored) => {
                let found = cx.get(&client, TokenRef::Any(&access)).await;
                assert_eq!(found, Some(stored), "what was taken has to be readable");
            }
            Err(Error::Invalid { field: "claims", .. }) => {
                assert!(depth > 60, "claims of a modest depth are taken");
            }
            Err(other) => panic!("claims {depth} deep must be taken or named: {other:?}"),
        }
    }
}

async fn lifetime_out_of_range(cx: Context) {
    let client = cx.client().await;
    for (settings, field) in bad_settings() {
        let new = NewToken::new(&client, scope(), secret()).with_refresh_token(secret());
        let request = request().with_settings(settings);
        refuses(&cx, &request, new, field, Problem::OutOfRange).await;
    }
}

async fn pair_must_differ(cx: Context) {
    let client = cx.client().await;
    let both = secret();
    let new = NewToken::new(&client, scope(), both.clone()).with_refresh_token(both);
    refuses(&cx, &request(), new, "refresh_token", Problem::Duplicate).await;
}

async fn duplicate_access_token(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    // As an access token once more; and a refresh token cannot become an access token.
    for taken in [&pair.access, &pair.refresh] {
        let refresh = secret();
        let new = NewToken::new(&client, scope(), taken.clone());
        let new = new.with_refresh_token(refresh.clone());
        let result = cx.storage.create_token(&request(), new).await;
        refused(result, "access_token", Problem::Duplicate, "an access token that exists");
        let found = cx.get(&client, TokenRef::Any(&refresh)).await;
        assert_eq!(found, None, "the refresh token of a refused pair is not stored");
    }
    let found = cx.get(&client, TokenRef::Access(&pair.access)).await;
    assert_eq!(found.as_ref(), Some(&pair.token), "the token that exists stays as it is");
    assert_eq!(cx.states(&client, &pair).await, [Some(TokenState::Active); 2]);
}

async fn duplicate_refresh_token(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    let before = cx.get(&client, TokenRef::Refresh(&pair.refresh)).await;
    for taken in [&pair.refresh, &pair.access] {
        let access = secret();
        let new = NewToken::new(&client, scope(), access.clone()).with_refresh_token(taken.clone());
        let result = cx.storage.create_token(&request(), new).await;
        refused(result, "refresh_token", Problem::Duplicate, "a refresh token that exists");
        let found = cx.get(&client, TokenRef::Any(&access)).await;
        assert_eq!(found, None, "a pair is stored whole or not at all");
    }
    let after = cx.get(&client, TokenRef::Refresh(&pair.refresh)).await;
    assert_eq!(after, before, "the token that exists stays as it is");
    // A retry of the very same call: either field may be named.
    let new = NewToken::new(&client, scope(), pair.access.clone());
    let new = new.with_refresh_token(pair.refresh.clone());
    let again = cx.storage.create_token(&request(), new).await;
    assert!(is_duplicate(&again, &["access_token", "refresh_token"]), "{again:?}");
}

async fn duplicate_of_another_client(cx: Context) {
    let (owner, other) = (cx.client().await, cx.client().await);
    let pair = cx.pair(&request(), &owner).await;
    let new = NewToken::new(&other, scope(), pair.access.clone());
    let result = cx.storage.create_token(&request(), new).await;
    refused(result, "access_token", Problem::Duplicate, "another client's access token");
    assert_eq!(cx.get(&other, TokenRef::Any(&pair.access)).await, None, "it changes no hands");
    assert_eq!(cx.get(&owner, TokenRef::Any(&pair.access)).await, Some(pair.token.clone()));
}

async fn duplicate_of_the_dead(cx: Context) {
    let client = cx.client().await;
    let revoked = cx.pair(&request(), &client).await;
    cx.revoke(&client, TokenRef::Refresh(&revoked.refresh)).await;
    let mut request_of_access = short_lived();
    request_of_access.settings.refresh_token_expires_in = Duration::from_hours(1);
    let expired = cx.pair(&request_of_access, &client).await;
    outlast().await;
    for (dead, state) in [(revoked, TokenState::Revoked), (expired, TokenState::Expired)] {
        let new = NewToken::new(&client, scope(), dead.access.clone());
        let result = cx.storage.create_token(&request(), new).await;
        refused(result, "access_token", Problem::Duplicate, "a token that is dead");
        let found = cx.get(&client, TokenRef::Access(&dead.access)).await;
        assert_eq!(found.map(|token| token.state), Some(state), "the dead stay dead");
    }
}

async fn bad_input_harms_no_neighbour(cx: Context) {
    let client = cx.client().await;
    let taken = cx.pair(&request(), &client).await;
    let results = together(64, |index| {
        let (cx, client, taken) = (cx.clone(), client.clone(), taken.access.clone());
        async move {
            let mut request = request();
            let mut new = NewToken::new(client, scope(), secret()).with_refresh_token(secret());
            match index % 8 {
                1 => new.access_token = taken,
                3 => new.refresh_token = Some(taken),
                5 => new.client_id = unique(),
                6 => new.context.nonce = Some("a\0b".into()),
                7 => {
                    let access_token_expires_in = Duration::MAX;
                    request.settings = Settings { access_token_expires_in, ..Settings::default() };
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
                "a bad call beside good ones is told that it is bad: {result:?}"
            ),
        }
    }
}
