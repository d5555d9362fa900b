//! The authorization endpoint (RFC 6749 3.1, OpenID Connect Core 3.1.2): from a request to a code.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{RawForm, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use oauth_storage::{
    Client, CodeChallenge, NewAuthorizationCode, NewIdToken, NewToken, QueryParameters,
    ResponseType, Scope, Secret, User,
};
use url::form_urlencoded;

use super::callback::Callback;
use super::error::{OAuthError, PageError, Result};
use super::session::{Pending, Session};
use super::{Server, Shared};

/// What is kept while the user is asked.
const MAX_QUERY_BYTES: usize = 8 * 1024;

/// An authorization request that was found to be in order.
pub(crate) struct Authorization {
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
) -> Result<(CookieJar, Response), PageError> {
    let Form(query) = query?;
    let bad = |message: &str| PageError(StatusCode::BAD_REQUEST, message.into());
    if raw.is_some_and(|raw| raw.len() > MAX_QUERY_BYTES) {
        return Err(bad("The request is too long."));
    }
    let client_id = query.client_id.as_deref().ok_or_else(|| OAuthError::missing("client_id"))?;
    let client = server.storage.get_client(&server.request(None), client_id, None).await?;
    let client = client.ok_or_else(|| bad("This application is not known here."))?;
    let callback = Callback::new(&client, &query, &server.config.issuer);
    let callback = callback.ok_or_else(|| bad("The address to return to is not registered."))?;

    let authorization = match Authorization::check(&server, client, callback.clone(), query) {
        Ok(authorization) => Arc::new(authorization),
        Err(error) => return Ok((jar, callback.refuse(error))),
    };
    let pending = Pending { authorization, signed_in_for_it: false };
    let session = server.sessions.find(&jar);
    let step = next_step(&server, &pending, session.as_ref()).await?;
    let (page, error) = match step {
        Step::Answer(user) => return Ok((jar, answer(&server, &pending, user).await)),
        Step::SignIn => ("sign-in", "login_required"),
        Step::Consent(_) => ("consent", "consent_required"),
    };
    if pending.authorization.asks_for("none") {
        return Ok((jar, callback.refuse(OAuthError::new(error, "the user has to be asked"))));
    }
    // The request stays here, so that nobody can change it between the pages.
    let (jar, session) = server.open_session(jar)?;
    let id = server.sessions.suspend(&session, pending)?;
    Ok((jar, Redirect::to(&format!("{page}?request={id}")).into_response()))
}

/// A request may be posted, from any site. A browser keeps our cookie from such a post, but not
/// from the GET that follows.
pub(crate) async fn post(RawForm(form): RawForm) -> Redirect {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.extend_pairs(form_urlencoded::parse(&form)).finish();
    Redirect::to(&format!("authorize?{query}"))
}

impl Authorization {
    fn check(
        server: &Server,
        client: Client,
        callback: Callback,
        query: QueryParameters,
    ) -> Result<Self> {
        let refuse = |code, description: &str| Err(OAuthError::new(code, description));
        if query.request.is_some() {
            return refuse("request_not_supported", "send plain parameters");
        }
        if query.request_uri.is_some() {
            return refuse("request_uri_not_supported", "send plain parameters");
        }
        let response_type = query.response_type.as_deref();
        let response_type = response_type.ok_or_else(|| OAuthError::missing("response_type"))?;
        let Ok(response_type) = response_type.parse::<ResponseType>() else {
            return refuse("unsupported_response_type", "there is no such response type");
        };
        if response_type.is_front_channel() && !server.config.implicit {
            return refuse("unsupported_response_type", "ask for a code");
        }
        if !client.allows_response_type(response_type) {
            return refuse("unauthorized_client", "the client is not registered for that");
        }
        if !callback.is_in(query.response_mode.as_deref()) {
            return refuse("invalid_request", "no such response_mode, or not for this answer");
        }
        let scope = client.requested_scope(query.scope.as_deref())?;
        if response_type.has_id_token() && !scope.contains("openid") {
            return refuse("invalid_scope", "an ID token needs the scope openid");
        }
        if response_type.has_id_token() && query.nonce.is_none() {
            return Err(OAuthError::missing("nonce"));
        }
        // A confidential client's code is of no use without its secret (RFC 9700 2.1.1).
        let code_challenge = query.parse_code_challenge(&server.config.settings)?;
        if response_type.has_code() && client.is_public() && code_challenge.is_none() {
            return Err(OAuthError::missing("code_challenge"));
        }
        let max_age = query.max_age.as_deref().map(|seconds| seconds.parse());
        let Ok(max_age) = max_age.transpose() else {
            return refuse("invalid_request", "max_age is a number of seconds");
        };
        let max_age = max_age.map(Duration::from_secs);
        let checked =
            Self { client, callback, scope, query, response_type, code_challenge, max_age };
        let known = ["none", "login", "consent", "select_account"];
        if checked.prompts().any(|prompt| !known.contains(&prompt))
            || checked.asks_for("none") && checked.prompts().count() > 1
        {
            return refuse("invalid_request", "no such prompt, or none with another");
        }
        Ok(checked)
    }

    fn prompts(&self) -> impl Iterator<Item = &str> {
        self.query.prompt.as_deref().unwrap_or_default().split_ascii_whitespace()
    }

    fn asks_for(&self, prompt: &str) -> bool {
        self.prompts().any(|asked| asked == prompt)
    }
}

/// What is left to do before a request is answered.
pub(crate) enum Step {
    SignIn,
    Consent(User),
    Answer(User),
}

pub(crate) async fn next_step(
    server: &Server,
    pending: &Pending,
    session: Option<&Session>,
) -> Result<Step> {
    let authorization = &pending.authorization;
    let Some((user, since)) = session.and_then(|session| session.user.clone()) else {
        return Ok(Step::SignIn);
    };
    let again = authorization.asks_for("login")
        || authorization.asks_for("select_account")
        || authorization.max_age.is_some_and(|max_age| since.elapsed() > max_age);
    if again && !pending.signed_in_for_it {
        return Ok(Step::SignIn);
    }
    // Any program may say that it is this client, unless the answer goes to the client's own site
    // or is of no use without its secret. Where it may, users are asked each time (RFC 8252 8.6).
    let Authorization { client, callback, scope, response_type, .. } = &**authorization;
    let is_proven = callback.redirect_uri.starts_with("https://")
        || !client.is_public() && !response_type.is_front_channel();
    if !is_proven || authorization.asks_for("consent") {
        return Ok(Step::Consent(user));
    }
    // Who has agreed, and has not disconnected since, is not asked again.
    let agreed = server
        .grants(&user.subject)
        .await?
        .into_iter()
        .any(|grant| grant.client_id == client.client_id && scope.is_subset_of(&grant.scope));
    Ok(if agreed { Step::Answer(user) } else { Step::Consent(user) })
}

/// Issues what was asked for, and sends the user back with it.
pub(crate) async fn answer(server: &Server, pending: &Pending, user: User) -> Response {
    let authorization = &pending.authorization;
    match issue(server, authorization, user).await {
        Ok(parameters) => authorization.callback.answer(parameters),
        Err(error) => authorization.callback.refuse(error),
    }
}

async fn issue(
    server: &Server,
    authorization: &Authorization,
    user: User,
) -> Result<Vec<(&'static str, String)>> {
    let Authorization { client, callback, scope, response_type, query, .. } = authorization;
    let (id, redirect_uri) = (&client.client_id, &callback.redirect_uri);
    let request = server.request(Some(user));
    let mut parameters = Vec::new();
    let mut new_token = NewToken::new(id, scope.clone(), Secret::generate()?);
    new_token.context.nonce.clone_from(&query.nonce);

    let code = response_type.has_code().then(Secret::generate).transpose()?;
    if let Some(code) = &code {
        let new = NewAuthorizationCode {
            response_type: *response_type,
            code_challenge: authorization.code_challenge.clone(),
            nonce: query.nonce.clone(),
            ..NewAuthorizationCode::new(id, scope.clone(), redirect_uri, code.clone())
        };
        // One grant, so that a replay of the code takes this access token with it.
        new_token.grant_id =
            server.storage.create_authorization_code(&request, new).await?.grant_id;
        parameters.push(("code", code.expose().to_owned()));
    }
    let access_token = response_type.has_token().then(|| new_token.access_token.clone());
    if let Some(access_token) = &access_token {
        let token = server.storage.create_token(&request, new_token).await?;
        parameters.push(("access_token", access_token.expose().to_owned()));
        parameters.push(("token_type", "Bearer".to_owned()));
        parameters.push(("expires_in", token.expires_in().to_string()));
        parameters.push(("scope", token.scope.to_string()));
    }
    if response_type.has_id_token() {
        let new = NewIdToken {
            response_type: *response_type,
            redirect_uri: Some(redirect_uri),
            nonce: query.nonce.as_deref(),
            access_token: access_token.as_ref(),
            code: code.as_ref(),
            ..NewIdToken::new(id, scope)
        };
        parameters.push(("id_token", server.storage.get_id_token(&request, new).await?));
    }
    Ok(parameters)
}
