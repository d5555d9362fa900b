//! S12 and S17: no output of the process and no file of the server contains a secret.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::client::{ClientSecret, ClientSecretRotation};
use oauth_storage::device_authorization::{
    DeviceApproval, DevicePoll, NewDeviceAuthorization, UserCodeLookup, UserCodeOutcome,
};
use oauth_storage::endpoint::FormParameters;
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::postgres::NewUser;
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::user_session::NewUserSession;
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, ClientStorage as _,
    CodeRedemption, ConsentStorage as _, DeviceAuthorizationStorage as _, GrantStorage as _,
    NewAuthorizationCode, NewClient, PgStorage, RedemptionOutcome, RequestContext, Secret,
    Settings, TokenPair, TokenStorage as _, User, UserSessionStorage as _, UserStorage as _,
};
use oauth_storage_testbed::Cluster;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::support::{dump, run_sql, scope};

/// Part of each secret of the test, so that one search finds them all.
const NEEDLE: &str = "N33DLE-in-the-haystack-";

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn needle(name: &str) -> Secret {
    // Long enough for a PKCE verifier.
    Secret::new(format!("{NEEDLE}{name}-{}", "x".repeat(43)))
}

/// Calls every method that takes a secret, also with wrong ones. Returns the generated secrets, and
/// every text that the application received.
async fn use_secrets(storage: &PgStorage) -> (Vec<Secret>, String) {
    let mut seen = String::new();
    let mut see = |shown: &dyn std::fmt::Debug| seen.push_str(&format!("{shown:?}\n{shown:#?}\n"));
    let settings = Settings::default().with_allow_plain_code_challenge(true);
    let request = RequestContext::for_user(User::new("alice")).with_settings(settings);
    see(&request);
    let mut form = FormParameters::default();
    form.password = Some(needle("password"));
    form.client_secret = Some(needle("form-client-secret"));
    form.code = Some(needle("form-code"));
    see(&form);

    let metadata =
        || ClientMetadata::authorization_code(["https://client.example/cb"]).with_scope(scope());
    let registered = storage.register_client(NewClient::new(metadata())).await.unwrap();
    see(&registered);
    let client_id = registered.client.client_id.clone();
    let rotated = storage
        .rotate_client_secret(&client_id, ClientSecretRotation::default())
        .await
        .unwrap()
        .unwrap();
    see(&rotated);
    let mut generated =
        vec![registered.client_secret.unwrap(), rotated.client_secret.clone().unwrap()];
    let chosen = NewClient::new(metadata())
        .with_client_id("chosen")
        .with_client_secret(ClientSecret::Chosen(needle("chosen-client-secret")));
    see(&chosen);
    see(&storage.register_client(chosen.clone()).await);
    see(&storage.register_client(chosen).await.unwrap_err());
    for secret in [&generated[0], &generated[1], &needle("wrong-client-secret")] {
        see(&storage.get_client(&request, &client_id, Some(secret)).await);
    }
    let secret = needle("chosen-client-secret");
    assert!(storage.get_client(&request, "chosen", Some(&secret)).await.unwrap().is_some());

    let user = NewUser::new("alice", "alice", needle("password"));
    see(&user);
    see(&storage.password_users().create(user).await);
    see(&storage.authenticate("alice", &needle("password")).await.unwrap().unwrap());

    let verifier = needle("verifier");
    let code = needle("code");
    let new =
        NewAuthorizationCode::new(&client_id, scope(), "https://client.example/cb", code.clone())
            .with_code_challenge(
                CodeChallenge::from_parameters(Some(verifier.expose()), None).unwrap(),
            );
    see(&new);
    see(&storage.create_authorization_code(&request, new.clone()).await.unwrap());
    see(&storage.create_authorization_code(&request, new).await.unwrap_err());
    let found = storage.get_authorization_code(&request, &client_id, &code).await.unwrap();
    let found = found.unwrap();
    assert!(found.matches_code_verifier(Some(&verifier)));
    see(&found);

    let (access, refresh) = (needle("access"), needle("refresh"));
    let tokens = TokenPair::new(access.clone()).with_refresh_token(refresh.clone());
    let new = NewToken::for_code(&found, tokens);
    see(&new);
    see(&storage.create_token(&request, new.clone()).await.unwrap());
    see(&storage.create_token(&request, new).await.unwrap_err());
    let again = TokenPair::new(needle("other")).with_refresh_token(refresh.clone());
    let again = NewToken::for_code(&found, again);
    see(&storage.create_token(&request, again).await.unwrap_err());
    for token in [TokenRef::Access(&access), TokenRef::Refresh(&refresh)] {
        see(&token);
        see(&storage.get_token(&request, &client_id, token).await.unwrap().unwrap());
    }
    storage.delete_authorization_code(&request, &client_id, &code).await.unwrap();

    let (code, verifier) = (needle("code-to-redeem"), needle("verifier-to-redeem"));
    let new =
        NewAuthorizationCode::new(&client_id, scope(), "https://client.example/cb", code.clone())
            .with_code_challenge(CodeChallenge::s256(&verifier));
    storage.create_authorization_code(&request, new).await.unwrap();
    let tokens = TokenPair::new(needle("redeemed-access"));
    let redemption = CodeRedemption::new(&client_id, "https://client.example/cb", code.clone())
        .with_code_verifier(verifier)
        .with_tokens(tokens.with_refresh_token(needle("redeemed-refresh")));
    see(&redemption);
    let outcome = storage.redeem_authorization_code(&request, redemption.clone()).await.unwrap();
    see(&outcome);
    let tokens = TokenPair::new(needle("rotated-access"));
    let rotation = TokenRotation::new(&client_id, needle("redeemed-refresh"))
        .with_tokens(tokens.with_refresh_token(needle("rotated-refresh")));
    see(&rotation);
    see(&storage.rotate_refresh_token(&request, rotation.clone()).await.unwrap());
    see(&storage.rotate_refresh_token(&request, rotation).await.unwrap_err());
    see(&storage.introspect(&needle("rotated-access")).await.unwrap().unwrap());
    see(&storage.list_grants("alice", None, 10).await.unwrap());

    // Those that are generated here.
    let rotation = TokenRotation::new(&client_id, needle("rotated-refresh"));
    match storage.rotate_refresh_token(&request, rotation).await.unwrap() {
        RotationOutcome::Issued(issued) => {
            see(&issued);
            generated.push(issued.tokens.access_token.clone());
            generated.extend(issued.tokens.refresh_token.clone());
        }
        other => panic!("{other:?}"),
    }
    let outcome = storage.redeem_authorization_code(&request, redemption).await.unwrap();
    assert!(matches!(outcome, RedemptionOutcome::Replayed { .. }), "{outcome:?}");
    let tokens = TokenPair::generate().unwrap();
    let new = NewToken::new(&client_id, scope(), tokens.clone());
    see(&storage.create_token(&request, new.clone()).await.unwrap());
    see(&storage.create_token(&request, new).await.unwrap_err());
    generated.push(tokens.access_token);
    generated.extend(tokens.refresh_token);

    let new = NewDeviceAuthorization::new(&client_id, scope());
    see(&new);
    let device = storage.start_device_authorization(new).await.unwrap();
    see(&device);
    let lookup = UserCodeLookup::new(&device.user_code).with_limit(
        needle("guesser").expose(),
        5,
        Duration::from_secs(60),
    );
    let found = storage.find_device_authorization(lookup).await.unwrap();
    see(&found);
    let UserCodeOutcome::Found(shown) = found else { panic!("{found:?}") };
    let approval = DeviceApproval::new(&device.user_code, &shown, scope());
    see(&approval);
    assert!(storage.approve_device_authorization(&request, approval).await.unwrap());
    let poll = DevicePoll::new(&client_id, device.device_code.clone());
    see(&poll);
    let outcome = storage.poll_device_authorization(&request, poll).await.unwrap();
    see(&outcome);
    generated.extend(outcome.issued().map(|issued| issued.tokens.access_token));
    generated.extend([device.device_code, Secret::new(device.user_code)]);
    see(&storage.add_consent("alice", &client_id, &scope()).await.unwrap());
    let new = NewUserSession::new(User::new("alice"));
    see(&new);
    let started = storage.start_session(new).await.unwrap();
    see(&started);
    see(&storage.find_session(&started.secret).await.unwrap());
    let again = storage.reauthenticate_session(&started.secret, User::new("alice")).await.unwrap();
    see(&again);
    let again = again.unwrap();
    see(&storage.list_sessions("alice", None, 10).await.unwrap());
    see(&storage.end_session(&again.secret).await.unwrap());
    generated.extend([started.secret, again.secret]);

    storage.revoke_token(&request, &client_id, TokenRef::Any(&refresh)).await.unwrap();
    storage.revoke_token(&request, &client_id, TokenRef::Any(&needle("unknown"))).await.unwrap();
    see(&storage);
    (generated, seen)
}

/// Every byte of every file below the folder.
fn read_all(folder: &Path, each: &mut dyn FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, each);
        } else if let Ok(bytes) = std::fs::read(&path) {
            // A file may be removed meanwhile, or be a socket.
            each(&path, &bytes);
        }
    }
}

#[tokio::test]
async fn s12_s17_no_secret_at_rest_in_logs_in_traces_or_in_errors() {
    let cluster = Cluster::start(&[
        ("log_statement", "all"),
        ("log_min_duration_statement", "0"),
        ("log_parameter_max_length", "-1"),
        ("log_parameter_max_length_on_error", "-1"),
        ("shared_preload_libraries", "pg_stat_statements"),
    ])
    .await
    .unwrap();
    let database = cluster.database("hygiene").await.unwrap();
    run_sql(database.url(), "CREATE EXTENSION pg_stat_statements").await;

    let traces = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(traces.clone())
        .finish();
    // For the whole process: with a subscriber of one thread, call sites that another test's thread
    // reaches first would stay disabled. The traces of the other tests are searched as well.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let storage = PgStorage::builder().password_users().connect(database.url()).await.unwrap();
    storage.migrate().await.unwrap();
    let (generated, seen) = use_secrets(&storage).await;
    storage.close().await;
    run_sql(database.url(), "CHECKPOINT").await;

    // In the clear, or as the hexadecimal digits in which the server logs a bytea.
    let mut needles = vec![NEEDLE.to_owned()];
    needles.extend(generated.iter().map(|secret| secret.expose().to_owned()));
    let hex = |text: &String| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    needles.extend(needles.iter().map(hex).collect::<Vec<_>>());
    let search = |place: &str, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        for needle in &needles {
            if let Some(at) = text.find(needle) {
                let around: String = text[at..].chars().take(80).collect();
                panic!("{place} holds a secret: {around}");
            }
        }
        text.len()
    };

    search("the texts that the application received", seen.as_bytes());
    let traces = traces.0.lock().unwrap().clone();
    let text = String::from_utf8_lossy(&traces);
    assert!(text.contains("create_token oauth_storage.token"), "traces were taken: {text}");
    search("the traces", &traces);

    let dump = dump(&cluster, database.url()).await;
    let text = String::from_utf8_lossy(&dump);
    assert!(text.contains("alice") && text.contains("$argon2id$"), "the dump has the rows");
    search("the dump", &dump);

    // Tables, indexes, the WAL, pg_stat_statements' texts.
    let mut bytes = 0;
    read_all(&cluster.data_dir(), &mut |path, content| {
        bytes += search(&path.display().to_string(), content);
    });
    assert!(bytes > 10_000_000, "the data folder was read");
    let log = std::fs::read(cluster.log_file()).unwrap();
    assert!(String::from_utf8_lossy(&log).contains("INSERT INTO oauth_storage.token"), "logged");
    search("the server log", &log);
}
