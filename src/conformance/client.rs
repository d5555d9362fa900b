//! Registering clients, finding, changing and removing them.

use std::collections::BTreeSet;

use serde_json::json;

use super::cases::object;
use super::context::{
    Context, REDIRECT_URI, metadata, new_code, outlast, refused, request, scope, secret,
    strange_client_ids, unique,
};
use crate::error::Problem;
use crate::model::{
    Client, ClientDetails, ClientMetadata, GrantType, NewClient, NewToken, TokenEndpointAuthMethod,
    TokenRef, TokenState,
};

super::room!("client" {
    registered_before_return: "contract 2, register a client: it is stored before it returns",
    record_comes_back: "contract 2, register a client: every field comes back equal (RFC 7591 2)",
    generated_ids_differ: "contract 2, register a client: without an identifier one is made",
    any_visible_id: "RFC 6749 A.1: a client id is of visible characters, and compared exactly",
    unknown_is_none: "contract 1, get_client: None for unknown",
    strange_ids_are_none: "contract 3, bad input: a lookup of what cannot be a client id finds nothing",
    public_record_without_secret: "contract 1, get_client: with no secret given, the public record",
    listed_in_pages: "contract 2, read: clients are listed by client_id, in pages, disabled ones too",
    updated: "contract 2, update: the metadata is replaced, all else stays",
    update_of_the_unknown: "contract 2, update: None for an unknown client, and none is made",
    disabled_is_none: "contract 1, get_client: None for disabled",
    disabled_is_still_read: "contract 2, disable: an operator still reads it, and since when",
    enabled_again: "contract 2, disable: what it had works again",
    deleted_is_gone: "contract 2, delete: the client with every token and code of it",
    deletion_is_forgotten: "contract 2, delete: the identifier is free again, and has nothing of before",
    operations_on_the_unknown: "contract 2: false or None for an unknown client",
});

/// Metadata with every field.
fn full_metadata() -> ClientMetadata {
    ClientMetadata {
        redirect_uris: vec![
            REDIRECT_URI.into(),
            "com.example.app:/oauth2redirect".into(),
            "http://127.0.0.1:49152/cb?a=b,c&d='%22".into(),
        ],
        token_endpoint_auth_method: TokenEndpointAuthMethod::ClientSecretPost,
        grant_types: vec![
            GrantType::RefreshToken,
            GrantType::AuthorizationCode,
            GrantType::Implicit,
            GrantType::Password,
            GrantType::ClientCredentials,
            GrantType::JwtBearer,
            GrantType::Saml2Bearer,
            GrantType::DeviceCode,
            GrantType::TokenExchange,
        ],
        response_types: ["code", "id_token token", "code id_token", "none"]
            .map(|text| text.parse().expect("a response type"))
            .into(),
        scope: scope(),
        details: ClientDetails {
            client_name: Some("Zoë's Ünïcödé 主体 🦀 e\u{301} \u{202e}abc \" \\ % NULL".into()),
            client_uri: Some("https://client.example/".into()),
            logo_uri: Some("https://client.example/logo.png".into()),
            tos_uri: Some("https://client.example/tos".into()),
            policy_uri: Some("http://client.example/policy".into()),
            contacts: vec!["ops@client.example".into(), "Zoë <zoe@client.example>".into()],
            jwks_uri: None,
            jwks: Some(object(json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "f83O" }] }))),
            software_id: Some("4NRB1-0XZABZI9E6-5SM3R".into()),
            software_version: Some("2.1".into()),
            other: object(json!({
                "client_name#ja": "クライアント名",
                "subject_type": "pairwise",
                "default_max_age": 3600,
                "require_auth_time": true,
                "nested": { "list": [1, "two", null, { "three": 3 }], "": {} },
            })),
        },
    }
}

async fn registered_before_return(cx: Context) {
    for _ in 0..8 {
        let id = unique();
        let client = cx.register(NewClient::new(metadata()).with_client_id(&id)).await.client;
        assert_eq!(client.client_id, id);
        assert_eq!(client.disabled_at, None);
        assert_eq!(client.updated_at, client.client_id_issued_at, "it was not yet changed");
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
    let methods = methods.map(|method| ClientMetadata {
        token_endpoint_auth_method: method.parse().expect("a method"),
        ..metadata()
    });
    let own = [full_metadata(), with_uri(full_metadata()), bare, metadata().public()];
    for metadata in own.into_iter().chain(methods) {
        let new = NewClient::new(metadata.clone()).with_client_id(unique());
        let registered = cx.register(new).await;
        let (client, id) = (&registered.client, &registered.client.client_id);
        assert_eq!(client.metadata, metadata, "the metadata comes back as it was given");
        assert_eq!(cx.read_client(id).await.as_ref(), Some(client));
        let secret = registered.client_secret.as_ref();
        assert_eq!(
            secret.is_some(),
            metadata.token_endpoint_auth_method.uses_secret(),
            "a secret is made for a client that authenticates with one, and for no other"
        );
        assert_eq!(cx.get_client(id, secret).await.as_ref(), Some(client));
    }
}

async fn generated_ids_differ(cx: Context) {
    let mut ids = BTreeSet::new();
    for _ in 0..16 {
        let client = cx.register(NewClient::new(metadata())).await.client;
        assert!(crate::model::check_client_id(&client.client_id).is_ok(), "{}", client.client_id);
        assert_eq!(cx.read_client(&client.client_id).await.as_ref(), Some(&client));
        ids.insert(client.client_id);
    }
    assert_eq!(ids.len(), 16, "each generated identifier is another");
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
        assert_eq!(cx.states(&id, &pair).await, [Some(TokenState::Active); 2]);
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
    // The digits come one after another in every collation, and nobody else's id is between.
    let prefix = unique();
    let mut all: Vec<Client> = Vec::new();
    for digit in [3, 0, 4, 1, 2] {
        let id = format!("{prefix}{digit}");
        all.push(cx.register(NewClient::new(metadata()).with_client_id(id)).await.client);
    }
    all.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    let disabled = format!("{prefix}1");
    assert!(cx.storage.set_client_disabled(&disabled, true).await.expect("disable"));
    all[1] = cx.read_client(&disabled).await.expect("a disabled client is read");

    let list = async |after: &str, limit| {
        cx.storage.list_clients(Some(after), limit).await.expect("a page")
    };
    assert_eq!(list(&prefix, 2).await, all[..2], "those after the id, in order, and no more");
    assert_eq!(list(&all[1].client_id, 3).await, all[2..], "the next page has the next ones");
    let rest = list(&all[3].client_id, 1000).await;
    assert_eq!(rest.first(), Some(&all[4]));
    assert!(rest.len() <= 1000);
    let first = cx.storage.list_clients(None, 1).await.expect("the first page");
    assert_eq!(first.len(), 1, "without a start it begins at the beginning");
    for limit in [0, 1001, usize::MAX] {
        let result = cx.storage.list_clients(None, limit).await;
        refused(result, "limit", Problem::OutOfRange, "a page of that size");
    }
}

async fn updated(cx: Context) {
    let (id, secret) = cx.client_and_secret().await;
    let before = cx.read_client(&id).await.expect("registered");
    outlast().await;
    let after = cx.storage.update_client(&id, full_metadata()).await.expect("an update");
    let after = after.expect("a known client");
    assert!(after.updated_at > before.updated_at, "updated_at tells of the change");
    let expected =
        Client { metadata: full_metadata(), updated_at: after.updated_at, ..before.clone() };
    assert_eq!(after, expected, "the metadata is replaced, all else stays");
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
    assert_eq!(cx.read_client(&id).await, None, "an update makes no client");
}

async fn disabled_is_none(cx: Context) {
    let (id, secret) = cx.client_and_secret().await;
    assert!(cx.storage.set_client_disabled(&id, true).await.expect("disable"));
    assert_eq!(cx.get_client(&id, None).await, None, "a disabled client is not found");
    assert_eq!(cx.get_client(&id, Some(&secret)).await, None, "not with its secret either");
}

async fn disabled_is_still_read(cx: Context) {
    let id = cx.client().await;
    let other = cx.client().await;
    assert!(cx.storage.set_client_disabled(&id, true).await.expect("disable"));
    let client = cx.read_client(&id).await.expect("a disabled client is read");
    assert!(client.disabled_at.is_some(), "and tells since when it is disabled");
    assert!(client.disabled_at >= Some(client.client_id_issued_at));
    assert_eq!(client.metadata, metadata());
    assert!(cx.storage.set_client_disabled(&id, true).await.expect("disable once more"));
    let again = cx.read_client(&id).await.expect("a disabled client is read");
    assert_eq!(again.disabled_at, client.disabled_at, "once more does not move since when");
    assert_eq!(cx.read_client(&other).await.and_then(|client| client.disabled_at), None);
}

async fn enabled_again(cx: Context) {
    let (id, secret) = cx.client_and_secret().await;
    let pair = cx.pair(&request(), &id).await;
    let (code, stored) = cx.code(&request(), &id).await;
    assert!(cx.storage.set_client_disabled(&id, true).await.expect("disable"));
    assert!(cx.storage.set_client_disabled(&id, false).await.expect("enable"));
    let client = cx.get_client(&id, Some(&secret)).await.expect("its secret works again");
    assert_eq!(client.disabled_at, None);
    assert_eq!(cx.states(&id, &pair).await, [Some(TokenState::Active); 2]);
    assert_eq!(cx.get_code(&id, &code).await, Some(stored));
}

async fn deleted_is_gone(cx: Context) {
    let (id, secret) = cx.client_and_secret().await;
    let other = cx.client().await;
    let request = request();
    let (pair, others) = (cx.pair(&request, &id).await, cx.pair(&request, &other).await);
    let ((code, _), (others_code, _)) =
        (cx.code(&request, &id).await, cx.code(&request, &other).await);
    assert!(cx.storage.delete_client(&id).await.expect("delete"), "true for a known client");
    assert_eq!(cx.read_client(&id).await, None);
    assert_eq!(cx.get_client(&id, Some(&secret)).await, None);
    assert_eq!(cx.states(&id, &pair).await, [None; 2], "its tokens are gone");
    assert_eq!(cx.get_code(&id, &code).await, None, "its codes are gone");
    assert_eq!(cx.states(&other, &others).await, [Some(TokenState::Active); 2], "others stay");
    assert!(cx.get_code(&other, &others_code).await.is_some(), "others stay");
    let again = cx.storage.delete_client(&id).await.expect("delete");
    assert!(!again, "false for a client that is gone");
    let new = NewToken::new(&id, scope(), crate::secret::Secret::from("x"));
    let result = cx.storage.create_token(&request, new).await;
    refused(result, "client_id", Problem::Unknown, "a token for a client that is gone");
}

async fn deletion_is_forgotten(cx: Context) {
    let (id, secret) = cx.client_and_secret().await;
    let pair = cx.pair(&request(), &id).await;
    let (code, _) = cx.code(&request(), &id).await;
    assert!(cx.storage.delete_client(&id).await.expect("delete"));
    let new = NewClient::new(metadata()).with_client_id(&id);
    let secret_now = cx.register(new).await.client_secret.expect("a secret");
    assert_eq!(cx.get_client(&id, Some(&secret)).await, None, "the old secret is gone");
    assert!(cx.get_client(&id, Some(&secret_now)).await.is_some());
    assert_eq!(cx.states(&id, &pair).await, [None; 2], "the old tokens do not come back");
    assert_eq!(cx.get_code(&id, &code).await, None, "the old codes do not come back");
    // What is gone is gone: the same secrets may be stored anew.
    let new = NewToken::new(&id, scope(), pair.access.clone());
    cx.storage.create_token(&request(), new).await.expect("a token that is gone is no duplicate");
    let new = new_code(&id, &code);
    let stored = cx.storage.create_authorization_code(&request(), new).await;
    stored.expect("a code that is gone is no duplicate");
    assert!(cx.get(&id, TokenRef::Any(&pair.access)).await.is_some());
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
    assert_eq!(cx.read_client(&id).await, None, "and none is made");
}
