/// A grant type of client metadata and token requests (RFC 7591 2).
///
/// ```
/// use oauth_storage::client::GrantType;
/// assert_eq!("client_credentials".parse::<GrantType>()?, GrantType::ClientCredentials);
/// assert!("card_trick".parse::<GrantType>().is_err());
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GrantType {
    /// RFC 6749 4.1.
    AuthorizationCode,
    /// RFC 6749 4.2.
    Implicit,
    /// RFC 6749 4.3.
    Password,
    /// RFC 6749 4.4.
    ClientCredentials,
    /// RFC 6749 6.
    RefreshToken,
    /// RFC 7523.
    JwtBearer,
    /// RFC 7522.
    Saml2Bearer,
    /// RFC 8628.
    DeviceCode,
    /// RFC 8693.
    TokenExchange,
}

names!(GrantType, "grant_type", {
    AuthorizationCode => "authorization_code",
    Implicit => "implicit",
    Password => "password",
    ClientCredentials => "client_credentials",
    RefreshToken => "refresh_token",
    JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
    Saml2Bearer => "urn:ietf:params:oauth:grant-type:saml2-bearer",
    DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
    TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
});
