//! Registering clients, finding, updating, disabling and deleting them.

use std::collections::BTreeSet;

use serde_json::json;

use super::cases::object;
use super::context::{
    ACTIVE, Context, REDIRECT_URI, joining, largest_scope, metadata, new_code, new_token, outlast,
    refused, request, scope, secret, strange_client_ids, subject, unique,
};
use super::flow::{authorized, granted, issued, next_pair, redeem, rotate, rotation, strict};
use oauth_storage::client::{Client, ClientDetails, GrantType, TokenEndpointAuthMethod};
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::RotationOutcome;
use oauth_storage::token::TokenRef;
use oauth_storage::{ClientMetadata, NewClient, RedemptionOutcome};

rules!("client" {
    registered_before_return: "contract 2, register a client: it is stored before it returns",
    record_comes_back: "contract 2, register a client: every field comes back equal (RFC 7591 2)",
    generated_ids_differ: "contract 2, register a client: an identifier is generated unless one is given",
    any_visible_id: "RFC 6749 A.1: a client id is of visible characters, and compared exactly",
    unknown_is_none: "contract 1, get_client: None for unknown",
    strange_ids_are_none: "contract 3, bad input: a lookup of an ill-formed client id finds nothing",
    public_record_without_secret: "contract 1, get_client: with no secret given, the public record",
    listed_in_pages: "contract 2, read: clients are listed by client_id, in pages, including disabled ones",
    updated: "contract 2, update: the metadata is replaced, every other field stays",
    update_of_the_unknown: "contract 2, update: None for an unknown client, and none is stored",
    disabled_is_none: "contract 1, get_client: None for disabled",
    disabled_is_still_read: "contract 2, disable: an operator still reads it, with the time",
    disabled_gets_no_new_grant: "S20, RFC 6749 2: create_token and create_authorization_code issue nothing",
    disabled_gets_no_token_of_a_grant: "S20, RFC 6749 2: redeem, rotate and joining a grant issue nothing",
    disabled_spends_nothing: "S20: a refused exchange of a disabled client spends and revokes nothing",
    enabled_again: "contract 2, disable: its secret, tokens and codes work again",
    operations_on_the_unknown: "contract 2: false or None for an unknown client",
});

/// Metadata with every field.
fn full_metadata() -> ClientMetadata {
    let mut details = ClientDetails::default();
    details.client_name = Some("Zoë's Ünïcödé 主体 🦀 e\u{301} abc \" \\ % NULL".into());
    details.client_uri = Some("https://client.example/".into());
    details.logo_uri = Some("https://client.example/logo.png".into());
    details.tos_uri = Some("https://client.example/tos".into());
    details.policy_uri = Some("http://client.example/policy".into());
    details.contacts = vec!["ops@client.example".into(), "Zoë <zoe@client.example>".into()];
    details.jwks_uri = None;
    details.jwks = Some(object(json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "f83O" }] })));
    details.software_id = Some("4NRB1-0XZABZI9E6-5SM3R".into());
    details.software_version = Some("2.1".into());
    details.other = object(json!({
        "client_name#ja": "クライアント名",
        "subject_type": "pairwise",
        "default_max_age": 3600,
        "require_auth_time": true,
        "nested": { "list": [1, "two", null, { "three": 3 }], "": {} },
    }));
    ClientMetadata::default()
        .with_redirect_uris(vec![
            REDIRECT_URI.into(),
            "com.example.app:/oauth2redirect".into(),
            "http://127.0.0.1:49152/cb?a=b,c&d='%22".into(),
        ])
        .with_token_endpoint_auth_method(TokenEndpointAuthMethod::ClientSecretPost)
        .with_grant_types(vec![
            GrantType::RefreshToken,
            GrantType::AuthorizationCode,
            GrantType::Implicit,
            GrantType::Password,
            GrantType::ClientCredentials,
            GrantType::JwtBearer,
            GrantType::Saml2Bearer,
            GrantType::DeviceCode,
            GrantType::TokenExchange,
        ])
        .with_response_types(
            ["code", "id_token token", "code id_token", "none"]
                .map(|text| text.parse().expect("a response type"))
                .into(),
        )
        .with_scope(scope())
        .with_details(details)
}

async fn registered_before_return(cx: Context) {
    for _ in 0..8 {
        let id = unique();
        let client = cx.register(NewClient::new(metadata()).with_client_id(&id)).await.client;
        assert_eq!(client.client_id, id);
        assert_eq!(client.disabled_at, None);
        assert_eq!(client.updated_at, client.client_id_issued_at, "it was not changed yet");
        assert_eq!(cx.read_client(&id).await.as_ref(), Some(&client), "read_client finds it");
        assert_eq!(cx.get_client(&id, None).await, Some(client), "get_client finds it");
    }
}

async fn record_comes_back(cx: Context) {
    let bare = ClientMetadata::client_credentials();
    let with_uri = |mut metadata: ClientMetadata| {
        metadata.details.jwks = None;
        metadata.details.jwks_uri = Some("https://client.example/jwks".into());
        metadata
    };
    let methods = ["client_secret_basic", "private_key_jwt", "tls_client_auth"];
    let methods = methods.map(|method| {
        metadata().with_token_endpoint_auth_method(method.parse().expect("a method"))
    });
    let largest = metadata().with_scope(largest_scope());
    let own = [full_metadata(), with_uri(full_metadata()), bare, metadata().public(), largest];
    for metadata in own.into_iter().chain(methods) {
        let new = NewClient::new(metadata.clone()).with_client_id(unique());
        let registered = cx.register(new).await;
        let (client, id) = (&registered.client, &registered.client.client_id);
        assert_eq!(client.metadata, metadata, "the metadata comes back unchanged");
        assert_eq!(cx.read_client(id).await.as_ref(), Some(client));
        let secret = registered.client_secret.as_ref();
        assert_eq!(
            secret.is_some(),
            metadata.token_endpoint_auth_method.uses_secret(),
            "a secret is generated for a client that authenticates with one, and for no other"
        );
        assert_eq!(cx.get_client(id, secret).await.as_ref(), Some(client));
    }
}

async fn generated_ids_differ(cx: Context) {
    let mut ids = BTreeSet::new();
    for _ in 0..16 {
        let client = cx.register(NewClient::new(metadata())).await.client;
        assert!(
            oauth_storage::backend::check_client_id(&client.client_id).is_ok(),
            "{}",
            client.client_id
        );
        assert_eq!(cx.read_client(&client.client_id).await.as_ref(), Some(&client));
        ids.insert(client.client_id);
    }
    assert_eq!(ids.len(), 16, "generated identifiers differ");
}

async fn any_visible_id(cx: Context) {
    let unique = unique();
    let every: String = (' '..='~').collect();
    let upper = format!("{unique}A");
    let longest = format!("{unique}{}", "x".repeat(255 - unique.len()));
    for id in [format!("{unique}{every}"), format!(" {unique} "), longest, upper] {
        let client = cx.register(NewClient::new(metadata()).with_client_id(&id)).await.client;
        assert_eq!(client.client_id, id, "a client id comes back byte by byte");
        assert_eq!(cx.get_client(&id, None).await, Some(client));
        let pair = cx.pair(&request(), &id).await;
        assert_eq!(cx.states(&id, &pair).await, [ACTIVE; 2]);
    }
    for near in [format!("{unique}a"), unique.clone(), format!("{unique}A "), format!("{unique}_")]
    {
        assert_eq!(cx.get_client(&near, None).await, None, "{near:?} was not registered");
    }
}

async fn unknown_is_none(cx: Context) {
    let id = unique();
    assert_eq!(cx.get_client(&id, None).await, None);
    assert_eq!(cx.get_client(&id, Some(&secret())).await, None);
    assert_eq!(cx.read_client(&id).await, None);
}

async fn strange_ids_are_none(cx: Context) {
    let (_, secret) = cx.client_and_secret().await;
    for id in strange_client_ids() {
        assert_eq!(cx.get_client(&id, None).await, None, "{id:.20?}");
        assert_eq!(cx.get_client(&id, Some(&secret)).await, None, "{id:.20?}");
        assert_eq!(cx.read_client(&id).await, None, "{id:.20?}");
        let updated = cx.storage.update_client(&id, metadata()).await;
        assert_eq!(updated.expect("not found"), None, "{id:.20?}");
        let rotated = cx.storage.rotate_client_secret(&id, Default::default()).await;
        assert!(rotated.expect("not found").is_none(), "{id:.20?}");
        assert!(!cx.storage.set_client_disabled(&id, true).await.expect("not found"));
        assert!(!cx.storage.delete_client(&id).await.expect("not found"), "{id:.20?}");
    }
}

async fn public_record_without_secret(cx: Context) {
    let (id, _) = cx.client_and_secret().await;
    let client = cx.get_client(&id, None).await.expect("without a secret, the public record");
    assert_eq!(client.metadata, metadata());
    let client = cx.register(NewClient::new(metadata().public())).await.client;
    assert_eq!(cx.get_client(&client.client_id, None).await.as_ref(), Some(&client));
    let found = cx.get_client(&client.client_id, Some(&secret())).await;
    assert_eq!(found, None, "a secret given for a client that has none does not match");
    let found = cx.get_client(&client.client_id, Some(&"".into())).await;
    assert_eq!(found, None, "not even an empty one does");
}

async fn listed_in_pages(cx: Context) {
    // Every collation sorts the digits alike, and no other identifier lies between.
    let prefix = unique();
    let mut all: Vec<Client> = Vec::new();
    for digit in [3, 0, 4, 1, 2] {
        let id = format!("{prefix}{digit}");
        all.push(cx.register(NewClient::new(metadata()).with_client_id(id)).await.client);
    }
    all.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    let disabled = format!("{prefix}1");
    cx.set_disabled(&disabled, true).await;
    all[1] = cx.read_client(&disabled).await.expect("a disabled client is read");

    let list = async |after: &str, limit| {
        cx.storage.list_clients(Some(after), limit).await.expect("a page")
    };
    assert_eq!(list(&prefix, 2).await, all[..2], "those after the id, in order, up to the limit");
    assert_eq!(list(&all[1].client_id, 3).await, all[2..], "the next page continues");
    let rest = list(&all[3].client_id, 1000).await;
    assert_eq!(rest.first(), Some(&all[4]));
    assert!(rest.len() <= 1000);
    let first = cx.storage.list_clients(None, 1).await.expect("the first page");
    assert_eq!(first.len(), 1, "without an id it begins with the first");
    for limit in [0, 1001, usize::MAX] {
        let result = cx.storage.list_clients(None, limit).await;
        refused(result, "limit", InvalidReason::OutOfRange, "a page of that size");
    }
}

async fn updated(cx: Context) {
    let (id, secret) = cx.client_and_secret().await;
    let before = cx.read_client(&id).await.expect("registered");
    outlast().await;
    let after = cx.storage.update_client(&id, full_metadata()).await.expect("an update");
    let after = after.expect("a known client");
    assert!(after.updated_at > before.updated_at, "updated_at is the time of the change");
    let expected =
        Client { metadata: full_metadata(), updated_at: after.updated_at, ..before.clone() };
    assert_eq!(after, expected, "the metadata is replaced, every other field stays");
    assert_eq!(cx.read_client(&id).await.as_ref(), Some(&after));
    assert_eq!(cx.get_client(&id, Some(&secret)).await, Some(after), "its secret stays");
    // Replaced, not merged.
    let bare = cx.storage.update_client(&id, metadata()).await.expect("an update");
    assert_eq!(bare.expect("a known client").metadata, metadata());
    assert_eq!(cx.read_client(&id).await.map(|client| client.metadata), Some(metadata()));
}

async fn update_of_the_unknown(cx: Context) {
    let id = unique();
    let updated = cx.storage.update_client(&id, metadata()).await.expect("not found");
    assert_eq!(updated, None);
    assert_eq!(cx.read_client(&id).await, None, "an update stores no client");
}

async fn disabled_is_none(cx: Context) {
    let (id, secret) = cx.client_and_secret().await;
    cx.set_disabled(&id, true).await;
    assert_eq!(cx.get_client(&id, None).await, None, "a disabled client is not found");
    assert_eq!(cx.get_client(&id, Some(&secret)).await, None, "not with its secret either");
}

async fn disabled_is_still_read(cx: Context) {
    let id = cx.client().await;
    let other = cx.client().await;
    cx.set_disabled(&id, true).await;
    let client = cx.read_client(&id).await.expect("a disabled client is read");
    assert!(client.disabled_at >= Some(client.client_id_issued_at), "with the time");
    assert_eq!(client.metadata, metadata());
    cx.set_disabled(&id, true).await;
    let again = cx.read_client(&id).await.expect("a disabled client is read");
    assert_eq!(again.disabled_at, client.disabled_at, "a second time does not move the time");
    assert_eq!(cx.read_client(&other).await.and_then(|client| client.disabled_at), None);
}

async fn disabled_gets_no_new_grant(cx: Context) {
    let client = cx.client().await;
    cx.set_disabled(&client, true).await;
    let user = request();
    let new = new_token(&client);
    let result = cx.storage.create_token(&user, new.clone()).await;
    refused(result, "client_id", InvalidReason::Unknown, "a token for a disabled client");
    let code = secret();
    let result = cx.storage.create_authorization_code(&user, new_code(&client, &code)).await;
    refused(result, "client_id", InvalidReason::Unknown, "a code for a disabled client");
    cx.set_disabled(&client, false).await;
    let access = TokenRef::Any(&new.tokens.access_token);
    assert_eq!(cx.get(&client, access).await, None, "nothing is stored");
    assert_eq!(cx.get_code(&client, &code).await, None, "nothing is stored");
    let page = cx.storage.list_grants(subject(&user), None, 10).await.expect("list_grants");
    assert_eq!(page.grants, [], "nothing is stored");
    cx.pair_of(&user, new).await;
    let stored = cx.storage.create_authorization_code(&user, new_code(&client, &code)).await;
    stored.expect("an enabled client gets codes");
}

async fn disabled_gets_no_token_of_a_grant(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let (pair, _) = granted(&cx, &user, &client).await;
    let redemption = authorized(&cx, &user, &client).await;
    cx.set_disabled(&client, true).await;
    let new = joining(&pair.token);
    let result = cx.storage.create_token(&user, new.clone()).await;
    refused(result, "grant_id", InvalidReason::Unknown, "a token of a disabled client's grant");
    assert_eq!(redeem(&cx, &redemption).await, RedemptionOutcome::Invalid);
    assert_eq!(rotate(&cx, &strict(), &rotation(&pair)).await, RotationOutcome::Invalid);
    let found = cx.get(&client, TokenRef::Any(&new.tokens.access_token)).await;
    assert_eq!(found, None, "nothing is stored");
    assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2], "tokens issued before stay");
}

async fn disabled_spends_nothing(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let (old, used) = granted(&cx, &user, &client).await;
    let pair = next_pair(&cx, &strict(), &old).await;
    let unused = authorized(&cx, &user, &client).await;
    cx.set_disabled(&client, true).await;
    for redemption in [&unused, &used] {
        assert_eq!(redeem(&cx, redemption).await, RedemptionOutcome::Invalid);
    }
    for pair in [&pair, &old] {
        assert_eq!(rotate(&cx, &strict(), &rotation(pair)).await, RotationOutcome::Invalid);
    }
    cx.set_disabled(&client, false).await;
    assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2], "nothing was revoked");
    issued(redeem(&cx, &unused).await);
    next_pair(&cx, &strict(), &pair).await;
}

async fn enabled_again(cx: Context) {
    let (id, secret) = cx.client_and_secret().await;
    let pair = cx.pair(&request(), &id).await;
    let (code, stored) = cx.code(&request(), &id).await;
    cx.set_disabled(&id, true).await;
    cx.set_disabled(&id, false).await;
    let client = cx.get_client(&id, Some(&secret)).await.expect("its secret works again");
    assert_eq!(client.disabled_at, None);
    assert_eq!(cx.states(&id, &pair).await, [ACTIVE; 2]);
    assert_eq!(cx.get_code(&id, &code).await, Some(stored));
    next_pair(&cx, &strict(), &pair).await;
}

async fn operations_on_the_unknown(cx: Context) {
    let id = unique();
    for disabled in [true, false] {
        let known = cx.storage.set_client_disabled(&id, disabled).await.expect("not found");
        assert!(!known, "false for an unknown client");
    }
    assert!(!cx.storage.delete_client(&id).await.expect("not found"), "false for an unknown one");
    let rotated = cx.storage.rotate_client_secret(&id, Default::default()).await;
    assert!(rotated.expect("not found").is_none(), "None for an unknown client");
    assert_eq!(cx.read_client(&id).await, None, "and none is stored");
}
