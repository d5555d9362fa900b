//! Sessions of users: start, find, expiry, another authentication, lists.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::cases::{bad_contexts, full_user, object};
use super::context::{
    Context, SHORT, ill_formed, new_code, outlast, refused, secret, together, unique,
};
use oauth_storage::backend::MAX_LIFETIME;
use oauth_storage::error::InvalidReason;
use oauth_storage::user_session::{NewUserSession, SignOut, StartedSession, UserSession};
use oauth_storage::{RequestContext, Secret, User};

rules!("user_session" {
    is_found_by_its_secret: "contract 3, a session is found by its secret on any node, with every value",
    each_is_new: "S13, contract 3: each session has its own secret and sid",
    unknown_is_none: "contract 1, an unknown or malformed secret is no session, and no error",
    auth_time_is_not_in_the_future: "contract 3, one clock: the storage's is the time of the authentication, unless an earlier one is given",
    input_is_checked: "contract 3, bad input: by field",
    a_use_moves_the_idle_end: "contract 3, a session in use does not end by its idle time-out; it is written once in a tenth of it",
    absolute_end_stays: "contract 3, no use moves the absolute end",
    idle_session_expires: "contract 3, a session ends after its idle time-out",
    expired_is_none: "contract 3, an expired session is not found, not listed, and gets no code",
    reauthentication_replaces_the_secret: "OIDC Core 12.2, contract 3: a new auth_time and a new secret, the same sid",
    reauthentication_is_of_the_subject: "contract 3, another subject does not take over a session",
    one_reauthentication_wins: "contract 3, exactly once: of 64 with one secret one gets the new secret",
    lists_newest_first: "contract 2, list: pages of the live sessions of a subject, newest first",
    list_limit_is_bounded: "contract 3, bad input: a page of 1 to 1000",
});

pub(super) async fn start(cx: &Context, new: NewUserSession) -> StartedSession {
    cx.storage.start_session(new).await.expect("start_session")
}

/// A session of this subject with the default lifetimes.
pub(super) async fn started(cx: &Context, subject: &str) -> StartedSession {
    start(cx, NewUserSession::new(User::new(subject))).await
}

pub(super) async fn find(cx: &Context, secret: &Secret) -> Option<UserSession> {
    cx.storage.find_session(secret).await.expect("find_session")
}

async fn reauthenticate(cx: &Context, secret: &Secret, user: User) -> Option<StartedSession> {
    let started = cx.storage.reauthenticate_session(secret, user).await;
    started.expect("reauthenticate_session")
}

fn details() -> Map<String, Value> {
    object(json!({
        "user_agent": "ünï 🦀 ' \" \\ %_ {} , NULL",
        "place": { "country": null, "n": 0.5 },
    }))
}

async fn is_found_by_its_secret(cx: Context) {
    let mut user = full_user().with_sid("another".to_owned());
    user.amr.push("a,b {} NULL \" ü".into());
    let new = NewUserSession::new(user.clone()).with_details(details());
    let StartedSession { secret, session } = start(&cx, new).await;
    assert_eq!(session.subject, user.subject);
    assert_eq!((Some(session.auth_time), &session.acr), (user.auth_time, &user.acr));
    assert_eq!((&session.amr, &session.details), (&user.amr, &details()));
    assert_eq!(session.expires_at - session.created_at, TimeDelta::minutes(30));
    assert_eq!(session.absolute_expires_at - session.created_at, TimeDelta::hours(12));
    assert_eq!(find(&cx, &secret).await.as_ref(), Some(&session));
    assert_eq!(session.user(), user.with_sid(session.sid.to_string()));
    let plain = started(&cx, &unique()).await;
    assert_eq!((&plain.session.acr, plain.session.amr.len()), (&None, 0));
    assert_eq!(plain.session.details, Map::new());
    assert_eq!(plain.session.auth_time, plain.session.created_at);
    assert_eq!(find(&cx, &plain.secret).await, Some(plain.session));
}

async fn each_is_new(cx: Context) {
    let subject = unique();
    let (first, second) = (started(&cx, &subject).await, started(&cx, &subject).await);
    assert!(first.secret != second.secret && first.session.sid != second.session.sid);
    assert!(first.secret.expose().len() >= 43, "256 bits");
    assert!(!first.secret.expose().contains(&first.session.sid.to_string()));
    for started in [first, second] {
        assert_eq!(find(&cx, &started.secret).await, Some(started.session));
    }
}

async fn unknown_is_none(cx: Context) {
    let sid = started(&cx, &unique()).await.session.sid;
    let by_sid = [Secret::new(sid.to_string())];
    for unknown in ill_formed().into_iter().chain([secret()]).chain(by_sid) {
        assert_eq!(find(&cx, &unknown).await, None);
        assert_eq!(reauthenticate(&cx, &unknown, User::new("alice")).await, None);
        let ended = cx.storage.end_session(&unknown).await.expect("end_session");
        assert_eq!(ended, SignOut::default());
    }
    for subject in ["", "\0", &unique(), &"x".repeat(300)] {
        let page = cx.storage.list_sessions(subject, None, 10).await.expect("list_sessions");
        assert_eq!((page.sessions, page.next), (Vec::new(), None));
        let ended = cx.storage.end_session_of(subject, sid).await.expect("end_session_of");
        assert_eq!(ended, SignOut::default());
        let ended = cx.storage.end_sessions_of(subject, None).await.expect("end_sessions_of");
        assert_eq!(ended, SignOut::default());
    }
}

async fn auth_time_is_not_in_the_future(cx: Context) {
    let at = |session: &UserSession, seconds| session.created_at + TimeDelta::seconds(seconds);
    let subject = unique();
    let first = started(&cx, &subject).await;
    let late = User::new(&subject).with_auth_time(at(&first.session, 1_000));
    let StartedSession { secret, session } = start(&cx, NewUserSession::new(late.clone())).await;
    assert_eq!(session.auth_time, session.created_at);
    let again = reauthenticate(&cx, &secret, late).await.expect("it is live");
    assert!(again.session.auth_time < at(&first.session, 1_000));
    let early = User::new(&subject).with_auth_time(at(&first.session, -1_000));
    let session = start(&cx, NewUserSession::new(early)).await.session;
    assert_eq!(session.auth_time, at(&first.session, -1_000));
}

async fn input_is_checked(cx: Context) {
    let new = || NewUserSession::new(User::new(unique()));
    let user = |subject: &str| NewUserSession::new(User::new(subject));
    let large = object(json!({ "x": "x".repeat(4_096) }));
    for (new, field, reason) in [
        (user(""), "subject", InvalidReason::Empty),
        (user("a\0b"), "subject", InvalidReason::Character),
        (user(&"x".repeat(256)), "subject", InvalidReason::TooLong(0)),
        (new().with_details(large), "details", InvalidReason::TooLong(0)),
        (new().with_details(object(json!({ "x": "a\0b" }))), "details", InvalidReason::Character),
        (new().with_lifetime(Duration::ZERO), "lifetime", InvalidReason::OutOfRange),
        (new().with_lifetime(Duration::MAX), "lifetime", InvalidReason::OutOfRange),
        (new().with_idle_timeout(Duration::ZERO), "idle_timeout", InvalidReason::OutOfRange),
        (new().with_idle_timeout(Duration::MAX), "idle_timeout", InvalidReason::OutOfRange),
    ] {
        refused(cx.storage.start_session(new).await, field, reason, "a new session");
    }
    let live = started(&cx, &unique()).await;
    for (context, field, reason) in bad_contexts() {
        if ["acr", "amr", "auth_time"].contains(&field) {
            let user = User::new(&live.session.subject)
                .with_acr(context.acr)
                .with_amr(context.amr)
                .with_auth_time(context.auth_time);
            let new = NewUserSession::new(user.clone());
            refused(cx.storage.start_session(new).await, field, reason, "a new session");
            let again = cx.storage.reauthenticate_session(&live.secret, user).await;
            refused(again, field, reason, "another authentication");
        }
    }
    assert_eq!(find(&cx, &live.secret).await, Some(live.session));
    start(&cx, new().with_lifetime(MAX_LIFETIME).with_idle_timeout(MAX_LIFETIME)).await;
}

async fn a_use_moves_the_idle_end(cx: Context) {
    let tenth = Duration::from_secs(1);
    let StartedSession { secret, session } =
        start(&cx, NewUserSession::new(User::new(unique())).with_idle_timeout(tenth * 10)).await;
    let moved = |from: &UserSession, to: &UserSession| to.expires_at - from.expires_at;
    let at_once = find(&cx, &secret).await.expect("it is live");
    let is_a_tenth = |by| by == TimeDelta::zero() || by >= TimeDelta::seconds(1);
    assert!(is_a_tenth(moved(&session, &at_once)), "most calls only read");
    tokio::time::sleep(tenth + SHORT).await;
    let finds = together(16, |_| {
        let (cx, secret) = (cx.clone(), secret.clone());
        async move { find(&cx, &secret).await.expect("it is live") }
    });
    let finds = finds.await;
    let later = find(&cx, &secret).await.expect("it is live");
    assert!(moved(&session, &later) >= TimeDelta::seconds(1), "a use moves the idle end");
    assert_eq!(later.absolute_expires_at, session.absolute_expires_at);
    let mut ends: Vec<DateTime<Utc>> = finds.iter().map(|found| found.expires_at).collect();
    ends.sort_unstable();
    ends.dedup();
    assert!(ends.windows(2).all(|pair| is_a_tenth(pair[1] - pair[0])), "{ends:?}");
}

async fn absolute_end_stays(cx: Context) {
    let lifetime = Duration::from_secs(60);
    for idle_timeout in [None, Some(lifetime), Some(MAX_LIFETIME), Some(Duration::from_secs(59))] {
        let new = NewUserSession::new(User::new(unique()));
        let new = new.with_lifetime(lifetime).with_idle_timeout(idle_timeout);
        let StartedSession { secret, session } = start(&cx, new).await;
        assert!(session.expires_at <= session.absolute_expires_at);
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let found = find(&cx, &secret).await.expect("it is live");
        assert_eq!(found.absolute_expires_at, session.absolute_expires_at);
        assert_eq!(found.expires_at, session.absolute_expires_at, "{idle_timeout:?}");
    }
}

async fn idle_session_expires(cx: Context) {
    let new = NewUserSession::new(User::new(unique())).with_idle_timeout(SHORT);
    let StartedSession { secret, session } = start(&cx, new).await;
    assert_eq!(session.expires_at - session.created_at, TimeDelta::from_std(SHORT).unwrap());
    outlast().await;
    assert_eq!(find(&cx, &secret).await, None);
}

async fn expired_is_none(cx: Context) {
    let (client, subject) = (cx.client().await, unique());
    let new = NewUserSession::new(User::new(&subject)).with_lifetime(SHORT);
    let StartedSession { secret, session } = start(&cx, new).await;
    assert_eq!(session.expires_at, session.absolute_expires_at);
    outlast().await;
    assert_eq!(find(&cx, &secret).await, None);
    assert_eq!(reauthenticate(&cx, &secret, User::new(&subject)).await, None);
    let page = cx.storage.list_sessions(&subject, None, 10).await.expect("list_sessions");
    assert_eq!(page.sessions, []);
    let request = RequestContext::for_user(session.user());
    let new = new_code(&client, &super::context::secret()).with_session(&session);
    let refusal = cx.storage.create_authorization_code(&request, new).await;
    refused(refusal, "session", InvalidReason::Unknown, "a code for an expired session");
}

async fn reauthentication_replaces_the_secret(cx: Context) {
    let user = full_user();
    let new = NewUserSession::new(user.clone()).with_details(details());
    let old = start(&cx, new).await;
    let stronger = User::new(&user.subject).with_acr("phr".to_owned()).with_amr(vec!["hwk".into()]);
    let new = reauthenticate(&cx, &old.secret, stronger.clone()).await.expect("it is live");
    assert!(new.secret != old.secret);
    assert_eq!(find(&cx, &old.secret).await, None, "the old cookie is void");
    let session = find(&cx, &new.secret).await.expect("it is live");
    assert_eq!(session, new.session);
    assert_eq!((session.sid, session.created_at), (old.session.sid, old.session.created_at));
    assert_eq!((&session.acr, &session.amr), (&stronger.acr, &stronger.amr));
    assert_eq!(session.details, details());
    assert!(session.auth_time >= old.session.created_at, "now, not the time of before");
    assert!(session.absolute_expires_at > old.session.absolute_expires_at, "it begins again");
    let again = reauthenticate(&cx, &old.secret, stronger).await;
    assert_eq!(again, None, "the old cookie is void");
}

async fn reauthentication_is_of_the_subject(cx: Context) {
    let live = started(&cx, &unique()).await;
    assert_eq!(reauthenticate(&cx, &live.secret, User::new(unique())).await, None);
    assert_eq!(find(&cx, &live.secret).await, Some(live.session));
}

async fn one_reauthentication_wins(cx: Context) {
    let live = started(&cx, &unique()).await;
    let secrets = together(64, |_| {
        let (cx, old) = (cx.clone(), live.clone());
        async move {
            let user = User::new(&old.session.subject);
            reauthenticate(&cx, &old.secret, user).await.map(|started| started.secret)
        }
    });
    let won: Vec<Secret> = secrets.await.into_iter().flatten().collect();
    assert_eq!(won.len(), 1);
    assert_eq!(find(&cx, &won[0]).await.map(|session| session.sid), Some(live.session.sid));
    assert_eq!(find(&cx, &live.secret).await, None);
}

async fn lists_newest_first(cx: Context) {
    let subject = unique();
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(started(&cx, &subject).await.session);
        // An identifier is in the order of creation to the millisecond.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    started(&cx, &unique()).await;
    sessions.reverse();
    let ended = cx.storage.end_session_of(&subject, sessions[1].sid).await.expect("it ends");
    assert_eq!(ended.sessions.len(), 1);
    sessions.remove(1);
    let (mut after, mut listed, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = cx.storage.list_sessions(&subject, after, 3).await.expect("list_sessions");
        assert!(page.sessions.len() <= 3);
        listed.extend(page.sessions);
        (after, pages) = (page.next, pages + 1);
        if after.is_none() || pages > 9 {
            break;
        }
    }
    assert_eq!(listed, sessions);
    assert_eq!(pages, 2);
}

async fn list_limit_is_bounded(cx: Context) {
    for limit in [0, 1001] {
        let page = cx.storage.list_sessions("alice", None, limit).await;
        refused(page, "limit", InvalidReason::OutOfRange, "list_sessions");
    }
}
