//! Client secrets: generation, verification, rotation and expiry.

use std::collections::BTreeSet;
use std::time::Duration;

use super::context::{
    Context, SHORT, ill_formed, metadata, outlast, refused, secret, unique, unused,
};
use oauth_storage::client::{
    ClientSecret, ClientSecretRotation, RegisteredClient, TokenEndpointAuthMethod,
};
use oauth_storage::error::InvalidReason;
use oauth_storage::{Error, NewClient, Secret};

rules!("client_secret" {
    generated_has_256_bits: "S13, contract 2: a generated secret has 256 bits, and is shown once",
    right_one_only: "contract 1, get_client: None for a secret that does not match",
    ill_formed_is_none: "contract 3, bad input: an ill-formed secret does not match",
    hash_is_no_secret: "contract 3, at rest: no value of a dump works as a secret",
    chosen_works: "contract 3, at rest: a secret that a person chose works, and is not shown",
    ends_with_its_lifetime: "RFC 7591 3.2.1: client_secret_expires_at is the end of the secret",
    old_works_for_the_overlap: "contract 2: a rotation with an overlap in which both work",
    old_ends_with_the_overlap: "contract 2: a rotation with an overlap, and not longer",
    old_ends_at_once_without_overlap: "contract 2: without an overlap the old secret ends at once",
    overlap_does_not_prolong: "contract 2: an overlap does not prolong the old secret's own lifetime",
    overlaps_keep_their_length: "contract 2: a further rotation leaves a running overlap as it is",
    third_overlap_is_refused: "contract 2: two earlier secrets at most are valid; a third rotation changes nothing",
    ended_overlap_makes_way: "contract 2: an overlap that has ended counts no more",
    rotation_without_overlap_ends_all: "contract 2: a rotation without an overlap ends every earlier secret at once",
    new_lifetime_is_the_rotations: "contract 2: the new secret has the lifetime of its rotation",
    rotation_to_a_chosen_one: "contract 2: a rotation may set a secret that a person chose",
    rotation_of_a_client_without: "contract 2: a client without a secret has none to rotate",
    rotation_out_of_range: "contract 3, bad input: a refused rotation changes nothing",
    lost_with_the_method: "contract 2, update: a client that needs no secret loses the one it had",
    survives_an_update: "contract 2, update: every secret of an overlap stays",
});

async fn works(cx: &Context, id: &str, secret: &Secret) -> bool {
    cx.get_client(id, Some(secret)).await.is_some()
}

async fn rotate(cx: &Context, id: &str, rotation: ClientSecretRotation) -> RegisteredClient {
    let rotated = cx.storage.rotate_client_secret(id, rotation).await.expect("a rotation");
    let rotated = rotated.expect("a known client");
    assert_eq!(rotated.client.client_id, id);
    assert_eq!(cx.read_client(id).await, Some(unused(rotated.client.clone())));
    rotated
}

async fn rotate_within(cx: &Context, id: &str, overlap: Duration) -> Secret {
    let rotated = rotate(cx, id, ClientSecretRotation::new().with_overlap(overlap)).await;
    rotated.client_secret.expect("a generated secret is shown")
}

const LONG: Duration = Duration::from_hours(1);

async fn generated_has_256_bits(cx: Context) {
    let mut secrets = BTreeSet::new();
    for _ in 0..8 {
        let (id, secret) = cx.client_and_secret().await;
        secrets.insert(rotate_within(&cx, &id, LONG).await.expose().to_owned());
        secrets.insert(secret.expose().to_owned());
    }
    assert_eq!(secrets.len(), 16, "secrets differ");
    for secret in secrets {
        assert!(secret.len() >= 43, "256 bits are 43 letters of base64url, not {}", secret.len());
        assert!(Secret::new(secret).check("client_secret").is_ok(), "RFC 6749 A.2: VSCHAR");
    }
}

async fn right_one_only(cx: Context) {
    let (id, right) = cx.client_and_secret().await;
    let (other, others) = cx.client_and_secret().await;
    assert!(works(&cx, &id, &right).await, "the secret that was shown works");
    assert!(works(&cx, &other, &others).await);
    assert!(!works(&cx, &id, &others).await, "another client's secret does not");
    assert!(!works(&cx, &unique(), &right).await, "nor any secret for an unknown client");
    let text = right.expose();
    for near in [text.to_uppercase(), format!("{text} "), text[..text.len() - 1].to_owned()] {
        assert!(!works(&cx, &id, &Secret::new(near)).await, "only the exact secret matches");
    }
}

async fn ill_formed_is_none(cx: Context) {
    let (id, right) = cx.client_and_secret().await;
    for bad in ill_formed() {
        assert!(!works(&cx, &id, &bad).await, "an ill-formed secret does not match");
    }
    assert!(works(&cx, &id, &right).await);
}

async fn hash_is_no_secret(cx: Context) {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let (id, right) = cx.client_and_secret().await;
    let digest = right.digest();
    let hex: String = digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let encoded = URL_SAFE_NO_PAD.encode(digest.as_bytes());
    let standard = STANDARD.encode(digest.as_bytes());
    for hash in [format!("sha256:{encoded}"), format!("ocs_{encoded}"), encoded, standard, hex] {
        assert!(!works(&cx, &id, &Secret::new(hash)).await, "the stored hash is not the secret");
    }
}

async fn chosen_works(cx: Context) {
    let chosen = Secret::new("correct horse battery staple");
    let new = NewClient::new(metadata())
        .with_client_id(unique())
        .with_client_secret(ClientSecret::Chosen(chosen.clone()));
    let registered = match cx.storage.register_client(new).await {
        // A storage may lack Argon2id. It must say so.
        Err(Error::Configuration { .. }) => return,
        registered => registered.expect("a client with a chosen secret"),
    };
    let id = registered.client.client_id;
    assert!(registered.client_secret.is_none(), "a chosen secret is not shown");
    assert!(works(&cx, &id, &chosen).await, "the chosen secret works");
    assert!(!works(&cx, &id, &Secret::new("correct horse battery")).await);
    assert!(!works(&cx, &id, &secret()).await);
}

async fn ends_with_its_lifetime(cx: Context) {
    let new =
        NewClient::new(metadata()).with_client_id(unique()).with_client_secret_expires_in(SHORT);
    let registered = cx.register(new).await;
    let (client, secret) = (registered.client, registered.client_secret.expect("a secret"));
    let end = client.client_secret_expires_at.expect("the end of the secret is in the record");
    assert_eq!((end - client.client_id_issued_at).to_std().ok(), Some(SHORT));
    outlast().await;
    assert!(!works(&cx, &client.client_id, &secret).await, "a secret ends with its lifetime");
    let found = cx.get_client(&client.client_id, None).await;
    assert_eq!(found, Some(client), "the client itself does not");
}

async fn old_works_for_the_overlap(cx: Context) {
    let (id, old) = cx.client_and_secret().await;
    let new = rotate_within(&cx, &id, LONG).await;
    assert!(works(&cx, &id, &new).await, "the new secret works");
    assert!(works(&cx, &id, &old).await, "the old one works during the overlap");
    assert!(!works(&cx, &id, &secret()).await);
}

async fn old_ends_with_the_overlap(cx: Context) {
    let (id, old) = cx.client_and_secret().await;
    let new = rotate_within(&cx, &id, SHORT).await;
    outlast().await;
    assert!(!works(&cx, &id, &old).await, "after the overlap the old secret does not work");
    assert!(works(&cx, &id, &new).await, "the new one does");
}

async fn old_ends_at_once_without_overlap(cx: Context) {
    let (id, old) = cx.client_and_secret().await;
    let new = rotate_within(&cx, &id, Duration::ZERO).await;
    assert!(!works(&cx, &id, &old).await, "without an overlap the old secret ends at once");
    assert!(works(&cx, &id, &new).await);
}

async fn overlap_does_not_prolong(cx: Context) {
    let new =
        NewClient::new(metadata()).with_client_id(unique()).with_client_secret_expires_in(SHORT);
    let registered = cx.register(new).await;
    let (id, old) = (registered.client.client_id, registered.client_secret.expect("a secret"));
    let new = rotate_within(&cx, &id, LONG).await;
    outlast().await;
    assert!(!works(&cx, &id, &old).await, "the old secret ends when it would have ended");
    assert!(works(&cx, &id, &new).await);
}

async fn overlaps_keep_their_length(cx: Context) {
    let (id, first) = cx.client_and_secret().await;
    let second = rotate_within(&cx, &id, SHORT).await;
    let third = rotate_within(&cx, &id, LONG).await;
    outlast().await;
    assert!(!works(&cx, &id, &first).await, "the first overlap is not prolonged");
    assert!(works(&cx, &id, &second).await && works(&cx, &id, &third).await);

    let (id, first) = cx.client_and_secret().await;
    let second = rotate_within(&cx, &id, LONG).await;
    let third = rotate_within(&cx, &id, SHORT).await;
    outlast().await;
    assert!(works(&cx, &id, &first).await, "the first overlap is not cut short");
    assert!(!works(&cx, &id, &second).await);
    assert!(works(&cx, &id, &third).await);
}

async fn third_overlap_is_refused(cx: Context) {
    let (id, first) = cx.client_and_secret().await;
    let second = rotate_within(&cx, &id, LONG).await;
    let third = rotate_within(&cx, &id, LONG).await;
    let before = cx.read_client(&id).await;
    for overlap in [LONG, SHORT] {
        let rotation = ClientSecretRotation::new().with_overlap(overlap);
        let result = cx.storage.rotate_client_secret(&id, rotation).await;
        refused(result, "overlap", InvalidReason::TooMany(2), "a third earlier secret");
    }
    assert_eq!(cx.read_client(&id).await, before, "a refused rotation changes nothing");
    for secret in [&first, &second, &third] {
        assert!(works(&cx, &id, secret).await, "the current secret and two earlier ones work");
    }
}

async fn ended_overlap_makes_way(cx: Context) {
    let (id, first) = cx.client_and_secret().await;
    let second = rotate_within(&cx, &id, SHORT).await;
    let third = rotate_within(&cx, &id, LONG).await;
    outlast().await;
    let fourth = rotate_within(&cx, &id, LONG).await;
    assert!(!works(&cx, &id, &first).await, "its overlap has ended");
    for secret in [&second, &third, &fourth] {
        assert!(works(&cx, &id, secret).await, "the current secret and two earlier ones work");
    }
}

async fn rotation_without_overlap_ends_all(cx: Context) {
    let (id, first) = cx.client_and_secret().await;
    let second = rotate_within(&cx, &id, LONG).await;
    let third = rotate_within(&cx, &id, LONG).await;
    let fourth = rotate_within(&cx, &id, Duration::ZERO).await;
    for secret in [&first, &second, &third] {
        assert!(!works(&cx, &id, secret).await, "every earlier secret ends at once");
    }
    assert!(works(&cx, &id, &fourth).await);
    rotate_within(&cx, &id, LONG).await;
    rotate_within(&cx, &id, LONG).await;
    assert!(works(&cx, &id, &fourth).await, "ended secrets count no more");
}

async fn new_lifetime_is_the_rotations(cx: Context) {
    let (id, _) = cx.client_and_secret().await;
    let short = ClientSecretRotation::new()
        .with_overlap(Duration::ZERO)
        .with_client_secret_expires_in(SHORT);
    let rotated = rotate(&cx, &id, short).await;
    let end =
        rotated.client.client_secret_expires_at.expect("the end of the secret is in the record");
    assert_eq!(
        (end - rotated.client.updated_at).to_std().ok(),
        Some(SHORT),
        "from the rotation on"
    );
    let secret = rotated.client_secret.expect("a secret");
    outlast().await;
    assert!(!works(&cx, &id, &secret).await);
    let endless = rotate(&cx, &id, ClientSecretRotation::default()).await;
    assert_eq!(endless.client.client_secret_expires_at, None, "a secret without end has none");
    assert!(!works(&cx, &id, &secret).await, "an overlap does not revive an ended secret");
}

async fn rotation_to_a_chosen_one(cx: Context) {
    let (id, old) = cx.client_and_secret().await;
    let chosen = Secret::new("correct horse battery staple");
    let rotation = ClientSecretRotation::new()
        .with_overlap(LONG)
        .with_client_secret(ClientSecret::Chosen(chosen.clone()));
    match cx.storage.rotate_client_secret(&id, rotation).await {
        Err(Error::Configuration { .. }) => {
            assert!(works(&cx, &id, &old).await, "a failed rotation changes nothing");
        }
        rotated => {
            let rotated = rotated.expect("a rotation").expect("a known client");
            assert!(rotated.client_secret.is_none());
            assert!(works(&cx, &id, &chosen).await, "the chosen secret works");
            assert!(works(&cx, &id, &old).await, "the generated one works for the overlap");
            assert!(!works(&cx, &id, &Secret::new("correct horse battery")).await);
        }
    }
}

async fn rotation_of_a_client_without(cx: Context) {
    let jwt = metadata().with_token_endpoint_auth_method(TokenEndpointAuthMethod::PrivateKeyJwt);
    for metadata in [metadata().public(), jwt] {
        let client = cx.register(NewClient::new(metadata)).await.client;
        let result = cx.storage.rotate_client_secret(&client.client_id, Default::default()).await;
        let what = "a rotation of a client without a secret";
        refused(result, "token_endpoint_auth_method", InvalidReason::NotAllowed, what);
        assert_eq!(cx.read_client(&client.client_id).await, Some(client));
    }
}

async fn rotation_out_of_range(cx: Context) {
    let (id, old) = cx.client_and_secret().await;
    let before = cx.read_client(&id).await;
    let rotation = ClientSecretRotation::default;
    let chosen = |text: &str| {
        ClientSecretRotation::default().with_client_secret(ClientSecret::Chosen(Secret::new(text)))
    };
    let lifetime =
        |lifetime| ClientSecretRotation::default().with_client_secret_expires_in(lifetime);
    for (rotation, field, reason) in [
        (rotation().with_overlap(Duration::MAX), "overlap", InvalidReason::OutOfRange),
        (lifetime(Duration::ZERO), "client_secret_expires_in", InvalidReason::OutOfRange),
        (lifetime(Duration::MAX), "client_secret_expires_in", InvalidReason::OutOfRange),
        (chosen(""), "client_secret", InvalidReason::Empty),
        (chosen("short"), "client_secret", InvalidReason::TooShort(8)),
        (chosen("long enough\0"), "client_secret", InvalidReason::Character),
        (chosen(&"x".repeat(1025)), "client_secret", InvalidReason::TooLong(1024)),
    ] {
        let result = cx.storage.rotate_client_secret(&id, rotation).await;
        refused(result, field, reason, "a rotation with a bad value");
    }
    assert_eq!(cx.read_client(&id).await, before, "a refused rotation changes nothing");
    assert!(works(&cx, &id, &old).await);
}

async fn lost_with_the_method(cx: Context) {
    let (id, first) = cx.client_and_secret().await;
    let second = rotate_within(&cx, &id, LONG).await;
    let update = async |metadata| {
        let updated = cx.storage.update_client(&id, metadata).await.expect("an update");
        updated.expect("a known client")
    };
    let public = update(metadata().public()).await;
    assert_eq!(public.client_secret_expires_at, None);
    update(metadata()).await;
    for secret in [&first, &second] {
        assert!(!works(&cx, &id, secret).await, "a secret that was lost does not come back");
    }
    assert!(cx.get_client(&id, None).await.is_some());
    let third = rotate_within(&cx, &id, LONG).await;
    assert!(works(&cx, &id, &third).await, "a rotation gives it a secret again");
    assert!(!works(&cx, &id, &second).await);
}

async fn survives_an_update(cx: Context) {
    let (id, first) = cx.client_and_secret().await;
    let second = rotate_within(&cx, &id, LONG).await;
    let third = rotate_within(&cx, &id, LONG).await;
    let metadata = metadata()
        .with_client_name("renamed")
        .with_token_endpoint_auth_method(TokenEndpointAuthMethod::ClientSecretPost);
    cx.storage.update_client(&id, metadata).await.expect("an update").expect("a known client");
    for secret in [&first, &second, &third] {
        assert!(works(&cx, &id, secret).await, "an update of the metadata ends no secret");
    }
}
