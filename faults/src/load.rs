//! The mixed load: callers that walk grants and run errands until they are stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oauth_storage::token::NewToken;
use oauth_storage::{ClientStorage as _, RequestContext, TokenPair, TokenStorage as _};
use tokio::task::JoinSet;

use crate::caller::Caller;
use crate::error::Result;
use crate::ledger::{History, Origin, Pair};
use crate::outcome::Outcome;
use crate::walk::Walk;
use crate::world::World;

/// The pause of a caller after an error.
const BACK_OFF: Duration = Duration::from_millis(20);

/// The longest wait for a recovery.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    callers: JoinSet<Result<()>>,
}

impl Load {
    /// Starts so many callers, with a pause between two grants of each.
    pub(crate) fn start(
        caller: &Caller,
        world: &Arc<World>,
        callers: usize,
        pause: Duration,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (caller, world, stop) = (caller.another(), Arc::clone(world), Arc::clone(&stop));
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let before = caller.failed();
                    Walk::new(caller.clone(), Arc::clone(&world))?.run().await?;
                    world.errands(&caller).await?;
                    let failed = caller.failed() > before;
                    tokio::time::sleep(if failed { pause.max(BACK_OFF) } else { pause }).await;
                }
                Ok(())
            });
        }
        Self { stop, callers: tasks }
    }

    /// Stops each caller after its current grant.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// The time until a read and a write are acknowledged; `None` if they are not within a minute.
pub(crate) async fn recovery(caller: &Caller, world: &World) -> Result<Option<Duration>> {
    let since = Instant::now();
    let (read, written) = tokio::try_join!(read_again(caller, world), write_again(caller, world))?;
    Ok((read && written).then(|| since.elapsed()))
}

async fn read_again(caller: &Caller, world: &World) -> Result<bool> {
    let request = RequestContext::default();
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        let get = caller.storage.get_client(&request, world.any_client(), None);
        if caller.call(get).await.outcome == Outcome::Acknowledged {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(false)
}

async fn write_again(caller: &Caller, world: &World) -> Result<bool> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        let (outcome, history) = write(caller, world).await?;
        caller.ledger.close(history);
        if outcome == Outcome::Acknowledged {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(false)
}

/// Stores one access token.
pub(crate) async fn write(caller: &Caller, world: &World) -> Result<(Outcome, History)> {
    let mut history = History::new(world.any_client(), true);
    let tokens = TokenPair::generate()?.without_refresh_token();
    history.grant_id = tokens.grant_id();
    let new = NewToken::new(&history.client_id, world.scope.clone(), tokens.clone());
    let outcome =
        caller.call(caller.storage.create_token(&RequestContext::default(), new)).await.outcome;
    history.pairs.push(Pair::new(&tokens, Origin::Nothing, outcome));
    Ok((outcome, history))
}
