//! Invalid input of `register_client` and `update_client`. Each is refused, and nothing is stored.

use std::time::Duration;

use serde_json::{Value, json};

use super::cases::{bad_credentials, bad_redirect_uris, object};
use super::context::{Context, metadata, refused, unique};
use oauth_storage::client::{ClientDetails, ClientSecret, GrantType, TokenEndpointAuthMethod};
use oauth_storage::error::InvalidReason;
use oauth_storage::{ClientMetadata, Error, NewClient, Secret};

rules!("client" {
    ill_formed_client_id: "contract 3, bad input: a client id that breaks the syntax (RFC 6749 A.1)",
    duplicate_client_id: "contract 3, bad input: a client id that exists; the old client stays",
    hostile_redirect_uri: "contract 3, bad input: RFC 6749 3.1.2: absolute, no fragment, nothing hostile",
    bad_metadata: "contract 3, bad input: every field of the metadata (RFC 7591 2)",
    deep_json_is_whole_or_refused: "contract 3, bad input: nested JSON is refused or comes back",
    grant_and_response_types_fit: "RFC 7591 2.1: grant types and response types go together",
    bad_chosen_secret: "contract 3, bad input: a chosen secret that is too short, too long, or not text",
    chosen_secret_without_method: "contract 3, bad input: a secret for a client that authenticates without one",
    secret_lifetime_out_of_range: "contract 3, bad input: a secret's lifetime of zero, or more than a timestamp holds",
    bad_after_of_a_page: "contract 3, bad input: a page after an ill-formed client id",
});

/// Asserts that the registration is refused, and that nothing was stored.
async fn refuses(cx: &Context, new: NewClient, field: &'static str, reason: InvalidReason) {
    let id = new.client_id.clone();
    let what = format!("register_client with a bad {field}");
    refused(cx.storage.register_client(new).await, field, reason, &what);
    if let Some(id) = id {
        assert_eq!(cx.read_client(&id).await, None, "{what} must store nothing");
    }
}

/// Asserts that no client can have this metadata, neither by registration nor by an update.
async fn never(cx: &Context, bad: ClientMetadata, field: &'static str, reason: InvalidReason) {
    let new = NewClient::new(bad.clone()).with_client_id(unique());
    refuses(cx, new, field, reason).await;
    let id = cx.client().await;
    let before = cx.read_client(&id).await;
    let what = format!("update_client with a bad {field}");
    refused(cx.storage.update_client(&id, bad).await, field, reason, &what);
    assert_eq!(cx.read_client(&id).await, before, "{what} must change nothing");
}

async fn ill_formed_client_id(cx: Context) {
    for (text, reason) in bad_credentials(255) {
        refuses(&cx, NewClient::new(metadata()).with_client_id(text), "client_id", reason).await;
    }
}

async fn duplicate_client_id(cx: Context) {
    let (id, secret) = cx.client_and_secret().await;
    let before = cx.read_client(&id).await;
    let again =
        || NewClient::new(metadata().public().with_client_name("thief")).with_client_id(&id);
    let result = cx.storage.register_client(again()).await;
    refused(result, "client_id", InvalidReason::Duplicate, "a client id that exists");
    assert_eq!(cx.read_client(&id).await, before, "the client that exists stays as it is");
    assert!(cx.get_client(&id, Some(&secret)).await.is_some(), "its secret still works");
    cx.set_disabled(&id, true).await;
    let result = cx.storage.register_client(again()).await;
    refused(result, "client_id", InvalidReason::Duplicate, "the id of a disabled client");
}

async fn hostile_redirect_uri(cx: Context) {
    for (uri, reason) in bad_redirect_uris() {
        let mut bad = metadata();
        bad.redirect_uris.push(uri);
        never(&cx, bad, "redirect_uri", reason).await;
    }
}

async fn bad_metadata(cx: Context) {
    let with = |change: &dyn Fn(&mut ClientDetails)| {
        let mut bad = metadata();
        change(&mut bad.details);
        bad
    };
    type Field = (&'static str, fn(&mut ClientDetails) -> &mut Option<String>);
    let texts: [Field; 3] = [
        ("client_name", |details| &mut details.client_name),
        ("software_id", |details| &mut details.software_id),
        ("software_version", |details| &mut details.software_version),
    ];
    let uris: [Field; 5] = [
        ("client_uri", |details| &mut details.client_uri),
        ("logo_uri", |details| &mut details.logo_uri),
        ("tos_uri", |details| &mut details.tos_uri),
        ("policy_uri", |details| &mut details.policy_uri),
        ("jwks_uri", |details| &mut details.jwks_uri),
    ];
    let long = "x".repeat(2049);
    for (text, reason) in [
        ("", InvalidReason::Empty),
        ("a\0b", InvalidReason::Character),
        ("a\u{1b}[2Jb", InvalidReason::Character),
        (&long, InvalidReason::TooLong(2048)),
    ] {
        for (field, place) in texts.into_iter().chain(uris) {
            never(&cx, with(&|details| *place(details) = Some(text.into())), field, reason).await;
        }
        let contacts = with(&|details| details.contacts = vec![text.into()]);
        never(&cx, contacts, "contacts", reason).await;
    }
    for (field, place) in uris {
        let hostile = with(&|details| *place(details) = Some("javascript:alert(1)".into()));
        never(&cx, hostile, field, InvalidReason::Hostile).await;
    }
    for name in ["a\u{202e}b", "a\u{200b}b", "\u{3000}"] {
        let reason =
            if name == "\u{3000}" { InvalidReason::Empty } else { InvalidReason::Character };
        let shown = with(&|details| details.client_name = Some(name.into()));
        never(&cx, shown, "client_name", reason).await;
    }
    let plain = with(&|details| details.jwks_uri = Some("http://client.example/jwks".into()));
    never(&cx, plain, "jwks_uri", InvalidReason::Unencrypted).await;
    let both = with(&|details| {
        details.jwks_uri = Some("https://client.example/jwks".into());
        details.jwks = Some(object(json!({ "keys": [] })));
    });
    never(&cx, both, "jwks", InvalidReason::NotAllowed).await;
    for (value, reason) in [
        (json!("a\0b"), InvalidReason::Character),
        (json!([{ "a\0b": 1 }]), InvalidReason::Character),
        (Value::String("x".repeat(64 * 1024)), InvalidReason::TooLong(64 * 1024)),
    ] {
        let other = with(&|details| drop(details.other.insert("x".into(), value.clone())));
        never(&cx, other, "metadata", reason).await;
    }
    let mut many = metadata();
    many.redirect_uris = (0..101).map(|n| format!("https://client.example/{n}")).collect();
    never(&cx, many, "redirect_uris", InvalidReason::TooMany(100)).await;
}

async fn grant_and_response_types_fit(cx: Context) {
    let empty = metadata().with_grant_types(Vec::new());
    never(&cx, empty, "grant_types", InvalidReason::Empty).await;
    let many = metadata().with_grant_types(vec![GrantType::Implicit; 17]);
    never(&cx, many, "grant_types", InvalidReason::TooMany(16)).await;
    let nowhere = metadata().with_redirect_uris(Vec::new());
    never(&cx, nowhere, "redirect_uris", InvalidReason::Missing).await;
    let implicit = "id_token token".parse().expect("a response type");
    let misfit = metadata().with_response_types(vec![implicit]);
    never(&cx, misfit, "response_types", InvalidReason::NotAllowed).await;
    let public = ClientMetadata::client_credentials().public();
    never(&cx, public, "grant_types", InvalidReason::NotAllowed).await;
}

fn with_secret(metadata: ClientMetadata, secret: &str) -> NewClient {
    NewClient::new(metadata)
        .with_client_id(unique())
        .with_client_secret(ClientSecret::Chosen(Secret::new(secret)))
}

async fn bad_chosen_secret(cx: Context) {
    let long = "x".repeat(1025);
    for (secret, reason) in [
        ("", InvalidReason::Empty),
        ("short", InvalidReason::TooShort(8)),
        (&long, InvalidReason::TooLong(1024)),
        ("long enough\0", InvalidReason::Character),
        ("long enough\n", InvalidReason::Character),
        ("passwörtlich", InvalidReason::Character),
    ] {
        refuses(&cx, with_secret(metadata(), secret), "client_secret", reason).await;
    }
}

async fn chosen_secret_without_method(cx: Context) {
    for method in [TokenEndpointAuthMethod::None, TokenEndpointAuthMethod::PrivateKeyJwt] {
        let metadata = metadata().with_token_endpoint_auth_method(method);
        let new = with_secret(metadata, "correct horse battery staple");
        refuses(&cx, new, "client_secret", InvalidReason::NotAllowed).await;
    }
}

async fn secret_lifetime_out_of_range(cx: Context) {
    for lifetime in [Duration::ZERO, oauth_storage::backend::MAX_LIFETIME * 2, Duration::MAX] {
        let new = NewClient::new(metadata())
            .with_client_id(unique())
            .with_client_secret_expires_in(lifetime);
        refuses(&cx, new, "client_secret_expires_in", InvalidReason::OutOfRange).await;
    }
}

async fn deep_json_is_whole_or_refused(cx: Context) {
    for depth in [60, 126, 127, 128, 200] {
        let nested = (0..depth).fold(json!("x"), |inner, _| json!([inner]));
        let mut deep = metadata();
        deep.details.other.insert("nested".into(), nested);
        let id = unique();
        let new = NewClient::new(deep.clone()).with_client_id(&id);
        let registered = cx.storage.register_client(new).await;
        let found = cx.storage.read_client(&id).await;
        // A client that cannot be read must not break later listings.
        let deleted = cx.storage.delete_client(&id).await.expect("delete");
        assert_eq!(deleted, registered.is_ok(), "an error must store nothing: {registered:?}");
        match registered {
            Ok(_) => {
                let found = found.expect("an accepted value must be readable");
                assert_eq!(found.map(|client| client.metadata), Some(deep));
            }
            Err(Error::Invalid { field: "metadata", .. }) => {
                assert!(depth > 60, "metadata of a modest depth is accepted");
            }
            Err(other) => panic!("metadata of depth {depth} must be accepted or named: {other:?}"),
        }
    }
}

async fn bad_after_of_a_page(cx: Context) {
    let oversized = "x".repeat(2 * 1024 * 1024);
    for after in ["", "\0", "a\0b", "a\nb", "é", "' OR '1'='1", &oversized] {
        match cx.storage.list_clients(Some(after), 1).await {
            Ok(page) => assert!(page.len() <= 1),
            Err(error) => assert!(
                matches!(error, Error::Invalid { field: "after" | "client_id", .. }),
                "a page or an error of the caller's: {error:?}"
            ),
        }
    }
}
