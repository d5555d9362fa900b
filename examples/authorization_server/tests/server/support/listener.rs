//! A client that listens for logout tokens, and verifies them with the crate `jsonwebtoken`.

use std::time::Duration;

use axum::Router;
use axum::extract::Form;
use axum::routing::post;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Site, listen};

pub(crate) struct LogoutListener {
    pub(crate) uri: String,
    tokens: mpsc::UnboundedReceiver<String>,
}

#[derive(Deserialize)]
struct Logout {
    logout_token: String,
}

impl LogoutListener {
    pub(crate) async fn start() -> Self {
        let (sender, tokens) = mpsc::unbounded_channel();
        let receive = async move |Form(Logout { logout_token }): Form<Logout>| {
            sender.send(logout_token).unwrap();
        };
        let (listener, url) = listen().await;
        let router = Router::new().route("/logout", post(receive));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { uri: format!("{url}/logout"), tokens }
    }

    /// Waits for a logout token, and returns its claims.
    pub(crate) async fn claims(&mut self, site: &Site, client_id: &str) -> Value {
        let token = timeout(Duration::from_secs(10), self.tokens.recv()).await.unwrap().unwrap();
        let keys: JwkSet =
            site.http.get(site.url("jwks")).send().await.unwrap().json().await.unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(header.typ.as_deref(), Some("logout+jwt"));
        let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[client_id]);
        validation.set_issuer(&[&site.issuer]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap().claims
    }

    /// Returns true if no token has come.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        timeout(Duration::from_millis(300), self.tokens.recv()).await.is_err()
    }
}
