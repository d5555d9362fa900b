//! The authorization endpoint (RFC 6749 3.1, OpenID Connect Core 3.1.2): from a request to a code.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{RawForm, RawQuery, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::client::Client;
use oauth_storage::endpoint::QueryParameters;
use oauth_storage::grant::GrantContext;
use oauth_storage::id_token::NewIdToken;
use oauth_storage::token::NewToken;
use oauth_storage::{NewAuthorizationCode, ResponseType, Scope, Secret, TokenPair, User};
use url::form_urlencoded;

use super::callback::{Callback, Parameters};
use super::error::{OAuthError, PageResult, Result, ensure, require};
use super::session::{Session, SignIn};
use super::{Server, Shared};

/// The longest query, because a request is kept in memory while the user signs in and agrees.
const MAX_QUERY_BYTES: usize = 8 * 1024;

/// The newest grants of a user that are searched for an earlier consent.
const SEARCHED_GRANTS: usize = 100;

/// A checked authorization request.
pub(crate) struct Authorization {
    /// The identifier of the request in links and forms.
    pub(crate) id: String,
    pub(crate) client: Client,
    pub(crate) callback: Callback,
    pub(crate) scope: Scope,
    pub(crate) query: QueryParameters,
    response_type: ResponseType,
    code_challenge: Option<CodeChallenge>,
    max_age: Option<Duration>,
}

pub(crate) async fn get(
    State(server): Shared,
    jar: CookieJar,
    RawQuery(raw): RawQuery,
    query: Result<Form<QueryParameters>, FormRejection>,
) -> PageResult {
    let Form(query) = query?;
    let is_short = raw.is_none_or(|raw| raw.len() <= MAX_QUERY_BYTES);
    ensure(is_short, "invalid_request", "The request is too long.")?;
    let client_id = require(query.client_id.as_deref(), "client_id")?;
    let client = server.storage.get_client(&server.request(None), client_id, None).await?;
    let unknown = || OAuthError::new("invalid_request", "This application is not known here.");
    let client = client.ok_or_else(unknown)?;
    let callback = Callback::new(&client, &query, &server.config.issuer)?;

    let authorization = match Authorization::check(&server, client, callback.clone(), query) {
        Ok(authorization) => Arc::new(authorization),
        Err(error) => return Ok(callback.answer(Err(error))),
    };
    let session = server.sessions.find(&jar);
    let (page, error) = match authorization.next_step(&server, session.as_ref()).await? {
        Step::Answer(user) => return Ok(authorization.answer(&server, user).await),
        Step::SignIn => ("sign-in", "login_required"),
        Step::Consent(_) => ("consent", "consent_required"),
    };
    if authorization.asks_for("none") {
        return Ok(callback.answer(Err(OAuthError::new(error, "the user has to be asked"))));
    }
    // The server keeps the request, so that nobody can change it between the pages.
    let (jar, session) = server.sessions.open(jar)?;
    let next = Redirect::to(&format!("{page}?request={}", authorization.id));
    server.sessions.suspend(&session, authorization)?;
    Ok((jar, next).into_response())
}

/// Any site may post a request. A browser does not send the session cookie with such a post, but it
/// does with the GET that follows.
pub(crate) async fn post(RawForm(form): RawForm) -> Redirect {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.extend_pairs(form_urlencoded::parse(&form)).finish();
    Redirect::to(&format!("authorize?{query}"))
}

/// The next step of an authorization request.
pub(crate) enum Step {
    SignIn,
    Consent(User),
    Answer(User),
}

impl Authorization {
    fn check(
        server: &Server,
        client: Client,
        callback: Callback,
        query: QueryParameters,
    ) -> Result<Self> {
        let plain = "send plain parameters";
        ensure(query.request.is_none(), "request_not_supported", plain)?;
        ensure(query.request_uri.is_none(), "request_uri_not_supported", plain)?;

        let response_type = require(query.response_type.as_deref(), "response_type")?.parse();
        let unsupported = |what| OAuthError::new("unsupported_response_type", what);
        let response_type: ResponseType =
            response_type.map_err(|_| unsupported("there is no such response type"))?;
        if response_type.is_front_channel() && !server.config.implicit {
            return Err(unsupported("ask for a code"));
        }
        let registered = client.allows_response_type(response_type);
        ensure(registered, "unauthorized_client", "the client is not registered for that")?;
        let in_mode = callback.is_in(query.response_mode.as_deref());
        ensure(in_mode, "invalid_request", "no such response_mode, or not for this answer")?;

        let scope = client.requested_scope(query.scope.as_deref(), &server.config.settings)?;
        if response_type.has_id_token() {
            ensure(scope.contains("openid"), "invalid_scope", "an ID token needs openid")?;
            require(query.nonce.as_ref(), "nonce")?;
        }
        // PKCE is the only proof of a public client that the code is its own. For a confidential
        // client it is recommended (RFC 9700 2.1.1).
        let settings = &server.config.settings;
        let code_challenge = if response_type.has_code() {
            query.parse_code_challenge(&client, settings)?
        } else {
            None
        };
        let max_age = query.max_age.as_deref().map(|seconds| seconds.parse()).transpose();
        ensure(max_age.is_ok(), "invalid_request", "max_age is a number of seconds")?;
        let max_age = max_age.ok().flatten().map(Duration::from_secs);

        let id = Secret::generate()?.expose().to_owned();
        let checked =
            Self { id, client, callback, scope, query, response_type, code_challenge, max_age };
        let known = ["none", "login", "consent", "select_account"];
        let in_order = checked.prompts().all(|prompt| known.contains(&prompt))
            && (!checked.asks_for("none") || checked.prompts().count() == 1);
        ensure(in_order, "invalid_request", "no such prompt, or none with another")?;
        Ok(checked)
    }

    fn prompts(&self) -> impl Iterator<Item = &str> {
        self.query.prompt.as_deref().unwrap_or_default().split_ascii_whitespace()
    }

    fn asks_for(&self, prompt: &str) -> bool {
        self.prompts().any(|asked| asked == prompt)
    }

    pub(crate) async fn next_step(
        &self,
        server: &Server,
        session: Option<&Session>,
    ) -> Result<Step> {
        let Some(SignIn { user, at, request }) = session.and_then(|own| own.sign_in.clone()) else {
            return Ok(Step::SignIn);
        };
        let again = self.asks_for("login")
            || self.asks_for("select_account")
            || self.max_age.is_some_and(|max_age| at.elapsed() > max_age);
        if again && request.as_ref() != Some(&self.id) {
            return Ok(Step::SignIn);
        }
        // Another program can impersonate the client unless the response goes to the client's own
        // site, or is useless without the client's secret. Otherwise ask the user each time
        // (RFC 8252 8.6).
        let is_proven = self.callback.redirect_uri.starts_with("https://")
            || !self.client.is_public() && !self.response_type.is_front_channel();
        if !is_proven || self.asks_for("consent") {
            return Ok(Step::Consent(user));
        }
        // Skip the consent page if the user has agreed before and has not disconnected the
        // application since. One page of grants bounds the cost: if an earlier consent is not on
        // it, the user is asked again.
        let page = server.storage.list_grants(&user.subject, None, SEARCHED_GRANTS).await?;
        let agreed = page.grants.iter().any(|grant| {
            grant.client_id == self.client.client_id && self.scope.is_subset_of(&grant.scope)
        });
        Ok(if agreed { Step::Answer(user) } else { Step::Consent(user) })
    }

    /// Issues the requested code and tokens, and redirects to the client with them.
    pub(crate) async fn answer(&self, server: &Server, user: User) -> Response {
        self.callback.answer(self.issue(server, user).await)
    }

    async fn issue(&self, server: &Server, user: User) -> Result<Parameters> {
        let Self { client, callback, scope, response_type, query, .. } = self;
        let (id, redirect_uri) = (&client.client_id, &callback.redirect_uri);
        let request = server.request(Some(user));
        let mut parameters = Parameters::new();

        let code = response_type.has_code().then(Secret::generate).transpose()?;
        let mut grant_id = None;
        if let Some(code) = &code {
            let new = NewAuthorizationCode::new(id, scope.clone(), redirect_uri, code.clone())
                .with_response_type(*response_type)
                .with_code_challenge(self.code_challenge.clone())
                .with_nonce(query.nonce.clone());
            let stored = server.storage.create_authorization_code(&request, new).await?;
            grant_id = Some(stored.grant_id);
            parameters.push(("code", code.expose().to_owned()));
        }
        let mut access_token = None;
        if response_type.has_token() {
            // The grant of the code, so that a replay of the code revokes this access token as well.
            let tokens = grant_id.map_or_else(TokenPair::generate, TokenPair::generate_for)?;
            let tokens = tokens.without_refresh_token();
            let context = GrantContext::default().with_nonce(query.nonce.clone());
            let mut new = NewToken::new(id, scope.clone(), tokens.clone()).with_context(context);
            new.grant_id = grant_id;
            let token = server.storage.create_token(&request, new).await?;
            parameters.push(("access_token", tokens.access_token.expose().to_owned()));
            parameters.push(("token_type", "Bearer".to_owned()));
            parameters.push(("expires_in", token.expires_in().to_string()));
            parameters.push(("scope", token.scope.to_string()));
            access_token = Some(tokens.access_token);
        }
        if response_type.has_id_token() {
            let new = NewIdToken::new(id, scope)
                .with_response_type(*response_type)
                .with_redirect_uri(redirect_uri.as_str())
                .with_nonce(query.nonce.as_deref())
                .with_access_token(access_token.as_ref())
                .with_code(code.as_ref());
            parameters.push(("id_token", server.storage.get_id_token(&request, new).await?));
        }
        Ok(parameters)
    }
}
