use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_storage::error::Result;
use oauth_storage::user_session::{NewUserSession, SignOut, StartedSession, UserSession};
use oauth_storage::{Secret, UserSessionStorage};

/// The session of a browser.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BrowserSession {
    /// The secret of the cookie.
    pub secret: Secret,
    /// The record of the session.
    pub record: UserSession,
}

impl BrowserSession {
    /// The token for the forms of this session, which no other site can read. It follows from the secret of the cookie,
    /// so it is stored nowhere.
    #[must_use]
    pub fn csrf_token(&self) -> Secret {
        self.derive("csrf", "")
    }

    /// A value that only this session has, for a purpose and a text. It does not reveal the cookie's secret.
    #[must_use]
    pub fn derive(&self, purpose: &str, text: &str) -> Secret {
        let input = format!("{purpose}\n{}\n{text}", self.secret.expose());
        Secret::new(URL_SAFE_NO_PAD.encode(Secret::new(input).digest().as_bytes()))
    }
}

/// The cookie of the sessions of users ([`UserSessionStorage`]). It is `HttpOnly` and `SameSite=Lax`; over https no
/// sibling domain can set it (`__Host-`).
///
/// ```
/// use axum::extract::State;
/// use axum_extra::extract::CookieJar;
/// use oauth_storage::MemoryStorage;
/// use oauth_storage_axum::{OAuthError, SessionCookie};
///
/// async fn account(
///     State(storage): State<MemoryStorage>,
///     jar: CookieJar,
/// ) -> Result<String, OAuthError> {
///     let cookie = SessionCookie::new("https://issuer.example");
///     Ok(match cookie.find(&storage, &jar).await? {
///         Some(session) => session.record.subject,
///         None => "nobody is signed in".to_owned(),
///     })
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionCookie {
    name: &'static str,
    is_secure: bool,
}

impl SessionCookie {
    /// The cookie of a server with this issuer: secure unless the issuer is an `http` URL, as in a test.
    #[must_use]
    pub fn new(issuer: &str) -> Self {
        let is_secure = !issuer.starts_with("http://");
        Self { name: if is_secure { "__Host-session" } else { "session" }, is_secure }
    }

    /// Finds the live session of a browser.
    ///
    /// # Errors
    /// Fails only if the storage does.
    pub async fn find<S: UserSessionStorage + ?Sized>(
        &self,
        storage: &S,
        jar: &CookieJar,
    ) -> Result<Option<BrowserSession>> {
        let Some(cookie) = jar.get(self.name) else { return Ok(None) };
        let secret = Secret::new(cookie.value());
        let found = storage.find_session(&secret).await?;
        Ok(found.map(|record| BrowserSession { secret, record }))
    }

    /// Starts a session, or continues the browser's session of the same user. The secret is always new, so that
    /// somebody who planted one (session fixation) has no access. The session of another user ends: notify the clients
    /// of the [`SignOut`].
    ///
    /// # Errors
    /// Returns the errors of the storage for the new session.
    pub async fn sign_in<S: UserSessionStorage + ?Sized>(
        &self,
        storage: &S,
        jar: CookieJar,
        new: NewUserSession,
    ) -> Result<(CookieJar, BrowserSession, SignOut)> {
        let (mut started, mut ended) = (None, SignOut::default());
        if let Some(cookie) = jar.get(self.name) {
            let secret = Secret::new(cookie.value());
            started = storage.reauthenticate_session(&secret, new.user.clone()).await?;
            if started.is_none() {
                ended = storage.end_session(&secret).await?;
            }
        }
        let StartedSession { secret, session: record } = match started {
            Some(started) => started,
            None => storage.start_session(new).await?,
        };
        let jar = jar.add(self.build(secret.expose()));
        Ok((jar, BrowserSession { secret, record }, ended))
    }

    /// Ends the session of a browser, and expires its cookie. Notify the clients of the [`SignOut`].
    ///
    /// # Errors
    /// Fails only if the storage does.
    pub async fn sign_out<S: UserSessionStorage + ?Sized>(
        &self,
        storage: &S,
        jar: CookieJar,
    ) -> Result<(CookieJar, SignOut)> {
        let Some(cookie) = jar.get(self.name) else { return Ok((jar, SignOut::default())) };
        let ended = storage.end_session(&Secret::new(cookie.value())).await?;
        Ok((jar.remove(self.build("")), ended))
    }

    fn build(&self, value: &str) -> Cookie<'static> {
        Cookie::build((self.name, value.to_owned()))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.is_secure)
            .build()
    }
}
