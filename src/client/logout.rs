//! The metadata of RP-initiated and back-channel logout, which [`ClientDetails::other`](super::ClientDetails::other) keeps.

use serde_json::Value;

use super::{Client, ClientMetadata};
use crate::error::{Error, InvalidReason, Result};
use crate::redirect_uri::check_redirect_uri;

const URI: &str = "backchannel_logout_uri";
const RETURN_URIS: &str = "post_logout_redirect_uris";

impl Client {
    /// Returns true if the client registered this address to return to after a logout (OpenID Connect RP-Initiated
    /// Logout 2), and a browser may be sent there. The comparison is exact.
    ///
    /// ```
    /// use oauth_storage::{ClientMetadata, ClientRegistry, MemoryStorage, NewClient};
    /// use serde_json::json;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// let mut metadata = ClientMetadata::authorization_code(["https://client.example/cb"]);
    /// let uris = json!(["https://client.example/goodbye"]);
    /// metadata.details.other.insert("post_logout_redirect_uris".into(), uris);
    /// let client = MemoryStorage::new().register_client(NewClient::new(metadata)).await?.client;
    /// assert!(client.allows_post_logout_redirect_uri("https://client.example/goodbye"));
    /// assert!(!client.allows_post_logout_redirect_uri("https://client.example/goodbye?a=b"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn allows_post_logout_redirect_uri(&self, uri: &str) -> bool {
        let registered = self.metadata.details.other.get(RETURN_URIS).and_then(Value::as_array);
        // An import stores what was not checked.
        registered.is_some_and(|uris| uris.iter().any(|own| own == uri))
            && check_redirect_uri(uri).is_ok()
    }
}

impl ClientMetadata {
    /// Checks the addresses to return to, with the rules of a redirect URI.
    pub(super) fn check_post_logout_redirect_uris(&self) -> Result<()> {
        let uris = match self.details.other.get(RETURN_URIS) {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Array(uris)) => uris,
            Some(_) => return Err(Error::invalid(RETURN_URIS, InvalidReason::Unsupported)),
        };
        uris.iter().try_for_each(|uri| match uri {
            Value::String(uri) => check_redirect_uri(uri).map_err(|error| of(RETURN_URIS, error)),
            _ => Err(Error::invalid(RETURN_URIS, InvalidReason::Unsupported)),
        })
    }

    /// The address to which the server posts logout tokens (OpenID Connect Back-Channel Logout 2.2); `None` if the
    /// client registered none. It comes from the client, so do not let it lead into your own network.
    ///
    /// ```
    /// use oauth_storage::ClientMetadata;
    /// use serde_json::json;
    ///
    /// let mut metadata = ClientMetadata::authorization_code(["https://client.example/cb"]);
    /// let uri = "https://client.example/logout";
    /// metadata.details.other.insert("backchannel_logout_uri".into(), json!(uri));
    /// assert_eq!(metadata.backchannel_logout_uri()?, Some(uri));
    /// # Ok::<(), oauth_storage::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] with `backchannel_logout_uri` unless it is an absolute `https` URI, or an
    /// `http` URI of a loopback host for development, without a fragment and user information.
    /// [`check`](Self::check) returns the same error.
    pub fn backchannel_logout_uri(&self) -> Result<Option<&str>> {
        let uri = match self.details.other.get(URI) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(uri)) => uri,
            Some(_) => return Err(Error::invalid(URI, InvalidReason::Unsupported)),
        };
        // The rules of a redirect URI, except that no application on the user's device receives it.
        check_redirect_uri(uri).map_err(|error| of(URI, error))?;
        if !uri.starts_with("https://") && !uri.starts_with("http://") {
            return Err(Error::invalid(URI, InvalidReason::Hostile));
        }
        Ok(Some(uri))
    }

    /// Returns true if the client requires `sid` in its logout tokens
    /// (`backchannel_logout_session_required`, OpenID Connect Back-Channel Logout 2.2).
    #[must_use]
    pub fn backchannel_logout_session_required(&self) -> bool {
        self.details.other.get("backchannel_logout_session_required") == Some(&Value::Bool(true))
    }
}

/// The error of a redirect URI, for another field.
fn of(field: &'static str, error: Error) -> Error {
    match error {
        Error::Invalid { reason, .. } => Error::invalid(field, reason),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(uri: Value) -> ClientMetadata {
        let mut metadata = ClientMetadata::authorization_code(["https://client.example/cb"]);
        metadata.details.other.insert(URI.to_owned(), uri);
        metadata
    }

    #[test]
    fn an_address_for_logout_tokens_is_https() {
        for uri in ["https://client.example/logout?a=b", "http://127.0.0.1:8080/logout"] {
            let metadata = with(json!(uri));
            assert_eq!(metadata.backchannel_logout_uri().unwrap(), Some(uri));
            assert!(metadata.check().is_ok());
        }
        assert_eq!(ClientMetadata::default().backchannel_logout_uri().unwrap(), None);
        for (uri, reason) in [
            (json!("http://client.example/logout"), InvalidReason::Unencrypted),
            (json!("https://client.example/logout#x"), InvalidReason::Fragment),
            (json!("https://user@client.example/"), InvalidReason::Hostile),
            (json!("com.example.app:/logout"), InvalidReason::Hostile),
            (json!(["https://client.example/"]), InvalidReason::Unsupported),
            (json!(1), InvalidReason::Unsupported),
        ] {
            for result in
                [with(uri.clone()).backchannel_logout_uri().map(drop), with(uri.clone()).check()]
            {
                match result {
                    Err(Error::Invalid { field: URI, reason: own }) => assert_eq!(own, reason),
                    other => panic!("{uri}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_browser_is_sent_only_to_a_web_address_or_an_application() {
        let with = |uris: Value| {
            let mut metadata = ClientMetadata::authorization_code(["https://client.example/cb"]);
            metadata.details.other.insert(RETURN_URIS.to_owned(), uris);
            metadata
        };
        for uri in ["https://client.example/", "http://127.0.0.1:9/bye?a=b", "com.example.app:/bye"]
        {
            assert!(with(json!(["https://other.example/", uri])).check().is_ok(), "{uri}");
        }
        assert!(with(json!([])).check().is_ok() && with(Value::Null).check().is_ok());
        for (uris, reason) in [
            (json!(["http://client.example/"]), InvalidReason::Unencrypted),
            (json!(["https://client.example/", "javascript:alert(1)"]), InvalidReason::Hostile),
            (json!(["data:text/html,x"]), InvalidReason::Hostile),
            (json!(["https://client.example/\u{1b}[2J"]), InvalidReason::Character),
            (json!("https://client.example/"), InvalidReason::Unsupported),
            (json!([1]), InvalidReason::Unsupported),
        ] {
            match with(uris.clone()).check() {
                Err(Error::Invalid { field: RETURN_URIS, reason: own }) => assert_eq!(own, reason),
                other => panic!("{uris}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_client_may_require_a_sid() {
        let mut metadata = ClientMetadata::default();
        assert!(!metadata.backchannel_logout_session_required());
        let name = "backchannel_logout_session_required".to_owned();
        metadata.details.other.insert(name, json!(true));
        assert!(metadata.backchannel_logout_session_required());
    }
}
