//! A walk through the storage: every method of the contract, called for its real purpose.
//!
//! `cargo run --example quickstart` needs nothing but Rust and PostgreSQL's programs: it starts a
//! server of its own, or uses the one that `DATABASE_URL` names.
#![allow(
    clippy::disallowed_methods,
    reason = "an application's clock and statements, not the storage's"
)]

use std::future::Future;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use oauth_storage::jwt::{IdTokenSigner, SigningKey};
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, ClientStorage as _,
    CodeChallenge, FormParameters, GrantStorage as _, GrantType, IdTokenStorage as _,
    NewAuthorizationCode, NewClient, NewIdToken, NewToken, NewUser, PgStorage, Redeem, Redeemed,
    Request, Rotate, RotateClientSecret, Rotated, Scope, Secret, Settings, TokenRef, TokenState,
    TokenStorage as _, User, UserStorage as _, purge,
};
use sqlx::Row as _;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const ISSUER: &str = "https://issuer.example";
const WEB_CALLBACK: &str = "https://web.example/callback";
const APP_CALLBACK: &str = "com.example.app:/callback";

#[tokio::main]
async fn main() -> ExitCode {
    match walk().await {
        Ok(()) => {
            println!("quickstart: ok");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("quickstart: failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn walk() -> Result<()> {
    // ── A database, its schema, a storage ────────────────────────────────────────────────────
    let testbed = oauth_storage_testbed::Testbed::start().await?;
    println!("{testbed}\n");
    let database = testbed.database("quickstart").await?;

    let key = SigningKey::generate()?;
    let signer = IdTokenSigner::new(ISSUER, key)?;
    let jwk_set = serde_json::to_string(&signer.jwk_set())?;
    let storage = step("connect to the database", async {
        let builder = PgStorage::builder().password_users().id_tokens(signer);
        let storage = builder.connect(database.url()).await?;
        Ok((storage, "connected".into()))
    })
    .await?;
    step("migrate the schema", async {
        let pending = storage.pending_migrations().await?.len();
        storage.migrate().await?;
        let left = storage.pending_migrations().await?.len();
        expect(left == 0, "nothing is pending after migrate()")?;
        Ok(((), format!("{pending} migrations applied")))
    })
    .await?;

    // ── Who takes part ───────────────────────────────────────────────────────────────────────
    let scope: Scope = "openid profile api:read".parse()?;
    let (web, web_secret) = step("register a confidential client", async {
        let mut metadata = ClientMetadata::authorization_code([WEB_CALLBACK])
            .with_name("Web shop")
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
            .with_name("Mobile app")
            .with_scope(scope.clone())
            .public();
        let registered = storage.register_client(NewClient::new(metadata)).await?;
        expect(registered.client_secret.is_none(), "a public client has no secret")?;
        let answer = format!("client_id {}, no secret", registered.client.client_id);
        Ok((registered.client, answer))
    })
    .await?;
    step("create the user alice", async {
        let user = NewUser {
            username: "alice".into(),
            subject: "248289761001".into(),
            password: Secret::new("wonderland"),
        };
        let user = storage.password_users().create(user).await?;
        Ok(((), format!("subject {}, the password as an Argon2id hash", user.subject)))
    })
    .await?;

    // ── Authorization code with PKCE, for the public client ──────────────────────────────────
    let alice = Request::for_user(User::new("248289761001").authenticated_at(chrono::Utc::now()));
    let verifier = Secret::generate()?;
    let code = Secret::generate()?;
    step("authorize: get_client, create_authorization_code", async {
        let client = storage.get_client(&alice, &app.client_id, None).await?;
        let client = client.ok_or("a registered client is found")?;
        expect(client.allows_redirect_uri(APP_CALLBACK), "its own redirect URI is allowed")?;
        expect(!client.allows_redirect_uri("https://evil.example/"), "no other one is")?;
        let new = NewAuthorizationCode {
            code_challenge: Some(CodeChallenge::s256(&verifier)),
            nonce: Some("n-0S6_WzA2Mj".into()),
            ..NewAuthorizationCode::new(&app.client_id, scope.clone(), APP_CALLBACK, code.clone())
        };
        let issued = storage.create_authorization_code(&alice, new).await?;
        Ok(((), format!("a code for \"{}\", good for 60 s", issued.scope)))
    })
    .await?;
    let access_token = Secret::generate()?;
    let refresh_token = Secret::generate()?;
    let found = step("exchange: get_authorization_code, create_token", async {
        let found = storage.get_authorization_code(&alice, &app.client_id, &code).await?;
        let found = found.ok_or("an unused code is found")?;
        expect(!found.expired, "it has not expired")?;
        expect(found.matches_redirect_uri(APP_CALLBACK), "the redirect URI is the same")?;
        expect(found.matches_code_verifier(Some(&verifier)), "the verifier fits the challenge")?;
        let wrong = Secret::generate()?;
        expect(!found.matches_code_verifier(Some(&wrong)), "another verifier does not")?;
        let new = NewToken::for_code(&found, access_token.clone())
            .with_refresh_token(refresh_token.clone());
        let token = storage.create_token(&alice, new).await?;
        let answer = format!("an access token for {} s, and a refresh token", token.expires_in());
        Ok((found, answer))
    })
    .await?;
    step("exchange: get_id_token, checked with the JWK set", async {
        let new = NewIdToken::for_code(&found, &access_token);
        let id_token = storage.get_id_token(&alice, new).await?;
        let claims = verify_id_token(&id_token, &jwk_set, &app.client_id)?;
        expect(claims["nonce"] == "n-0S6_WzA2Mj", "the nonce came through")?;
        Ok(((), format!("signed with ES256, sub {}, at_hash {}", claims["sub"], claims["at_hash"])))
    })
    .await?;
    step("exchange: delete_authorization_code", async {
        storage.delete_authorization_code(&alice, &app.client_id, &code).await?;
        let again = storage.get_authorization_code(&alice, &app.client_id, &code).await?;
        expect(again.is_none(), "a second exchange finds no code")?;
        Ok(((), "the code is gone, a second exchange finds none".into()))
    })
    .await?;

    // ── Refresh ──────────────────────────────────────────────────────────────────────────────
    let second_access_token = Secret::generate()?;
    let second_refresh_token = Secret::generate()?;
    step("refresh: get_token, revoke_token, create_token", async {
        let old = TokenRef::Refresh(&refresh_token);
        let token = storage.get_token(&alice, &app.client_id, old).await?;
        let token = token.filter(|token| token.is_active()).ok_or("the refresh token is active")?;
        storage.revoke_token(&alice, &app.client_id, old).await?;
        let new = NewToken::new(&app.client_id, token.scope, second_access_token.clone())
            .with_refresh_token(second_refresh_token.clone());
        storage.create_token(&alice, new).await?;
        let token = storage.get_token(&alice, &app.client_id, old).await?;
        let state = token.map(|token| token.state);
        expect(state == Some(TokenState::Revoked), "the old refresh token is revoked")?;
        Ok(((), "a new pair; the old refresh token is revoked".into()))
    })
    .await?;

    // ── The same in operations that nobody can win twice ─────────────────────────────────────
    let verifier = Secret::generate()?;
    let code = Secret::generate()?;
    let new = NewAuthorizationCode {
        code_challenge: Some(CodeChallenge::s256(&verifier)),
        ..NewAuthorizationCode::new(&web.client_id, scope.clone(), WEB_CALLBACK, code.clone())
    };
    storage.create_authorization_code(&alice, new).await?;
    let redeem = Redeem {
        code_verifier: Some(verifier),
        refresh_token: Some(Secret::generate()?),
        ..Redeem::new(&web.client_id, WEB_CALLBACK, code, Secret::generate()?)
    };
    let strict = Settings { refresh_token_grace: Duration::ZERO, ..Settings::default() };
    let request = Request::default().with_settings(strict);
    step("redeem a code, eight requests at once", async {
        let mut racers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (storage, request) = (storage.clone(), request.clone());
            let own = Redeem {
                access_token: Secret::generate()?,
                refresh_token: Some(Secret::generate()?),
                ..redeem.clone()
            };
            racers.spawn(async move { storage.redeem_authorization_code(&request, own).await });
        }
        let mut issued = Vec::new();
        for outcome in racers.join_all().await {
            if let Redeemed::Issued(token) = outcome? {
                issued.push(token.grant_id);
            }
        }
        expect(issued.len() == 1, "one request is issued the tokens")?;
        let live = storage.list_grants("248289761001", None, 10).await?;
        let live = live.iter().any(|grant| issued.contains(&grant.grant_id));
        expect(!live, "the replays revoked what it got")?;
        Ok(((), "one was issued, seven were replays, so the grant is revoked".into()))
    })
    .await?;
    let refresh = step("redeem a code: one statement", async {
        let code = Secret::generate()?;
        let new =
            NewAuthorizationCode::new(&web.client_id, scope.clone(), WEB_CALLBACK, code.clone());
        storage.create_authorization_code(&alice, new).await?;
        let refresh = Secret::generate()?;
        let redeem = Redeem {
            refresh_token: Some(refresh.clone()),
            ..Redeem::new(&web.client_id, WEB_CALLBACK, code, Secret::generate()?)
        };
        match storage.redeem_authorization_code(&request, redeem).await? {
            Redeemed::Issued(token) => {
                Ok((refresh, format!("issued, for subject {}", token.subject.unwrap_or_default())))
            }
            other => Err(format!("{other:?}").into()),
        }
    })
    .await?;
    step("rotate a refresh token, list and introspect", async {
        let rotate =
            Rotate::new(&web.client_id, refresh.clone(), Secret::generate()?, Secret::generate()?);
        let new_access_token = rotate.new_access_token.clone();
        let rotated = storage.rotate_refresh_token(&request, rotate).await?;
        expect(matches!(rotated, Rotated::Issued(_)), "a refresh token is exchanged")?;
        let active = storage.introspect(&new_access_token).await?.is_some();
        expect(active, "the new access token is active")?;
        let grants = storage.list_grants("248289761001", None, 10).await?;
        Ok(((), format!("issued; alice has {} connected applications", grants.len())))
    })
    .await?;
    step("use the old refresh token again", async {
        let rotate =
            Rotate::new(&web.client_id, refresh.clone(), Secret::generate()?, Secret::generate()?);
        let rotated = storage.rotate_refresh_token(&request, rotate).await?;
        expect(matches!(rotated, Rotated::Reused { .. }), "a reuse is noticed")?;
        let grants = storage.list_grants("248289761001", None, 10).await?;
        Ok(((), format!("reused, so the grant is revoked; {} connected left", grants.len())))
    })
    .await?;

    // ── The confidential client acts for itself, and for alice by password ───────────────────
    step("client credentials: get_client, create_token", async {
        let request = Request::default();
        let wrong = Secret::generate()?;
        let refused = storage.get_client(&request, &web.client_id, Some(&wrong)).await?;
        expect(refused.is_none(), "a wrong secret is refused")?;
        let client = storage.get_client(&request, &web.client_id, Some(&web_secret)).await?;
        let client = client.ok_or("the right secret is taken")?;
        let scope: Scope = "api:read".parse()?;
        expect(client.allows_scope(&scope), "the scope is registered")?;
        let new = NewToken::new(&client.client_id, scope, Secret::generate()?);
        let token = storage.create_token(&request, new).await?;
        Ok(((), format!("an access token for \"{}\", without a user", token.scope)))
    })
    .await?;
    step("password: authenticate, create_token", async {
        let login = |password: &str| Request {
            form: FormParameters {
                username: Some("alice".into()),
                password: Some(Secret::new(password)),
                ..FormParameters::default()
            },
            ..Request::default()
        };
        let wrong = storage.authenticate(&login("looking-glass")).await?;
        expect(wrong.is_none(), "a wrong password is refused")?;
        let user = storage.authenticate(&login("wonderland")).await?;
        let request = Request::for_user(user.ok_or("the right password is taken")?);
        let new = NewToken::new(&web.client_id, "profile".parse()?, Secret::generate()?);
        let token = storage.create_token(&request, new).await?;
        let subject = token.subject.unwrap_or_default();
        Ok(((), format!("alice is {subject}; an access token for \"{}\"", token.scope)))
    })
    .await?;
    step("rotate the client's secret, with an overlap", async {
        let rotation = RotateClientSecret::with_overlap(Duration::from_hours(1));
        let rotated = storage.rotate_client_secret(&web.client_id, rotation).await?;
        let new = rotated.and_then(|rotated| rotated.client_secret).ok_or("there is a new one")?;
        for secret in [&web_secret, &new] {
            let client = storage.get_client(&alice, &web.client_id, Some(secret)).await?;
            expect(client.is_some(), "both secrets work during the overlap")?;
        }
        Ok(((), "both secrets work for an hour".into()))
    })
    .await?;

    // ── Introspection and revocation ─────────────────────────────────────────────────────────
    step("introspect: get_token", async {
        let token = TokenRef::Any(&second_access_token);
        let found = storage.get_token(&alice, &app.client_id, token).await?;
        let found = found.filter(|token| token.is_active()).ok_or("the token is active")?;
        let foreign = storage.get_token(&alice, &web.client_id, token).await?;
        expect(foreign.is_none(), "another client does not see it")?;
        Ok(((), format!("active, scope \"{}\", until {}", found.scope, found.expires_at)))
    })
    .await?;
    step("revoke: revoke_token", async {
        let refresh = TokenRef::Any(&second_refresh_token);
        storage.revoke_token(&alice, &app.client_id, refresh).await?;
        let access = TokenRef::Any(&second_access_token);
        let found = storage.get_token(&alice, &app.client_id, access).await?;
        let state = found.map(|token| token.state);
        expect(state == Some(TokenState::Revoked), "the access token went with it")?;
        Ok(((), "the refresh token, and the access token of its grant".into()))
    })
    .await?;

    step("log alice out everywhere, purge", async {
        let revoked = storage.revoke_subject("248289761001").await?;
        let purged = purge(&storage, 5_000, |_| ControlFlow::Continue(())).await?;
        Ok(((), format!("tokens revoked: {revoked}; rows that had expired: {}", purged.tokens)))
    })
    .await?;

    show_database(&storage).await?;
    storage.pool().close().await;
    database.close().await?;
    Ok(())
}

/// Runs a step, and prints what was asked, what came back, and how long it took.
async fn step<T>(asked: &str, work: impl Future<Output = Result<(T, String)>>) -> Result<T> {
    let started = Instant::now();
    let (value, answer) = work.await.map_err(|error| format!("{asked}: {error}"))?;
    let took = started.elapsed().as_secs_f64() * 1000.0;
    println!("{asked:<52} {took:>7.1} ms   {answer}");
    Ok(value)
}

fn expect(holds: bool, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(format!("expected that {what}").into()) }
}

/// What a client does with an ID token: checks it with another library, from the JWK set alone.
fn verify_id_token(id_token: &str, jwk_set: &str, client_id: &str) -> Result<serde_json::Value> {
    let jwk_set: JwkSet = serde_json::from_str(jwk_set)?;
    let kid = decode_header(id_token)?.kid.ok_or("the ID token names its key")?;
    let jwk = jwk_set.find(&kid).ok_or("the JWK set has the key")?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[client_id]);
    Ok(decode(id_token, &DecodingKey::from_jwk(jwk)?, &validation)?.claims)
}

/// The rows that the walk left behind: digests, hashes and metadata.
async fn show_database(storage: &PgStorage) -> Result<()> {
    println!("\nwhat the database holds (no secret, only digests):");
    for query in [
        "SELECT 'client' AS name, client_id || '  ' || (details->>'client_name') || '  '
             || coalesce(left(client_secret_hash, 15) || '…', 'no secret') AS row
         FROM oauth_storage.client ORDER BY client_id_issued_at",
        "SELECT 'user_account', username || '  ' || subject || '  '
             || left(password_hash, 30) || '…' FROM oauth_storage.user_account",
        "SELECT 'authorization_code', left(encode(digest, 'hex'), 16) || '…  used'
         FROM oauth_storage.authorization_code",
        "SELECT 'token', left(encode(digest, 'hex'), 16) || '…  '
             || CASE kind WHEN 'a' THEN 'access ' ELSE 'refresh' END
             || CASE WHEN revoked THEN '  revoked  ' ELSE '  active   ' END || scope
         FROM oauth_storage.token ORDER BY issued_at, kind",
    ] {
        for row in sqlx::query(query).fetch_all(storage.pool()).await? {
            println!("  {:<20} {}", row.get::<&str, _>(0), row.get::<&str, _>(1));
        }
    }
    println!();
    Ok(())
}
