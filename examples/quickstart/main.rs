//! A walk through the storage: the nine methods and the atomic operations, each in its typical use.
//!
//! `cargo run --example quickstart` needs only Rust. It starts its own PostgreSQL, or uses the one that
//! `DATABASE_URL` names. Where none can be found, it walks through the storage in memory.
#![allow(
    clippy::disallowed_methods,
    reason = "the clock and the statements of an application, not of the storage"
)]

mod place;

use std::future::Future;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::client::{ClientSecretRotation, GrantType};
use oauth_storage::grant::{GrantState, RotationOutcome, TokenRotation};
use oauth_storage::id_token::NewIdToken;
use oauth_storage::jwt::{IdTokenSigner, SigningKey};
use oauth_storage::token::{NewToken, TokenRef, TokenState};
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, ClientStorage as _,
    CodeRedemption, GrantStorage as _, GrantStorageExt as _, IdTokenStorage as _,
    NewAuthorizationCode, NewClient, RedemptionOutcome, RequestContext, Scope, Secret, Settings,
    Storage, TokenPair, TokenStorage as _, User, UserStorage as _,
};

use place::Place;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const ISSUER: &str = "https://issuer.example";
const WEB_CALLBACK: &str = "https://web.example/callback";
const APP_CALLBACK: &str = "com.example.app:/callback";
const ALICE: &str = "248289761001";

#[tokio::main]
async fn main() -> ExitCode {
    match walk().await {
        Ok(place) => {
            println!("quickstart: ok{place}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("quickstart: failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn walk() -> Result<&'static str> {
    // ── A storage, and a user ────────────────────────────────────────────────────────────────
    let signer = IdTokenSigner::new(ISSUER, SigningKey::generate()?)?;
    let place = Place::open(signer, ("alice", ALICE, "wonderland")).await?;
    let storage: Arc<dyn Storage> = place.storage();

    // ── Two clients ──────────────────────────────────────────────────────────────────────────
    let scope: Scope = "openid profile api:read".parse()?;
    let (web, web_secret) = step("register a confidential client", async {
        let mut metadata = ClientMetadata::authorization_code([WEB_CALLBACK])
            .with_client_name("Web shop")
            .with_scope(scope.clone());
        metadata.grant_types.extend([GrantType::ClientCredentials, GrantType::Password]);
        let registered = storage.register_client(NewClient::new(metadata)).await?;
        let secret = registered.client_secret.ok_or("a confidential client has a secret")?;
        let answer = format!("client_id {}, its secret shown once", registered.client.client_id);
        Ok(((registered.client, secret), answer))
    })
    .await?;
    let app = step("register a public client", async {
        let metadata = ClientMetadata::authorization_code([APP_CALLBACK])
            .with_client_name("Mobile app")
            .with_scope(scope.clone())
            .public();
        let registered = storage.register_client(NewClient::new(metadata)).await?;
        expect(registered.client_secret.is_none(), "a public client has no secret")?;
        let answer = format!("client_id {}, no secret", registered.client.client_id);
        Ok((registered.client, answer))
    })
    .await?;

    // ── Authorization code with PKCE, for the public client ──────────────────────────────────
    let alice = RequestContext::for_user(User::new(ALICE).with_auth_time(chrono::Utc::now()));
    let verifier = Secret::generate()?;
    let code = Secret::generate()?;
    step("authorize: get_client, create_authorization_code", async {
        let client = storage.get_client(&alice, &app.client_id, None).await?;
        let client = client.ok_or("a registered client is found")?;
        expect(client.allows_redirect_uri(APP_CALLBACK), "its own redirect URI is allowed")?;
        let new =
            NewAuthorizationCode::new(&app.client_id, scope.clone(), APP_CALLBACK, code.clone())
                .with_code_challenge(CodeChallenge::s256(&verifier))
                .with_nonce("n-0S6_WzA2Mj".to_owned());
        let issued = storage.create_authorization_code(&alice, new).await?;
        Ok(((), format!("a code for \"{}\", valid for 60 s", issued.scope)))
    })
    .await?;
    let (found, tokens) = step("exchange: get_authorization_code, create_token", async {
        let found = storage.get_authorization_code(&alice, &app.client_id, &code).await?;
        let found = found.ok_or("an unused code is found")?;
        expect(!found.expired, "it has not expired")?;
        expect(found.matches_redirect_uri(APP_CALLBACK), "the redirect URI is the same")?;
        expect(found.matches_code_verifier(Some(&verifier)), "the verifier matches the challenge")?;
        let tokens = TokenPair::generate_for(found.grant_id)?;
        let new = NewToken::for_code(&found, tokens.clone());
        let token = storage.create_token(&alice, new).await?;
        let answer = format!("an access token for {} s, and a refresh token", token.expires_in());
        Ok(((found, tokens), answer))
    })
    .await?;
    step("exchange: get_id_token, delete_authorization_code", async {
        let new = NewIdToken::for_code(&found, &tokens.access_token);
        let id_token = storage.get_id_token(&alice, new).await?;
        expect(id_token.split('.').count() == 3, "a compact JWT (RFC 7519 3)")?;
        storage.delete_authorization_code(&alice, &app.client_id, &code).await?;
        let again = storage.get_authorization_code(&alice, &app.client_id, &code).await?;
        expect(again.is_none(), "a second exchange finds no code")?;
        Ok(((), format!("a JWT of {} bytes; a second exchange finds no code", id_token.len())))
    })
    .await?;

    // ── Refresh ──────────────────────────────────────────────────────────────────────────────
    let second = TokenPair::generate()?;
    step("refresh: get_token, revoke_token, create_token", async {
        let old = tokens.refresh_token.as_ref().ok_or("a refresh token was generated")?;
        let old = TokenRef::Refresh(old);
        let token = storage.get_token(&alice, &app.client_id, old).await?;
        let token = token.filter(|token| token.is_active()).ok_or("the refresh token is active")?;
        storage.revoke_token(&alice, &app.client_id, old).await?;
        let new = NewToken::new(&app.client_id, token.scope, second.clone());
        storage.create_token(&alice, new).await?;
        let token = storage.get_token(&alice, &app.client_id, old).await?;
        let state = token.map(|token| token.state);
        expect(state == Some(TokenState::Revoked), "the old refresh token is revoked")?;
        Ok(((), "a new pair of a new grant; the old grant is revoked".into()))
    })
    .await?;

    // ── The atomic operations: a code or a refresh token is spent once ───────────────────────
    let verifier = Secret::generate()?;
    let code = Secret::generate()?;
    let new = NewAuthorizationCode::new(&web.client_id, scope.clone(), WEB_CALLBACK, code.clone())
        .with_code_challenge(CodeChallenge::s256(&verifier));
    storage.create_authorization_code(&alice, new).await?;
    let redemption = CodeRedemption::new(&web.client_id, WEB_CALLBACK, code)
        .with_code_verifier(verifier)
        .with_refresh_token(true);
    let settings = Settings::default()
        .with_refresh_token_grace(Duration::ZERO)
        .with_refresh_token_idle_expires_in(Duration::from_hours(14 * 24));
    let request = RequestContext::default().with_settings(settings);
    step("redeem a code, eight requests at once", async {
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (storage, request, own) = (storage.clone(), request.clone(), redemption.clone());
            requests.spawn(async move { storage.redeem_authorization_code(&request, own).await });
        }
        let mut issued = Vec::new();
        let mut replayed = 0;
        for outcome in requests.join_all().await {
            match outcome? {
                RedemptionOutcome::Issued(tokens) => issued.push(tokens.token.grant_id),
                RedemptionOutcome::Replayed { .. } => replayed += 1,
                RedemptionOutcome::Invalid => {}
            }
        }
        expect(issued.len() == 1 && replayed > 0, "one request is issued the tokens")?;
        let grant = storage.get_grant(issued[0]).await?.ok_or("the grant is found")?;
        expect(grant.state == GrantState::Revoked, "a replay revokes the grant")?;
        Ok(((), "one was issued tokens; a replay revoked the grant".into()))
    })
    .await?;
    let first = step("redeem a code: one statement", async {
        let code = Secret::generate()?;
        let new =
            NewAuthorizationCode::new(&web.client_id, scope.clone(), WEB_CALLBACK, code.clone());
        storage.create_authorization_code(&alice, new).await?;
        let redemption =
            CodeRedemption::new(&web.client_id, WEB_CALLBACK, code).with_refresh_token(true);
        let outcome = storage.redeem_authorization_code(&request, redemption).await?;
        let RedemptionOutcome::Issued(issued) = outcome else {
            return Err(format!("{outcome:?}").into());
        };
        let body = issued.token_response();
        expect(body["expires_in"] == 3600, "the token response has the lifetime")?;
        let refresh_token = issued.tokens.refresh_token.ok_or("a refresh token was generated")?;
        let names: Vec<_> = body.keys().map(String::as_str).collect();
        Ok((refresh_token, format!("issued; the response has {}", names.join(", "))))
    })
    .await?;
    step("rotate a refresh token, introspect", async {
        let rotation = TokenRotation::new(&web.client_id, first.clone());
        let outcome = storage.rotate_refresh_token(&request, rotation).await?;
        let RotationOutcome::Issued(issued) = outcome else {
            return Err(format!("{outcome:?}").into());
        };
        let active = storage.introspect(&issued.tokens.access_token).await?;
        expect(active.is_some(), "the new access token is active")?;
        let refresh_token = issued.tokens.refresh_token.ok_or("a new refresh token")?;
        let successor = storage.introspect(&refresh_token).await?.ok_or("it is active as well")?;
        let idle = (successor.expires_at - successor.issued_at).num_days();
        expect(idle == 14, "the new refresh token has the idle lifetime")?;
        Ok(((), format!("a new pair; the refresh token ends after {idle} idle days")))
    })
    .await?;
    step("use the old refresh token again", async {
        let rotation = TokenRotation::new(&web.client_id, first.clone());
        let outcome = storage.rotate_refresh_token(&request, rotation).await?;
        expect(matches!(outcome, RotationOutcome::Reused { .. }), "a reuse is detected")?;
        Ok(((), "reused: the grant is revoked".into()))
    })
    .await?;

    // ── The confidential client acts on its own behalf, and for alice by password ────────────
    step("client credentials: get_client, create_token", async {
        let request = RequestContext::default();
        let wrong = Secret::generate()?;
        let refused = storage.get_client(&request, &web.client_id, Some(&wrong)).await?;
        expect(refused.is_none(), "a wrong secret is refused")?;
        let client = storage.get_client(&request, &web.client_id, Some(&web_secret)).await?;
        let client = client.ok_or("the right secret is accepted")?;
        let scope: Scope = "api:read".parse()?;
        expect(client.allows_scope(&scope), "the scope is registered")?;
        // A client that acts on its own behalf needs no refresh token (RFC 6749 4.4.3).
        let tokens = TokenPair::generate()?.without_refresh_token();
        let new = NewToken::new(&client.client_id, scope, tokens);
        let token = storage.create_token(&request, new).await?;
        Ok(((), format!("an access token for \"{}\", without a user", token.scope)))
    })
    .await?;
    step("password: authenticate, create_token", async {
        let wrong = storage.authenticate("alice", &Secret::new("looking-glass")).await?;
        expect(wrong.is_none(), "a wrong password is refused")?;
        let user = storage.authenticate("alice", &Secret::new("wonderland")).await?;
        let request = RequestContext::for_user(user.ok_or("the right password is accepted")?);
        let tokens = TokenPair::generate()?;
        let new = NewToken::new(&web.client_id, "profile".parse()?, tokens);
        let token = storage.create_token(&request, new).await?;
        let subject = token.subject.unwrap_or_default();
        Ok(((), format!("alice is {subject}; an access token for \"{}\"", token.scope)))
    })
    .await?;
    step("rotate the client's secret, with an overlap", async {
        let rotation = ClientSecretRotation::new().with_overlap(Duration::from_hours(1));
        let rotated = storage.rotate_client_secret(&web.client_id, rotation).await?;
        let new = rotated.and_then(|rotated| rotated.client_secret).ok_or("there is a new one")?;
        for secret in [&web_secret, &new] {
            let client = storage.get_client(&alice, &web.client_id, Some(secret)).await?;
            expect(client.is_some(), "both secrets work during the overlap")?;
        }
        Ok(((), "both secrets work for an hour".into()))
    })
    .await?;

    // ── Revocation ───────────────────────────────────────────────────────────────────────────
    step("revoke: get_token, revoke_token", async {
        let access = TokenRef::Any(&second.access_token);
        let foreign = storage.get_token(&alice, &web.client_id, access).await?;
        expect(foreign.is_none(), "another client does not see it")?;
        let refresh = second.refresh_token.as_ref().ok_or("a refresh token was generated")?;
        storage.revoke_token(&alice, &app.client_id, TokenRef::Any(refresh)).await?;
        let found = storage.get_token(&alice, &app.client_id, access).await?;
        let state = found.map(|token| token.state);
        expect(state == Some(TokenState::Revoked), "the access token is revoked with it")?;
        Ok(((), "the refresh token, and every other token of its grant".into()))
    })
    .await?;

    // ── Your connected applications ──────────────────────────────────────────────────────────
    for client_id in [&app.client_id, &web.client_id, &web.client_id] {
        let new = NewToken::new(client_id, scope.clone(), TokenPair::generate()?);
        storage.create_token(&alice, new).await?;
    }
    step("list_grants, page by page", async {
        let page = storage.list_grants(ALICE, None, 2).await?;
        let rest = storage.list_grants(ALICE, page.next, 100).await?;
        let all = storage.list_all_grants(ALICE).await?;
        expect(all == [page.grants, rest.grants].concat(), "the pages are all grants")?;
        let of_app = all.iter().filter(|grant| grant.client_id == app.client_id).count();
        let of_web = all.len() - of_app;
        Ok(((), format!("{of_app} login of the mobile app, {of_web} of the web shop")))
    })
    .await?;
    step("sign the mobile app out: revoke_grant_of", async {
        let all = storage.list_all_grants(ALICE).await?;
        let grant = all.iter().find(|grant| grant.client_id == app.client_id);
        let grant_id = grant.ok_or("a grant of the app is listed")?.grant_id;
        expect(storage.revoke_grant_of(ALICE, grant_id).await?, "alice can revoke her own")?;
        Ok(((), "one login ended".into()))
    })
    .await?;
    step("disconnect the web shop: revoke_grants_of", async {
        let revoked = storage.revoke_grants_of(ALICE, &web.client_id).await?;
        let left = storage.list_all_grants(ALICE).await?;
        expect(left.is_empty(), "no application is connected")?;
        Ok(((), format!("{revoked} logins ended")))
    })
    .await?;

    // ── The end ──────────────────────────────────────────────────────────────────────────────
    let new = NewToken::new(&web.client_id, scope.clone(), TokenPair::generate()?);
    storage.create_token(&alice, new).await?;
    step("log alice out everywhere, purge", async {
        let revoked = storage.revoke_subject(ALICE).await?;
        let purged = storage.purge_with(5_000, |_| ControlFlow::Continue(())).await?;
        Ok(((), format!("grants revoked: {revoked}; expired tokens removed: {}", purged.tokens)))
    })
    .await?;
    place.show().await?;
    step("erase alice: erase_subject", async {
        let erased = storage.erase_subject(ALICE).await?;
        let rest = place.check_erased(ALICE).await?;
        Ok(((), format!("{erased} grants{rest}")))
    })
    .await?;

    println!();
    place.close().await
}

/// Runs a step, and prints its name, its duration and its result.
async fn step<T>(name: &str, work: impl Future<Output = Result<(T, String)>>) -> Result<T> {
    let started = Instant::now();
    let (value, answer) = work.await.map_err(|error| format!("{name}: {error}"))?;
    let took = started.elapsed().as_secs_f64() * 1000.0;
    println!("{name:<52} {took:>7.1} ms   {answer}");
    Ok(value)
}

fn expect(holds: bool, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(format!("expected that {what}").into()) }
}
