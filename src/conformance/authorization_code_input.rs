//! Invalid input of `create_authorization_code`. Each is refused, and nothing is stored.

use super::cases::{
    bad_contexts, bad_credentials, bad_redirect_uris, bad_settings, bad_subjects, full_context,
};
use super::context::{
    Context, foreign_secret, new_code, outlast, refused, request, secret, short_lived,
};
use crate::error::Problem;
use crate::model::{CodeChallenge, GrantContext, NewAuthorizationCode, ResponseType, User};
use crate::request::Request;
use crate::secret::{MAX_CREDENTIAL_BYTES, Secret};

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
    request: &Request,
    new: NewAuthorizationCode,
    field: &'static str,
    problem: Problem,
) {
    let (client, code) = (new.client_id.clone(), new.code.clone());
    let what = format!("create_authorization_code with a bad {field}");
    let result = cx.storage.create_authorization_code(request, new).await;
    refused(result, field, problem, &what);
    assert_eq!(cx.get_code(&client, &code).await, None, "{what} must store nothing");
}

async fn ill_formed_code(cx: Context) {
    let client = cx.client().await;
    for (text, problem) in bad_credentials(MAX_CREDENTIAL_BYTES) {
        let new = new_code(&client, &Secret::new(text));
        refuses(&cx, &request(), new, "code", problem).await;
    }
}

async fn ill_formed_client_id(cx: Context) {
    for (text, problem) in bad_credentials(255) {
        refuses(&cx, &request(), new_code(&text, &secret()), "client_id", problem).await;
    }
}

async fn ill_formed_subject(cx: Context) {
    let client = cx.client().await;
    for (subject, problem) in bad_subjects() {
        let request = Request::for_user(User::new(subject));
        refuses(&cx, &request, new_code(&client, &secret()), "subject", problem).await;
    }
}

async fn ill_formed_context(cx: Context) {
    let client = cx.client().await;
    for (context, field, problem) in bad_contexts() {
        let new = NewAuthorizationCode { context, ..new_code(&client, &secret()) };
        refuses(&cx, &request(), new, field, problem).await;
    }
    for nonce in ["", "a\0b", "a\nb"] {
        let problem = if nonce.is_empty() { Problem::Empty } else { Problem::Character };
        let nonce = Some(nonce.to_owned());
        let context = GrantContext { nonce: Some("good".into()), ..full_context() };
        let new = NewAuthorizationCode { nonce, context, ..new_code(&client, &secret()) };
        refuses(&cx, &request(), new, "nonce", problem).await;
    }
    let user = User { acr: Some("a\0b".into()), ..User::new("alice") };
    let new = new_code(&client, &secret());
    refuses(&cx, &Request::for_user(user), new, "acr", Problem::Character).await;
}

async fn hostile_redirect_uri(cx: Context) {
    let client = cx.client().await;
    for (redirect_uri, problem) in bad_redirect_uris() {
        let new = NewAuthorizationCode { redirect_uri, ..new_code(&client, &secret()) };
        refuses(&cx, &request(), new, "redirect_uri", problem).await;
    }
}

async fn lifetime_out_of_range(cx: Context) {
    let client = cx.client().await;
    for (settings, field) in bad_settings() {
        let request = request().with_settings(settings);
        let new = new_code(&client, &secret());
        refuses(&cx, &request, new, field, Problem::OutOfRange).await;
    }
}

async fn plain_is_refused_by_default(cx: Context) {
    let client = cx.client().await;
    let challenge = secret();
    for method in [None, Some("plain")] {
        let challenge = CodeChallenge::from_parameters(Some(challenge.expose()), method);
        let new = NewAuthorizationCode {
            code_challenge: challenge.expect("a challenge"),
            ..new_code(&client, &secret())
        };
        refuses(&cx, &request(), new, "code_challenge_method", Problem::NotAllowed).await;
    }
}

async fn response_type_without_code(cx: Context) {
    let client = cx.client().await;
    for text in ["none", "token", "id_token", "id_token token"] {
        let response_type: ResponseType = text.parse().expect("a response type");
        let new = NewAuthorizationCode { response_type, ..new_code(&client, &secret()) };
        refuses(&cx, &request(), new, "response_type", Problem::NotAllowed).await;
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
            refused(result, "code", Problem::Duplicate, "a code that exists");
        }
        assert_eq!(cx.get_code(&client, &code).await, Some(stored), "the code stays as it is");
        assert_eq!(cx.get_code(&other, &code).await, None, "it keeps its owner");
    }
}

async fn nil_grant_is_refused(cx: Context) {
    let client = cx.client().await;
    let code = Secret::generate_for(uuid::Uuid::nil()).expect("randomness");
    refuses(&cx, &request(), new_code(&client, &code), "code", Problem::NotAllowed).await;
}

async fn duplicate_of_the_expired(cx: Context) {
    let client = cx.client().await;
    let (code, _) = cx.code(&short_lived(), &client).await;
    outlast().await;
    let new = new_code(&client, &code);
    let result = cx.storage.create_authorization_code(&request(), new).await;
    refused(result, "code", Problem::Duplicate, "a code that exists and has expired");
    let found = cx.get_code(&client, &code).await.expect("the expired code is still found");
    assert!(found.expired, "an expired code stays expired");
}
