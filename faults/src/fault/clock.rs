//! The clocks of application and database five minutes apart, either way.
//!
//! The clock of the database is moved, as its statements see it: a schema in front of `pg_catalog` has
//! its own clock functions. That needs no tool, and no right to set a clock. The storage is connected
//! before, because it refuses such a search path, and its sessions are ended, so that new ones have it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::token::NewToken;
use oauth_storage::{
    AuthorizationCodeStorage as _, CodeRedemption, GrantStorage as _, NewAuthorizationCode,
    RedemptionOutcome, RequestContext, Secret, Settings, TokenPair, TokenStorage as _, User,
};

use crate::error::Result;
use crate::extent::Extent;
use crate::report::Row;
use crate::scene::{CALLERS, Scene, builder, shared};
use crate::world::URI;

/// The distance of the clocks, in seconds.
const SKEW: i64 = 5 * 60;

/// Short, but longer than the calls within it take on a busy machine.
const LIFETIME: Duration = Duration::from_secs(2);

const FUNCTIONS: [&str; 4] =
    ["now", "statement_timestamp", "transaction_timestamp", "clock_timestamp"];

pub(crate) async fn run(extent: Extent) -> Result<Row> {
    let time = Duration::from_secs(extent.of(1, 20));
    let mut behind = off_by(-SKEW, time).await?;
    let ahead = off_by(SKEW, time).await?;
    behind.absorb(ahead);
    Ok(behind)
}

/// Runs the load with the clock of the database so many seconds ahead.
async fn off_by(skew: i64, time: Duration) -> Result<Row> {
    let cluster = shared().await?;
    let database = cluster.database("clock").await?;
    let mut beside = crate::database::Database::connect(database.url()).await?;
    beside.run("CREATE SCHEMA skewed").await?;
    for function in FUNCTIONS {
        let stable = if function == "clock_timestamp" { "VOLATILE" } else { "STABLE" };
        beside
            .run(&format!(
                "CREATE FUNCTION skewed.{function}() RETURNS timestamptz LANGUAGE sql {stable}
                 RETURN pg_catalog.{function}() + interval '{skew} seconds'"
            ))
            .await?;
    }
    let url = database.url();
    let storage = builder()?.connect(url).await?;
    let name = database.name();
    beside
        .run(&format!("ALTER DATABASE {name} SET search_path = skewed, pg_catalog, public"))
        .await?;
    beside
        .run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await?;
    beside.close().await?;
    // Longer than a lane trusts a connection that it does not use.
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    let mut scene = Scene::of(url, storage).await?;
    let load = scene.load(CALLERS);
    scene.row.injected += 1;
    decisions(&mut scene, skew).await?;
    tokio::time::sleep(time).await;
    scene.check(load).await?;
    Ok(scene.end().await)
}

/// Checks each decision that depends on the clock, before and after its time.
async fn decisions(scene: &mut Scene, skew: i64) -> Result<()> {
    let storage = scene.caller.storage.clone();
    let settings = Settings::default()
        .with_access_token_expires_in(LIFETIME)
        .with_authorization_code_expires_in(LIFETIME)
        .with_refresh_token_grace(LIFETIME);
    let request = RequestContext::for_user(User::new("skewed")).with_settings(settings);
    let client_id = scene.world.any_client().to_owned();
    let client_id = client_id.as_str();
    let scope = || scene.world.scope.clone();
    let mut wrong = Vec::new();

    let tokens = TokenPair::generate()?;
    let access = tokens.access_token.clone();
    let refresh = tokens.refresh_token.clone().ok_or("a pair without a refresh token")?;
    let new = NewToken::new(client_id, scope(), tokens);
    let token = storage.create_token(&request, new).await?;
    let ours = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let apart = token.issued_at.timestamp() - ours;
    if (apart - skew).abs() > 30 {
        return Err(format!("the clocks are {apart} s apart, not {skew}").into());
    }
    if token.expires_in() != LIFETIME.as_secs() {
        wrong.push(format!("expires_in is {}", token.expires_in()));
    }
    let code = async || -> Result<Secret> {
        let code = Secret::generate()?;
        let new = NewAuthorizationCode::new(client_id, scope(), URI, code.clone());
        storage.create_authorization_code(&request, new).await?;
        Ok(code)
    };
    let redeem = async |code: Secret| -> Result<RedemptionOutcome> {
        let redemption = CodeRedemption::new(client_id, URI, code);
        Ok(storage.redeem_authorization_code(&request, redemption).await?)
    };
    let rotate = async || -> Result<RotationOutcome> {
        let rotation = TokenRotation::new(client_id, refresh.clone());
        Ok(storage.rotate_refresh_token(&request, rotation).await?)
    };
    let (fresh, stale) = (code().await?, code().await?);

    let mut expect = |what: &str, holds: bool| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    expect("a fresh token is not active", storage.introspect(&access).await?.is_some());
    expect("a fresh code is invalid", matches!(redeem(fresh).await?, RedemptionOutcome::Issued(_)));
    for what in ["a rotation is refused", "a retry within the grace period is refused"] {
        expect(what, matches!(rotate().await?, RotationOutcome::Issued(_)));
    }
    tokio::time::sleep(LIFETIME).await;
    expect("an expired token is active", storage.introspect(&access).await?.is_none());
    expect("an expired code is redeemed", redeem(stale).await? == RedemptionOutcome::Invalid);
    let reused = matches!(rotate().await?, RotationOutcome::Reused { .. });
    expect("a reuse after the grace period is not detected", reused);
    scene.row.require(wrong.is_empty(), || format!("{skew} s apart: {}", wrong.join(", ")));
    scene.row.remark(format!("the clocks are {apart} s apart"));
    Ok(())
}
