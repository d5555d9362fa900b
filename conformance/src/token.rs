//! Creating tokens.

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use uuid::Uuid;

use super::cases::{full_context, full_user};
use super::context::{
    ACTIVE, Context, SHORT, foreign_tokens, joining, largest_scope, new_code, new_token, refused,
    request, scope, secret, tokens, tokens_for, unique,
};
use oauth_storage::backend::{MAX_CREDENTIAL_BYTES, MAX_LIFETIME};
use oauth_storage::error::InvalidReason;
use oauth_storage::token::{NewToken, TokenKind, TokenRef};
use oauth_storage::{RequestContext, Scope, Secret, Settings, TokenPair, User};

rules!("token" {
    stored_before_return: "contract 1, create_token: the credentials are stored before it returns",
    found_by_either_credential: "contract 1, get_token: find by either credential",
    record_comes_back: "contract 1, create_token: every field comes back equal, by both credentials",
    largest_scope_comes_back: "contract 3: a scope of 100 tokens is kept, and so is one token of 4096 bytes",
    lifetimes_are_the_settings: "contract 1, create_token: lifetimes come from the request's settings",
    subject_is_the_requests: "contract 1, create_token: the subject comes from the request",
    subject_of_the_token_takes_precedence: "contract 1, create_token: a subject that the new token names takes precedence over the request's",
    authentication_is_the_users: "OIDC Core 12.2: missing parts of the authentication are the user's",
    auth_time_is_to_the_microsecond: "contract 1, create_token: it returns the stored value, to the microsecond",
    refresh_token_is_optional: "contract 1, create_token: the refresh token is optional",
    tokens_made_elsewhere_are_stored: "contract 1: a credential that names no grant works everywhere",
    new_grant_is_the_named_one: "contract 1, create_token: a new grant has the identifier that its tokens name",
    code_exchange_keeps_the_grant: "OIDC Core 12.2: tokens have the grant, scope and context of their code",
    longest_and_strangest_are_kept: "RFC 6749 A.12, A.17: every visible character, up to the limit",
    unknown_client_gets_none: "contract 1, create_token: an unknown client is named, nothing is stored",
});

async fn stored_before_return(cx: Context) {
    let client = cx.client().await;
    for _ in 0..16 {
        let pair = cx.pair(&request(), &client).await;
        assert_eq!(
            cx.states(&client, &pair).await,
            [ACTIVE; 2],
            "create_token stores both credentials, active, before it returns"
        );
    }
}

async fn found_by_either_credential(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    assert_eq!(pair.token.kind, TokenKind::Access, "create_token returns the access token");
    for (token, kind) in [
        (TokenRef::Access(&pair.access), TokenKind::Access),
        (TokenRef::Any(&pair.access), TokenKind::Access),
        (TokenRef::Refresh(&pair.refresh), TokenKind::Refresh),
        (TokenRef::Any(&pair.refresh), TokenKind::Refresh),
    ] {
        let found = cx.get(&client, token).await.expect("found by either credential");
        assert_eq!(found.kind, kind, "the kind is that of the credential");
        assert_eq!(found.grant_id, pair.token.grant_id, "both are of one grant");
    }
}

async fn record_comes_back(cx: Context) {
    let client = cx.client().await;
    let user = full_user();
    let grant_id = Uuid::now_v7();
    let new = NewToken::new(&client, scope(), tokens_for(grant_id)).with_context(full_context());
    let pair = cx.pair_of(&RequestContext::for_user(user.clone()), new).await;
    let access = cx.get(&client, TokenRef::Access(&pair.access)).await.expect("stored");
    assert_eq!(access, pair.token, "get_token returns the record that create_token returned");
    let refresh = cx.get(&client, TokenRef::Refresh(&pair.refresh)).await.expect("stored");
    for token in [&access, &refresh] {
        assert_eq!(token.client_id, client);
        assert_eq!(token.grant_id, grant_id);
        assert_eq!(token.subject.as_deref(), Some(user.subject.as_str()));
        assert_eq!(token.scope, scope());
        assert_eq!(token.context, full_context(), "every field of the context comes back equal");
    }
    // A token without any of it.
    let tokens = tokens().without_refresh_token();
    let new = NewToken::new(&client, Scope::default(), tokens.clone());
    let stored = cx.create(&RequestContext::default(), new).await;
    assert!(stored.scope.is_empty(), "the empty scope is a scope");
    assert_eq!(stored.context, Default::default(), "no context was given");
    assert_eq!(cx.get(&client, TokenRef::Access(&tokens.access_token)).await, Some(stored));
}

async fn largest_scope_comes_back(cx: Context) {
    let client = cx.client().await;
    let longest: Scope = "s".repeat(4096).parse().expect("a scope of 4096 bytes");
    for scope in [largest_scope(), longest] {
        let pair = cx.pair_of(&request(), NewToken::new(&client, scope.clone(), tokens())).await;
        assert_eq!(pair.token.scope, scope);
        for token in [TokenRef::Access(&pair.access), TokenRef::Refresh(&pair.refresh)] {
            let found = cx.get(&client, token).await.expect("stored");
            assert_eq!(found.scope, scope, "the scope comes back, in its order");
        }
        let code = secret();
        let mut new = new_code(&client, &code);
        new.scope = scope.clone();
        let stored = cx.storage.create_authorization_code(&request(), new).await;
        assert_eq!(stored.expect("a code of that scope").scope, scope);
        assert_eq!(cx.get_code(&client, &code).await.expect("stored").scope, scope);
    }
}

async fn lifetimes_are_the_settings(cx: Context) {
    let client = cx.client().await;
    for (access, refresh) in [
        (Duration::from_hours(1), Duration::from_hours(24 * 30)),
        (Duration::from_micros(1_234_567), Duration::from_secs(7)),
        (SHORT, SHORT),
        (MAX_LIFETIME, MAX_LIFETIME),
    ] {
        let request = request().with_settings(
            Settings::default()
                .with_access_token_expires_in(access)
                .with_refresh_token_expires_in(refresh),
        );
        let pair = cx.pair(&request, &client).await;
        let stored = cx.get(&client, TokenRef::Refresh(&pair.refresh)).await.expect("stored");
        for (token, lifetime) in [(&pair.token, access), (&stored, refresh)] {
            assert_eq!(
                (token.expires_at - token.issued_at).to_std().ok(),
                Some(lifetime),
                "expires_at - issued_at of the {} is the setting",
                token.kind
            );
        }
        assert_eq!(pair.token.issued_at, stored.issued_at, "a pair is issued at one time");
        assert_eq!(pair.token.expires_in(), access.as_secs());
    }
}

async fn subject_is_the_requests(cx: Context) {
    let client = cx.client().await;
    let longest = format!("{}{}", unique(), "x".repeat(255 - 18));
    for subject in [unique(), "Zoë Ünïcode 主体 🦀".into(), "a' OR 1=1 --\\".into(), longest]
    {
        let pair = cx.pair(&RequestContext::for_user(User::new(&subject)), &client).await;
        assert_eq!(pair.token.subject.as_deref(), Some(subject.as_str()));
        let refresh = cx.get(&client, TokenRef::Refresh(&pair.refresh)).await.expect("stored");
        assert_eq!(refresh.subject, Some(subject), "the refresh token has the same subject");
    }
    let pair = cx.pair(&RequestContext::default(), &client).await;
    assert_eq!(pair.token.subject, None, "without a user there is no subject");
}

async fn subject_of_the_token_takes_precedence(cx: Context) {
    let client = cx.client().await;
    let (user, nobody) = (full_user(), RequestContext::default());
    let request = RequestContext::for_user(user.clone());
    for (request, subject, auth_time) in [
        (&nobody, "another", None),
        (&request, "another", None),
        (&request, user.subject.as_str(), user.auth_time),
    ] {
        let token = cx.pair_of(request, new_token(&client).with_subject(subject)).await.token;
        assert_eq!(token.subject.as_deref(), Some(subject));
        assert_eq!(token.context.auth_time, auth_time, "never of another user's authentication");
    }
    // The subject of a code's token is the code's, whichever user sends the request.
    let (_, stored) = cx.code(&request, &client).await;
    let new = NewToken::for_code(&stored, tokens_for(stored.grant_id));
    let token = cx.pair_of(&nobody, new).await.token;
    assert_eq!(token.subject, Some(user.subject));
}

async fn authentication_is_the_users(cx: Context) {
    let client = cx.client().await;
    let user = full_user();
    let request = RequestContext::for_user(user.clone());
    let token = cx.pair(&request, &client).await.token;
    assert_eq!(token.context.auth_time, user.auth_time, "auth_time is the user's");
    assert_eq!(token.context.acr, user.acr, "acr is the user's");
    assert_eq!(token.context.amr, user.amr, "amr is the user's");
    let new = new_token(&client).with_context(full_context());
    let token = cx.pair_of(&request, new).await.token;
    assert_eq!(token.context, full_context(), "a given value takes precedence over the user's");
}

async fn auth_time_is_to_the_microsecond(cx: Context) {
    let client = cx.client().await;
    let auth_time = DateTime::from_timestamp_nanos(1_700_000_000_123_456_789);
    let request = RequestContext::for_user(User::new(unique()).with_auth_time(auth_time));
    let pair = cx.pair(&request, &client).await;
    let (code, stored) = cx.code(&request, &client).await;
    let token = cx.get(&client, TokenRef::Access(&pair.access)).await.expect("stored");
    let found = cx.get_code(&client, &code).await.expect("stored");
    for context in [&token.context, &found.context] {
        let kept = context.auth_time.expect("an auth_time");
        assert!((auth_time - kept).abs() < TimeDelta::microseconds(1), "{kept} for {auth_time}");
        assert_eq!(kept.timestamp_subsec_nanos() % 1000, 0, "{kept} is not whole microseconds");
    }
    assert_eq!(token, pair.token, "create_token returns the stored value");
    assert_eq!(found, stored, "create_authorization_code returns the stored value");
}

async fn refresh_token_is_optional(cx: Context) {
    let client = cx.client().await;
    let tokens = tokens().without_refresh_token();
    let new = NewToken::new(&client, scope(), tokens.clone());
    let token = cx.create(&RequestContext::default(), new).await;
    let access = &tokens.access_token;
    assert_eq!(cx.get(&client, TokenRef::Any(access)).await, Some(token));
    assert_eq!(cx.get(&client, TokenRef::Refresh(access)).await, None, "there is none");
}

async fn tokens_made_elsewhere_are_stored(cx: Context) {
    let client = cx.client().await;
    let mixed = |grant_id| {
        let mut tokens = tokens_for(grant_id);
        tokens.access_token = Secret::new(format!("eyJ0eXAi.{}", unique()));
        tokens
    };
    for tokens in [foreign_tokens(), mixed(Uuid::now_v7())] {
        let first = cx.pair_of(&request(), NewToken::new(&client, scope(), tokens)).await;
        assert_eq!(cx.states(&client, &first).await, [ACTIVE; 2]);
        for tokens in [foreign_tokens(), mixed(first.grant_id())] {
            let mut new = joining(&first.token);
            new.tokens = tokens;
            let pair = cx.pair_of(&request(), new).await;
            assert_eq!(pair.grant_id(), first.grant_id());
            assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2]);
        }
    }
}

async fn new_grant_is_the_named_one(cx: Context) {
    let client = cx.client().await;
    for grant_id in [Uuid::now_v7(), Uuid::from_u128((u128::MAX / 3) ^ Uuid::now_v7().as_u128())] {
        let new = NewToken::new(&client, scope(), tokens_for(grant_id));
        let pair = cx.pair_of(&request(), new).await;
        assert_eq!(pair.grant_id(), grant_id, "the grant that both tokens name");
        let refresh = cx.get(&client, TokenRef::Refresh(&pair.refresh)).await.expect("stored");
        assert_eq!(refresh.grant_id, grant_id);
        assert_eq!(cx.grant(grant_id).await.map(|grant| grant.grant_id), Some(grant_id));
    }
    // One that names a grant is enough.
    let refresh = secret();
    let tokens = foreign_tokens().with_refresh_token(refresh.clone());
    let pair = cx.pair_of(&request(), NewToken::new(&client, scope(), tokens)).await;
    assert_eq!(Some(pair.grant_id()), refresh.grant_id());
    // Tokens that name none begin their own grants.
    let new = || NewToken::new(&client, scope(), foreign_tokens());
    let (one, other) = (cx.pair_of(&request(), new()).await, cx.pair_of(&request(), new()).await);
    assert_ne!(one.grant_id(), other.grant_id());
}

async fn code_exchange_keeps_the_grant(cx: Context) {
    let client = cx.client().await;
    let request = RequestContext::for_user(full_user());
    let (_, code) = cx.code(&request, &client).await;
    let new = NewToken::for_code(&code, tokens_for(code.grant_id));
    let token = cx.pair_of(&request, new).await.token;
    assert_eq!(token.grant_id, code.grant_id, "the tokens are of the code's grant");
    assert_eq!(token.scope, code.scope);
    assert_eq!(token.context, code.context, "nonce and auth_time are the code's");
}

async fn longest_and_strangest_are_kept(cx: Context) {
    let client = cx.client().await;
    let unique = unique();
    let every: String = (' '..='~').collect();
    let longest = "x".repeat(MAX_CREDENTIAL_BYTES - unique.len());
    for (access, refresh) in [
        (format!("{unique}{every}"), format!("{every}{unique}")),
        (format!("{unique}{longest}"), format!("{longest}{unique}")),
    ] {
        let tokens = TokenPair::new(access).with_refresh_token(refresh);
        let pair = cx.pair_of(&request(), NewToken::new(&client, scope(), tokens)).await;
        let found = cx.get(&client, TokenRef::Access(&pair.access)).await;
        assert_eq!(found.as_ref(), Some(&pair.token));
        assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2]);
    }
}

async fn unknown_client_gets_none(cx: Context) {
    let client = unique();
    let tokens = tokens();
    let new = NewToken::new(&client, scope(), tokens.clone());
    let result = cx.storage.create_token(&request(), new).await;
    refused(result, "client_id", InvalidReason::Unknown, "a token for an unknown client");
    // Nor does a client that comes later get it.
    let new = oauth_storage::NewClient::new(super::context::metadata()).with_client_id(&client);
    cx.register(new).await;
    let refresh = tokens.refresh_token.as_ref().expect("a generated pair has one");
    for token in [&tokens.access_token, refresh] {
        assert_eq!(cx.get(&client, TokenRef::Any(token)).await, None, "nothing is stored");
    }
}
