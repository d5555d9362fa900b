//! A test: strangers cannot fill the memory of the server, nor lock out a person who signs in.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::{Request, header};
use axum::response::Response;
use oauth_storage::jwt::{IdTokenSigner, SigningKey};
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, MemoryStorage, NewClient, Secret, Settings, User,
    UserStorage,
};
use serde_json::Map;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use url::form_urlencoded::byte_serialize;

use super::{Config, Server, routes};

const STRANGERS: usize = 20_000;

struct Anybody;

#[async_trait::async_trait]
impl UserStorage for Anybody {
    async fn authenticate(
        &self,
        name: &str,
        _: &Secret,
    ) -> oauth_storage::error::Result<Option<User>> {
        Ok(Some(User::new(name)))
    }
}

async fn send(router: &Router, request: Request<Body>) -> Response {
    router.clone().oneshot(request).await.unwrap()
}

async fn get(router: &Router, uri: &str, cookie: Option<&str>) -> Response {
    let request = Request::get(uri);
    let request = cookie.into_iter().fold(request, |own, value| own.header(header::COOKIE, value));
    send(router, request.body(Body::empty()).unwrap()).await
}

async fn post(router: &Router, uri: &str, body: String) -> Response {
    let request = Request::post(uri).header("content-type", "application/x-www-form-urlencoded");
    send(router, request.body(body.into()).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_leaves_nothing_behind() {
    let issuer = "http://127.0.0.1";
    let signer = IdTokenSigner::new(issuer, SigningKey::generate().unwrap()).unwrap();
    let signer = Arc::new(signer);
    let storage = MemoryStorage::new().with_users(Anybody).with_id_tokens(Arc::clone(&signer));
    let metadata = ClientMetadata::authorization_code(["https://client.example/"]);
    let client = storage.register_client(NewClient::new(metadata)).await.unwrap().client;
    let config = Config {
        issuer: issuer.into(),
        scope: "openid".parse().unwrap(),
        implicit: false,
        password: false,
        settings: Settings::default(),
        claims: |_, _| Map::new(),
        resource_servers: Vec::new(),
        attempts_per_minute: NonZeroU32::MIN,
    };
    let server = Arc::new(Server::new(storage, signer, config));
    let address = MockConnectInfo(SocketAddr::from(([192, 0, 2, 1], 1)));
    let router = routes(Arc::clone(&server)).layer(address);
    let query = format!("response_type=code&client_id={}", client.client_id);

    let strangers = Arc::new(Semaphore::new(0));
    let flood = {
        let (router, query, strangers) = (router.clone(), query.clone(), Arc::clone(&strangers));
        tokio::spawn(async move {
            for n in 0..STRANGERS {
                let prompt = ["", "&prompt=login", "&max_age=0", "&prompt=consent"][n % 4];
                let uri = format!("/authorize?{query}&state={n}{prompt}");
                let response = get(&router, &uri, Some("session=guessed")).await;
                let location = response.headers()[header::LOCATION].to_str().unwrap().to_owned();
                assert!(location.starts_with("sign-in?continue="), "{location}");
                if n % 4 == 0 {
                    let page = get(&router, &format!("/{location}"), None).await;
                    assert_eq!(page.status(), 200);
                }
                strangers.add_permits(1);
            }
        })
    };
    // A person opens the sign-in page before most strangers come, and sends it in between.
    let page = get(&router, &format!("/authorize?{query}"), None).await;
    assert_eq!(page.status(), 303);
    let half = u32::try_from(STRANGERS / 2).unwrap();
    strangers.acquire_many(half).await.unwrap().forget();
    assert_eq!(server.sessions.len(), 0, "a stranger has no session");

    let form: String = byte_serialize(query.as_bytes()).collect();
    let form = format!("username=alice&password=x&continue={form}");
    let signed_in = post(&router, "/sign-in", form).await;
    assert_eq!(signed_in.headers()[header::LOCATION], format!("authorize?{query}"));
    let cookie =
        signed_in.headers()[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
    assert_eq!(get(&router, &format!("/authorize?{query}"), Some(cookie)).await.status(), 200);
    flood.await.unwrap();
    assert_eq!(server.sessions.len(), 1, "alice's");
}
