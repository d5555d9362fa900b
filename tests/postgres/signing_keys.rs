//! Signing keys in the table: what is stored, what is refused, what an operator may delete.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oauth_storage::id_token::SigningAlgorithm::{ES256, RS256};
use oauth_storage::jwt::{KeyEncryption, KeyEncryptionKey, ManagedKeys, SigningKey};
use oauth_storage::signing_key::KeyRotationOutcome::{Announced, Created, NotDue, Rotated};
use oauth_storage::signing_key::KeySchedule;
use oauth_storage::{Error, PgStorage, SigningKeyStorage as _};
use oauth_storage_testbed::Cluster;

use crate::support::{TestStorage, dump};

const ISSUER: &str = "https://issuer.example";

fn encryption() -> KeyEncryption {
    KeyEncryption::new(KeyEncryptionKey::generate().unwrap())
}

fn keys(test: &TestStorage, encryption: &KeyEncryption) -> ManagedKeys<PgStorage> {
    ManagedKeys::new(test.storage.clone(), ISSUER, encryption.clone())
}

/// Each encoding in which the private half could be found.
fn forms(key: &SigningKey) -> Vec<String> {
    let pem = key.to_pkcs8_pem().unwrap();
    let lines: Vec<&str> = pem.expose().lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(lines.concat()).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut secrets = vec![der.clone(), pem.expose().as_bytes().to_vec()];
    if key.algorithm() == ES256 {
        // The scalar: the octet string (04 20) of 32 bytes in RFC 5915, which PKCS #8 wraps.
        let at = der.windows(2).position(|two| two == [0x04, 0x20]).unwrap() + 2;
        secrets.push(der[at..at + 32].to_vec());
    }
    let mut forms = Vec::new();
    for secret in secrets {
        // Each alignment of base64, without the characters that depend on the neighbours.
        for skipped in 0..3 {
            forms.push(STANDARD.encode(&secret[skipped..])[..32].to_owned());
        }
        forms.push(hex(&secret)[..48].to_owned());
    }
    forms.extend(lines.iter().map(|line| (*line).to_owned()));
    forms
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_contains_no_private_half() {
    let cluster = Cluster::start(&[]).await.unwrap();
    let database = cluster.database("signing_key_dump").await.unwrap();
    let storage = PgStorage::connect(database.url()).await.unwrap();
    storage.migrate().await.unwrap();
    let key = KeyEncryptionKey::generate().unwrap();
    let keys = ManagedKeys::new(storage, ISSUER, KeyEncryption::new(key.clone()));
    let keys = keys.with_algorithms([ES256, RS256]);
    let signer = keys.signer().await.unwrap();
    keys.update(&signer).await.unwrap();
    let dump = dump(&cluster, database.url()).await;
    let dump = String::from_utf8_lossy(&dump).to_lowercase();
    let mut needles = vec![key.to_base64().expose()[..32].to_owned()];
    for algorithm in [ES256, RS256] {
        let active = signer.keys().active(Some(algorithm)).unwrap().clone();
        assert!(dump.contains(&active.kid().to_lowercase()), "the dump has the rows");
        needles.extend(forms(&active));
    }
    // The search finds them where they are.
    let pem = signer.keys().active(None).unwrap().to_pkcs8_pem().unwrap();
    assert!(needles.iter().any(|needle| pem.expose().contains(needle)));
    for needle in needles {
        assert!(needle.len() >= 4 && !dump.contains(&needle.to_lowercase()), "{needle}");
    }
}

#[tokio::test]
async fn a_changed_row_is_refused_and_a_plaintext_one_not_stored() {
    let test = TestStorage::new("signing_key_tampered").await;
    let encryption = encryption();
    let keys = keys(&test, &encryption);
    assert_eq!(keys.rotate(ES256).await.unwrap(), Created);
    assert_eq!(keys.rotate(ES256).await.unwrap(), Announced);
    let other = ManagedKeys::new(test.storage.clone(), "https://other.example", encryption.clone());
    assert_eq!(other.rotate(ES256).await.unwrap(), Created);
    test.sql("CREATE TABLE kept AS SELECT * FROM oauth_storage.signing_key").await;
    keys.load().await.unwrap();
    for change in [
        "UPDATE oauth_storage.signing_key SET ciphertext = ciphertext || '\\x00'",
        "UPDATE oauth_storage.signing_key
         SET ciphertext = set_byte(ciphertext, 30, get_byte(ciphertext, 30) # 1)",
        "UPDATE oauth_storage.signing_key SET kid = 'x' || kid",
        "UPDATE oauth_storage.signing_key SET alg = 'RS256'",
        "UPDATE oauth_storage.signing_key SET alg = 'none'",
        "DELETE FROM oauth_storage.signing_key WHERE issuer = 'https://issuer.example';
         UPDATE oauth_storage.signing_key SET issuer = 'https://issuer.example'",
    ] {
        test.sql(change).await;
        for error in [keys.load().await.unwrap_err(), keys.rotate(ES256).await.unwrap_err()] {
            assert!(matches!(error, Error::Corrupt { .. }), "{change}: {error}");
        }
        test.sql(
            "DELETE FROM oauth_storage.signing_key;
             INSERT INTO oauth_storage.signing_key SELECT * FROM kept",
        )
        .await;
        keys.load().await.unwrap();
    }
    for plaintext in ["'-----BEGIN PRIVATE KEY-----'", "'\\x308187'", "''"] {
        let sql = format!("UPDATE oauth_storage.signing_key SET ciphertext = {plaintext}");
        let refused = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(test.storage.pool()).await;
        let code =
            refused.unwrap_err().as_database_error().and_then(|e| e.code().map(String::from));
        assert_eq!(code.as_deref(), Some("23514"), "{plaintext}");
    }
}

/// An operator may delete rows. The next key follows at once, and otherwise a new one.
#[tokio::test]
async fn the_rotation_recovers_from_deleted_rows() {
    let test = TestStorage::new("signing_key_deleted").await;
    let keys = keys(&test, &encryption());
    let delete = |state: &'static str| {
        let sql = format!("DELETE FROM oauth_storage.signing_key WHERE state = '{state}'");
        let test = &test;
        async move { test.sql(&sql).await }
    };
    assert_eq!(keys.rotate(ES256).await.unwrap(), Created);
    assert_eq!(keys.rotate(ES256).await.unwrap(), Announced);
    delete("a").await;
    let error = keys.load().await.unwrap_err();
    assert!(matches!(error, Error::Configuration { .. }), "{error}");
    assert_eq!(keys.rotate(ES256).await.unwrap(), Rotated);
    assert_eq!(keys.load().await.unwrap().jwk_set().keys.len(), 1);
    delete("a").await;
    assert_eq!(keys.rotate(ES256).await.unwrap(), Created);
    assert_eq!(keys.rotate(ES256).await.unwrap(), Announced);
    delete("n").await;
    assert_eq!(keys.rotate(ES256).await.unwrap(), Announced);
    assert!(matches!(keys.rotate(ES256).await.unwrap(), NotDue { due_at: Some(_) }));
}

/// A rotation that waited for a revocation does not make a second key active.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_in_a_transaction_is_rolled_back_and_lets_others_wait() {
    let test = TestStorage::new("signing_key_waits").await;
    let at_once = KeySchedule::default()
        .with_period(Duration::from_micros(1))
        .with_announcement(Duration::ZERO);
    let keys = keys(&test, &encryption()).with_schedule(at_once);
    assert_eq!(keys.rotate(ES256).await.unwrap(), Created);
    assert_eq!(keys.rotate(ES256).await.unwrap(), Announced);
    let mut connection = test.storage.pool().acquire().await.unwrap();
    for (end, expected) in [("ROLLBACK", Rotated), ("COMMIT", NotDue { due_at: None })] {
        sqlx::raw_sql("BEGIN").execute(&mut *connection).await.unwrap();
        let held = test.storage.with_connection(&mut connection);
        assert_eq!(held.rotate_signing_keys(ISSUER, ES256, at_once).await.unwrap(), Rotated);
        drop(held);
        let storage = test.storage.clone();
        let waiting = tokio::spawn(async move {
            storage.rotate_signing_keys(ISSUER, ES256, at_once).await.unwrap()
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!waiting.is_finished(), "it waits for the transaction");
        sqlx::raw_sql(end).execute(&mut *connection).await.unwrap();
        assert_eq!(waiting.await.unwrap(), expected);
        assert_eq!(keys.rotate(ES256).await.unwrap(), Announced);
    }
}
