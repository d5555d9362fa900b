//! Client metadata from a file and from options.

use std::path::PathBuf;

use oauth_storage::client::{GrantType, TokenEndpointAuthMethod};
use oauth_storage::{ResponseType, Scope};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::file;

/// The metadata of a client.
#[derive(Debug, clap::Args)]
pub(crate) struct Metadata {
    /// A file with the metadata as a JSON object (RFC 7591 2); - for standard input. Options take precedence.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The name that people see (client_name).
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A redirect URI; repeat it for more.
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// A grant type; repeat it for more. A name without its urn: prefix will do, such as device_code.
    #[arg(long = "grant-type", value_name = "TYPE", value_parser = grant_type)]
    grant_types: Vec<GrantType>,
    /// A response type; repeat it for more. By default code, if the grant types have authorization_code.
    #[arg(long = "response-type", value_name = "TYPE")]
    response_types: Vec<ResponseType>,
    /// The widest scope that the client may request: "openid profile".
    #[arg(long)]
    scope: Option<Scope>,
    /// The authentication method at the token endpoint (token_endpoint_auth_method); none for a public client.
    #[arg(long, value_name = "METHOD")]
    auth_method: Option<TokenEndpointAuthMethod>,
}

impl Metadata {
    /// Returns true if no option is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.members().is_empty()
    }

    /// The members that the options set.
    fn members(&self) -> Map<String, Value> {
        let members = [
            ("client_name", self.name.as_ref().map(|name| json!(name))),
            ("redirect_uris", given(&self.redirect_uris)),
            ("grant_types", given(&self.grant_types)),
            ("response_types", given(&self.response_types)),
            ("scope", self.scope.as_ref().map(|scope| json!(scope))),
            ("token_endpoint_auth_method", self.auth_method.map(|method| json!(method))),
        ];
        let members =
            members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        members.collect()
    }

    /// Reads the file; without one, nothing.
    pub(crate) fn read(&self) -> Result<Option<Map<String, Value>>> {
        let Some(file) = &self.file else { return Ok(None) };
        object(&file::read_or_stdin(file)?, &file::name(file)).map(Some)
    }

    /// Sets what the options say.
    pub(crate) fn apply(&self, members: &mut Map<String, Value>) {
        members.extend(self.members());
        // The default of RFC 7591 is code, which only suits this grant type.
        let types = members.get("grant_types").and_then(Value::as_array);
        let has_code = types.is_none_or(|types| {
            types.iter().any(|name| name == "authorization_code" || name == "implicit")
        });
        let is_set = |value: &Value| !value.is_null();
        if !has_code && !members.get("response_types").is_some_and(is_set) {
            members.insert("response_types".into(), json!([]));
        }
    }
}

fn given<T: serde::Serialize>(values: &[T]) -> Option<Value> {
    (!values.is_empty()).then(|| json!(values))
}

fn grant_type(name: &str) -> Result<GrantType, oauth_storage::Error> {
    name.parse().or_else(|error| {
        format!("urn:ietf:params:oauth:grant-type:{name}").parse().map_err(|_| error)
    })
}

/// Parses a JSON object.
pub(crate) fn object(text: &str, place: &str) -> Result<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Error::Failed(format!("{place}: not a JSON object"))),
        Err(error) => Err(Error::Failed(format!("{place}: not JSON: {error}"))),
    }
}
