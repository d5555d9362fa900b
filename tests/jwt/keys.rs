//! Keys: JWK, PEM, rotation, and the signature.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::ThumbprintHash;
use jsonwebtoken::{Algorithm, EncodingKey};
use oauth_storage::jwt::{IdTokenSigner, PublicKey, SigningKey, SigningKeys};
use oauth_storage::{Error, Scope};
use serde_json::{Map, json};

use crate::support::{
    ISSUER, RFC_KEY, RFC_KID, RFC_PRIVATE_PARTS, RFC_PUBLIC_KEY, jwks, new_token, payload, request,
    rfc_key, signer, verify,
};

#[test]
fn the_jwk_has_the_fields_of_rfc_7517_and_the_thumbprint_of_rfc_7638() {
    assert_eq!(
        serde_json::to_value(signer(rfc_key()).jwk_set()).unwrap(),
        json!({ "keys": [{
            "kty": "EC",
            "crv": "P-256",
            "x": "YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y",
            "y": "eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk",
            "use": "sig",
            "alg": "ES256",
            "kid": RFC_KID,
        }] })
    );
    for _ in 0..50 {
        let set = jwks(&signer(SigningKey::generate().unwrap()));
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&set).unwrap();
        let thumbprint = set.keys[0].thumbprint(ThumbprintHash::SHA256).unwrap();
        assert_eq!(set.keys[0].common.key_id.as_ref(), Some(&thumbprint));
    }
}

#[test]
fn keys_survive_a_pem_round_trip() {
    let key = SigningKey::generate().unwrap();
    let pem = key.to_pkcs8_pem().unwrap();
    let again = SigningKey::from_pkcs8_pem(pem.expose()).unwrap();
    assert_eq!(again.to_pkcs8_pem().unwrap(), pem);
    assert_eq!(again.public_key(), key.public_key());
    assert_ne!(SigningKey::generate().unwrap().kid(), key.kid());

    let public = PublicKey::from_pem(&key.public_key().to_pem().unwrap()).unwrap();
    assert_eq!(&public, key.public_key());

    // With the line breaks and spaces of an environment variable or a file.
    let padded = format!("\n  {}\r\n\r\n", RFC_KEY.replace('\n', "\r\n"));
    assert_eq!(SigningKey::from_pkcs8_pem(&padded).unwrap().kid(), RFC_KID);
    assert_eq!(rfc_key().to_pkcs8_pem().unwrap().expose(), RFC_KEY);
    assert_eq!(PublicKey::from_pem(RFC_PUBLIC_KEY).unwrap().kid(), RFC_KID);
}

#[test]
fn an_invalid_key_is_a_configuration_error_and_not_shown() {
    // The key of RFC_KEY in SEC 1 format, which OpenSSL used to write.
    let sec1 = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49
AwEHoUQDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8
maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==
-----END EC PRIVATE KEY-----
";
    // Its public point is not that of the private key.
    let torn = RFC_KEY.replace("ya+p2EW6", "ya+p2EW7");
    for pem in ["", "ya+p2EW6dRZrXCFX", sec1, RFC_PUBLIC_KEY, &torn, &RFC_KEY[..120]] {
        let error = SigningKey::from_pkcs8_pem(pem).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(matches!(error, Error::Configuration { source: Some(_), .. }), "{text}");
        assert!(text.contains("PKCS #8"), "{text}");
        for line in pem.lines().filter(|line| line.len() > 8 && !line.starts_with('-')) {
            assert!(!text.contains(&line[..8]), "{text}");
        }
    }
    // Not on the curve; a private key in the public key's place.
    let off = RFC_PUBLIC_KEY.replace("imQ==", "imA==");
    assert_ne!(off, RFC_PUBLIC_KEY);
    for pem in ["", &off, RFC_KEY] {
        let error = PublicKey::from_pem(pem).unwrap_err();
        assert!(matches!(error, Error::Configuration { .. }), "{error:?}");
    }
}

#[test]
fn tokens_of_a_retired_key_verify_until_it_is_dropped() {
    let [old, new] = [(); 2].map(|()| SigningKey::generate().unwrap());
    let scope = Scope::default();
    let sign =
        |signer: &IdTokenSigner| signer.sign(&request(), &new_token(&scope), Map::new()).unwrap();
    let before = sign(&signer(old.clone()));

    let rotated = signer(old.clone());
    let kids = || -> Vec<String> {
        rotated.jwk_set().keys.iter().map(|key| key.kid().to_owned()).collect()
    };
    let keys = SigningKeys::new(old.clone()).with_next(new.clone());
    rotated.update_keys(|_| keys.clone());
    assert_eq!(kids(), [old.kid(), new.kid()]);
    // The next key is published before its first signature.
    assert!(verify(&jwks(&rotated), &sign(&signer(new.clone()))).is_ok());
    let set = jwks(&rotated);
    assert!(verify(&set, &sign(&rotated)).is_ok());
    // A key that is named twice is published once.
    rotated.update_keys(|keys| {
        keys.rotate().with_retired(old.public_key().clone()).with_next(new.clone())
    });
    assert_eq!(kids(), [new.kid(), old.kid()]);
    assert!(verify(&set, &sign(&rotated)).is_ok(), "a client has the set of before");
    let set = jwks(&rotated);
    assert!(verify(&set, &before).is_ok());
    assert!(verify(&set, &sign(&rotated)).is_ok());

    rotated.update_keys(|keys| keys.without_key(old.kid()).without_key(new.kid()));
    assert_eq!(kids(), [new.kid()], "the active key stays");
    assert_eq!(verify(&jwks(&rotated), &before).unwrap_err(), "unknown kid");
}

#[test]
fn a_changed_token_does_not_verify() {
    let signer = signer(SigningKey::generate().unwrap());
    let set = jwks(&signer);
    let scope = Scope::default();
    let id_token = signer.sign(&request(), &new_token(&scope), Map::new()).unwrap();
    assert!(verify(&set, &id_token).is_ok());

    let parts: Vec<&str> = id_token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("{id_token}") };
    let mut other = payload(&id_token);
    other["sub"] = json!("somebody-else");
    let other = URL_SAFE_NO_PAD.encode(other.to_string());
    assert!(verify(&set, &format!("{header}.{other}.{signature}")).is_err());

    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[63] ^= 1;
    let bytes = URL_SAFE_NO_PAD.encode(bytes);
    assert!(verify(&set, &format!("{header}.{claims}.{bytes}")).is_err());

    // Under the right kid, by another key.
    let other = SigningKey::generate().unwrap().to_pkcs8_pem().unwrap();
    let der: String = other.expose().lines().filter(|line| !line.starts_with('-')).collect();
    let other = EncodingKey::from_ec_der(&STANDARD.decode(der).unwrap());
    let input = format!("{header}.{claims}");
    let forged = jsonwebtoken::crypto::sign(input.as_bytes(), &other, Algorithm::ES256).unwrap();
    assert!(verify(&set, &format!("{header}.{claims}.{forged}")).is_err());
}

#[test]
fn s17_debug_shows_no_private_part() {
    let key = rfc_key();
    let signer = signer(key.clone()).with_claims(|_, _| Map::new());
    let text = format!("{key:?} {key:#?} {signer:?} {signer:#?} {:?}", signer.jwk_set());
    assert!(text.contains(RFC_KID) && text.contains(ISSUER), "{text}");
    for part in RFC_PRIVATE_PARTS {
        assert!(!text.to_uppercase().contains(&part.to_uppercase()), "{text}");
    }
    assert_eq!(format!("{key:?}"), format!("SigningKey {{ kid: {RFC_KID:?}, .. }}"));
}

#[test]
fn the_signer_can_be_shared() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<IdTokenSigner>();
    shared::<SigningKey>();
}
