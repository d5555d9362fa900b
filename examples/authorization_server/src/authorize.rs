//! The authorization endpoint (RFC 6749 3.1, OpenID Connect Core 3.1.2): from a request to a code.

use std::time::{Duration, SystemTime};

use axum::extract::{RawForm, RawQuery, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use chrono::{DateTime, Utc};
use oauth_storage::endpoint::AuthorizationResponse;
use oauth_storage::grant::GrantContext;
use oauth_storage::id_token::NewIdToken;
use oauth_storage::token::NewToken;
use oauth_storage::user_session::UserSession;
use oauth_storage::{NewAuthorizationCode, Secret, TokenPair};

use super::authorization::{Authorization, encode_query};
use super::error::{OAuthError, PageResult, Result};
use super::session::Session;
use super::{Server, Shared, pages, par};

pub(crate) async fn get(
    State(server): Shared,
    jar: CookieJar,
    RawQuery(raw): RawQuery,
) -> PageResult {
    let authorization = Authorization::read(&server, &raw.unwrap_or_default()).await?;
    let session = server.session(&jar).await?;
    let refused = |code| {
        let error = OAuthError::new(code, "the user has to be asked");
        Ok(authorization.callback.answer(Err(error)))
    };
    let is_silent = authorization.asks_for("none");
    let step = match authorization.next_step(&server, session.as_ref()).await {
        Ok(step) => step,
        Err(error) => return Ok(authorization.refuse(&server, session.as_ref(), error).await),
    };
    match step {
        Step::Answer(session) => Ok(authorization.answer(&server, session).await),
        Step::SignIn if is_silent => refused("login_required"),
        Step::Consent(_) if is_silent => refused("consent_required"),
        Step::SignIn => Ok(Redirect::to(&authorization.sign_in_url()).into_response()),
        Step::Consent(session) => Ok(pages::consent(session, &authorization, None)),
    }
}

/// Any site may post a request. A browser does not send the session cookie with such a post, but it
/// does with the GET that follows.
pub(crate) async fn post(RawForm(form): RawForm) -> PageResult<Redirect> {
    Ok(Redirect::to(&format!("authorize?{}", encode_query(&form)?)))
}

/// An `id_token_hint`.
enum Hint {
    None,
    /// An ID token of this server for the client, with its subject.
    Subject(String),
    /// Not an ID token of this server for the client, or none whose key is still known.
    Unknown,
}

/// The next step of an authorization request.
pub(crate) enum Step<'a> {
    SignIn,
    Consent(&'a Session),
    Answer(&'a Session),
}

impl Authorization {
    pub(crate) async fn next_step<'a>(
        &self,
        server: &Server,
        session: Option<&'a Session>,
    ) -> Result<Step<'a>> {
        let Some(session) = session else { return Ok(Step::SignIn) };
        let own = &session.record;
        let hint = self.hint(server).await?;
        let is_other = match &hint {
            Hint::None => false,
            Hint::Subject(subject) => *subject != own.subject,
            Hint::Unknown => true,
        };
        let age = DateTime::<Utc>::from(SystemTime::now()) - own.auth_time;
        let is_old = |max_age: Duration| age.to_std().is_ok_and(|age| age > max_age);
        let again = self.asks_for("login")
            || self.asks_for("select_account")
            || self.max_age.is_some_and(is_old);
        if (again || is_other) && !server.is_fresh(session, self.query()).await? {
            return Ok(Step::SignIn);
        }
        // Another user signed in (OpenID Connect Core 3.1.2.2). The key of an old ID token may be gone, so a new
        // sign-in is enough for an unknown hint.
        if is_other && matches!(hint, Hint::Subject(_)) {
            let other = "another user than that of the id_token_hint signed in";
            return Err(OAuthError::new("login_required", other));
        }
        // Another program can impersonate the client unless the response goes to the client's own
        // site, or is useless without the client's secret. Otherwise ask the user each time
        // (RFC 8252 8.6).
        let is_proven = self.callback.redirect_uri.starts_with("https://")
            || !self.client.is_public() && !self.response_type.is_front_channel();
        if !is_proven || self.asks_for("consent") {
            return Ok(Step::Consent(session));
        }
        // Skip the consent page if the user has agreed before and has not disconnected the
        // application since.
        let consent = server.storage.get_consent(&own.subject, &self.client.client_id).await?;
        let agreed = consent.is_some_and(|consent| consent.covers(&self.scope));
        Ok(if agreed { Step::Answer(session) } else { Step::Consent(session) })
    }

    /// Returns true if a sign-in for this request counts for nothing else.
    pub(crate) fn may_ask_to_sign_in(&self) -> bool {
        let Self { parameters, max_age, .. } = self;
        parameters.prompt.is_some() || max_age.is_some() || parameters.id_token_hint.is_some()
    }

    /// Ends the request, before its answer: a fresh sign-in and a pushed request count once.
    async fn finish(&self, server: &Server, session: Option<&Session>) -> Result<()> {
        if let Some(session) = session.filter(|_| self.may_ask_to_sign_in()) {
            server.forget_sign_in(session, self.query()).await?;
        }
        match &self.request_uri {
            Some(uri) => par::finish(server, &self.client.client_id, uri).await,
            None => Ok(()),
        }
    }

    /// Redirects to the client with an error.
    pub(crate) async fn refuse(
        &self,
        server: &Server,
        session: Option<&Session>,
        error: OAuthError,
    ) -> Response {
        let finished = self.finish(server, session).await;
        self.callback.answer(finished.and(Err(error)))
    }

    /// The user whom the client expects (OpenID Connect Core 3.1.2.1).
    async fn hint(&self, server: &Server) -> Result<Hint> {
        let Some(hint) = &self.parameters.id_token_hint else { return Ok(Hint::None) };
        let verified = server.storage.verify_id_token_hint(hint).await?;
        let own = verified.filter(|hint| hint.is_for(&self.client.client_id));
        Ok(own.map_or(Hint::Unknown, |hint| Hint::Subject(hint.subject)))
    }

    /// Issues the requested code and tokens, and redirects to the client with them.
    pub(crate) async fn answer(&self, server: &Server, session: &Session) -> Response {
        let finished = self.finish(server, Some(session)).await;
        self.callback.answer(match finished {
            Ok(()) => self.issue(server, &session.record).await,
            Err(error) => Err(error),
        })
    }

    async fn issue(&self, server: &Server, session: &UserSession) -> Result<AuthorizationResponse> {
        let Self { client, callback, scope, response_type, parameters: asked, .. } = self;
        let (id, redirect_uri) = (&client.client_id, &callback.redirect_uri);
        let request = server.request(Some(session.user()));
        let signing_alg = server.signing_alg(client);
        let context = GrantContext::default()
            .with_nonce(asked.nonce.clone())
            .with_jkt(asked.dpop_jkt.clone());
        let token_type = if asked.dpop_jkt.is_some() { "DPoP" } else { "Bearer" };
        let mut response = AuthorizationResponse::default();

        let code = response_type.has_code().then(Secret::generate).transpose()?;
        let mut grant_id = None;
        if let Some(code) = &code {
            let new = NewAuthorizationCode::new(id, scope.clone(), redirect_uri, code.clone())
                .with_response_type(*response_type)
                .with_code_challenge(self.code_challenge.clone())
                .with_session(session)
                .with_context(context.clone());
            let stored = server.storage.create_authorization_code(&request, new).await?;
            grant_id = Some(stored.grant_id);
            response = AuthorizationResponse::code(code);
        }
        let mut access_token = None;
        if response_type.has_token() {
            // The grant of the code, so that a replay of the code revokes this access token as well.
            let tokens = grant_id.map_or_else(TokenPair::generate, TokenPair::generate_for)?;
            let tokens = tokens.without_refresh_token();
            let mut new = NewToken::new(id, scope.clone(), tokens.clone()).with_context(context);
            new.grant_id = grant_id;
            let token = server.storage.create_token(&request, new).await?;
            response = response
                .with_parameter("access_token", tokens.access_token.expose())
                .with_parameter("token_type", token_type)
                .with_parameter("expires_in", token.expires_in().to_string())
                .with_parameter("scope", token.scope.as_str());
            access_token = Some(tokens.access_token);
        }
        if response_type.has_id_token() {
            let new = NewIdToken::new(id, scope)
                .with_response_type(*response_type)
                .with_redirect_uri(redirect_uri.as_str())
                .with_nonce(asked.nonce.as_deref())
                .with_access_token(access_token.as_ref())
                .with_code(code.as_ref())
                .with_signing_alg(signing_alg);
            let id_token = server.storage.get_id_token(&request, new).await?;
            response = response.with_parameter("id_token", id_token);
        }
        Ok(response)
    }
}
