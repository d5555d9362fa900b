//! Device authorizations.

use std::time::Duration;

use super::cases::{bad_contexts, full_context, full_user};
use super::context::{
    ACTIVE, Context, Pair, foreign_tokens, outlast, refused, request, scope, secret, subject,
    together, tokens, unique,
};
use oauth_storage::device_authorization::{
    DeviceApproval, DeviceAuthorization, DevicePoll, DevicePollOutcome, NewDeviceAuthorization,
    PendingDeviceAuthorization, UserCodeLookup, UserCodeOutcome,
};
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::GrantState;
use oauth_storage::{RequestContext, Scope, Settings};
use uuid::Uuid;

rules!("device_authorization" {
    device_gets_its_tokens: "RFC 8628 3.2 to 3.5: pending until the user approves, then the tokens of that user",
    user_code_has_any_spelling: "RFC 8628 6.1: case, spaces and punctuation do not matter",
    slow_down_is_for_early_polls: "RFC 8628 3.5: a poll within the interval, which is five seconds longer then",
    intervals_are_kept_apart: "RFC 8628 3.5: by device code, and an approval is no reason to wait",
    denied_stays_denied: "RFC 8628 3.5: access_denied, and it cannot be approved then",
    expired_is_reported: "RFC 8628 3.5: expired_token; the user code is not found, approved or denied",
    code_is_of_its_client: "RFC 8628 3.4: another client cannot use the device code, and does not spend it",
    approval_is_for_what_was_shown: "RFC 8628 5.4: for the client that was shown, and at most the requested scope",
    approval_is_a_grant: "contract 2: an approval is listed, and its revocation ends the device authorization",
    erased_approval_issues_nothing: "S22: the approval of an erased subject issues nothing",
    disabled_client_gets_nothing: "S20: neither codes, nor an approval, nor tokens",
    offline_access_is_checked: "OIDC Core 11: a refresh token needs offline_access where that is required",
    context_is_kept: "contract 2: the context of the request, with the user's authentication",
    given_tokens_are_issued: "contract 3: given tokens are stored, and a duplicate spends nothing",
    one_poll_wins: "contract 3, exactly once: of 64 polls at once one is issued the tokens",
    one_decision_wins: "contract 3, exactly once: of 64 approvals and denials at once one decides",
    guesses_are_limited: "RFC 8628 5.1: the attempts of a guesser, on all nodes together",
    one_window_has_its_attempts: "RFC 8628 5.1: of 64 attempts at once as many lookups as allowed succeed",
    values_are_checked: "contract 3, bad input: by field",
    strange_input_finds_nothing: "contract 3, bad input: what cannot be a code is not found",
});

async fn start_with(cx: &Context, new: NewDeviceAuthorization) -> DeviceAuthorization {
    cx.storage.start_device_authorization(new).await.expect("start_device_authorization")
}

async fn start(cx: &Context, client: &str) -> DeviceAuthorization {
    start_with(cx, NewDeviceAuthorization::new(client, scope())).await
}

async fn find(cx: &Context, user_code: &str) -> UserCodeOutcome {
    let lookup = UserCodeLookup::new(user_code);
    cx.storage.find_device_authorization(lookup).await.expect("find_device_authorization")
}

async fn shown(cx: &Context, user_code: &str) -> PendingDeviceAuthorization {
    match find(cx, user_code).await {
        UserCodeOutcome::Found(found) => *found,
        other => panic!("{user_code}: {other:?}"),
    }
}

async fn approve_with(cx: &Context, user: &RequestContext, approval: DeviceApproval) -> bool {
    let approved = cx.storage.approve_device_authorization(user, approval).await;
    approved.expect("approve_device_authorization")
}

async fn approve(cx: &Context, user: &RequestContext, user_code: &str) -> bool {
    let shown = shown(cx, user_code).await;
    let scope = shown.scope.clone();
    approve_with(cx, user, DeviceApproval::new(user_code, &shown, scope)).await
}

async fn deny(cx: &Context, user_code: &str, grant_id: Uuid) -> bool {
    let denied = cx.storage.deny_device_authorization(user_code, grant_id).await;
    denied.expect("deny_device_authorization")
}

fn polling(client: &str, device: &DeviceAuthorization) -> DevicePoll {
    DevicePoll::new(client, device.device_code.clone()).with_refresh_token(true)
}

async fn poll(cx: &Context, client: &str, device: &DeviceAuthorization) -> DevicePollOutcome {
    let request = RequestContext::default();
    let outcome = cx.storage.poll_device_authorization(&request, polling(client, device)).await;
    outcome.expect("poll_device_authorization")
}

fn issued(outcome: DevicePollOutcome) -> Pair {
    match outcome {
        DevicePollOutcome::Issued(issued) => Pair::new(issued.token, issued.tokens),
        other => panic!("nothing was issued: {other:?}"),
    }
}

async fn device_gets_its_tokens(cx: Context) {
    let client = cx.client().await;
    let device = start(&cx, &client).await;
    assert_eq!(poll(&cx, &client, &device).await, DevicePollOutcome::Pending);
    let shown = shown(&cx, &device.user_code).await;
    assert_eq!((&shown.client_id, &shown.scope), (&client, &scope()));
    assert!(shown.expires_at > shown.issued_at);
    let user = request();
    assert!(approve(&cx, &user, &device.user_code).await);
    assert_eq!(find(&cx, &device.user_code).await, UserCodeOutcome::Unknown, "it is decided");
    let pair = issued(poll(&cx, &client, &device).await);
    assert_eq!(pair.token.subject.as_deref(), user.subject());
    assert_eq!(pair.token.scope, scope());
    assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2]);
    let grant = cx.grant(pair.grant_id()).await.expect("the grant was stored");
    assert!(grant.expires_at >= pair.token.expires_at, "it lives as long as its tokens");
    assert_eq!(poll(&cx, &client, &device).await, DevicePollOutcome::Invalid, "the code is used");
    assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2], "and that revokes nothing");
}

async fn user_code_has_any_spelling(cx: Context) {
    let client = cx.client().await;
    let device = start(&cx, &client).await;
    let plain = device.user_code.replace('-', "");
    for typed in [plain.to_lowercase(), format!(" {}.{}\n", &plain[..2], &plain[2..])] {
        assert_eq!(shown(&cx, &typed).await.client_id, client, "{typed}");
    }
    assert!(approve(&cx, &request(), &plain.to_lowercase()).await);
    let other = start(&cx, &client).await;
    assert!(deny(&cx, &other.user_code.to_lowercase(), other.grant_id()).await);
}

async fn slow_down_is_for_early_polls(cx: Context) {
    let client = cx.client().await;
    let second = Duration::from_secs(1);
    let new = NewDeviceAuthorization::new(&client, scope()).with_interval(second);
    let device = start_with(&cx, new).await;
    assert_eq!(poll(&cx, &client, &device).await, DevicePollOutcome::Pending);
    tokio::time::sleep(second).await;
    assert_eq!(poll(&cx, &client, &device).await, DevicePollOutcome::Pending, "in its interval");
    assert_eq!(poll(&cx, &client, &device).await, DevicePollOutcome::SlowDown);
    tokio::time::sleep(second).await;
    assert_eq!(poll(&cx, &client, &device).await, DevicePollOutcome::SlowDown, "six seconds now");
    assert!(approve(&cx, &request(), &device.user_code).await);
    issued(poll(&cx, &client, &device).await);
}

async fn intervals_are_kept_apart(cx: Context) {
    let client = cx.client().await;
    let devices = [start(&cx, &client).await, start(&cx, &client).await];
    for device in &devices {
        assert_eq!(poll(&cx, &client, device).await, DevicePollOutcome::Pending);
    }
    assert_eq!(poll(&cx, &client, &devices[0]).await, DevicePollOutcome::SlowDown);
    assert!(approve(&cx, &request(), &devices[1].user_code).await);
    issued(poll(&cx, &client, &devices[1]).await);
    assert_eq!(poll(&cx, &client, &devices[0]).await, DevicePollOutcome::SlowDown);
}

async fn denied_stays_denied(cx: Context) {
    let client = cx.client().await;
    let device = start(&cx, &client).await;
    let shown = shown(&cx, &device.user_code).await;
    assert!(deny(&cx, &device.user_code, device.grant_id()).await);
    assert!(!deny(&cx, &device.user_code, device.grant_id()).await, "it is decided");
    let approval = DeviceApproval::new(&device.user_code, &shown, scope());
    assert!(!approve_with(&cx, &request(), approval).await, "it is decided");
    for _ in 0..2 {
        assert_eq!(poll(&cx, &client, &device).await, DevicePollOutcome::Denied);
    }
}

async fn expired_is_reported(cx: Context) {
    let client = cx.client().await;
    let lifetime = Duration::from_secs(2);
    let new = || NewDeviceAuthorization::new(&client, scope()).with_expires_in(lifetime);
    let (device, approved) = (start_with(&cx, new()).await, start_with(&cx, new()).await);
    let shown = shown(&cx, &device.user_code).await;
    assert!(approve(&cx, &request(), &approved.user_code).await);
    tokio::time::sleep(lifetime).await;
    outlast().await;
    assert_eq!(find(&cx, &device.user_code).await, UserCodeOutcome::Unknown);
    let approval = DeviceApproval::new(&device.user_code, &shown, scope());
    assert!(!approve_with(&cx, &request(), approval).await);
    assert!(!deny(&cx, &device.user_code, device.grant_id()).await);
    for device in [&device, &approved] {
        assert_eq!(poll(&cx, &client, device).await, DevicePollOutcome::Expired);
    }
}

async fn code_is_of_its_client(cx: Context) {
    let (client, other) = (cx.client().await, cx.client().await);
    let device = start(&cx, &client).await;
    assert_eq!(poll(&cx, &other, &device).await, DevicePollOutcome::Invalid);
    assert_eq!(poll(&cx, &client, &device).await, DevicePollOutcome::Pending, "not too early");
    assert!(approve(&cx, &request(), &device.user_code).await);
    assert_eq!(poll(&cx, &other, &device).await, DevicePollOutcome::Invalid);
    issued(poll(&cx, &client, &device).await);
}

async fn approval_is_for_what_was_shown(cx: Context) {
    let (client, other) = (cx.client().await, cx.client().await);
    let device = start(&cx, &client).await;
    let shown = shown(&cx, &device.user_code).await;
    let mut approval = DeviceApproval::new(&device.user_code, &shown, scope());
    approval.client_id = other;
    assert!(!approve_with(&cx, &request(), approval).await, "another client was shown");
    let mut approval = DeviceApproval::new(&device.user_code, &shown, scope());
    approval.grant_id = Uuid::nil();
    assert!(!approve_with(&cx, &request(), approval).await, "a guessed code approves nothing");
    assert!(!deny(&cx, &device.user_code, Uuid::nil()).await, "and denies nothing");
    let wider: Scope = format!("{} more", scope()).parse().unwrap();
    let approval = DeviceApproval::new(&device.user_code, &shown, wider);
    let result = cx.storage.approve_device_authorization(&request(), approval).await;
    refused(result, "scope", InvalidReason::NotAllowed, "a wider scope");
    let narrower: Scope = scope().iter().next().unwrap().parse().unwrap();
    let approval = DeviceApproval::new(&device.user_code, &shown, narrower.clone());
    assert!(approve_with(&cx, &request(), approval).await, "nothing was decided before");
    assert_eq!(issued(poll(&cx, &client, &device).await).token.scope, narrower);
}

async fn approval_is_a_grant(cx: Context) {
    let client = cx.client().await;
    let device = start(&cx, &client).await;
    let user = request();
    assert!(approve(&cx, &user, &device.user_code).await);
    let page = cx.storage.list_grants(subject(&user), None, 10).await.expect("list_grants");
    let [grant] = &page.grants[..] else { panic!("{page:?}") };
    assert_eq!((&grant.client_id, grant.state), (&client, GrantState::Active));
    assert_eq!(cx.storage.revoke_subject(subject(&user)).await.expect("revoke_subject"), 1);
    assert_eq!(poll(&cx, &client, &device).await, DevicePollOutcome::Invalid);
}

async fn erased_approval_issues_nothing(cx: Context) {
    let client = cx.client().await;
    let device = start(&cx, &client).await;
    let user = request();
    assert!(approve(&cx, &user, &device.user_code).await);
    assert_eq!(cx.storage.erase_subject(subject(&user)).await.expect("erase_subject"), 1);
    assert_eq!(poll(&cx, &client, &device).await, DevicePollOutcome::Invalid);
}

async fn disabled_client_gets_nothing(cx: Context) {
    let client = cx.client().await;
    let (approved, pending) = (start(&cx, &client).await, start(&cx, &client).await);
    let shown = shown(&cx, &pending.user_code).await;
    assert!(approve(&cx, &request(), &approved.user_code).await);
    cx.set_disabled(&client, true).await;
    for client in [client.clone(), unique()] {
        let new = NewDeviceAuthorization::new(client, scope());
        let result = cx.storage.start_device_authorization(new).await;
        refused(result, "client_id", InvalidReason::Unknown, "start_device_authorization");
    }
    assert_eq!(find(&cx, &pending.user_code).await, UserCodeOutcome::Unknown);
    let approval = DeviceApproval::new(&pending.user_code, &shown, scope());
    assert!(!approve_with(&cx, &request(), approval).await);
    assert_eq!(poll(&cx, &client, &approved).await, DevicePollOutcome::Invalid);
    cx.set_disabled(&client, false).await;
    assert!(approve(&cx, &request(), &pending.user_code).await, "it was not spent");
    issued(poll(&cx, &client, &pending).await);
}

async fn offline_access_is_checked(cx: Context) {
    let client = cx.client().await;
    let settings = Settings::default().with_require_offline_access(true);
    let asking = RequestContext::default().with_settings(settings);
    for (scope, expected) in [("openid", false), ("openid offline_access", true)] {
        let new = NewDeviceAuthorization::new(&client, scope.parse().unwrap());
        let device = start_with(&cx, new).await;
        assert!(approve(&cx, &request(), &device.user_code).await);
        let poll = polling(&client, &device);
        let outcome = cx.storage.poll_device_authorization(&asking, poll).await.expect("poll");
        let issued = outcome.issued().expect("it was approved");
        assert_eq!(issued.tokens.refresh_token.is_some(), expected, "{scope}");
        let grant = cx.grant(issued.token.grant_id).await.expect("stored");
        let lasts = grant.expires_at - issued.token.expires_at;
        assert_eq!(lasts.num_days() > 1, expected, "the grant ends with its last token");
    }
}

async fn context_is_kept(cx: Context) {
    let client = cx.client().await;
    let mut context = full_context();
    (context.acr, context.sid) = (None, None);
    context.amr.clear();
    let new = NewDeviceAuthorization::new(&client, scope()).with_context(context.clone());
    let device = start_with(&cx, new).await;
    assert_eq!(shown(&cx, &device.user_code).await.context, context.clone().or_from(None));
    let user = RequestContext::for_user(full_user());
    assert!(approve(&cx, &user, &device.user_code).await);
    let pair = issued(poll(&cx, &client, &device).await);
    let mut expected = context.or_from(user.user.as_ref());
    // The session is that of the browser, not of the device.
    expected.sid = None;
    assert_eq!(pair.token.context, expected);
    assert!(expected.acr.is_some(), "the user's authentication");
    assert_eq!(cx.introspect(&pair.access).await.map(|token| token.context), Some(expected));
}

async fn given_tokens_are_issued(cx: Context) {
    let client = cx.client().await;
    let device = start(&cx, &client).await;
    assert!(approve(&cx, &request(), &device.user_code).await);
    let tokens = foreign_tokens();
    let earlier = oauth_storage::NewToken::new(&client, scope(), tokens.clone());
    cx.create(&request(), earlier).await;
    let ask = |tokens| polling(&client, &device).with_tokens(tokens);
    let none = RequestContext::default();
    let result = cx.storage.poll_device_authorization(&none, ask(tokens)).await;
    let fields = ["access_token", "refresh_token"];
    assert!(super::context::is_duplicate(&result, &fields), "{result:?}");
    let tokens = foreign_tokens();
    let outcome = cx.storage.poll_device_authorization(&none, ask(tokens.clone())).await;
    let pair = issued(outcome.expect("nothing was spent"));
    assert_eq!(
        (&pair.access, Some(&pair.refresh)),
        (&tokens.access_token, tokens.refresh_token.as_ref())
    );
}

async fn one_poll_wins(cx: Context) {
    let client = cx.client().await;
    for _ in 0..3 {
        let device = start(&cx, &client).await;
        assert!(approve(&cx, &request(), &device.user_code).await);
        let outcomes = together(64, |_| {
            let (cx, client, device) = (cx.clone(), client.clone(), device.clone());
            async move { poll(&cx, &client, &device).await }
        });
        let mut won = 0;
        for outcome in outcomes.await {
            match outcome {
                DevicePollOutcome::Issued(_) => won += 1,
                other => assert_eq!(other, DevicePollOutcome::Invalid),
            }
        }
        assert_eq!(won, 1);
    }
}

async fn one_decision_wins(cx: Context) {
    let client = cx.client().await;
    for _ in 0..5 {
        let device = start(&cx, &client).await;
        let shown = shown(&cx, &device.user_code).await;
        let decided = together(64, |n| {
            let (cx, client, device, shown) =
                (cx.clone(), client.clone(), device.clone(), shown.clone());
            async move {
                let decided = if n == 0 {
                    let outcome = poll(&cx, &client, &device).await;
                    assert_ne!(outcome, DevicePollOutcome::Invalid, "refused for a race");
                    false
                } else if n % 2 == 0 {
                    deny(&cx, &device.user_code, device.grant_id()).await
                } else {
                    let approval = DeviceApproval::new(&device.user_code, &shown, scope());
                    approve_with(&cx, &request(), approval).await
                };
                usize::from(decided)
            }
        });
        assert_eq!(decided.await.into_iter().sum::<usize>(), 1);
    }
}

async fn guess(cx: &Context, user_code: &str, guesser: &str, window: Duration) -> UserCodeOutcome {
    let lookup = UserCodeLookup::new(user_code).with_limit(guesser, 3, window);
    cx.storage.find_device_authorization(lookup).await.expect("find_device_authorization")
}

async fn guesses_are_limited(cx: Context) {
    let client = cx.client().await;
    let device = start(&cx, &client).await;
    let (guesser, other) = (unique(), unique());
    let window = Duration::from_secs(2);
    for wrong in ["BBBB-BBBB", "not a code"] {
        assert_eq!(guess(&cx, wrong, &guesser, window).await, UserCodeOutcome::Unknown);
    }
    let found = guess(&cx, &device.user_code, &guesser, window).await;
    assert!(matches!(found, UserCodeOutcome::Found(_)), "the third attempt: {found:?}");
    for code in [device.user_code.as_str(), "BBBB-BBBB", ""] {
        assert_eq!(guess(&cx, code, &guesser, window).await, UserCodeOutcome::Limited);
    }
    let found = guess(&cx, &device.user_code, &other, window).await;
    assert!(matches!(found, UserCodeOutcome::Found(_)), "another guesser: {found:?}");
    tokio::time::sleep(window).await;
    let found = guess(&cx, &device.user_code, &guesser, window).await;
    assert!(matches!(found, UserCodeOutcome::Found(_)), "another window: {found:?}");
}

async fn one_window_has_its_attempts(cx: Context) {
    let guesser = unique();
    let outcomes = together(64, |_| {
        let (cx, guesser) = (cx.clone(), guesser.clone());
        async move { guess(&cx, "BBBB-BBBB", &guesser, Duration::from_mins(5)).await }
    });
    let looked = outcomes.await.into_iter().filter(|o| *o != UserCodeOutcome::Limited).count();
    assert_eq!(looked, 3);
}

async fn values_are_checked(cx: Context) {
    let client = cx.client().await;
    let new = || NewDeviceAuthorization::new(&client, scope());
    for (new, field) in [
        (NewDeviceAuthorization::new("", scope()), "client_id"),
        (new().with_expires_in(Duration::ZERO), "expires_in"),
        (new().with_expires_in(Duration::from_millis(1_500)), "expires_in"),
        (new().with_expires_in(Duration::MAX), "expires_in"),
        (new().with_interval(Duration::ZERO), "interval"),
        (new().with_interval(Duration::from_secs(61)), "interval"),
    ] {
        let reason =
            if field == "client_id" { InvalidReason::Empty } else { InvalidReason::OutOfRange };
        let result = cx.storage.start_device_authorization(new).await;
        refused(result, field, reason, "start_device_authorization");
    }
    let device = start(&cx, &client).await;
    let shown = shown(&cx, &device.user_code).await;
    for (context, field, reason) in bad_contexts() {
        let new = new().with_context(context.clone());
        let result = cx.storage.start_device_authorization(new).await;
        refused(result, field, reason, "start_device_authorization");
        let approval =
            DeviceApproval::new(&device.user_code, &shown, scope()).with_context(context);
        let result = cx.storage.approve_device_authorization(&request(), approval).await;
        refused(result, field, reason, "approve_device_authorization");
    }
    let approval = DeviceApproval::new(&device.user_code, &shown, scope());
    let nobody = RequestContext::default();
    let result = cx.storage.approve_device_authorization(&nobody, approval).await;
    refused(result, "subject", InvalidReason::Missing, "approve_device_authorization");
    let lookup = |guesser: &str, attempts, window| {
        UserCodeLookup::new(&device.user_code).with_limit(guesser, attempts, window)
    };
    let second = Duration::from_secs(1);
    for (lookup, field, reason) in [
        (lookup("", 1, second), "guesser", InvalidReason::Empty),
        (lookup("x", 0, second), "attempts", InvalidReason::OutOfRange),
        (lookup("x", u32::MAX, second), "attempts", InvalidReason::OutOfRange),
        (lookup("x", 1, Duration::ZERO), "window", InvalidReason::OutOfRange),
    ] {
        let result = cx.storage.find_device_authorization(lookup).await;
        refused(result, field, reason, "find_device_authorization");
    }
    let foreign = polling(&client, &device).with_tokens(tokens());
    let result = cx.storage.poll_device_authorization(&nobody, foreign).await;
    refused(result, "access_token", InvalidReason::NotAllowed, "tokens of another grant");
}

async fn strange_input_finds_nothing(cx: Context) {
    let client = cx.client().await;
    let none = RequestContext::default();
    for text in ["", "\0", "WDJB-MJH", "' OR 1=1 --", &"W".repeat(100_000), "🦀🦀🦀🦀🦀🦀🦀🦀"]
    {
        assert_eq!(find(&cx, text).await, UserCodeOutcome::Unknown, "{text:.20}");
        assert!(!deny(&cx, text, Uuid::nil()).await, "{text:.20}");
        for poll in [DevicePoll::new(&client, text), DevicePoll::new(text, secret())] {
            let outcome = cx.storage.poll_device_authorization(&none, poll).await;
            assert_eq!(outcome.expect("poll"), DevicePollOutcome::Invalid, "{text:.20}");
        }
    }
    let outcome = cx.storage.poll_device_authorization(&none, DevicePoll::new(&client, secret()));
    assert_eq!(outcome.await.expect("poll"), DevicePollOutcome::Invalid, "an unknown code");
}
