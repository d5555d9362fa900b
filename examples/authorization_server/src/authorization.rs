//! A checked authorization request. The server keeps only what a client pushed: the pages carry the query,
//! and each step reads and checks it again.

use std::time::Duration;

use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::client::Client;
use oauth_storage::endpoint::QueryParameters;
use oauth_storage::{ResponseType, Scope};
use url::form_urlencoded;

use super::callback::Callback;
use super::error::{OAuthError, PageError, PageResult, Result, ensure, require};
use super::{Server, digest, par};

const MAX_QUERY_BYTES: usize = 8 * 1024;
const MAX_STATE_BYTES: usize = 2 * 1024;

pub(crate) struct Authorization {
    pub(crate) client: Client,
    pub(crate) callback: Callback,
    pub(crate) scope: Scope,
    pub(crate) parameters: QueryParameters,
    pub(crate) response_type: ResponseType,
    pub(crate) code_challenge: Option<CodeChallenge>,
    pub(crate) max_age: Option<Duration>,
    /// The reference of a request that the client pushed.
    pub(crate) request_uri: Option<String>,
    query: String,
}

/// Encodes a query or a form again, so that it holds no character that could end a URL or a header.
pub(crate) fn encode_query(raw: &[u8]) -> Result<String> {
    let too_long = || OAuthError::new("invalid_request", "The request is too long.");
    if raw.len() > MAX_QUERY_BYTES {
        return Err(too_long());
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.extend_pairs(form_urlencoded::parse(raw)).finish();
    if query.len() <= MAX_QUERY_BYTES { Ok(query) } else { Err(too_long()) }
}

impl Authorization {
    /// Reads and checks the query of a request.
    ///
    /// # Errors
    /// An error page if there is no trusted redirect URI; else the response to the client.
    pub(crate) async fn read(server: &Server, raw: &str) -> PageResult<Self> {
        let query = encode_query(raw.as_bytes())?;
        let mut parameters: QueryParameters = serde_urlencoded::from_str(&query)
            .map_err(|error| OAuthError::new("invalid_request", error.to_string()))?;
        let client_id = require(parameters.client_id.as_deref(), "client_id")?;
        let client = server.storage.get_client(&server.request(None), client_id, None).await?;
        let unknown = || OAuthError::new("invalid_request", "This application is not known here.");
        let client = client.ok_or_else(unknown)?;
        let request_uri = parameters.request_uri.clone().filter(|uri| par::is_reference(uri));
        match &request_uri {
            Some(uri) => parameters = par::read(server, &client.client_id, uri).await?,
            None => ensure(!par::is_required(&client), "invalid_request", "Push the request.")?,
        }
        let state = parameters.state.as_deref().unwrap_or_default();
        ensure(state.len() <= MAX_STATE_BYTES, "invalid_request", "The state is too long.")?;
        let callback = Callback::new(&client, &parameters, &server.config.issuer)
            .map_err(|error| PageError::page(&error, Some(&client)))?;
        Self::check(server, client, callback.clone(), parameters, query)
            .map(|checked| Self { request_uri, ..checked })
            .map_err(|error| PageError::response(callback.answer(Err(error))))
    }

    pub(crate) fn check(
        server: &Server,
        client: Client,
        callback: Callback,
        parameters: QueryParameters,
        query: String,
    ) -> Result<Self> {
        let plain = "send plain parameters";
        ensure(parameters.request.is_none(), "request_not_supported", plain)?;
        ensure(parameters.request_uri.is_none(), "request_uri_not_supported", plain)?;

        let response_type = parameters.parse_response_type(&client)?;
        let is_offered = server.config.implicit || !response_type.is_front_channel();
        ensure(is_offered, "unsupported_response_type", "ask for a code")?;
        let in_mode = callback.is_in(parameters.response_mode.as_deref());
        ensure(in_mode, "invalid_request", "no such response_mode, or not for this answer")?;

        let scope = client.requested_scope(parameters.scope.as_deref(), &server.config.settings)?;
        if response_type.has_id_token() {
            ensure(scope.contains("openid"), "invalid_scope", "an ID token needs openid")?;
            require(parameters.nonce.as_ref(), "nonce")?;
        }
        // PKCE is the only proof of a public client that the code is its own. For a confidential
        // client it is recommended (RFC 9700 2.1.1).
        let settings = &server.config.settings;
        let code_challenge = if response_type.has_code() {
            parameters.parse_code_challenge(&client, settings)?
        } else {
            None
        };
        let max_age = parameters.max_age.as_deref().map(|seconds| seconds.parse()).transpose();
        ensure(max_age.is_ok(), "invalid_request", "max_age is a number of seconds")?;
        let max_age = max_age.ok().flatten().map(Duration::from_secs);

        let checked = Self {
            client,
            callback,
            scope,
            parameters,
            response_type,
            code_challenge,
            max_age,
            request_uri: None,
            query,
        };
        let known = ["none", "login", "consent", "select_account"];
        let in_order = checked.prompts().all(|prompt| known.contains(&prompt))
            && (!checked.asks_for("none") || checked.prompts().count() == 1);
        ensure(in_order, "invalid_request", "no such prompt, or none with another")?;
        Ok(checked)
    }

    fn prompts(&self) -> impl Iterator<Item = &str> {
        self.parameters.prompt.as_deref().unwrap_or_default().split_ascii_whitespace()
    }

    pub(crate) fn asks_for(&self, prompt: &str) -> bool {
        self.prompts().any(|asked| asked == prompt)
    }

    /// The name of the client.
    pub(crate) fn name(&self) -> &str {
        self.client.display_name()
    }

    /// The query of the request, for the forms of its pages.
    pub(crate) fn query(&self) -> &str {
        &self.query
    }

    /// A digest of what the consent page shows: the client may change its registration meanwhile.
    pub(crate) fn shown(&self) -> String {
        digest(&[self.scope.as_str(), &self.callback.redirect_uri, self.name()])
    }

    /// The address at which the request continues.
    pub(crate) fn url(&self) -> String {
        format!("authorize?{}", self.query)
    }

    /// The address of the sign-in page for the request.
    pub(crate) fn sign_in_url(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        format!("sign-in?{}", query.append_pair("continue", &self.query).finish())
    }
}
