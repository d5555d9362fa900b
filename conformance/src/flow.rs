//! The code flow as helpers: authorize, redeem, rotate.

use std::time::Duration;

use super::context::{Context, Pair, REDIRECT_URI, new_code, secret};
use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::grant::{IssuedTokens, RotationOutcome, TokenRotation};
use oauth_storage::{CodeRedemption, RedemptionOutcome, RequestContext, Secret, Settings};

/// Stores a code with a challenge, and returns its redemption for a generated pair.
pub(super) async fn authorized(
    cx: &Context,
    request: &RequestContext,
    client: &str,
) -> CodeRedemption {
    authorized_by(cx, request, client, secret()).await
}

/// [`authorized`] with a given code.
pub(super) async fn authorized_by(
    cx: &Context,
    request: &RequestContext,
    client: &str,
    code: Secret,
) -> CodeRedemption {
    let verifier = secret();
    let new = new_code(client, &code).with_code_challenge(CodeChallenge::s256(&verifier));
    cx.storage.create_authorization_code(request, new).await.expect("create_authorization_code");
    CodeRedemption::new(client, REDIRECT_URI, code)
        .with_code_verifier(verifier)
        .with_refresh_token(true)
}

/// Redeems with default settings. A token request has no user.
pub(super) async fn redeem(cx: &Context, redemption: &CodeRedemption) -> RedemptionOutcome {
    redeem_with(cx, &RequestContext::default(), redemption).await
}

pub(super) async fn redeem_with(
    cx: &Context,
    request: &RequestContext,
    redemption: &CodeRedemption,
) -> RedemptionOutcome {
    let outcome = cx.storage.redeem_authorization_code(request, redemption.clone()).await;
    outcome.expect("redeem_authorization_code")
}

#[track_caller]
pub(super) fn issued(outcome: RedemptionOutcome) -> IssuedTokens {
    match outcome {
        RedemptionOutcome::Issued(issued) => *issued,
        other => panic!("a valid code is redeemed, but the outcome is {other:?}"),
    }
}

#[track_caller]
pub(super) fn issued_pair(outcome: RedemptionOutcome) -> Pair {
    let issued = issued(outcome);
    Pair::new(issued.token, issued.tokens)
}

/// Stores a code of the request's user, and redeems it with the request's settings for tokens.
/// Returns the pair and the redemption.
pub(super) async fn granted(
    cx: &Context,
    request: &RequestContext,
    client: &str,
) -> (Pair, CodeRedemption) {
    let authorization = request.clone().with_settings(Settings::default());
    let redemption = authorized(cx, &authorization, client).await;
    let exchange = RequestContext::default().with_settings(request.settings.clone());
    (issued_pair(redeem_with(cx, &exchange, &redemption).await), redemption)
}

/// A token request with this grace period.
pub(super) fn grace(grace: Duration) -> RequestContext {
    let settings = Settings::default().with_refresh_token_grace(grace);
    RequestContext::default().with_settings(settings)
}

/// A token request without a grace period.
pub(super) fn strict() -> RequestContext {
    grace(Duration::ZERO)
}

pub(super) async fn rotate(
    cx: &Context,
    request: &RequestContext,
    rotation: &TokenRotation,
) -> RotationOutcome {
    let outcome = cx.storage.rotate_refresh_token(request, rotation.clone()).await;
    outcome.expect("rotate_refresh_token")
}

#[track_caller]
pub(super) fn rotated(outcome: RotationOutcome) -> Pair {
    match outcome {
        RotationOutcome::Issued(issued) => Pair::new(issued.token, issued.tokens),
        other => panic!("a valid refresh token is rotated, but the outcome is {other:?}"),
    }
}

/// Rotates the refresh token of a pair, and returns its successors.
pub(super) async fn next_pair(cx: &Context, request: &RequestContext, pair: &Pair) -> Pair {
    rotated(rotate(cx, request, &rotation(pair)).await)
}

pub(super) fn rotation(pair: &Pair) -> TokenRotation {
    TokenRotation::new(&pair.token.client_id, pair.refresh.clone())
}
