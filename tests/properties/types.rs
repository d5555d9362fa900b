//! Properties of the types: parsing never panics, and accepted values are stable.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use oauth_storage::authorization_code::{CodeChallenge, CodeChallengeMethod};
use oauth_storage::backend::MAX_CREDENTIAL_BYTES;
use oauth_storage::client::{GrantType, TokenEndpointAuthMethod};
use oauth_storage::endpoint::{ClientAuthentication, FormParameters, QueryParameters};
use oauth_storage::token::TokenKind;
use oauth_storage::{
    ClientMetadata, Error, NewAuthorizationCode, RequestContext, ResponseType, Scope, Secret,
    TokenPair,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::inputs::{context, credential, metadata, registration, text, value};

/// True for an error that is the caller's mistake.
fn is_invalid(error: &Error) -> bool {
    matches!(error, Error::Invalid { .. })
}

/// An accepted value prints as text and as JSON that parse to the same value.
fn stable<T>(input: &str) -> Result<(), TestCaseError>
where
    T: FromStr<Err = Error> + Display + Debug + PartialEq,
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let from_json = serde_json::from_value::<T>(json!(input));
    match input.parse::<T>() {
        Ok(parsed) => {
            let again: T = parsed.to_string().parse().unwrap();
            prop_assert_eq!(&again, &parsed);
            prop_assert_eq!(from_json.unwrap(), again);
            prop_assert_eq!(json!(&parsed), json!(parsed.to_string()));
        }
        Err(error) => {
            prop_assert!(is_invalid(&error), "{error}");
            prop_assert!(from_json.is_err());
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn names_are_stable(input in text()) {
        stable::<GrantType>(&input)?;
        stable::<CodeChallengeMethod>(&input)?;
        stable::<TokenEndpointAuthMethod>(&input)?;
        stable::<TokenKind>(&input)?;
    }

    #[test]
    fn response_types_are_stable(
        input in prop_oneof![text(), "(code|token|id_token|none| ){0,7}"],
    ) {
        stable::<ResponseType>(&input)?;
    }

    #[test]
    fn scopes_are_stable_sets(input in text(), other in "[a-c ]{0,12}") {
        stable::<Scope>(&input)?;
        stable::<Scope>(&other)?;
        if let Ok(scope) = input.parse::<Scope>() {
            let tokens: Vec<&str> = scope.iter().collect();
            let distinct: std::collections::HashSet<_> = tokens.iter().collect();
            prop_assert_eq!(distinct.len(), tokens.len());
            prop_assert_eq!(tokens.join(" "), scope.as_str());
            prop_assert!(input.split(' ').filter(|t| !t.is_empty()).all(|t| scope.contains(t)));
            prop_assert!(scope.is_subset_of(&scope));
            let other: Scope = other.parse().unwrap();
            prop_assert_eq!(other.is_subset_of(&scope), other.iter().all(|t| scope.contains(t)));
        }
    }

    /// A scope is a set of at most 100 tokens and 4096 bytes, counted after and before repeated tokens
    /// are dropped.
    #[test]
    fn scopes_are_limited(count in 1_usize..130, repeated in 1_usize..3, length in 1_usize..50) {
        let token = |n: usize| format!("{n:03}{}", "s".repeat(length));
        let tokens: Vec<String> = (0..count * repeated).map(|n| token(n % count)).collect();
        let text = tokens.join(" ");
        let expected = count <= 100 && text.len() <= 4096;
        match text.parse::<Scope>() {
            Ok(scope) => {
                prop_assert!(expected);
                prop_assert_eq!(scope.iter().count(), count);
            }
            Err(error) => prop_assert!(!expected && is_invalid(&error), "{error}"),
        }
    }

    /// A credential names the grant that it was generated for, and no other string names one.
    #[test]
    fn a_generated_credential_names_its_grant(id in any::<u128>(), text in credential()) {
        let grant_id = uuid::Uuid::from_u128(id);
        let secret = Secret::generate_for(grant_id).unwrap();
        prop_assert_eq!(secret.grant_id(), Some(grant_id));
        prop_assert!(secret.is_well_formed());
        let tokens = TokenPair::generate_for(grant_id).unwrap();
        prop_assert_eq!(tokens.grant_id(), Some(grant_id));
        prop_assert!(tokens.check(Some(grant_id)).is_ok());
        let other = uuid::Uuid::from_u128(id ^ 1);
        prop_assert!(tokens.check(Some(other)).is_err() && tokens.check(None).is_err());
        // `grant_id` does not panic for any text, and only one form names a grant.
        let named = Secret::new(text.clone()).grant_id().is_some();
        prop_assert!(!named || text.starts_with("oas_") && text.len() == 68);
        let cut = Secret::new(&secret.expose()[1..]);
        prop_assert_eq!(cut.grant_id(), None);
    }

    #[test]
    fn a_secret_keeps_its_text_and_shows_nothing(left in credential(), right in credential()) {
        let (a, b) = (Secret::new(left.clone()), Secret::new(right.clone()));
        prop_assert_eq!(a == b, left == right);
        prop_assert_eq!(a.digest() == b.digest(), left == right);
        prop_assert_eq!(a.expose(), &left);
        prop_assert_eq!(format!("{a:?}"), "Secret(..)");
        prop_assert_eq!(serde_json::from_value::<Secret>(json!(left)).unwrap(), Secret::new(left.clone()));
        // 1*VSCHAR (RFC 6749 appendix A), bounded.
        let grammar = !left.is_empty()
            && left.len() <= MAX_CREDENTIAL_BYTES
            && left.chars().all(|c| matches!(c, ' '..='~'));
        prop_assert_eq!(a.is_well_formed(), grammar);
        prop_assert_eq!(a.check("code").is_ok(), grammar);
        let error = Secret::new("\0").check("code").unwrap_err().to_string();
        prop_assert!(!error.contains('\0'));
    }

    #[test]
    fn a_verifier_fits_its_own_challenge_and_no_other(
        verifier in prop_oneof![1 => text(), 3 => "[A-Za-z0-9._~-]{40,130}"],
        other in prop_oneof![1 => text(), 1 => "[A-Za-z0-9._~-]{43,128}"],
        method in prop::option::of(prop_oneof![text(), Just("S256".into()), Just("plain".into())]),
    ) {
        // RFC 7636 4.1.
        let well_formed = (43..=128).contains(&verifier.len())
            && verifier.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        let secret = Secret::new(verifier.clone());
        let s256 = CodeChallenge::s256(&secret);
        prop_assert_eq!(s256.matches(&secret), well_formed);
        prop_assert!(other == verifier || !s256.matches(&Secret::new(other.clone())));
        match CodeChallenge::from_parameters(Some(&verifier), method.as_deref()) {
            Ok(challenge) => {
                let challenge = challenge.unwrap();
                let plain = challenge.method() == CodeChallengeMethod::Plain;
                prop_assert_eq!(challenge.matches(&secret), plain);
                prop_assert!(!plain || other == verifier || !challenge.matches(&Secret::new(other)));
            }
            Err(error) => prop_assert!(is_invalid(&error), "{error}"),
        }
        let sent = CodeChallenge::from_parameters(Some(s256.as_s256()), Some("S256"));
        prop_assert_eq!(sent.unwrap().unwrap(), s256);
    }

    /// Every parser reads an accepted redirect URI alike: absolute, without a fragment or a user, and
    /// with nothing that a parser would repair.
    #[test]
    fn an_accepted_redirect_uri_is_harmless(
        uri in prop_oneof![
            text(),
            "(https?|HTTP|com\\.example|javascript|data|blob|file|view-source)?:/{0,3}[ -~]{0,30}",
            "https://[a-z.@:\\[\\]0-9]{0,12}[/?#\\\\][ -~]{0,10}",
        ],
    ) {
        let accepted = match ClientMetadata::authorization_code([uri.clone()]).check() {
            Ok(()) => true,
            Err(error) => {
                prop_assert!(matches!(error, Error::Invalid { field: "redirect_uri", .. }), "{error}");
                false
            }
        };
        // Registration, the authorization endpoint and a URL parser agree.
        let code = Secret::new("code");
        let new = NewAuthorizationCode::new("c", Scope::default(), uri.clone(), code);
        prop_assert_eq!(new.check(&RequestContext::default()).is_ok(), accepted);
        if accepted {
            let url = url::Url::parse(&uri).unwrap();
            let scheme = uri.split(':').next().unwrap().to_ascii_lowercase();
            prop_assert_eq!(url.scheme(), &scheme);
            prop_assert!(!["javascript", "data", "vbscript", "file", "blob"].contains(&scheme.as_str()));
            prop_assert!(url.fragment().is_none() && url.username().is_empty() && url.password().is_none());
            if scheme == "https" || scheme == "http" {
                let authority = uri[scheme.len() + 3..].split(['/', '?']).next().unwrap();
                prop_assert!(!authority.is_empty() && !authority.contains(['@', '\\']));
                prop_assert!(url.host_str().is_some_and(|host| !host.is_empty()));
            }
        }
    }

    #[test]
    fn a_registration_is_refused_or_stable(body in registration()) {
        if let Ok(metadata) = serde_json::from_str::<ClientMetadata>(&body) {
            match metadata.check() {
                Ok(()) => {
                    let json = serde_json::to_string(&metadata).unwrap();
                    let again: ClientMetadata = serde_json::from_str(&json).unwrap();
                    prop_assert_eq!(again, metadata);
                }
                Err(error) => prop_assert!(is_invalid(&error), "{error}"),
            }
        }
    }

    /// Any metadata becomes JSON that has each name once and parses to the same metadata.
    #[test]
    fn accepted_metadata_has_each_name_once(metadata in metadata()) {
        if metadata.check().is_ok() {
            let json = serde_json::to_string(&metadata).unwrap();
            let again = serde_json::from_str::<ClientMetadata>(&json);
            prop_assert!(again.is_ok(), "{json}: {again:?}");
            // A member that is null or an empty string counts as absent.
            let mut metadata = metadata;
            metadata.details.other.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
            prop_assert_eq!(again.unwrap(), metadata);
        }
    }

    #[test]
    fn a_context_is_checked_without_a_panic(context in context()) {
        if let Err(error) = context.check() {
            prop_assert!(is_invalid(&error), "{error}");
        }
    }

    /// Parameters and headers as they come from a server's form parser.
    #[test]
    fn parameters_are_read_and_printed_without_a_panic(
        input in value(), header in text(), password in "[!-~]{20,30}",
    ) {
        let _: Result<QueryParameters, _> = serde_json::from_value(input.clone());
        let _: Result<FormParameters, _> = serde_json::from_value(input);
        let mut form = FormParameters::default();
        form.password = Some(Secret::new(password.clone()));
        let printed = format!("{form:?}");
        prop_assert!(!printed.contains(&password), "{printed}");
        let _ = ClientAuthentication::from_request(Some(&header), &form);
    }

    #[test]
    fn no_json_makes_a_type_panic(input in value()) {
        let _: Result<ClientMetadata, _> = serde_json::from_value(input.clone());
        let _: Result<oauth_storage::grant::GrantContext, _> = serde_json::from_value(input.clone());
        let _: Result<oauth_storage::User, _> = serde_json::from_value(input.clone());
        let _: Result<oauth_storage::client::Client, _> = serde_json::from_value(input.clone());
        let _: Result<Scope, _> = serde_json::from_value::<Scope>(Value::clone(&input));
    }
}
