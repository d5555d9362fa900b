//! RS256 keys, and clients that registered an algorithm.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use oauth_storage::client::Client;
use oauth_storage::id_token::SigningAlgorithm;
use oauth_storage::jwt::{IdTokenSigner, PublicKey, SigningKey, SigningKeys};
use oauth_storage::{ClientMetadata, ClientRegistry as _, Error, MemoryStorage, NewClient, Scope};
use serde_json::{Map, Value};

use crate::support::{ISSUER, jwks, new_token, request, rfc_key, signer};

/// Written by `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`, for this test only.
const RSA_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDBHi6bHjN1PqRg
BklSmLBK5rPEGi+7xFqgS7eyDvvnLjM3IqzXVIBOMD0iZa0uQltRIsNDrak8wRyd
Dy6S6yzPtwJ92ReK4K+MRdt7VLtxafb65vQRBYWTnbCY6NwUT6708kAw+r9d9yDK
uulG8RX6uQQ1bILZKfp4hJ06dIotFBi6amlt3ZBjgLIlChWeai6tm1khxpd3WrUP
5G3cpHxf1hlDb+8k08sxrezCsGTg9fTd9Mbf+SwIyPxkXbppaeLWa4An+cUXLL2/
Mc2FskdmYLr8k+Zu/4zRFMNroa+2HmMu8hWuJH5CJedIm3ZOZKv9WsRa0bL9okmP
SgjpzshHAgMBAAECggEAHMjraHqdb+3o4Vk+h52ztU5i4CmJEONJINh4ZoV+Payw
vJiiC6yQPVdKXXyrThhc9SCJ22YgsioUokJ3jjWYpdNg/zIjJLOt5uoot17fW53Q
TwCqw3i/usuH3Zrj5vEjomYTdFmDubVSwXUPvV/FB2yZeH8Wl9j+eQVHTEW/rM0u
PNxrtVz3D/aPINqoX32cNVwB0dwJ3czC5lTJZcW0gyWi7dwQtOmTu9sJ4NY2h3Xh
6jQhqmp+t1QsZchXie7AYRRZKSjV4dwQT6vtfi92VEDTso6QhBHsxqnPjBE5NGwl
yU4C2sVk6JBXwyWcGEpKRV5YS1t5IuextwMcbAptZQKBgQDkvYQh5DM4SuiSLW89
4U7GkPUG2rL/J5HqM0mdhos4CdRE6WZ/QnUUsPFkcFy3rhaRa6TJtZAufDU9p1WG
0b18ZYYvNNXD1rnHDCB+nApLjWmDrO8aHyq3SXNfjEfn+HcIXohCVcMg3axZNu1I
0zvCIEabozQxZkpB8nzuh+3BFQKBgQDYIeLYNE5Be0kR7DXm18yLqX3rSfMr32TE
9nqc53bouKUsfCHEqdkKuEY+FNE/2Ma+jUPLC0xvTcnvP4WeSSnorfboXy2ETmfS
RBosxopX+LKpITmO9V4RxtNY//iPNY2dQy2Bt5UrtKkjQ5TNofzv5msbysPs5cxK
5IvqaDLi6wKBgQCqX3aBf+WesjzUVD8dSipQwDuhZVgZsLGATb8xM7uSe8+9nFMZ
yrhGNx01gHOu5F4u5oyRKUlBNoa5a1/K0YJfm4b8tk/aVJ9/YMr7QuJwL949k5ts
S3aXmn/y1Rvh7jFK7I51SkfSvQnYUY8fxSYni77Lwh3oBZad1C21xU0TmQKBgFHs
HjjHMrZdTagOeavjNjPl7cWmhRanGWIS7wzUK10wx+Lhtkb9/jey+2UCrQHfYA3Q
K9cllDZILPeTg0kpAEqizgjsMquIsI+hoq5AHyYTLV0wK8oFNT/Vtjxw4b0elmv6
j6AwfslPNCEat6dt9BrWotio9bSwscvdby9NiaQ7AoGBANZFAWJ1cAmyMep/d1M4
KDr1xObi71Zz0qmM5ihuZ4Bvxm5ef0xNjrQ8JUPsZ7YuDU5oitRHb28uVTiYwQ7+
L+lg4fj5+pb7mDyXX84jq5J9mccWPFDu0TPsGIzhTqDCO0PlThQx4jLUCtQ39Q93
WRMmTd+zuDRCOTEZu28OGo3H
-----END PRIVATE KEY-----
";
const RSA_PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwR4umx4zdT6kYAZJUpiw
SuazxBovu8RaoEu3sg775y4zNyKs11SATjA9ImWtLkJbUSLDQ62pPMEcnQ8ukuss
z7cCfdkXiuCvjEXbe1S7cWn2+ub0EQWFk52wmOjcFE+u9PJAMPq/XfcgyrrpRvEV
+rkENWyC2Sn6eISdOnSKLRQYumppbd2QY4CyJQoVnmourZtZIcaXd1q1D+Rt3KR8
X9YZQ2/vJNPLMa3swrBk4PX03fTG3/ksCMj8ZF26aWni1muAJ/nFFyy9vzHNhbJH
ZmC6/JPmbv+M0RTDa6Gvth5jLvIVriR+QiXnSJt2TmSr/VrEWtGy/aJJj0oI6c7I
RwIDAQAB
-----END PUBLIC KEY-----
";
/// The thumbprint, calculated outside of Rust.
const RSA_KID: &str = "bYAXNygo1t4gfkv1RvfytVIiy8yk-BrBT9Gi0rL0nNE";
const SMALL_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIICeAIBADANBgkqhkiG9w0BAQEFAASCAmIwggJeAgEAAoGBAK36EFXCVKT9IDti
vRwlZsH/pXxcp6SsVxEXRaXfkOL7gM1TXWMjvrPYv6Hty9TkZTTdFRFmn2vPI7wb
n1Q7hVMv0fpEk6ECatiJ3AaouW8XrjYr5OR9fubOYocly5unsyD7vtmTEnp7nS5F
Vch3nbnAdN3v1tybqkh6pfDbbbSnAgMBAAECgYA/fwfdNOrNuLC92+CnWCMz5MkS
JYLuABRa4YKC8qCfpykwRx/LYi1k2FPAltiQ37bsX1AkJK9EmroxGmfBR2P2CWF4
ysTytoaYqVZ5GyKpbCZ+wUBMJE87Koe8DSr/CVHp7DWTaxXWwrr3dGBlHLeaY5Uc
mR8nFfu5RgF560Um6QJBANiGHxtYon7l3ULe7eHA16uSUR36DUam/6acUE8DF3gz
G/+/C91BCFg97boL5L9gyJxu4uQwjWft6Av7JFYM4cMCQQDNsiFN9xctuPwBe7o4
55xj8ZD0XoXd1cHekXmwjWnSOc58BUmRB6g5Vk14KhNbSZHyuJDA7OnYYP5YGQGe
yS9NAkEAnrkjEH7XD8Mdgam+JCGjd+hYgmsNVF+TROWNkX4otDpzKfU4k0bbASTU
oe+aDhi6tsIqnTBiWG90DWRa7KGg1QJBALiDZWSulVgqa8RY3H9XI+5zLvhGIgcQ
TEv+aw54i8hMmnCdvZQfLkPgqrVz6NEmeYklDpRA8LNsrjsQk2eASLECQQDICI78
Td8SrxMqrp8Mg3NOKOO9bostqbD145FZ4A3JD8d4cSqOSU/UYWElP37vDO+reosh
wlTWmG3j/0DWAT8h
-----END PRIVATE KEY-----
";

fn rsa_key() -> SigningKey {
    SigningKey::from_pkcs8_pem(RSA_KEY).unwrap()
}

fn verify_rs256(jwks: &str, id_token: &str) -> Map<String, Value> {
    let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_str(jwks).unwrap();
    let header = jsonwebtoken::decode_header(id_token).unwrap();
    assert_eq!(header.alg, Algorithm::RS256);
    let key = jwks.find(&header.kid.unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_aud = false;
    validation.set_issuer(&[ISSUER]);
    let key = DecodingKey::from_jwk(key).unwrap();
    jsonwebtoken::decode(id_token, &key, &validation).unwrap().claims
}

#[test]
fn an_rsa_key_signs_with_rs256() {
    let signer = signer(rsa_key());
    let jwk = serde_json::to_value(&signer.jwk_set().keys[0]).unwrap();
    let member = |name: &str| jwk[name].as_str().unwrap().to_owned();
    assert_eq!(
        ["kty", "e", "use", "alg", "kid"].map(member),
        ["RSA", "AQAB", "sig", "RS256", RSA_KID].map(str::to_owned)
    );
    assert_eq!(member("n").len(), 342, "2048 bits without a leading zero");
    let id_token = signer.sign(&request(), &new_token(&Scope::default()), Map::new()).unwrap();
    assert_eq!(verify_rs256(&jwks(&signer), &id_token)["sub"], "248289761001");
}

#[test]
fn an_rsa_key_survives_a_pem_round_trip() {
    let key = rsa_key();
    assert_eq!(key.to_pkcs8_pem().unwrap().expose(), RSA_KEY);
    let public = PublicKey::from_pem(RSA_PUBLIC_KEY).unwrap();
    assert_eq!(&public, key.public_key());
    assert_eq!(public.to_pem().unwrap(), RSA_PUBLIC_KEY);
    assert!(matches!(SigningKey::from_pkcs8_pem(SMALL_KEY), Err(Error::Configuration { .. })));
    let debug = format!("{key:?}");
    assert_eq!(debug, format!("SigningKey {{ kid: {RSA_KID:?}, .. }}"));
}

#[tokio::test]
async fn the_client_chooses_among_the_algorithms() {
    let storage = MemoryStorage::new();
    let client = async |alg: Option<&str>| -> Client {
        let mut metadata = ClientMetadata::authorization_code(["https://client.example/cb"]);
        if let Some(alg) = alg {
            metadata.details.other.insert("id_token_signed_response_alg".into(), alg.into());
        }
        storage.register_client(NewClient::new(metadata)).await.unwrap().client
    };
    let keys = SigningKeys::new(rfc_key()).with_active(rsa_key());
    assert_eq!(keys.algorithms(), [SigningAlgorithm::ES256, SigningAlgorithm::RS256]);
    let both = IdTokenSigner::new(ISSUER, keys).unwrap();
    let only_es256 = signer(rfc_key());
    let scope = Scope::default();
    let alg = |signer: &IdTokenSigner, client: &Client| {
        let new = new_token(&scope).with_signing_alg(client.id_token_signing_alg()?);
        let id_token = signer.sign(&request(), &new, Map::new())?;
        Ok::<_, Error>(jsonwebtoken::decode_header(id_token).unwrap().alg)
    };
    assert_eq!(alg(&both, &client(None).await).unwrap(), Algorithm::ES256);
    assert_eq!(alg(&both, &client(Some("ES256")).await).unwrap(), Algorithm::ES256);
    let rs256 = client(Some("RS256")).await;
    assert_eq!(alg(&both, &rs256).unwrap(), Algorithm::RS256);
    for (signer, client) in [(&only_es256, &rs256), (&both, &client(Some("none")).await)] {
        let error = alg(signer, client).unwrap_err();
        let Error::Invalid { field, .. } = error else { panic!("{error:?}") };
        assert_eq!(field, "id_token_signed_response_alg");
    }
}
