//! Sessions of users on two processes: no grant survives a sign-out, and each is reported once.

use std::collections::BTreeMap;
use std::time::Duration;

use oauth_storage::error::InvalidReason;
use oauth_storage::user_session::{NewUserSession, SignOut, StartedSession, UserSession};
use oauth_storage::{
    AuthorizationCodeStorage as _, Error, NewAuthorizationCode, PgStorage, RequestContext, Secret,
    User, UserSessionStorage as _,
};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{LIVE_GRANTS, TASKS, assert_no_deadlock, count, number, storage};
use crate::support::{TestStorage, URI, eventually, scope};
use oauth_storage_testbed::other_process::{OtherProcess, child_input, child_step};

async fn start(storage: &PgStorage, subject: &str) -> StartedSession {
    storage.start_session(NewUserSession::new(User::new(subject))).await.unwrap()
}

/// Stores a code for a session that was found before. Returns false if the session has ended.
async fn store_code(storage: &PgStorage, client_id: &str, session: &UserSession) -> bool {
    let new = NewAuthorizationCode::new(client_id, scope(), URI, Secret::generate().unwrap())
        .with_session(session);
    let request = RequestContext::for_user(session.user());
    match storage.create_authorization_code(&request, new).await {
        Ok(_) => true,
        Err(Error::Invalid { field: "session", reason: InvalidReason::Unknown }) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn find_all(storage: &PgStorage, cookies: &[String]) -> Vec<UserSession> {
    let mut sessions = Vec::new();
    for cookie in cookies {
        let found = storage.find_session(&Secret::new(cookie.as_str())).await.unwrap();
        sessions.push(found.unwrap());
    }
    sessions
}

/// Stores codes for each session until it has ended, in many concurrent tasks. Returns their number.
async fn store_codes(storage: &PgStorage, client_id: &str, sessions: &[UserSession]) -> usize {
    let mut thieves = JoinSet::new();
    for session in sessions {
        for _ in 0..2 {
            let (storage, client_id) = (storage.clone(), client_id.to_owned());
            let session = session.clone();
            thieves.spawn(async move {
                let mut stored = 0;
                while store_code(&storage, &client_id, &session).await {
                    stored += 1;
                }
                stored
            });
        }
    }
    thieves.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s9_no_grant_survives_a_sign_out_on_two_processes() {
    let test = TestStorage::new("session_codes").await;
    // Each statement takes some milliseconds after its snapshot, or a race would be rare.
    test.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
             $$BEGIN PERFORM pg_sleep(random() * 0.005); RETURN NEW; END$$;
         CREATE TRIGGER slow BEFORE INSERT ON oauth_storage.authorization_grant
             FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    .await;
    let (client_id, _) = test.client().await;
    let storage = storage(test.database.url()).await;
    let mut reported = 0;
    for round in 0..count(50, 6) {
        let subject = format!("alice-{round}");
        let mut cookies = Vec::new();
        for _ in 0..16 {
            cookies.push(start(&storage, &subject).await.secret.expose().to_owned());
        }
        let mut input = vec![test.database.url().to_owned(), client_id.clone()];
        input.extend(cookies.iter().cloned());
        let mut other = OtherProcess::start("races::sessions::child_stores_codes", &input).await;
        other.go().await;
        eventually("codes of the other process", async || number(&test, LIVE_GRANTS).await > 32)
            .await;
        let (thief, client) = (storage.clone(), client_id.clone());
        let ours = find_all(&storage, &cookies).await;
        let thief = tokio::spawn(async move { store_codes(&thief, &client, &ours).await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let out = storage.end_sessions_of(&subject, None).await.unwrap();
        // At once, while the others still try.
        assert_eq!(number(&test, LIVE_GRANTS).await, 0, "a grant has survived, round {round}");
        let (ours, theirs) = (thief.await.unwrap(), other.answer().await.parse::<usize>().unwrap());
        assert!(ours > 0 && theirs > 0, "a race: {ours} and {theirs}");
        assert_eq!(number(&test, LIVE_GRANTS).await, 0, "a grant has survived, round {round}");
        assert_eq!(out.revoked_grants, (ours + theirs) as u64);
        assert_eq!(out.sessions.len(), cookies.len());
        assert!(out.sessions.iter().all(|session| session.client_ids == [client_id.as_str()]));
        reported += out.sessions.len();
    }
    println!("{reported} sessions");
    assert_eq!(number(&test, "SELECT count(*) FROM oauth_storage.user_session").await, 0);
    storage.close().await;
    assert_no_deadlock(&test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_stores_codes() {
    let Some(input) = child_input() else { return };
    let [url, client_id, cookies @ ..] = &input[..] else { panic!("{input:?}") };
    let storage = storage(url).await;
    let sessions = find_all(&storage, cookies).await;
    println!("answer: ready");
    tokio::task::block_in_place(child_step);
    println!("answer: {}", store_codes(&storage, client_id, &sessions).await);
}

/// Reports of a session: its `sid`, and how often.
type Reports = BTreeMap<Uuid, usize>;

/// Reauthenticates each session, and signs out in three ways, in many concurrent tasks. Returns the number of
/// new secrets, of revoked grants, and the reports.
async fn sign_out_all(
    storage: &PgStorage,
    subject: &str,
    sessions: &[(Uuid, Secret)],
) -> (usize, u64, Reports) {
    let mut racers = JoinSet::new();
    for task in 0..TASKS / 2 {
        let (storage, subject) = (storage.clone(), subject.to_owned());
        let sessions = sessions.to_vec();
        racers.spawn(async move {
            let mut outs: Vec<SignOut> = Vec::new();
            let mut secrets = 0;
            for (n, (sid, secret)) in sessions.iter().enumerate() {
                let user = User::new(&subject);
                let again = storage.reauthenticate_session(secret, user).await.unwrap();
                secrets += usize::from(again.is_some());
                let out = match (n + task) % 3 {
                    0 => storage.end_session(secret).await,
                    1 => storage.end_session_of(&subject, *sid).await,
                    _ if n % 8 == 7 => storage.end_sessions_of(&subject, None).await,
                    _ => continue,
                };
                outs.push(out.unwrap());
            }
            outs.push(storage.end_sessions_of(&subject, None).await.unwrap());
            (secrets, outs)
        });
    }
    let (mut secrets, mut revoked, mut reports) = (0, 0, Reports::new());
    for (again, outs) in racers.join_all().await {
        secrets += again;
        for out in outs {
            revoked += out.revoked_grants;
            for session in out.sessions {
                assert_eq!(session.client_ids.len(), 1, "with its clients");
                *reports.entry(session.sid).or_default() += 1;
            }
        }
    }
    (secrets, revoked, reports)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_ended_and_reported_once_on_two_processes() {
    let test = TestStorage::new("sign_outs").await;
    let (client_id, _) = test.client().await;
    let storage = storage(test.database.url()).await;
    let (mut sessions, mut input) = (Vec::new(), vec![test.database.url().to_owned()]);
    for _ in 0..count(400, 64) {
        let started = start(&storage, "alice").await;
        assert!(store_code(&storage, &client_id, &started.session).await);
        input.push(format!("{} {}", started.session.sid, started.secret.expose()));
        sessions.push((started.session.sid, started.secret));
    }
    let mut other = OtherProcess::start("races::sessions::child_signs_out", &input).await;
    other.go().await;
    let (secrets, revoked, mut reports) = sign_out_all(&storage, "alice", &sessions).await;
    let theirs = other.answer().await;
    let mut theirs = theirs.split(' ');
    let mut number_of_theirs = || theirs.next().unwrap().parse::<u64>().unwrap();
    let (their_secrets, their_revoked) = (number_of_theirs(), number_of_theirs());
    for sid in theirs {
        *reports.entry(sid.parse().unwrap()).or_default() += 1;
    }
    let expected: Reports = sessions.iter().map(|(sid, _)| (*sid, 1)).collect();
    assert_eq!(reports, expected, "each session is reported once");
    assert_eq!(revoked + their_revoked, sessions.len() as u64, "each grant is revoked once");
    let secrets = secrets + usize::try_from(their_secrets).unwrap();
    assert!(secrets <= sessions.len(), "one new secret of each: {secrets}");
    assert_eq!(number(&test, LIVE_GRANTS).await, 0);
    storage.close().await;
    assert_no_deadlock(&test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_signs_out() {
    let Some(input) = child_input() else { return };
    let [url, sessions @ ..] = &input[..] else { panic!("{input:?}") };
    let sessions: Vec<(Uuid, Secret)> = sessions
        .iter()
        .map(|session| {
            let (sid, secret) = session.split_once(' ').unwrap();
            (sid.parse().unwrap(), Secret::new(secret))
        })
        .collect();
    let storage = storage(url).await;
    println!("answer: ready");
    tokio::task::block_in_place(child_step);
    let (secrets, revoked, reports) = sign_out_all(&storage, "alice", &sessions).await;
    let mut answer = format!("{secrets} {revoked}");
    for (sid, times) in reports {
        (0..times).for_each(|_| answer.push_str(&format!(" {sid}")));
    }
    println!("answer: {answer}");
}
