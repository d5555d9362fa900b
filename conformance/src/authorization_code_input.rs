//! Invalid input of `create_authorization_code`. Each is refused, and nothing is stored.

use super::cases::{
    bad_contexts, bad_credentials, bad_redirect_uris, bad_settings, bad_subjects, full_context,
};
use super::context::{
    Context, foreign_secret, new_code, outlast, refused, request, secret, short_lived,
};
use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::backend::MAX_CREDENTIAL_BYTES;
use oauth_storage::error::InvalidReason;
use oauth_storage::{NewAuthorizationCode, RequestContext, ResponseType, Secret, User};

rules!("authorization_code" {
    ill_formed_code: "contract 3, bad input: a code that breaks the syntax (RFC 6749 A.11)",
    ill_formed_client_id: "contract 3, bad input: a client id that breaks the syntax (RFC 6749 A.1)",
    ill_formed_subject: "contract 3, bad input: a subject that is empty, too long, or not text",
    ill_formed_context: "contract 3, bad input: every field of the context, and the nonce",
    hostile_redirect_uri: "contract 3, bad input: RFC 6749 3.1.2: absolute, no fragment, nothing hostile",
    lifetime_out_of_range: "S5, RFC 6749 4.1.2: a lifetime of zero, or of more than ten minutes, is refused",
    plain_is_refused_by_default: "S5, RFC 9700 2.1.1: the PKCE method plain is refused by default",
    response_type_without_code: "contract 1: a response type without a code is refused",
    duplicate_code: "contract 3, bad input: a code that exists, of whichever client; the old one stays",
    nil_grant_is_refused: "contract 3, bad input: the nil UUID is no grant",
    duplicate_of_the_expired: "contract 3, bad input: an expired code is not revived",
});

/// Asserts that the call is refused so, and that the code was not stored.
async fn refuses(
    cx: &Context,
    request: &RequestContext,
    new: NewAuthorizationCode,
    field: &'static str,
    reason: InvalidReason,
) {
    let (client, code) = (new.client_id.clone(), new.code.clone());
    let what = format!("create_authorization_code with a bad {field}");
    let result = cx.storage.create_authorization_code(request, new).await;
    refused(result, field, reason, &what);
    assert_eq!(cx.get_code(&client, &code).await, None, "{what} must store nothing");
}

async fn ill_formed_code(cx: Context) {
    let client = cx.client().await;
    for (text, reason) in bad_credentials(MAX_CREDENTIAL_BYTES) {
        let new = new_code(&client, &Secret::new(text));
        refuses(&cx, &request(), new, "code", reason).await;
    }
}

async fn ill_formed_client_id(cx: Context) {
    for (text, reason) in bad_credentials(255) {
        refuses(&cx, &request(), new_code(&text, &secret()), "client_id", reason).await;
    }
}

async fn ill_formed_subject(cx: Context) {
    let client = cx.client().await;
    for (subject, reason) in bad_subjects() {
        let request = RequestContext::for_user(User::new(subject));
        refuses(&cx, &request, new_code(&client, &secret()), "subject", reason).await;
    }
}

async fn ill_formed_context(cx: Context) {
    let client = cx.client().await;
    for (context, field, reason) in bad_contexts() {
        let new = new_code(&client, &secret()).with_context(context);
        refuses(&cx, &request(), new, field, reason).await;
    }
    for nonce in ["", "a\0b", "a\nb"] {
        let reason = if nonce.is_empty() { InvalidReason::Empty } else { InvalidReason::Character };
        let nonce = Some(nonce.to_owned());
        let context = full_context().with_nonce("good".to_owned());
        let new = new_code(&client, &secret()).with_nonce(nonce).with_context(context);
        refuses(&cx, &request(), new, "nonce", reason).await;
    }
    let user = User::new("alice").with_acr("a\0b".to_owned());
    let new = new_code(&client, &secret());
    refuses(&cx, &RequestContext::for_user(user), new, "acr", InvalidReason::Character).await;
}

async fn hostile_redirect_uri(cx: Context) {
    let client = cx.client().await;
    for (redirect_uri, reason) in bad_redirect_uris() {
        let mut new = new_code(&client, &secret());
        new.redirect_uri = redirect_uri;
        refuses(&cx, &request(), new, "redirect_uri", reason).await;
    }
}

async fn lifetime_out_of_range(cx: Context) {
    let client = cx.client().await;
    for (settings, field) in bad_settings() {
        let request = request().with_settings(settings);
        let new = new_code(&client, &secret());
        refuses(&cx, &request, new, field, InvalidReason::OutOfRange).await;
    }
}

async fn plain_is_refused_by_default(cx: Context) {
    let client = cx.client().await;
    let challenge = secret();
    for method in [None, Some("plain")] {
        let challenge = CodeChallenge::from_parameters(Some(challenge.expose()), method);
        let new = new_code(&client, &secret()).with_code_challenge(challenge.expect("a challenge"));
        refuses(&cx, &request(), new, "code_challenge_method", InvalidReason::NotAllowed).await;
    }
}

async fn response_type_without_code(cx: Context) {
    let client = cx.client().await;
    for text in ["none", "token", "id_token", "id_token token"] {
        let response_type: ResponseType = text.parse().expect("a response type");
        let new = new_code(&client, &secret()).with_response_type(response_type);
        refuses(&cx, &request(), new, "response_type", InvalidReason::NotAllowed).await;
    }
}

async fn duplicate_code(cx: Context) {
    let (client, other) = (cx.client().await, cx.client().await);
    for code in [secret(), foreign_secret()] {
        let new = new_code(&client, &code);
        let stored = cx.storage.create_authorization_code(&request(), new).await.expect("a code");
        for client in [&client, &other] {
            let new = new_code(client, &code);
            let result = cx.storage.create_authorization_code(&request(), new).await;
            refused(result, "code", InvalidReason::Duplicate, "a code that exists");
        }
        assert_eq!(cx.get_code(&client, &code).await, Some(stored), "the code stays as it is");
        assert_eq!(cx.get_code(&other, &code).await, None, "it keeps its owner");
    }
}

async fn nil_grant_is_refused(cx: Context) {
    let client = cx.client().await;
    let code = Secret::generate_for(uuid::Uuid::nil()).expect("randomness");
    refuses(&cx, &request(), new_code(&client, &code), "code", InvalidReason::NotAllowed).await;
}

async fn duplicate_of_the_expired(cx: Context) {
    let client = cx.client().await;
    let (code, _) = cx.code(&short_lived(), &client).await;
    outlast().await;
    let new = new_code(&client, &code);
    let result = cx.storage.create_authorization_code(&request(), new).await;
    refused(result, "code", InvalidReason::Duplicate, "a code that exists and has expired");
    let found = cx.get_code(&client, &code).await.expect("the expired code is still found");
    assert!(found.expired, "an expired code stays expired");
}
