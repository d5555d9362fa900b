//! The authorization endpoint (RFC 6749 3.1, OpenID Connect Core 3.1.2): from a request to a code.

use std::time::Duration;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{RawForm, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use oauth_storage::{
    Client, CodeChallenge, GrantContext, NewAuthorizationCode, NewIdToken, NewToken,
    QueryParameters, ResponseType, Scope, Secret, Storage, User,
};
use url::form_urlencoded;

use super::callback::Callback;
use super::error::{OAuthError, PageError};
use super::session::{Pending, Session};
use super::token::requested_scope;
use super::{Server, Shared};

/// An authorization request that was found to be in order.
pub(crate) struct Authorization {
    pub(crate) client: Client,
    pub(crate) callback: Callback,
    pub(crate) scope: Scope,
    pub(crate) login_hint: Option<String>,
    response_type: ResponseType,
    code_challenge: Option<CodeChallenge>,
    nonce: Option<String>,
    prompt: Prompt,
    max_age: Option<Duration>,
}

/// What the user has to be asked (OpenID Connect Core 3.1.2.1).
#[derive(Default)]
struct Prompt {
    none: bool,
    login: bool,
    consent: bool,
}

/// What is left to do before a request can be answered.
pub(crate) enum Step {
    SignIn,
    Consent(User),
    Answer(User),
}

pub(crate) async fn get<S: Storage + 'static>(
    State(server): Shared<S>,
    jar: CookieJar,
    query: Result<Form<QueryParameters>, FormRejection>,
) -> Result<(CookieJar, Response), PageError> {
    let Form(query) = query?;
    let client_id = query.client_id.as_deref().ok_or_else(|| OAuthError::missing("client_id"))?;
    let client = server.storage.get_client(&server.request(), client_id, None).await?;
    let nobody = || PageError::new(StatusCode::BAD_REQUEST, "This application is not known here.");
    let client = client.ok_or_else(nobody)?;
    let nowhere =
        || PageError::new(StatusCode::BAD_REQUEST, "This address is not the application's.");
    let callback = Callback::find(&client, &query, &server.config.issuer).ok_or_else(nowhere)?;

    let authorization = match Authorization::check(&server, client, callback.clone(), query) {
        Ok(authorization) => Pending::new(authorization),
        Err(error) => return Ok((jar, callback.refuse(error))),
    };
    let session = server.sessions.find(&jar);
    let prompt_none = authorization.authorization.prompt.none;
    let page = match server.next_step(&authorization, session.as_ref()).await? {
        Step::Answer(user) => return Ok((jar, server.answer(&authorization, user).await)),
        Step::SignIn if prompt_none => {
            let error = OAuthError::new("login_required", "the user is not signed in");
            return Ok((jar, callback.refuse(error)));
        }
        Step::Consent(_) if prompt_none => {
            let error = OAuthError::new("consent_required", "the user has not agreed to it");
            return Ok((jar, callback.refuse(error)));
        }
        Step::SignIn => "sign-in",
        Step::Consent(_) => "consent",
    };
    // The request stays here, so that nobody can change it between the pages.
    let (jar, session) = server.open_session(jar)?;
    let id = server.sessions.suspend(&session, authorization)?;
    Ok((jar, Redirect::to(&format!("{page}?request={id}")).into_response()))
}

/// A request may be posted, from any site (OpenID Connect Core 3.1.2.1). A browser keeps our cookie
/// from such a post, but not from the GET that follows.
pub(crate) async fn post(RawForm(form): RawForm) -> Redirect {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form_urlencoded::parse(&form))
        .finish();
    Redirect::to(&format!("authorize?{query}"))
}

impl Authorization {
    fn check<S: Storage + 'static>(
        server: &Server<S>,
        client: Client,
        callback: Callback,
        query: QueryParameters,
    ) -> Result<Self, OAuthError> {
        let invalid = |description: &str| OAuthError::new("invalid_request", description);
        if query.request.is_some() {
            return Err(OAuthError::new("request_not_supported", "send plain parameters"));
        }
        if query.request_uri.is_some() {
            return Err(OAuthError::new("request_uri_not_supported", "send plain parameters"));
        }
        let response_type = query.response_type.as_deref();
        let response_type: ResponseType = response_type
            .ok_or_else(|| OAuthError::missing("response_type"))?
            .parse()
            .map_err(|_| OAuthError::new("unsupported_response_type", "no such response type"))?;
        let front_channel = response_type.has_token() || response_type.has_id_token();
        if front_channel && !server.config.implicit {
            let description = "no tokens are sent through the browser here; ask for a code";
            return Err(OAuthError::new("unsupported_response_type", description));
        }
        if !client.allows_response_type(response_type) {
            let description = format!("the client is not registered for {response_type}");
            return Err(OAuthError::new("unauthorized_client", description));
        }
        if !callback.is_in(query.response_mode.as_deref()) {
            return Err(invalid("no such response_mode, or not for this response_type"));
        }
        let scope = requested_scope(&client, query.scope.as_deref())?;
        if response_type.has_id_token() && !scope.contains("openid") {
            return Err(OAuthError::new("invalid_scope", "an ID token needs the scope openid"));
        }
        if response_type.has_id_token() && query.nonce.is_none() {
            return Err(OAuthError::missing("nonce"));
        }
        let code_challenge = CodeChallenge::from_parameters(
            query.code_challenge.as_deref(),
            query.code_challenge_method.as_deref(),
        )?;
        // A code of a confidential client is of no use without its secret (RFC 9700 2.1.1).
        if response_type.has_code() && client.is_public() && code_challenge.is_none() {
            return Err(OAuthError::missing("code_challenge"));
        }
        let max_age = query.max_age.map(|seconds| seconds.parse().map(Duration::from_secs));
        Ok(Self {
            client,
            callback,
            scope,
            login_hint: query.login_hint,
            response_type,
            code_challenge,
            nonce: query.nonce,
            prompt: Prompt::parse(query.prompt.as_deref())?,
            max_age: max_age.transpose().map_err(|_| invalid("max_age is a number of seconds"))?,
        })
    }
}

impl Prompt {
    fn parse(prompt: Option<&str>) -> Result<Self, OAuthError> {
        let invalid = |description| Err(OAuthError::new("invalid_request", description));
        let mut parsed = Self::default();
        for word in prompt.unwrap_or_default().split_ascii_whitespace() {
            match word {
                "none" => parsed.none = true,
                "login" | "select_account" => parsed.login = true,
                "consent" => parsed.consent = true,
                _ => return invalid("prompt has an unknown value"),
            }
        }
        if parsed.none && (parsed.login || parsed.consent) {
            return invalid("prompt=none goes with no other value");
        }
        Ok(parsed)
    }
}

impl<S: Storage + 'static> Server<S> {
    pub(crate) async fn next_step(
        &self,
        pending: &Pending,
        session: Option<&Session>,
    ) -> Result<Step, OAuthError> {
        let Authorization { client, callback, scope, prompt, max_age, .. } =
            &*pending.authorization;
        let Some(signed_in) = session.and_then(|session| session.signed_in.as_ref()) else {
            return Ok(Step::SignIn);
        };
        let too_old = max_age.is_some_and(|max_age| signed_in.at.elapsed() > max_age);
        if (prompt.login || too_old) && !pending.signed_in_for_it {
            return Ok(Step::SignIn);
        }
        let user = signed_in.user.clone();
        // Anyone's program may say that it is this public client, unless the answer goes to a site
        // that only the client has (RFC 8252 8.6): so its users are asked every time.
        let is_proven = !client.is_public() || callback.redirect_uri().starts_with("https://");
        if prompt.consent || !is_proven {
            return Ok(Step::Consent(user));
        }
        // Who has agreed before, and not disconnected since, is not asked again.
        let agreed =
            self.grants(&user.subject).await?.iter().any(|grant| {
                grant.client_id == client.client_id && scope.is_subset_of(&grant.scope)
            });
        Ok(if agreed { Step::Answer(user) } else { Step::Consent(user) })
    }

    /// Issues what was asked for, and sends the user back with it.
    pub(crate) async fn answer(&self, pending: &Pending, user: User) -> Response {
        let authorization = &pending.authorization;
        match self.issue(authorization, user).await {
            Ok(parameters) => authorization.callback.answer(parameters),
            Err(error) => authorization.callback.refuse(error),
        }
    }

    async fn issue(
        &self,
        authorization: &Authorization,
        user: User,
    ) -> Result<Vec<(&'static str, String)>, OAuthError> {
        let Authorization { client, callback, scope, response_type, nonce, .. } = authorization;
        let request = self.request_for(user);
        let mut parameters = Vec::new();
        let mut new_token = NewToken::new(&client.client_id, scope.clone(), Secret::generate()?);
        new_token.context = GrantContext { nonce: nonce.clone(), ..GrantContext::default() };

        let mut code = None;
        if response_type.has_code() {
            let secret = Secret::generate()?;
            let new = NewAuthorizationCode {
                response_type: *response_type,
                code_challenge: authorization.code_challenge.clone(),
                nonce: nonce.clone(),
                ..NewAuthorizationCode::new(
                    &client.client_id,
                    scope.clone(),
                    callback.redirect_uri(),
                    secret.clone(),
                )
            };
            let stored = self.storage.create_authorization_code(&request, new).await?;
            // One grant, so that a replay of the code takes this access token with it.
            new_token.grant_id = stored.grant_id;
            parameters.push(("code", secret.expose().to_owned()));
            code = Some(secret);
        }
        let mut access_token = None;
        if response_type.has_token() {
            let secret = new_token.access_token.clone();
            let token = self.storage.create_token(&request, new_token).await?;
            parameters.push(("access_token", secret.expose().to_owned()));
            parameters.push(("token_type", "Bearer".to_owned()));
            parameters.push(("expires_in", token.expires_in().to_string()));
            parameters.push(("scope", token.scope.to_string()));
            access_token = Some(secret);
        }
        if response_type.has_id_token() {
            let new = NewIdToken {
                response_type: *response_type,
                redirect_uri: Some(callback.redirect_uri()),
                nonce: nonce.as_deref(),
                access_token: access_token.as_ref(),
                code: code.as_ref(),
                ..NewIdToken::new(&client.client_id, scope)
            };
            let id_token = self.storage.get_id_token(&request, new).await?;
            parameters.push(("id_token", id_token));
        }
        Ok(parameters)
    }
}
