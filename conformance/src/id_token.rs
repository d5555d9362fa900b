//! ID tokens. The claims are checked. The signature is not, because the contract gives no key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::cases::{full_context, full_user, object};
use super::context::{Context, REDIRECT_URI, new_code, refused, request, scope, secret};
use oauth_storage::error::{InvalidReason, Result};
use oauth_storage::id_token::NewIdToken;
use oauth_storage::{Error, RequestContext, Scope, Secret, Settings};

rules!("id_token" {
    none_without_a_signer: "contract 1, get_id_token: a token, or an error that says it is not configured",
    is_a_signed_jwt: "OIDC Core 2, contract 1: a compact JWT that is signed",
    has_the_required_claims: "OIDC Core 2: iss, sub, aud, exp and iat; the lifetime is the setting",
    has_optional_claims: "OIDC Core 2: nonce, auth_time, acr and amr as they apply",
    has_the_hashes: "OIDC Core 3.1.3.6 and 3.3.2.11: at_hash and c_hash of the access token and code issued with it",
    of_a_code: "OIDC Core 3.1.3.3: nonce and auth_time are those of the code",
    hint_is_verified: "OIDC Core 3.1.2.1: an earlier ID token names its subject as a hint, expired or not",
    needs_a_subject: "contract 1, get_id_token: without a resource owner there is no ID token",
});

fn new<'a>(client_id: &'a str, scope: &'a Scope) -> NewIdToken<'a> {
    NewIdToken::new(client_id, scope).with_redirect_uri(REDIRECT_URI).at_token_endpoint()
}

async fn claims(cx: &Context, request: &RequestContext, new: NewIdToken<'_>) -> Map<String, Value> {
    let jwt = cx.storage.get_id_token(request, new).await.expect("get_id_token");
    parts(&jwt).1
}

/// The header and the claims.
fn parts(jwt: &str) -> (Map<String, Value>, Map<String, Value>) {
    let parts: Vec<&str> = jwt.split('.').collect();
    assert_eq!(parts.len(), 3, "a compact JWT has three parts");
    assert!(!parts[2].is_empty(), "the third part is the signature");
    let decode = |part: &str| {
        let json = URL_SAFE_NO_PAD.decode(part).expect("base64url without padding");
        object(serde_json::from_slice(&json).expect("JSON"))
    };
    URL_SAFE_NO_PAD.decode(parts[2]).expect("base64url without padding");
    (decode(parts[0]), decode(parts[1]))
}

async fn none_without_a_signer(cx: Context) {
    let client = cx.client().await;
    let result: Result<String> = cx.storage.get_id_token(&request(), new(&client, &scope())).await;
    match result {
        Ok(jwt) => drop(parts(&jwt)),
        Err(Error::Configuration { message, .. }) if !cx.id_tokens => {
            assert!(!message.is_empty(), "a configuration error has a message");
        }
        Err(other) => panic!("an ID token, but is {other:?}"),
    }
}

async fn hint_is_verified(cx: Context) {
    if !cx.id_tokens {
        return;
    }
    let (client, user) = (cx.client().await, request());
    let short = Settings::default().with_id_token_expires_in(std::time::Duration::from_micros(1));
    let scope = scope();
    let new = new(&client, &scope).with_sid("a-session");
    let jwt = cx.storage.get_id_token(&user.clone().with_settings(short), new).await;
    let jwt = jwt.expect("get_id_token");
    let hint =
        async |jwt: &str| cx.storage.verify_id_token_hint(jwt).await.expect("verify_id_token_hint");
    let found = hint(&jwt).await.expect("an ID token of this issuer");
    assert_eq!(Some(found.subject.as_str()), user.user.as_ref().map(|user| &*user.subject));
    assert_eq!((found.sid.as_deref(), found.audience), (Some("a-session"), vec![client]));
    let (signed, signature) = jwt.rsplit_once('.').expect("a JWT");
    let (header, _) = signed.split_once('.').expect("a JWT");
    let other = URL_SAFE_NO_PAD.encode(r#"{"sub":"somebody-else"}"#);
    for forged in ["", "a.b.c", signed, &format!("{header}.{other}.{signature}")] {
        assert_eq!(hint(forged).await, None, "{forged}");
    }
}

async fn is_a_signed_jwt(cx: Context) {
    if !cx.id_tokens {
        return;
    }
    let client = cx.client().await;
    let jwt = cx.storage.get_id_token(&request(), new(&client, &scope())).await;
    let (header, _) = parts(&jwt.expect("get_id_token"));
    let alg = header["alg"].as_str().expect("a header has `alg`");
    assert!(!alg.eq_ignore_ascii_case("none"), "it is signed");
}

async fn has_the_required_claims(cx: Context) {
    if !cx.id_tokens {
        return;
    }
    let client = cx.client().await;
    let request = request();
    let claims = claims(&cx, &request, new(&client, &scope())).await;
    assert!(claims["iss"].as_str().is_some_and(|iss| !iss.is_empty()), "iss");
    assert_eq!(claims["sub"].as_str(), request.subject(), "sub is the request's user");
    let scope = scope();
    let named = new(&client, &scope).with_subject("another");
    let named = self::claims(&cx, &request, named).await;
    assert_eq!(named["sub"], "another", "or the subject that is named");
    let aud = match &claims["aud"] {
        Value::Array(audiences) => audiences.clone(),
        one => vec![one.clone()],
    };
    assert!(aud.contains(&Value::String(client)), "aud is the client");
    let (iat, exp) = (claims["iat"].as_i64(), claims["exp"].as_i64());
    let lifetime = exp.expect("exp is a number") - iat.expect("iat is a number");
    let setting = request.settings.id_token_expires_in.as_secs();
    assert_eq!(u64::try_from(lifetime).ok(), Some(setting), "exp - iat is the setting");
}

async fn has_optional_claims(cx: Context) {
    if !cx.id_tokens {
        return;
    }
    let client = cx.client().await;
    let scope = scope();
    let bare = claims(&cx, &request(), new(&client, &scope)).await;
    for claim in ["nonce", "auth_time", "acr", "amr", "at_hash", "c_hash"] {
        let value = bare.get(claim).unwrap_or(&Value::Null);
        assert!(value.is_null(), "{claim} was not given: {value}");
    }
    let user = full_user();
    let request = RequestContext::for_user(user.clone());
    let nonce = Some("n-0S6_WzA2Mj ünï");
    let full = claims(&cx, &request, new(&client, &scope).with_nonce(nonce)).await;
    assert_eq!(full["nonce"].as_str(), nonce, "the nonce is passed on unchanged");
    let auth_time = user.auth_time.map(|time| time.timestamp());
    assert_eq!(full["auth_time"].as_i64(), auth_time, "auth_time is the user's, in seconds");
    assert_eq!(full["acr"].as_str(), user.acr.as_deref());
    assert_eq!(full["amr"], serde_json::json!(user.amr));
    let auth_time = full_context().auth_time;
    let given = claims(&cx, &request, new(&client, &scope).with_auth_time(auth_time)).await;
    let auth_time = auth_time.map(|time| time.timestamp());
    assert_eq!(
        given["auth_time"].as_i64(),
        auth_time,
        "a given value takes precedence over the user's"
    );
}

async fn has_the_hashes(cx: Context) {
    if !cx.id_tokens {
        return;
    }
    let client = cx.client().await;
    let (access_token, code) = (secret(), secret());
    let scope = scope();
    let new = new(&client, &scope)
        .with_response_type("code id_token token".parse().expect("a response type"))
        .with_nonce("n-0S6_WzA2Mj")
        .with_access_token(&access_token)
        .with_code(&code);
    let jwt = cx.storage.get_id_token(&request(), new).await.expect("get_id_token");
    let (header, claims) = parts(&jwt);
    for (claim, secret) in [("at_hash", &access_token), ("c_hash", &code)] {
        let hash = claims[claim].as_str().unwrap_or_else(|| panic!("{claim} is missing"));
        // Other algorithms use other hash functions.
        if header["alg"].as_str().is_some_and(|alg| alg.ends_with("256")) {
            assert_eq!(hash, half_hash(secret), "{claim} is the left half of the SHA-256");
        }
    }
    assert!(!jwt.contains(access_token.expose()) && !jwt.contains(code.expose()));
}

fn half_hash(secret: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(&secret.digest().as_bytes()[..16])
}

async fn of_a_code(cx: Context) {
    if !cx.id_tokens {
        return;
    }
    let client = cx.client().await;
    let request = RequestContext::for_user(full_user());
    let new = new_code(&client, &secret()).with_context(full_context());
    let code = cx.storage.create_authorization_code(&request, new).await.expect("a code");
    let access_token = secret();
    let claims = claims(&cx, &request, NewIdToken::for_code(&code, &access_token)).await;
    assert_eq!(claims["nonce"].as_str(), full_context().nonce.as_deref());
    let auth_time = full_context().auth_time.map(|time| time.timestamp());
    assert_eq!(claims["auth_time"].as_i64(), auth_time);
    assert_eq!(claims["sub"].as_str(), code.subject.as_deref());
}

async fn needs_a_subject(cx: Context) {
    if !cx.id_tokens {
        return;
    }
    let client = cx.client().await;
    let result = cx.storage.get_id_token(&RequestContext::default(), new(&client, &scope())).await;
    refused(result, "subject", InvalidReason::Missing, "an ID token without a subject");
}
