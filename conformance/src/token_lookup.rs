//! Finding tokens.

use std::time::Duration;

use super::context::{
    ACTIVE, Context, ill_formed, outlast, request, secret, short_lived, strange_client_ids, unique,
};
use oauth_storage::Secret;
use oauth_storage::token::{Token, TokenRef, TokenState};

rules!("token" {
    unknown_is_none: "contract 1, get_token: an unknown token is not found",
    foreign_is_none: "contract 1, get_token: for that client only",
    kind_must_fit: "contract 1, get_token: token_type says which credential it is",
    exact_secret_only: "contract 3, at rest: only the exact secret finds the token",
    ill_formed_is_none: "contract 3, bad input: a lookup of an ill-formed token finds nothing",
    expired_is_returned: "contract 1, get_token: an expired token is returned as such",
    expiry_is_each_ones_own: "contract 1, create_token: each credential has its own lifetime",
    lookup_changes_nothing: "contract 1, get_token: a lookup neither rotates nor spends a token",
});

async fn unknown_is_none(cx: Context) {
    let client = cx.client().await;
    cx.pair(&request(), &client).await;
    let unknown = secret();
    for token in [TokenRef::Access(&unknown), TokenRef::Refresh(&unknown), TokenRef::Any(&unknown)]
    {
        assert_eq!(
            cx.get(&client, token).await,
            None,
            "a token that was never issued is not found"
        );
    }
}

async fn foreign_is_none(cx: Context) {
    let (owner, other) = (cx.client().await, cx.client().await);
    let pair = cx.pair(&request(), &owner).await;
    for client in [other, unique(), owner.to_uppercase(), format!("{owner} "), String::new()] {
        for token in [
            TokenRef::Access(&pair.access),
            TokenRef::Refresh(&pair.refresh),
            TokenRef::Any(&pair.access),
            TokenRef::Any(&pair.refresh),
        ] {
            assert_eq!(cx.get(&client, token).await, None, "a token is its own client's only");
        }
    }
}

async fn kind_must_fit(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    let found = cx.get(&client, TokenRef::Refresh(&pair.access)).await;
    assert_eq!(found, None, "an access token is not found as a refresh token");
    let found = cx.get(&client, TokenRef::Access(&pair.refresh)).await;
    assert_eq!(found, None, "a refresh token is not found as an access token");
}

async fn exact_secret_only(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    let text = pair.access.expose();
    let swapped = text.chars().map(|c| match c.is_ascii_lowercase() {
        true => c.to_ascii_uppercase(),
        false => c.to_ascii_lowercase(),
    });
    let hex: String = pair.access.digest().as_bytes().iter().map(|b| format!("{b:02x}")).collect();
    for near in [
        swapped.collect(),
        text[..text.len() - 1].to_owned(),
        format!("{text} "),
        format!(" {text}"),
        format!("{text}\0"),
        format!("{text}="),
        hex,
    ] {
        let found = cx.get(&client, TokenRef::Any(&Secret::new(near))).await;
        assert_eq!(found, None, "only the exact secret finds the token, not even its digest does");
    }
}

async fn ill_formed_is_none(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    for secret in ill_formed() {
        for token in [TokenRef::Access(&secret), TokenRef::Refresh(&secret), TokenRef::Any(&secret)]
        {
            assert_eq!(cx.get(&client, token).await, None, "an ill-formed token is not found");
        }
    }
    for client in strange_client_ids() {
        assert_eq!(cx.get(&client, TokenRef::Access(&pair.access)).await, None, "{client:.20?}");
    }
}

async fn expired_is_returned(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&short_lived(), &client).await;
    assert_eq!(pair.token.state, TokenState::Active, "a new token is active");
    outlast().await;
    assert_eq!(
        cx.states(&client, &pair).await,
        [Some(TokenState::Expired); 2],
        "an expired token is returned as expired"
    );
    let found = cx.get(&client, TokenRef::Any(&pair.access)).await.expect("found");
    assert!(!found.is_active());
    assert_eq!(
        found,
        Token { state: TokenState::Expired, ..pair.token },
        "every other field is the same"
    );
}

async fn expiry_is_each_ones_own(cx: Context) {
    let client = cx.client().await;
    let mut request = short_lived();
    request.settings.refresh_token_expires_in = Duration::from_hours(1);
    let pair = cx.pair(&request, &client).await;
    outlast().await;
    assert_eq!(
        cx.states(&client, &pair).await,
        [Some(TokenState::Expired), ACTIVE],
        "a refresh token outlives its access token"
    );
}

async fn lookup_changes_nothing(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    let refresh = cx.get(&client, TokenRef::Refresh(&pair.refresh)).await.expect("stored");
    for _ in 0..3 {
        for (token, before) in [
            (TokenRef::Access(&pair.access), &pair.token),
            (TokenRef::Any(&pair.access), &pair.token),
            (TokenRef::Refresh(&pair.refresh), &refresh),
            (TokenRef::Any(&pair.refresh), &refresh),
        ] {
            let found = cx.get(&client, token).await;
            assert_eq!(found.as_ref(), Some(before), "a lookup neither rotates nor spends a token");
        }
    }
    assert_eq!(refresh.state, TokenState::Active);
}
