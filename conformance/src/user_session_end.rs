//! The ends of sessions: sign-outs and their grants.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::context::{
    ACTIVE, Context, REDIRECT_URI, REVOKED, SHORT, metadata, new_code, outlast, refused, secret,
    together, unique,
};
use super::flow::{issued_pair, redeem};
use super::user_session::{find, started};
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::{GrantContext, GrantState};
use oauth_storage::token::TokenRef;
use oauth_storage::user_session::{EndedSession, SignOut, StartedSession, UserSession};
use oauth_storage::{
    CodeRedemption, NewAuthorizationCode, NewClient, RedemptionOutcome, RequestContext, Scope,
    Secret, Settings, User,
};

rules!("user_session" {
    code_knows_its_session: "OIDC Core 12.2: the sid travels to the tokens",
    code_needs_a_live_session: "contract 3, bad input: a session that is live and of the request's user",
    sign_out_ends_its_grants: "OIDC Back-Channel Logout 2.7: the grants of the session, except those with offline_access",
    sign_out_tells_every_client: "OIDC Back-Channel Logout 2.5: each client that signed in, also if its grant has ended",
    sign_out_is_of_the_subject: "S10, contract 2: only the owner signs out elsewhere",
    sign_out_everywhere_else: "contract 2, every session of the subject but one",
    one_sign_out_reports: "contract 3, exactly once: of 64 sign-outs at once each session is reported by one",
    no_grant_survives: "S9, contract 3: no grant of a session is live when its sign-out has returned, even with concurrent calls",
    found_or_ended: "contract 3, a concurrent lookup gets the session or none, and none after the sign-out",
    erasure_takes_sessions: "S22, contract 2, erase: no session of the subject is found",
    revocation_keeps_sessions: "contract 2, revoking a subject ends grants, not sessions",
});

/// A client that may request `offline_access`.
async fn client(cx: &Context) -> String {
    let scope = scope("openid offline_access");
    let new = NewClient::new(metadata().with_scope(scope)).with_client_id(unique());
    cx.register(new).await.client.client_id
}

fn scope(scope: &str) -> Scope {
    scope.parse().expect("a scope")
}

/// Stores a code for a session. Returns its grant and the redemption.
async fn authorize(
    cx: &Context,
    session: &UserSession,
    client: &str,
    requested: &str,
) -> (Uuid, CodeRedemption) {
    let code = secret();
    let new = NewAuthorizationCode::new(client, scope(requested), REDIRECT_URI, code.clone());
    let request = RequestContext::for_user(session.user());
    let stored = cx.storage.create_authorization_code(&request, new.with_session(session)).await;
    let stored = stored.expect("a code for a live session");
    assert_eq!(stored.context.sid, Some(session.sid.to_string()));
    let redemption = CodeRedemption::new(client, REDIRECT_URI, code).with_refresh_token(true);
    (stored.grant_id, redemption)
}

async fn is_live(cx: &Context, grant_id: Uuid) -> bool {
    cx.grant(grant_id).await.is_some_and(|grant| grant.state == GrantState::Active)
}

fn ended(session: &UserSession, clients: &[&String]) -> EndedSession {
    EndedSession::new(session.sid, &session.subject, clients.iter().map(|&id| id.clone()))
}

async fn code_knows_its_session(cx: Context) {
    let client = client(&cx).await;
    let StartedSession { session, .. } = started(&cx, &unique()).await;
    let (_, redemption) = authorize(&cx, &session, &client, "openid").await;
    let pair = issued_pair(redeem(&cx, &redemption).await);
    assert_eq!(pair.token.context.sid, Some(session.sid.to_string()));
    assert_eq!(pair.token.context.auth_time, Some(session.auth_time));
}

async fn code_needs_a_live_session(cx: Context) {
    let client = client(&cx).await;
    let live = started(&cx, &unique()).await.session;
    let gone = started(&cx, &live.subject).await;
    let _ = cx.storage.end_session(&gone.secret).await.expect("end_session");
    let foreign = started(&cx, &unique()).await.session;
    let user = RequestContext::for_user(User::new(&live.subject));
    let with = |session: &UserSession| new_code(&client, &secret()).with_session(session);
    let joined = cx.code(&user, &client).await.1.grant_id;
    let mut unknown = with(&live);
    unknown.session = Some(Uuid::now_v7());
    let sid = GrantContext::default().with_sid(foreign.sid.to_string());
    let mut of_nobody = with(&live);
    of_nobody.client_id = unique();
    let mut joining = with(&live).with_grant_id(joined);
    joining.code = Secret::generate_for(joined).expect("randomness");
    let nobody = RequestContext::default();
    for (request, new, field, reason) in [
        (&user, with(&gone.session), "session", InvalidReason::Unknown),
        (&user, with(&foreign), "session", InvalidReason::Unknown),
        (&user, unknown, "session", InvalidReason::Unknown),
        (&nobody, with(&live), "session", InvalidReason::Unknown),
        (&user, with(&live).with_context(sid), "session", InvalidReason::NotAllowed),
        (
            &RequestContext::for_user(foreign.user()),
            with(&live),
            "session",
            InvalidReason::NotAllowed,
        ),
        (&user, joining, "session", InvalidReason::NotAllowed),
        (&user, of_nobody, "client_id", InvalidReason::Unknown),
    ] {
        let code = new.code.clone();
        let refusal = cx.storage.create_authorization_code(request, new).await;
        refused(refusal, field, reason, "a code for a session");
        assert_eq!(cx.get_code(&client, &code).await, None, "nothing is stored");
    }
    let new = with(&live);
    let code = new.code.clone();
    cx.storage.create_authorization_code(&user, new).await.expect("a live session");
    let again = new_code(&client, &code).with_session(&live);
    let again = cx.storage.create_authorization_code(&user, again).await;
    refused(again, "code", InvalidReason::Duplicate, "a code that exists");
}

async fn sign_out_ends_its_grants(cx: Context) {
    let (one, two) = (client(&cx).await, client(&cx).await);
    let subject = unique();
    let (here, there) = (started(&cx, &subject).await, started(&cx, &subject).await);
    let (waiting, code) = authorize(&cx, &here.session, &one, "openid").await;
    let (_, redemption) = authorize(&cx, &here.session, &one, "openid").await;
    let pair = issued_pair(redeem(&cx, &redemption).await);
    let (_, redemption) = authorize(&cx, &here.session, &two, "openid offline_access").await;
    let offline = issued_pair(redeem(&cx, &redemption).await);
    let (elsewhere, _) = authorize(&cx, &there.session, &one, "openid").await;
    let request = RequestContext::for_user(User::new(&subject));
    let (_, sessionless) = cx.code(&request, &one).await;

    let out = cx.storage.end_session(&here.secret).await.expect("end_session");
    assert_eq!(out.sessions, [ended(&here.session, &[&one, &two])]);
    assert_eq!(out.revoked_grants, 2);
    assert_eq!(cx.states(&one, &pair).await, [REVOKED; 2]);
    assert_eq!(cx.states(&two, &offline).await, [ACTIVE; 2], "offline_access says otherwise");
    assert!(!is_live(&cx, waiting).await);
    assert_eq!(redeem(&cx, &code).await, RedemptionOutcome::Invalid);
    assert!(is_live(&cx, elsewhere).await && is_live(&cx, sessionless.grant_id).await);
    assert_eq!(find(&cx, &here.secret).await, None);
    assert_eq!(find(&cx, &there.secret).await, Some(there.session));
    let again = cx.storage.end_session(&here.secret).await.expect("end_session");
    assert_eq!(again, SignOut::default());
}

async fn sign_out_tells_every_client(cx: Context) {
    let clients = [client(&cx).await, client(&cx).await, client(&cx).await];
    let live = started(&cx, &unique()).await;
    let settings = Settings::default().with_authorization_code_expires_in(SHORT);
    let request = RequestContext::for_user(live.session.user()).with_settings(settings);
    let new = new_code(&clients[0], &secret()).with_session(&live.session);
    cx.storage.create_authorization_code(&request, new).await.expect("a live session");
    let (revoked, _) = authorize(&cx, &live.session, &clients[1], "openid").await;
    assert!(cx.storage.revoke_grant(revoked).await.expect("revoke_grant"));
    // A grant that is only known by its `sid`.
    let by_sid = RequestContext::for_user(live.session.user());
    let pair = cx.pair(&by_sid, &clients[2]).await;
    assert_eq!(pair.token.context.sid, Some(live.session.sid.to_string()));
    outlast().await;
    let out = cx.storage.end_session(&live.secret).await.expect("end_session");
    let expected: Vec<&String> = clients.iter().collect();
    assert_eq!(out.sessions, [ended(&live.session, &expected)]);
    let access = TokenRef::Access(&pair.access);
    assert_eq!(cx.get(&clients[2], access).await.map(|token| token.state), REVOKED);
}

async fn sign_out_is_of_the_subject(cx: Context) {
    let live = started(&cx, &unique()).await;
    let of = async |subject: &str| {
        let out = cx.storage.end_session_of(subject, live.session.sid).await;
        out.expect("end_session_of")
    };
    assert_eq!(of(&unique()).await, SignOut::default());
    assert_eq!(find(&cx, &live.secret).await.as_ref(), Some(&live.session));
    assert_eq!(of(&live.session.subject).await.sessions, [ended(&live.session, &[])]);
    assert_eq!(find(&cx, &live.secret).await, None);
    assert_eq!(of(&live.session.subject).await, SignOut::default());
}

async fn sign_out_everywhere_else(cx: Context) {
    let (client, subject) = (client(&cx).await, unique());
    let here = started(&cx, &subject).await;
    let other = started(&cx, &unique()).await;
    let mut expected = Vec::new();
    for _ in 0..3 {
        let there = started(&cx, &subject).await.session;
        authorize(&cx, &there, &client, "openid").await;
        expected.push(ended(&there, &[&client]));
    }
    let (kept, _) = authorize(&cx, &here.session, &client, "openid").await;
    let sid = here.session.sid;
    let out = cx.storage.end_sessions_of(&subject, Some(sid)).await.expect("end_sessions_of");
    let mut sessions = out.sessions;
    sessions.sort_by_key(|session| session.sid);
    expected.sort_by_key(|session| session.sid);
    assert_eq!((sessions, out.revoked_grants), (expected, 3));
    assert!(find(&cx, &here.secret).await.is_some() && is_live(&cx, kept).await);
    assert!(find(&cx, &other.secret).await.is_some(), "another subject's session stays");
    let out = cx.storage.end_sessions_of(&subject, None).await.expect("end_sessions_of");
    assert_eq!(out.sessions, [ended(&here.session, &[&client])]);
    assert!(!is_live(&cx, kept).await);
    assert_eq!(find(&cx, &here.secret).await, None);
}

async fn one_sign_out_reports(cx: Context) {
    let (client, subject) = (client(&cx).await, unique());
    let (mut sids, mut secrets) = (BTreeSet::new(), Vec::new());
    for _ in 0..8 {
        let live = started(&cx, &subject).await;
        authorize(&cx, &live.session, &client, "openid").await;
        sids.insert(live.session.sid);
        secrets.push(live.secret);
    }
    let all: Vec<Uuid> = sids.iter().copied().collect();
    let outs = together(64, |n| {
        let (cx, subject, all) = (cx.clone(), subject.clone(), all.clone());
        let secret = secrets[n % 8].clone();
        async move {
            let out = match n % 4 {
                0 => cx.storage.end_session(&secret).await,
                1 => cx.storage.end_session_of(&subject, all[n / 4 % 8]).await,
                _ => cx.storage.end_sessions_of(&subject, None).await,
            };
            out.expect("a sign-out")
        }
    });
    let outs = outs.await;
    assert_eq!(outs.iter().map(|out| out.revoked_grants).sum::<u64>(), 8, "each grant once");
    let mut reported: Vec<Uuid> = Vec::new();
    for session in outs.iter().flat_map(|out| &out.sessions) {
        assert_eq!(session.client_ids, std::slice::from_ref(&client), "with its clients");
        reported.push(session.sid);
    }
    reported.sort_unstable();
    assert_eq!(reported, all, "each session once");
}

async fn no_grant_survives(cx: Context) {
    let (client, subject) = (client(&cx).await, unique());
    let sessions = [started(&cx, &subject).await.session, started(&cx, &subject).await.session];
    let outcomes = together(64, |n| {
        let (cx, session, client) = (cx.clone(), sessions[n % 2].clone(), client.clone());
        async move {
            let request = RequestContext::for_user(session.user());
            if n == 31 {
                return cx.storage.end_sessions_of(&session.subject, None).await.map(|_| None);
            }
            let new = new_code(&client, &secret()).with_session(&session);
            let stored = cx.storage.create_authorization_code(&request, new).await;
            stored.map(|code| Some(code.grant_id))
        }
    });
    for outcome in outcomes.await {
        match outcome {
            Ok(grant_id) => {
                if let Some(grant_id) = grant_id {
                    assert!(!is_live(&cx, grant_id).await, "a grant has survived");
                }
            }
            Err(error) => refused::<()>(Err(error), "session", InvalidReason::Unknown, "a code"),
        }
    }
}

async fn found_or_ended(cx: Context) {
    let live = started(&cx, &unique()).await;
    let found = together(64, |n| {
        let (cx, live) = (cx.clone(), live.clone());
        async move {
            if n == 31 {
                let out = cx.storage.end_session(&live.secret).await.expect("end_session");
                assert_eq!(out.sessions.len(), 1);
                assert_eq!(find(&cx, &live.secret).await, None);
            }
            find(&cx, &live.secret).await
        }
    });
    assert!(found.await.into_iter().flatten().all(|session| session == live.session));
    assert_eq!(find(&cx, &live.secret).await, None);
}

async fn erasure_takes_sessions(cx: Context) {
    let (client, subject) = (client(&cx).await, unique());
    let (live, other) = (started(&cx, &subject).await, started(&cx, &unique()).await);
    let (grant_id, _) = authorize(&cx, &live.session, &client, "openid").await;
    assert_eq!(cx.storage.erase_subject(&subject).await.expect("erase_subject"), 1);
    assert_eq!(find(&cx, &live.secret).await, None);
    assert_eq!(cx.grant(grant_id).await, None);
    let out = cx.storage.end_sessions_of(&subject, None).await.expect("end_sessions_of");
    assert_eq!(out, SignOut::default());
    assert!(find(&cx, &other.secret).await.is_some(), "another subject's session stays");
}

async fn revocation_keeps_sessions(cx: Context) {
    let (client, subject) = (client(&cx).await, unique());
    let live = started(&cx, &subject).await;
    authorize(&cx, &live.session, &client, "openid").await;
    assert_eq!(cx.storage.revoke_subject(&subject).await.expect("revoke_subject"), 1);
    assert!(find(&cx, &live.secret).await.is_some());
}
