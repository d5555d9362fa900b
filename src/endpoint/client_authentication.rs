//! Client authentication at the token, introspection and revocation endpoints (RFC 6749 2.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::client::{Client, ClientStorage, TokenEndpointAuthMethod};
use crate::endpoint::FormParameters;
use crate::error::{Error, InvalidReason, Result};
use crate::request::RequestContext;
use crate::secret::Secret;

/// The client authentication that came with a request (RFC 6749 2.3).
///
/// Call [`verify`](Self::verify) to find the client.
/// [`get_client`](crate::ClientStorage::get_client) alone is not enough: without a secret it returns any client.
///
/// ```
/// use oauth_storage::client::TokenEndpointAuthMethod;
/// use oauth_storage::endpoint::{ClientAuthentication, FormParameters};
///
/// // RFC 6749 2.3.1.
/// let basic = "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW";
/// let found = ClientAuthentication::from_request(Some(basic), &FormParameters::default())?.unwrap();
/// assert_eq!(found.client_id, "s6BhdRkqt3");
/// assert_eq!(found.client_secret.unwrap().expose(), "gX1fBat3bV");
/// assert_eq!(found.method, TokenEndpointAuthMethod::ClientSecretBasic);
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientAuthentication {
    /// The client identifier that the request names.
    pub client_id: String,
    /// The client secret; `None` for a public client.
    pub client_secret: Option<Secret>,
    /// The authentication method of the request.
    pub method: TokenEndpointAuthMethod,
}

impl ClientAuthentication {
    /// Reads the `Authorization` header (HTTP Basic) or, without one, the form. Returns `None` if
    /// neither has a client identifier or the header is not valid HTTP Basic. Answer
    /// `invalid_client` then.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] with [`InvalidReason::NotAllowed`] if the request authenticates
    /// twice (field `client_secret`, RFC 6749 2.3) or names two different clients (field
    /// `client_id`). Answer `invalid_request` then.
    pub fn from_request(
        authorization: Option<&str>,
        form: &FormParameters,
    ) -> Result<Option<Self>> {
        let (client_id, client_secret) = (&form.client_id, &form.client_secret);
        let Some(header) = authorization else {
            let method = match client_secret {
                Some(_) => TokenEndpointAuthMethod::ClientSecretPost,
                None => TokenEndpointAuthMethod::None,
            };
            return Ok(client_id.clone().map(|client_id| Self {
                client_id,
                client_secret: client_secret.clone(),
                method,
            }));
        };
        let Some((basic_id, basic_secret)) = basic(header) else { return Ok(None) };
        if client_secret.is_some() {
            return Err(Error::invalid("client_secret", InvalidReason::NotAllowed));
        }
        if client_id.as_ref().is_some_and(|own| *own != basic_id) {
            return Err(Error::invalid("client_id", InvalidReason::NotAllowed));
        }
        Ok(Some(Self {
            client_id: basic_id,
            client_secret: Some(basic_secret),
            method: TokenEndpointAuthMethod::ClientSecretBasic,
        }))
    }

    /// Returns the client if it is known and enabled, its secret is right, and it authenticates in the way that
    /// it registered; else `None`: answer `invalid_client`.
    ///
    /// [`get_client`](crate::ClientStorage::get_client) alone returns the record of any client if the request
    /// has no secret. This compares the method as well.
    ///
    /// ```
    /// use oauth_storage::endpoint::{ClientAuthentication, FormParameters};
    /// use oauth_storage::{ClientMetadata, ClientRegistry, MemoryStorage, NewClient};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// let storage = MemoryStorage::new();
    /// let new = NewClient::new(ClientMetadata::client_credentials());
    /// let registered = storage.register_client(new).await?;
    ///
    /// // The client has a secret, and the request leaves it out.
    /// let mut form = FormParameters::default();
    /// form.client_id = Some(registered.client.client_id);
    /// let given = ClientAuthentication::from_request(None, &form)?.unwrap();
    /// assert!(given.verify(&storage).await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`]).
    pub async fn verify<S: ClientStorage + ?Sized>(&self, storage: &S) -> Result<Option<Client>> {
        let (request, secret) = (RequestContext::default(), self.client_secret.as_ref());
        let client = storage.get_client(&request, &self.client_id, secret).await?;
        Ok(client.filter(|client| {
            client.metadata.token_endpoint_auth_method == self.method
                && self.method.uses_secret() == secret.is_some()
        }))
    }
}

/// The credentials of HTTP Basic (RFC 7617 2).
fn basic(header: &str) -> Option<(String, Secret)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = decoded.split_once(':')?;
    Some((form_decode(client_id), Secret::new(form_decode(secret))))
}

/// Decodes an identifier or secret, which are form-encoded in Basic credentials (RFC 6749 2.3.1).
fn form_decode(text: &str) -> String {
    // Escaped, so that the whole text is decoded as one name.
    let text = text.replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(text.as_bytes()).next().unwrap_or_default().0.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::FormParameters;

    fn of(header: Option<&str>, id: Option<&str>, secret: Option<&str>) -> Result<Option<String>> {
        let form = FormParameters {
            client_id: id.map(Into::into),
            client_secret: secret.map(Into::into),
            ..FormParameters::default()
        };
        let found = ClientAuthentication::from_request(header, &form)?;
        Ok(found.map(|found| {
            let secret = found.client_secret.as_ref().map_or("-", Secret::expose);
            format!("{} {secret} {}", found.client_id, found.method)
        }))
    }

    fn basic(text: &str) -> String {
        format!("bAsIc {}", STANDARD.encode(text))
    }

    #[test]
    fn each_method_is_recognized() {
        let found = |header, id, secret| of(header, id, secret).unwrap();
        assert_eq!(found(None, Some("c"), None).unwrap(), "c - none");
        assert_eq!(found(None, Some("c"), Some("s")).unwrap(), "c s client_secret_post");
        let header = basic("c%3a1:a+b%26=c&d");
        let basic = Some("c:1 a b&=c&d client_secret_basic".to_owned());
        assert_eq!(found(Some(&header), None, None), basic);
        assert_eq!(found(Some(&header), Some("c:1"), None), basic);
        // An empty secret is a secret: this is not a public client.
        assert_eq!(
            found(Some(&super::tests::basic("c:")), None, None).unwrap(),
            "c  client_secret_basic"
        );
    }

    #[test]
    fn missing_credentials_are_none_and_two_are_refused() {
        for header in [None, Some("Bearer x"), Some("Basic"), Some("Basic !"), Some("Basic Yw==")] {
            assert_eq!(of(header, None, Some("s")).unwrap(), None, "{header:?}");
        }
        // An unreadable header does not fall back to the form.
        assert_eq!(of(Some("Bearer x"), Some("c"), Some("s")).unwrap(), None);
        let header = basic("c:s");
        for (id, secret) in [(None, Some("s")), (Some("c"), Some("s")), (Some("d"), None)] {
            assert!(matches!(of(Some(&header), id, secret), Err(Error::Invalid { .. })));
        }
    }
}
