//! Creating authorization codes, finding and deleting them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cases::{full_context, full_user};
use super::context::{
    ACTIVE, Context, REDIRECT_URI, SHORT, foreign_secret, ill_formed, metadata, new_code, outlast,
    refused, request, scope, secret, short_lived, strange_client_ids, tokens_for, unique,
};
use oauth_storage::authorization_code::{AuthorizationCode, CodeChallenge, CodeChallengeMethod};
use oauth_storage::backend::{MAX_AUTHORIZATION_CODE_LIFETIME, MAX_CREDENTIAL_BYTES};
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::GrantContext;
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{
    NewAuthorizationCode, NewClient, RequestContext, ResponseType, Secret, Settings, User,
};

rules!("authorization_code" {
    stored_before_return: "contract 1, create_authorization_code: it is stored before it returns",
    record_comes_back: "contract 1, create_authorization_code: every field comes back equal",
    nonce_and_authentication_are_kept: "contract 1: authentication time, nonce and challenge are kept",
    challenge_still_matches: "RFC 7636 4.6: the stored challenge matches its verifier only",
    plain_is_kept_where_allowed: "RFC 7636 4.2: plain is kept where a deployment still allows it",
    response_types_are_kept: "contract 1: every response type that has a code is kept",
    lifetime_is_the_setting: "RFC 6749 4.1.2: the lifetime is the setting, at most ten minutes",
    subject_is_the_requests: "contract 1: the resource owner comes from the request",
    each_code_is_a_new_grant: "contract 0, words: one code is one act of authorization",
    grant_is_the_named_one: "contract 1: a generated code begins the grant that it names",
    unknown_is_none: "contract 1, get_authorization_code: None for unknown",
    foreign_is_none: "contract 1, get_authorization_code: None for another client's",
    ill_formed_is_none: "contract 3, bad input: a lookup of an ill-formed code finds nothing",
    lookup_changes_nothing: "contract 1, get_authorization_code: it reads only, some flows read twice",
    expired_is_returned: "contract 1, get_authorization_code: an expired code is returned as such",
    token_is_no_code: "contract 1: an access token is not found as a code, nor a code as a token",
    longest_and_strangest_are_kept: "RFC 6749 A.11: every visible character, up to the limit",
    deleted_is_gone: "contract 1, delete_authorization_code: the code is not found, and nothing else changes",
    deleted_stays_a_duplicate: "contract 1, delete_authorization_code: it stays as a used one until the purge",
    deleting_the_foreign_is_nothing: "contract 1, delete_authorization_code: of another client, nothing",
    deleting_the_unknown_is_success: "contract 1, delete_authorization_code: unknown is success",
    unknown_client_gets_none: "contract 1, create_authorization_code: an unknown client is named",
});

async fn create(
    cx: &Context,
    request: &RequestContext,
    new: NewAuthorizationCode,
) -> AuthorizationCode {
    let created = cx.storage.create_authorization_code(request, new).await;
    created.expect("create_authorization_code of a good code")
}

async fn stored_before_return(cx: Context) {
    let client = cx.client().await;
    for _ in 0..16 {
        let (code, stored) = cx.code(&request(), &client).await;
        assert!(!stored.expired, "a new code is not expired");
        let found = cx.get_code(&client, &code).await;
        assert_eq!(found, Some(stored), "get returns the record that create returned");
    }
}

async fn record_comes_back(cx: Context) {
    let client = cx.client().await;
    let (code, user) = (secret(), full_user());
    let challenge = CodeChallenge::s256(&secret());
    let longest = format!("com.example.app:/cb?{}", "x".repeat(2048 - 20));
    let mut new = new_code(&client, &code)
        .with_code_challenge(challenge.clone())
        .with_context(full_context());
    new.redirect_uri.clone_from(&longest);
    create(&cx, &RequestContext::for_user(user.clone()), new).await;
    let found = cx.get_code(&client, &code).await.expect("stored");
    assert_eq!(found.client_id, client);
    assert_eq!(found.subject, Some(user.subject));
    assert_eq!(found.scope, scope());
    assert_eq!(found.response_type, ResponseType::CODE);
    assert_eq!(found.redirect_uri, longest, "the redirect URI comes back byte by byte");
    assert_eq!(found.code_challenge, Some(challenge));
    assert_eq!(found.context, full_context(), "every field of the context comes back equal");

    let (bare, stored) = cx.code(&RequestContext::default(), &client).await;
    assert_eq!(stored.context, GrantContext::default(), "no context was given");
    assert_eq!((&stored.code_challenge, &stored.subject), (&None, &None));
    assert_eq!(cx.get_code(&client, &bare).await, Some(stored));
}

async fn nonce_and_authentication_are_kept(cx: Context) {
    let client = cx.client().await;
    let (code, user) = (secret(), full_user());
    let nonce = Some("n-0S6_WzA2Mj".to_owned());
    let new = new_code(&client, &code).with_nonce(nonce.clone());
    create(&cx, &RequestContext::for_user(user.clone()), new).await;
    let context = cx.get_code(&client, &code).await.expect("stored").context;
    assert_eq!(context.nonce, nonce, "the nonce is kept");
    assert_eq!(context.auth_time, user.auth_time, "auth_time is the user's");
    assert_eq!(context.acr, user.acr, "acr is the user's");
    assert_eq!(context.amr, user.amr, "amr is the user's");
}

async fn challenge_still_matches(cx: Context) {
    let client = cx.client().await;
    let (code, verifier) = (secret(), secret());
    let code_challenge = Some(CodeChallenge::s256(&verifier));
    let new = new_code(&client, &code).with_code_challenge(code_challenge);
    create(&cx, &request(), new).await;
    let found = cx.get_code(&client, &code).await.expect("stored");
    assert!(
        found.matches_code_verifier(Some(&verifier)),
        "the verifier matches the stored challenge"
    );
    assert!(!found.matches_code_verifier(Some(&secret())), "another verifier does not");
    assert!(!found.matches_code_verifier(None), "nor does the lack of one");
    assert!(found.matches_redirect_uri(REDIRECT_URI));
}

async fn plain_is_kept_where_allowed(cx: Context) {
    let client = cx.client().await;
    let (code, verifier) = (secret(), secret());
    let plain = CodeChallenge::from_parameters(Some(verifier.expose()), Some("plain"));
    let new = new_code(&client, &code).with_code_challenge(plain.expect("a challenge"));
    let settings = Settings::default().with_allow_plain_code_challenge(true);
    let created = create(&cx, &request().with_settings(settings), new).await;
    let found = cx.get_code(&client, &code).await.expect("stored");
    assert_eq!(created, found);
    let method = found.code_challenge.as_ref().map(CodeChallenge::method);
    assert_eq!(method, Some(CodeChallengeMethod::S256), "that of the stored challenge");
    assert!(found.matches_code_verifier(Some(&verifier)));
    assert!(!found.matches_code_verifier(Some(&secret())));
}

async fn response_types_are_kept(cx: Context) {
    let client = cx.client().await;
    for text in ["code", "code id_token", "code token", "code id_token token"] {
        let response_type: ResponseType = text.parse().expect("a response type");
        let code = secret();
        let new = new_code(&client, &code).with_response_type(response_type);
        create(&cx, &request(), new).await;
        let found = cx.get_code(&client, &code).await.expect("stored");
        assert_eq!(found.response_type, response_type);
    }
}

async fn lifetime_is_the_setting(cx: Context) {
    let client = cx.client().await;
    for lifetime in [Duration::from_mins(1), SHORT, MAX_AUTHORIZATION_CODE_LIFETIME] {
        let settings = Settings::default().with_authorization_code_expires_in(lifetime);
        let (code, stored) = cx.code(&request().with_settings(settings), &client).await;
        let found = cx.get_code(&client, &code).await.expect("stored");
        for code in [stored, found] {
            let own = (code.expires_at - code.issued_at).to_std().ok();
            assert_eq!(own, Some(lifetime), "expires_at - issued_at is the setting");
        }
    }
}

async fn subject_is_the_requests(cx: Context) {
    let client = cx.client().await;
    for subject in [unique(), "Zoë Ünïcode 主体 🦀".into(), "x".repeat(255)] {
        let (code, _) = cx.code(&RequestContext::for_user(User::new(&subject)), &client).await;
        let found = cx.get_code(&client, &code).await.expect("stored");
        assert_eq!(found.subject, Some(subject));
    }
}

async fn each_code_is_a_new_grant(cx: Context) {
    let client = cx.client().await;
    let request = request();
    let mut grants = BTreeSet::new();
    for n in 0..16 {
        let code = if n % 2 == 0 { secret() } else { foreign_secret() };
        let stored = create(&cx, &request, new_code(&client, &code)).await;
        grants.insert(stored.grant_id);
    }
    assert_eq!(grants.len(), 16, "each code has its own grant");
}

async fn grant_is_the_named_one(cx: Context) {
    let client = cx.client().await;
    let (code, stored) = cx.code(&request(), &client).await;
    assert_eq!(Some(stored.grant_id), code.grant_id());
    let grant = cx.grant(stored.grant_id).await.expect("a code begins a grant");
    assert_eq!((grant.client_id, grant.subject), (client, stored.subject));
    assert_eq!((grant.scope, grant.context), (stored.scope, stored.context));
    assert_eq!((grant.granted_at, grant.expires_at), (stored.issued_at, stored.expires_at));
}

async fn unknown_is_none(cx: Context) {
    let client = cx.client().await;
    let (code, _) = cx.code(&request(), &client).await;
    assert_eq!(
        cx.get_code(&client, &secret()).await,
        None,
        "a code that was never issued is not found"
    );
    let near = Secret::new(code.expose().to_lowercase() + "x");
    assert_eq!(cx.get_code(&client, &near).await, None);
}

async fn foreign_is_none(cx: Context) {
    let (owner, other) = (cx.client().await, cx.client().await);
    let (code, _) = cx.code(&request(), &owner).await;
    for client in [other, unique(), owner.to_uppercase(), format!("{owner} "), String::new()] {
        assert_eq!(cx.get_code(&client, &code).await, None, "a code is its own client's only");
    }
}

async fn ill_formed_is_none(cx: Context) {
    let client = cx.client().await;
    let (code, _) = cx.code(&request(), &client).await;
    for bad in ill_formed() {
        assert_eq!(cx.get_code(&client, &bad).await, None, "an ill-formed code is not found");
        cx.delete_code(&client, &bad).await;
    }
    for bad in strange_client_ids() {
        assert_eq!(cx.get_code(&bad, &code).await, None, "{bad:.20?}");
        cx.delete_code(&bad, &code).await;
    }
    assert!(cx.get_code(&client, &code).await.is_some());
}

async fn lookup_changes_nothing(cx: Context) {
    let client = cx.client().await;
    let (code, stored) = cx.code(&request(), &client).await;
    for _ in 0..4 {
        assert_eq!(
            cx.get_code(&client, &code).await.as_ref(),
            Some(&stored),
            "a lookup uses nothing"
        );
    }
}

async fn expired_is_returned(cx: Context) {
    let client = cx.client().await;
    let (code, stored) = cx.code(&short_lived(), &client).await;
    outlast().await;
    let found = cx.get_code(&client, &code).await;
    let expected = AuthorizationCode { expired: true, ..stored };
    assert_eq!(found, Some(expected), "an expired code is returned as expired");
}

async fn token_is_no_code(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    let (code, _) = cx.code(&request(), &client).await;
    for token in [&pair.access, &pair.refresh] {
        assert_eq!(cx.get_code(&client, token).await, None);
        cx.delete_code(&client, token).await;
    }
    assert_eq!(cx.get(&client, TokenRef::Any(&code)).await, None);
    cx.revoke(&client, TokenRef::Any(&code)).await;
    assert!(cx.get_code(&client, &code).await.is_some(), "revoke_token does not touch a code");
    assert!(cx.states(&client, &pair).await.iter().all(Option::is_some));
}

async fn longest_and_strangest_are_kept(cx: Context) {
    let client = cx.client().await;
    let unique = unique();
    let every: String = (' '..='~').collect();
    let longest = "x".repeat(MAX_CREDENTIAL_BYTES - unique.len());
    for code in [format!("{unique}{every}"), format!("{unique}{longest}")].map(Secret::new) {
        let stored = create(&cx, &request(), new_code(&client, &code)).await;
        assert_eq!(cx.get_code(&client, &code).await, Some(stored));
    }
}

async fn deleted_is_gone(cx: Context) {
    let client = cx.client().await;
    let request = request();
    let (code, stored) = cx.code(&request, &client).await;
    let (other, _) = cx.code(&request, &client).await;
    let new = NewToken::for_code(&stored, tokens_for(stored.grant_id));
    let pair = cx.pair_of(&request, new).await;
    let grant = cx.grant(stored.grant_id).await;
    cx.delete_code(&client, &code).await;
    assert_eq!(cx.get_code(&client, &code).await, None, "a deleted code is not found");
    assert!(cx.get_code(&client, &other).await.is_some(), "another code stays");
    assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2], "its tokens stay");
    assert_eq!(cx.grant(stored.grant_id).await, grant, "its grant stays");
}

async fn deleted_stays_a_duplicate(cx: Context) {
    let client = cx.client().await;
    let user = request();
    for code in [secret(), foreign_secret()] {
        create(&cx, &user, new_code(&client, &code)).await;
        cx.delete_code(&client, &code).await;
        let result = cx.storage.create_authorization_code(&user, new_code(&client, &code)).await;
        refused(result, "code", InvalidReason::Duplicate, "a code that was deleted");
        assert_eq!(cx.get_code(&client, &code).await, None, "a used code is not revived");
    }
}

async fn deleting_the_foreign_is_nothing(cx: Context) {
    let (owner, other) = (cx.client().await, cx.client().await);
    let (code, stored) = cx.code(&request(), &owner).await;
    for client in [&other, &unique(), &owner.to_uppercase()] {
        cx.delete_code(client, &code).await;
    }
    let found = cx.get_code(&owner, &code).await;
    assert_eq!(found, Some(stored), "another client cannot delete a code");
}

async fn deleting_the_unknown_is_success(cx: Context) {
    let client = cx.client().await;
    let (code, _) = cx.code(&request(), &client).await;
    cx.delete_code(&client, &secret()).await;
    for _ in 0..2 {
        cx.delete_code(&client, &code).await;
    }
}

async fn unknown_client_gets_none(cx: Context) {
    let (client, code) = (unique(), secret());
    let result = cx.storage.create_authorization_code(&request(), new_code(&client, &code)).await;
    refused(result, "client_id", InvalidReason::Unknown, "a code for an unknown client");
    cx.register(NewClient::new(metadata()).with_client_id(&client)).await;
    assert_eq!(cx.get_code(&client, &code).await, None, "nothing is stored");
}
