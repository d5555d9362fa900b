//! TLS with `sslmode=verify-full`: the right server, and every wrong one.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oauth_storage::error::Advice;
use oauth_storage::token::NewToken;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, Error, GrantStorage as _, NewClient, PgStorage, TokenPair,
    TokenStorage as _,
};
use oauth_storage_testbed::Cluster;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sqlx::{Connection as _, PgConnection};

use crate::support::{alice, eventually, run_sql, secret};

/// The host name in the certificate of the server.
const HOST: &str = "localhost";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server with TLS, and the authority that signed its certificate.
struct TlsServer {
    cluster: Cluster,
    authority: PathBuf,
}

impl TlsServer {
    async fn start() -> Self {
        let cluster = Cluster::start(&[]).await.unwrap();
        let authority = authority("the right one");
        let server = Self { authority: cluster.data_dir().join("authority.pem"), cluster };
        fs::write(&server.authority, authority.pem()).unwrap();
        server.certify(&authority).await;
        server
    }

    /// Installs a certificate of that authority, and restarts the server.
    async fn certify(&self, authority: &Authority) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        self.install("server.crt", &certificate.pem());
        self.install("server.key", &key.serialize_pem());
        run_sql(self.cluster.url(), "ALTER SYSTEM SET ssl = on").await;
        self.cluster.restart().await.unwrap();
    }

    /// Writes a file that only the server can read, which it requires of its key.
    fn install(&self, name: &str, pem: &str) {
        let (dir, file) = (self.cluster.data_dir(), self.cluster.data_dir().join(name));
        fs::write(&file, pem).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let owner = fs::metadata(&dir).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    fn url(&self, host: &str, authority: &Path) -> String {
        let url = self.cluster.url().replace("127.0.0.1", host);
        let (url, _) = url.split_once('?').unwrap();
        format!("{url}?sslmode=verify-full&sslrootcert={}", authority.display())
    }
}

/// Asserts that the connection fails at once with a configuration error that contains this text.
async fn refused(url: &str, expected: &str) {
    let started = Instant::now();
    let builder = PgStorage::builder().deadline(Duration::from_mins(1));
    let error = builder.connect(url).await.unwrap_err();
    assert!(matches!(error, Error::Configuration { .. }), "{error:?}");
    assert_eq!(error.advice(), Advice::CallOperator);
    assert!(error.to_string().contains(expected), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "not by trying until the deadline");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_full_encrypts_every_connection() {
    let server = TlsServer::start().await;
    let storage = PgStorage::connect(&server.url(HOST, &server.authority)).await.unwrap();
    storage.migrate().await.unwrap();
    let metadata = ClientMetadata::client_credentials();
    let client = storage.register_client(NewClient::new(metadata)).await.unwrap().client;
    let access = secret();
    let new = NewToken::new(&client.client_id, "".parse().unwrap(), TokenPair::new(access.clone()));
    storage.create_token(&alice(), new).await.unwrap();
    assert!(storage.introspect(&access).await.unwrap().is_some());

    let mut connection = PgConnection::connect(server.cluster.url()).await.unwrap();
    let (all, encrypted): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE ssl)
         FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE application_name = 'oauth-storage'",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!(all >= 4, "{all} connections: four lanes and the side pool");
    assert_eq!(all, encrypted);
}

#[tokio::test]
async fn a_wrong_certificate_is_refused_with_the_reason() {
    let server = TlsServer::start().await;
    let other = server.authority.with_file_name("other.pem");
    fs::write(&other, authority("another one").pem()).unwrap();
    refused(&server.url(HOST, &other), "UnknownIssuer").await;
    refused(&server.url("127.0.0.1", &server.authority), "not valid for name \"127.0.0.1\"").await;
    let missing = server.authority.with_file_name("missing.pem");
    refused(&server.url(HOST, &missing), "certificate or key").await;
    fs::write(&missing, "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n").unwrap();
    refused(&server.url(HOST, &missing), "invalid peer certificate").await;
    // The server itself is configured correctly.
    PgStorage::connect(&server.url(HOST, &server.authority)).await.unwrap();
}

/// The certificate is replaced by a wrong one while the storage runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_becomes_wrong_is_reported_until_it_is_fixed() {
    let server = TlsServer::start().await;
    let storage = PgStorage::connect(&server.url(HOST, &server.authority)).await.unwrap();
    storage.migrate().await.unwrap();
    let right = authority("the right one, again");

    server.certify(&authority("another one")).await;
    eventually("the error names the reason", async || match storage.introspect(&secret()).await {
        Err(Error::Unavailable { message, .. }) => message.contains("UnknownIssuer"),
        other => panic!("{other:?}"),
    })
    .await;
    let error = storage.read_client("c").await.unwrap_err();
    assert!(matches!(error, Error::Configuration { .. }), "{error:?}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");

    fs::write(&server.authority, right.pem()).unwrap();
    server.certify(&right).await;
    eventually("it works again", async || storage.introspect(&secret()).await.is_ok()).await;
    assert_eq!(storage.read_client("c").await.unwrap(), None);
}

/// A server without TLS, or an attacker in its place, receives the request for TLS, but no name, no
/// password and no statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_in_plaintext() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = [0; 8];
        stream.read_exact(&mut question).unwrap();
        stream.write_all(b"N").unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        (question, rest)
    });
    refused(
        &format!("postgres://app:hunter2@{HOST}:{port}/app?sslmode=verify-full"),
        "server does not support TLS",
    )
    .await;
    let (question, rest) = server.join().unwrap();
    // SSLRequest: its length and its code.
    assert_eq!(question, [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
    assert_eq!(rest, b"");
}
