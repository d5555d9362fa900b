/// The authentication method of a client at the token endpoint (RFC 7591 2, RFC 8705 2).
///
/// `client_secret_jwt` is not supported because it needs the plaintext secret, and the storage
/// keeps only its hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenEndpointAuthMethod {
    /// A public client.
    None,
    /// HTTP Basic (RFC 6749 2.3.1).
    #[default]
    ClientSecretBasic,
    /// Form parameters (RFC 6749 2.3.1).
    ClientSecretPost,
    /// A signed assertion (RFC 7523).
    PrivateKeyJwt,
    /// A PKI certificate (RFC 8705 2.1).
    TlsClientAuth,
    /// A self-signed certificate (RFC 8705 2.2).
    SelfSignedTlsClientAuth,
}

names!(TokenEndpointAuthMethod, "token_endpoint_auth_method", {
    None => "none",
    ClientSecretBasic => "client_secret_basic",
    ClientSecretPost => "client_secret_post",
    PrivateKeyJwt => "private_key_jwt",
    TlsClientAuth => "tls_client_auth",
    SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
});

impl TokenEndpointAuthMethod {
    /// Returns true if the client authenticates with a client secret.
    #[must_use]
    pub const fn uses_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}
