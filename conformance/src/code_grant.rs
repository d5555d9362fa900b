//! Authorization codes that join a grant, and refresh tokens that need `offline_access`.

use uuid::Uuid;

use super::cases::full_context;
use super::context::{
    Context, Pair, REDIRECT_URI, foreign_secret, new_code, new_token, outlast, refused, request,
    scope, secret, short_lived, together, tokens_for,
};
use super::flow::{authorized, issued, redeem, redeem_with};
use oauth_storage::error::InvalidReason;
use oauth_storage::token::{NewToken, Token, TokenRef};
use oauth_storage::{
    CodeRedemption, NewAuthorizationCode, RedemptionOutcome, RequestContext, Scope, Secret,
    Settings, TokenPair,
};

rules!("authorization_code" {
    code_joins_a_grant: "contract 1, create_authorization_code: a hybrid flow that stores the token first shares its grant",
    replay_ends_the_joined_grant: "RFC 6749 4.1.2: a replay of the code revokes the token that was stored first",
    code_joins_no_ended_grant: "contract 1: a grant that has expired is not revived, before and after a purge",
    replay_beside_another_code: "RFC 6749 4.1.2: a replay ends the grant, also while another code of it is redeemed",
    code_joins_only_its_own_grant: "contract 1: a grant of another client, subject or scope, revoked or unknown, is refused",
    refresh_token_needs_offline_access: "OIDC Core 11: with the setting, a refresh token only for offline_access",
    offline_access_is_checked_for_tokens: "OIDC Core 11: with the setting, create_token refuses such a refresh token",
});

/// Stores an access token of a new grant, as a hybrid flow does.
async fn token_first(cx: &Context, user: &RequestContext, client: &str) -> (Secret, Token) {
    let new = new_token(client).with_context(full_context());
    let tokens = new.tokens.clone().without_refresh_token();
    let mut new = new;
    new.tokens = tokens.clone();
    let token = cx.create(user, new).await;
    (tokens.access_token, token)
}

fn code_of(token: &Token, code: &Secret) -> NewAuthorizationCode {
    new_code(&token.client_id, code).with_grant_id(token.grant_id)
}

async fn code_joins_a_grant(cx: Context) {
    let (client, user) = (cx.client().await, request());
    for code in [foreign_secret(), Secret::generate().expect("randomness")] {
        let (access, token) = token_first(&cx, &user, &client).await;
        // A generated code names its own grant, unless it is generated for this one.
        let code = match code.grant_id() {
            Some(_) => tokens_for(token.grant_id).access_token,
            None => code,
        };
        let new = code_of(&token, &code);
        let stored = cx.storage.create_authorization_code(&user, new).await.expect("joins");
        assert_eq!((stored.grant_id, &stored.context), (token.grant_id, &token.context));
        assert_eq!(cx.get_code(&client, &code).await, Some(stored));
        let redemption = CodeRedemption::new(&client, REDIRECT_URI, code).with_refresh_token(true);
        let issued = issued(redeem(&cx, &redemption).await);
        let pair = Pair::new(issued.token, issued.tokens);
        assert_eq!(pair.grant_id(), token.grant_id);
        assert_eq!(pair.token.context, token.context);
        cx.revoke(&client, TokenRef::Any(&pair.refresh)).await;
        assert!(!cx.is_active(&access).await, "they share the grant");
    }
}

async fn replay_ends_the_joined_grant(cx: Context) {
    let (client, user, code) = (cx.client().await, request(), foreign_secret());
    let (access, token) = token_first(&cx, &user, &client).await;
    let new = code_of(&token, &code);
    cx.storage.create_authorization_code(&user, new).await.expect("joins");
    let redemption = CodeRedemption::new(&client, REDIRECT_URI, code);
    issued(redeem(&cx, &redemption).await);
    assert!(cx.is_active(&access).await);
    let replayed = RedemptionOutcome::Replayed { grant_id: token.grant_id };
    assert_eq!(redeem(&cx, &redemption).await, replayed);
    assert!(!cx.is_active(&access).await);
}

async fn code_joins_only_its_own_grant(cx: Context) {
    let (client, user) = (cx.client().await, request());
    let (_, token) = token_first(&cx, &user, &client).await;
    let new = || code_of(&token, &foreign_secret());
    let (mut other_client, mut other_scope) = (new(), new());
    other_client.client_id = cx.client().await;
    other_scope.scope = "openid".parse().expect("a scope");
    let unknown = new().with_grant_id(Uuid::now_v7());
    let unknown_reason = ("grant_id", InvalidReason::Unknown);
    for (new, user, (field, reason), what) in [
        (other_client, user.clone(), unknown_reason, "another client"),
        (other_scope, user.clone(), unknown_reason, "another scope"),
        (new(), request(), unknown_reason, "another subject"),
        (new(), RequestContext::default(), unknown_reason, "no subject"),
        (unknown, user.clone(), unknown_reason, "an unknown grant"),
        (
            new().with_nonce("n".to_owned()),
            user.clone(),
            ("nonce", InvalidReason::NotAllowed),
            "a nonce, which would be lost",
        ),
        (
            new().with_context(full_context()),
            user.clone(),
            ("context", InvalidReason::NotAllowed),
            "a context, which would be lost",
        ),
        (new().with_grant_id(Uuid::nil()), user.clone(), ("grant_id", InvalidReason::Empty), "nil"),
        (
            code_of(&token, &secret()),
            user.clone(),
            ("code", InvalidReason::NotAllowed),
            "a code that names another grant",
        ),
    ] {
        let (id, code) = (new.client_id.clone(), new.code.clone());
        refused(cx.storage.create_authorization_code(&user, new).await, field, reason, what);
        assert_eq!(cx.get_code(&id, &code).await, None, "{what}: nothing is stored");
    }
    let taken = new();
    cx.storage.create_authorization_code(&user, taken.clone()).await.expect("joins");
    let again = cx.storage.create_authorization_code(&user, taken).await;
    refused(again, "code", InvalidReason::Duplicate, "a code that exists");
    assert!(cx.storage.revoke_grant(token.grant_id).await.expect("revoke_grant"));
    let result = cx.storage.create_authorization_code(&user, new()).await;
    refused(result, "grant_id", InvalidReason::Unknown, "a revoked grant");
    let (_, token) = token_first(&cx, &user, &client).await;
    cx.set_disabled(&client, true).await;
    let result = cx.storage.create_authorization_code(&user, code_of(&token, &secret())).await;
    assert!(result.is_err(), "a disabled client");
}

async fn code_joins_no_ended_grant(cx: Context) {
    let (client, user) = (cx.client().await, request());
    let short = short_lived();
    let brief = user.clone().with_settings(short.settings);
    let (_, token) = token_first(&cx, &brief, &client).await;
    outlast().await;
    let result =
        cx.storage.create_authorization_code(&user, code_of(&token, &foreign_secret())).await;
    refused(result, "grant_id", InvalidReason::Unknown, "an expired grant");
}

async fn replay_beside_another_code(cx: Context) {
    let (client, user) = (cx.client().await, request());
    for _ in 0..10 {
        let (access, token) = token_first(&cx, &user, &client).await;
        let mut redemptions = Vec::new();
        for _ in 0..8 {
            let code = foreign_secret();
            let new = code_of(&token, &code);
            cx.storage.create_authorization_code(&user, new).await.expect("joins");
            redemptions.push(CodeRedemption::new(&client, REDIRECT_URI, code));
        }
        issued(redeem(&cx, &redemptions[0]).await);
        let outcomes = together(8, |n| {
            let (cx, redemption) = (cx.clone(), redemptions[n].clone());
            async move { redeem(&cx, &redemption).await }
        });
        let outcomes = outcomes.await;
        let replayed = RedemptionOutcome::Replayed { grant_id: token.grant_id };
        assert_eq!(outcomes[0], replayed);
        assert!(!cx.is_active(&access).await, "the replay ended the grant");
        for outcome in outcomes {
            if let RedemptionOutcome::Issued(issued) = outcome {
                assert!(!cx.is_active(&issued.tokens.access_token).await);
            }
        }
    }
}

async fn redemption_of(cx: &Context, client: &str, scope: &str) -> CodeRedemption {
    let code = secret();
    let scope: Scope = scope.parse().expect("a scope");
    let new = NewAuthorizationCode::new(client, scope, REDIRECT_URI, code.clone());
    cx.storage.create_authorization_code(&request(), new).await.expect("a code");
    CodeRedemption::new(client, REDIRECT_URI, code).with_refresh_token(true)
}

async fn refresh_token_needs_offline_access(cx: Context) {
    let client = cx.client().await;
    let settings = Settings::default().with_require_offline_access(true);
    let strict = RequestContext::default().with_settings(settings.clone());
    for (asked, is_offline) in [
        ("openid", false),
        ("openid offline_access", true),
        ("offline_access openid", true),
        ("offline_access", true),
        ("openid offline_access2 not_offline_access", false),
    ] {
        let redemption = redemption_of(&cx, &client, asked).await;
        // The caller's own tokens obey the same rule.
        let grant_id = redemption.code.grant_id().expect("a generated code");
        let own = tokens_for(grant_id);
        let redemption = redemption.with_tokens(own.clone());
        let tokens = issued(redeem_with(&cx, &strict, &redemption).await).tokens;
        assert_eq!(tokens.refresh_token.is_some(), is_offline, "{asked}");
        let refresh = own.refresh_token.expect("a pair");
        assert_eq!(cx.is_active(&refresh).await, is_offline, "{asked}: only what was issued");
        assert!(cx.is_active(&own.access_token).await);
        let grant = cx.grant(grant_id).await.expect("a grant");
        let lifetime = (grant.expires_at - grant.granted_at).to_std().expect("a lifetime");
        let is_long = lifetime > settings.access_token_expires_in * 2;
        assert_eq!(is_long, is_offline, "{asked}: the grant ends with its last token");
    }
    let redemption = redemption_of(&cx, &client, "openid").await;
    let tokens = issued(redeem(&cx, &redemption).await).tokens;
    assert!(tokens.refresh_token.is_some(), "without the setting");
    // A replay is found as well.
    let redemption = authorized(&cx, &request(), &client).await;
    issued(redeem_with(&cx, &strict, &redemption).await);
    let again = redeem_with(&cx, &strict, &redemption).await;
    assert!(matches!(again, RedemptionOutcome::Replayed { .. }), "{again:?}");
}

async fn offline_access_is_checked_for_tokens(cx: Context) {
    let client = cx.client().await;
    let settings = Settings::default().with_require_offline_access(true);
    let user = request().with_settings(settings);
    let result = cx.storage.create_token(&user, new_token(&client)).await;
    refused(
        result,
        "refresh_token",
        InvalidReason::NotAllowed,
        "a refresh token without the scope",
    );
    let mut new = new_token(&client);
    new.scope = format!("{} offline_access", scope()).parse().expect("a scope");
    cx.create(&user, new).await;
    let tokens = TokenPair::generate().expect("randomness").without_refresh_token();
    cx.create(&user, NewToken::new(&client, scope(), tokens)).await;
}
