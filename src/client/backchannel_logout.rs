//! The metadata of back-channel logout, which [`ClientDetails::other`](super::ClientDetails::other) keeps.

use serde_json::Value;

use super::ClientMetadata;
use crate::error::{Error, InvalidReason, Result};
use crate::redirect_uri::check_redirect_uri;

const URI: &str = "backchannel_logout_uri";

impl ClientMetadata {
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
        check_redirect_uri(uri).map_err(|error| match error {
            Error::Invalid { reason, .. } => Error::invalid(URI, reason),
            other => other,
        })?;
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
    fn a_client_may_require_a_sid() {
        let mut metadata = ClientMetadata::default();
        assert!(!metadata.backchannel_logout_session_required());
        let name = "backchannel_logout_session_required".to_owned();
        metadata.details.other.insert(name, json!(true));
        assert!(metadata.backchannel_logout_session_required());
    }
}
