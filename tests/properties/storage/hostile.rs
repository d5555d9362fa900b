//! Hostile input in every call, beside honest flows.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::client::{ClientSecret, ClientSecretRotation};
use oauth_storage::device_authorization::{
    DeviceApproval, DevicePoll, DevicePollOutcome, NewDeviceAuthorization,
    PendingDeviceAuthorization, UserCodeLookup, UserCodeOutcome,
};
use oauth_storage::grant::{GrantContext, RotationOutcome, TokenRotation};
use oauth_storage::id_token::NewIdToken;
use oauth_storage::pending_request::{NewPendingRequest, PendingRequest};
use oauth_storage::postgres::NewUser;
use oauth_storage::pushed_request::NewPushedRequest;
use oauth_storage::replay::Claim;
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::user_session::NewUserSession;
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, ClientStorage as _,
    CodeRedemption, ConsentStorage as _, DeviceAuthorizationStorage as _, Error, GrantStorage as _,
    IdTokenStorage as _, NewAuthorizationCode, NewClient, PendingRequestStorage as _, PgStorage,
    PushedRequestStorage as _, RedemptionOutcome, ReplayStorage as _, RequestContext, Scope,
    Secret, Settings, SigningKeyStorage as _, TokenPair, TokenStorage as _, User,
    UserSessionStorage as _, UserStorage as _,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Bed, URI, scope, secret};
use crate::inputs::{context, credential, metadata, text};

/// The input of a case: strings to use anywhere, and values that are not made of a string.
#[derive(Debug, Clone)]
struct Hostile {
    texts: Vec<String>,
    credentials: Vec<String>,
    context: GrantContext,
    metadata: ClientMetadata,
    settings: Settings,
    id: u128,
    limit: usize,
}

fn hostile() -> impl Strategy<Value = Hostile> {
    let seconds = || {
        prop_oneof![
            3 => (1_u64..600).prop_map(Duration::from_secs),
            1 => any::<Duration>(),
            1 => Just(Duration::ZERO),
        ]
    };
    let settings = (seconds(), seconds(), seconds(), any::<bool>()).prop_map(
        |(access, refresh, code, plain)| {
            Settings::default()
                .with_access_token_expires_in(access)
                .with_refresh_token_expires_in(refresh)
                .with_refresh_token_idle_expires_in(plain.then_some(code))
                .with_authorization_code_expires_in(code)
                .with_allow_plain_code_challenge(plain)
        },
    );
    let limit = prop_oneof![Just(0), Just(usize::MAX), 1_usize..1100, any::<usize>()];
    let strings = (vec(text(), 6), vec(credential(), 6));
    let settings = prop_oneof![2 => Just(Settings::default()), 1 => settings];
    (strings, context(), metadata(), settings, any::<u128>(), limit).prop_map(
        |((texts, credentials), context, metadata, settings, id, limit)| Hostile {
            texts,
            credentials,
            context,
            metadata,
            settings,
            id,
            limit,
        },
    )
}

impl Hostile {
    fn text(&self, n: usize) -> String {
        self.texts[n % self.texts.len()].clone()
    }

    fn secret(&self, n: usize) -> Secret {
        Secret::new(self.credentials[n % self.credentials.len()].clone())
    }

    /// The registered client, or any string.
    fn client(&self, n: usize, good: &str) -> String {
        if n.is_multiple_of(2) { good.to_owned() } else { self.text(n) }
    }

    fn request(&self) -> RequestContext {
        let user = User::new(self.text(0))
            .with_auth_time(self.context.auth_time)
            .with_acr(self.context.acr.clone())
            .with_amr(self.context.amr.clone());
        RequestContext::for_user(user).with_settings(self.settings.clone())
    }

    fn scope(&self) -> Scope {
        self.text(3).parse().unwrap_or_default()
    }

    /// A challenge made of parameters, or one that no parameters could make.
    fn challenge(&self, n: usize) -> Option<CodeChallenge> {
        let (text, method) = (self.text(n), self.text(n + 1));
        match CodeChallenge::from_parameters(Some(&text), Some(&method)) {
            Ok(challenge) => challenge,
            Err(_) if n.is_multiple_of(3) => Some(CodeChallenge::from_stored(text)),
            Err(_) => None,
        }
    }

    /// Any strings, or generated tokens of any grant, with or without a refresh token.
    fn tokens(&self, n: usize) -> TokenPair {
        let grant_id = if n == 4 { Uuid::nil() } else { Uuid::from_u128(self.id) };
        match n % 4 {
            0 => TokenPair::new(self.secret(n)),
            1 => TokenPair::generate_for(grant_id).unwrap(),
            2 => TokenPair::generate().unwrap().with_refresh_token(self.secret(n)),
            _ => TokenPair::new(self.secret(n)).with_refresh_token(self.secret(n + 1)),
        }
    }

    fn token(&self, n: usize, client_id: &str) -> NewToken {
        let new = NewToken::new(self.client(n, client_id), self.scope(), self.tokens(n));
        let new = new.with_context(self.context.clone());
        match n {
            4 => new.with_grant_id(Uuid::nil()),
            5 => new.with_grant_id(Uuid::from_u128(self.id)).with_subject(self.text(n)),
            _ => new,
        }
    }

    /// The authorization that a page showed. A form can change its values.
    fn shown(&self) -> PendingDeviceAuthorization {
        let (issued_at, expires_at) = Default::default();
        let (scope, context) = (self.scope(), self.context.clone());
        PendingDeviceAuthorization::new(
            Uuid::from_u128(self.id),
            self.text(0),
            scope,
            context,
            issued_at,
            expires_at,
        )
    }

    fn code(&self, n: usize, client_id: &str) -> NewAuthorizationCode {
        NewAuthorizationCode::new(
            self.client(n, client_id),
            self.scope(),
            if n < 2 { URI.to_owned() } else { self.text(n) },
            self.secret(n),
        )
        .with_code_challenge(self.challenge(n))
        .with_nonce(self.text(n))
        .with_context(self.context.clone())
    }
}

/// Concurrent calls, each with its name and its failure.
#[derive(Default)]
struct Calls(JoinSet<(&'static str, Option<String>)>);

impl Calls {
    fn add<T: Send + 'static>(
        &mut self,
        name: &'static str,
        call: impl Future<Output = oauth_storage::error::Result<T>> + Send + 'static,
    ) {
        self.0.spawn(async move {
            match call.await {
                // Success, or the caller's mistake.
                Ok(_) | Err(Error::Invalid { .. }) => (name, None),
                Err(error) => (name, Some(format!("{error:?}"))),
            }
        });
    }

    /// Adds a call that must succeed beside all others.
    fn good(&mut self, name: &'static str, call: impl Future<Output = bool> + Send + 'static) {
        self.0.spawn(async move {
            (name, (!call.await).then(|| "affected by another call".to_owned()))
        });
    }
}

fn hostile_calls(calls: &mut Calls, storage: &PgStorage, id: &str, hostile: &Arc<Hostile>) {
    macro_rules! call {
        ($name:literal, |$storage:ident, $h:ident, $id:ident| $call:expr) => {{
            let ($storage, $h, $id) = (storage.clone(), Arc::clone(hostile), id.to_owned());
            calls.add($name, async move { $call.await });
        }};
    }
    for n in 0..6 {
        call!("create_token", |s, h, id| s.create_token(&h.request(), h.token(n, &id)));
        call!("create_authorization_code", |s, h, id| async {
            s.create_authorization_code(&h.request(), h.code(n, &id)).await
        });
        call!("get_token", |s, h, id| async {
            s.get_token(&h.request(), &h.client(n, &id), TokenRef::Any(&h.secret(n))).await
        });
        call!("revoke_token", |s, h, id| async {
            s.revoke_token(&h.request(), &h.client(n, &id), TokenRef::Any(&h.secret(n))).await
        });
        call!("get_authorization_code", |s, h, id| async {
            s.get_authorization_code(&h.request(), &h.client(n, &id), &h.secret(n)).await
        });
        call!("delete_authorization_code", |s, h, id| async {
            s.delete_authorization_code(&h.request(), &h.client(n, &id), &h.secret(n)).await
        });
        call!("redeem", |s, h, id| {
            let uri = if n < 2 { URI.to_owned() } else { h.text(n) };
            let mut redemption = CodeRedemption::new(h.client(n, &id), uri, h.secret(n));
            if n > 2 {
                redemption = redemption.with_code_verifier(h.text(n)).with_tokens(h.tokens(n));
            }
            let request = h.request();
            async move { s.redeem_authorization_code(&request, redemption).await }
        });
        call!("rotate", |s, h, id| {
            let mut rotation = TokenRotation::new(h.client(n, &id), h.secret(n));
            rotation = rotation.with_scope(h.scope());
            if n > 2 {
                rotation = rotation.with_tokens(h.tokens(n));
            }
            let request = h.request();
            async move { s.rotate_refresh_token(&request, rotation).await }
        });
        call!("introspect", |s, h, _id| async { s.introspect(&h.secret(n)).await });
        call!("start_device_authorization", |s, h, id| async {
            let new = NewDeviceAuthorization::new(h.client(n, &id), h.scope())
                .with_context(h.context.clone());
            let new = match n {
                0..3 => new,
                _ => new.with_expires_in(h.settings.access_token_expires_in),
            };
            s.start_device_authorization(new).await
        });
        call!("find_device_authorization", |s, h, _id| async {
            let lookup = UserCodeLookup::new(h.text(n));
            let window = h.settings.access_token_expires_in;
            let attempts = u32::try_from(h.limit).unwrap_or(u32::MAX);
            let lookup =
                if n < 3 { lookup } else { lookup.with_limit(h.text(n + 1), attempts, window) };
            s.find_device_authorization(lookup).await
        });
        call!("approve_device_authorization", |s, h, id| async {
            let mut approval = DeviceApproval::new(h.text(n), &h.shown(), h.scope())
                .with_context(h.context.clone());
            approval.client_id = h.client(n, &id);
            s.approve_device_authorization(&h.request(), approval).await
        });
        call!("deny_device_authorization", |s, h, _id| async {
            s.deny_device_authorization(&h.text(n), Uuid::from_u128(h.id)).await
        });
        call!("poll_device_authorization", |s, h, id| async {
            let mut poll = DevicePoll::new(h.client(n, &id), h.secret(n));
            if n > 2 {
                poll = poll.with_tokens(h.tokens(n));
            }
            s.poll_device_authorization(&h.request(), poll).await
        });
        call!("add_consent", |s, h, id| async {
            s.add_consent(&h.text(n), &h.client(n, &id), &h.scope()).await
        });
        call!("get_consent", |s, h, id| async {
            s.get_consent(&h.text(n), &h.client(n, &id)).await
        });
        call!("get_client", |s, h, id| async {
            s.get_client(&h.request(), &h.client(n, &id), None).await
        });
    }
    call!("get_client with a secret", |s, h, id| async {
        s.get_client(&h.request(), &id, Some(&h.secret(0))).await
    });
    call!("authenticate", |s, h, _id| async { s.authenticate(&h.text(1), &h.secret(1)).await });
    call!("get_grant", |s, h, _id| async { s.get_grant(Uuid::from_u128(h.id)).await });
    call!("revoke_grant", |s, h, _id| async { s.revoke_grant(Uuid::from_u128(h.id)).await });
    call!("revoke_grant_of", |s, h, _id| async {
        s.revoke_grant_of(&h.text(0), Uuid::from_u128(h.id)).await
    });
    call!("revoke_grants_of", |s, h, id| async {
        s.revoke_grants_of(&h.text(0), &h.client(0, &id)).await
    });
    call!("revoke_grants_of any client", |s, h, _id| async {
        s.revoke_grants_of(&h.text(0), &h.text(1)).await
    });
    call!("list_consents", |s, h, _id| async {
        s.list_consents(&h.text(0), Some(&h.text(1)), h.limit).await
    });
    call!("withdraw_consent", |s, h, id| async {
        s.withdraw_consent(&h.text(0), &h.client(0, &id)).await
    });
    call!("claim", |s, h, _id| async {
        let lifetime = h.settings.access_token_expires_in;
        s.claim(Claim::new(h.text(0), h.text(1), lifetime)).await
    });
    call!("push_request", |s, h, _id| async {
        let parameters = h.context.claims.clone().unwrap_or_default();
        s.push_request(NewPushedRequest::new(h.text(0), parameters)).await
    });
    call!("take_pushed_request", |s, h, _id| async {
        s.take_pushed_request(&h.text(0), &h.text(1)).await
    });
    call!("suspend_request", |s, h, _id| async {
        let value = h.context.extension.clone().unwrap_or_default();
        let lifetime = h.settings.access_token_expires_in;
        let mut new = NewPendingRequest::new(value, lifetime)?;
        new.id = h.secret(0);
        s.suspend_request(new).await
    });
    call!("find_pending_request", |s, h, _id| async { s.find_pending_request(&h.secret(0)).await });
    call!("change_pending_request", |s, h, _id| async {
        let value = h.context.extension.clone().unwrap_or_default();
        let changed = PendingRequest::new(value, i32::MAX, Default::default());
        s.change_pending_request(&h.secret(0), changed).await
    });
    call!("start_session", |s, h, _id| async {
        let details = h.context.claims.clone().unwrap_or_default();
        let new = NewUserSession::new(h.request().user.unwrap()).with_details(details);
        let lifetime = h.settings.refresh_token_expires_in;
        s.start_session(
            new.with_lifetime(lifetime).with_idle_timeout(h.settings.access_token_expires_in),
        )
        .await
    });
    call!("find_session", |s, h, _id| async { s.find_session(&h.secret(1)).await });
    call!("reauthenticate_session", |s, h, _id| async {
        s.reauthenticate_session(&h.secret(1), h.request().user.unwrap()).await
    });
    call!("list_sessions", |s, h, _id| async {
        s.list_sessions(&h.text(0), Some(Uuid::from_u128(h.id)), h.limit).await
    });
    call!("end_session", |s, h, _id| async { s.end_session(&h.secret(1)).await });
    call!("end_session_of", |s, h, _id| async {
        s.end_session_of(&h.text(0), Uuid::from_u128(h.id)).await
    });
    call!("end_sessions_of", |s, h, _id| async {
        s.end_sessions_of(&h.text(0), Some(Uuid::from_u128(h.id))).await
    });
    call!("list_signing_keys", |s, h, _id| async { s.list_signing_keys(&h.text(0)).await });
    call!("resume_request", |s, h, _id| async { s.resume_request(&h.secret(0)).await });
    call!("erase_subject", |s, h, _id| async { s.erase_subject(&h.text(5)).await });
    call!("revoke_subject", |s, h, _id| async { s.revoke_subject(&h.text(0)).await });
    call!("revoke_client", |s, h, _id| async { s.revoke_client(&h.text(0)).await });
    call!("list_grants", |s, h, _id| async {
        s.list_grants(&h.text(0), Some(Uuid::from_u128(h.id)), h.limit).await
    });
    call!("purge_expired", |s, h, _id| async { s.purge_expired(h.limit).await });
    call!("list_clients", |s, h, _id| async { s.list_clients(Some(&h.text(0)), h.limit).await });
    call!("register_client", |s, h, _id| {
        let mut new = NewClient::new(h.metadata.clone()).with_client_id(h.text(0));
        new.client_secret_expires_in = Some(h.settings.access_token_expires_in);
        async move { s.register_client(new).await }
    });
    call!("register_client with a chosen secret", |s, h, _id| {
        let client_secret = ClientSecret::Chosen(h.secret(3));
        let new = NewClient::new(h.metadata.clone()).with_client_secret(client_secret);
        async move { s.register_client(new).await }
    });
    call!("read_client", |s, h, _id| async { s.read_client(&h.text(0)).await });
    call!("update_client", |s, h, _id| async {
        s.update_client(&h.text(0), h.metadata.clone()).await
    });
    call!("rotate_client_secret", |s, h, _id| async {
        let overlap = h.settings.refresh_token_expires_in;
        s.rotate_client_secret(&h.text(0), ClientSecretRotation::new().with_overlap(overlap)).await
    });
    call!("set_client_disabled", |s, h, _id| async {
        s.set_client_disabled(&h.text(1), true).await
    });
    call!("delete_client", |s, h, _id| async { s.delete_client(&h.text(2)).await });
    call!("get_id_token", |s, h, id| async {
        let (scope, text, token) = (h.scope(), h.text(4), h.secret(4));
        let new = NewIdToken::new(&id, &scope)
            .at_token_endpoint()
            .with_subject(text.as_str())
            .with_redirect_uri(text.as_str())
            .with_nonce(text.as_str())
            .with_access_token(&token)
            .with_code(&token);
        s.get_id_token(&h.request(), new.with_context(&h.context)).await
    });
    call!("create user", |s, h, _id| async {
        let (username, subject, password) = (h.text(1), h.text(0), h.secret(1));
        s.password_users().create(NewUser::new(username, subject, password)).await
    });
    call!("set_password", |s, h, _id| async {
        s.password_users().set_password(&h.text(1), h.secret(2)).await
    });
    call!("set_disabled", |s, h, _id| async {
        s.password_users().set_disabled(&h.text(1), false).await
    });
    call!("delete user", |s, h, _id| async { s.password_users().delete(&h.text(2)).await });
}

/// Adds the flows of honest clients.
fn good_calls(calls: &mut Calls, storage: &PgStorage, id: &str) {
    for _ in 0..4 {
        let (s, id) = (storage.clone(), id.to_owned());
        calls.good("an honest flow", async move {
            // A new user, because the hostile input may name any other.
            let subject = secret().expose().to_owned();
            let (request, code) = (RequestContext::for_user(User::new(&subject)), secret());
            let new = NewAuthorizationCode::new(&id, scope(), URI, code.clone());
            s.create_authorization_code(&request, new).await.unwrap();
            let redemption = CodeRedemption::new(&id, URI, code).with_refresh_token(true);
            let outcome = s.redeem_authorization_code(&request, redemption).await.unwrap();
            let RedemptionOutcome::Issued(first) = outcome else { return false };
            let refresh = first.tokens.refresh_token.clone().unwrap();
            let rotation = TokenRotation::new(&id, refresh);
            let outcome = s.rotate_refresh_token(&request, rotation).await.unwrap();
            let RotationOutcome::Issued(second) = outcome else { return false };
            s.add_consent(&subject, &id, &scope()).await.unwrap();
            let new = NewDeviceAuthorization::new(&id, scope());
            let device = s.start_device_authorization(new).await.unwrap();
            let lookup = UserCodeLookup::new(&device.user_code);
            let UserCodeOutcome::Found(shown) = s.find_device_authorization(lookup).await.unwrap()
            else {
                return false;
            };
            let approval = DeviceApproval::new(&device.user_code, &shown, scope());
            if !s.approve_device_authorization(&request, approval).await.unwrap() {
                return false;
            }
            let poll = DevicePoll::new(&id, device.device_code);
            let outcome = s.poll_device_authorization(&request, poll).await.unwrap();
            let DevicePollOutcome::Issued(_) = outcome else { return false };
            s.introspect(&first.tokens.access_token).await.unwrap().is_some()
                && s.introspect(&second.tokens.access_token).await.unwrap().is_some()
                && s.list_grants(&subject, None, 10).await.unwrap().grants.len() == 2
                && s.get_consent(&subject, &id).await.unwrap().is_some()
                && s.get_client(&request, &id, None).await.unwrap().is_some()
        });
    }
}

#[test]
fn any_input_succeeds_or_is_refused_and_affects_no_other_call() {
    let bed = Bed::new("properties_hostile");
    bed.check(&hostile(), async |bed, input| {
        let (mut calls, input) = (Calls::default(), Arc::new(input));
        hostile_calls(&mut calls, &bed.storage, &bed.client_id, &input);
        good_calls(&mut calls, &bed.storage, &bed.client_id);
        for (name, wrong) in calls.0.join_all().await {
            prop_assert!(wrong.is_none(), "{name}: {}", wrong.unwrap());
        }
        Ok(())
    });
}
