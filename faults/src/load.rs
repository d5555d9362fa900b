//! The mixed load: callers that walk grants and run errands, until they are told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oauth_storage::{ClientStorage as _, NewToken, Request, Secret, TokenStorage as _};
use tokio::task::JoinSet;

use crate::Result;
use crate::caller::Caller;
use crate::ledger::{Origin, Pair, Story, Told};
use crate::walk::Walk;
use crate::world::World;

/// A caller that was not served waits as long before it comes again.
const BACK_OFF: Duration = Duration::from_millis(20);

/// How long the storage may take to recover before the row says that it did not.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    callers: JoinSet<Result<()>>,
}

impl Load {
    /// Starts so many callers, each of which pauses between two grants.
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

    /// Lets each caller finish what it is at.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// How long it takes until a read and a write are acknowledged; none if they never are.
pub(crate) async fn recovery(caller: &Caller, world: &World) -> Result<Option<Duration>> {
    let since = Instant::now();
    let (read, written) = tokio::try_join!(read_again(caller, world), write_again(caller, world))?;
    Ok((read && written).then(|| since.elapsed()))
}

async fn read_again(caller: &Caller, world: &World) -> Result<bool> {
    let request = Request::default();
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        let get = caller.storage.get_client(&request, world.any_client(), None);
        if caller.call(get).await.told == Told::Acknowledged {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(false)
}

async fn write_again(caller: &Caller, world: &World) -> Result<bool> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        let (told, story) = write(caller, world).await?;
        caller.ledger.close(story);
        if told == Told::Acknowledged {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(false)
}

/// Stores one access token.
pub(crate) async fn write(caller: &Caller, world: &World) -> Result<(Told, Story)> {
    let mut story = Story::new(world.any_client(), true);
    let access = Secret::generate()?;
    let new = NewToken::new(&story.client_id, world.scope.clone(), access.clone());
    story.grant_id = Some(new.grant_id);
    let told = caller.call(caller.storage.create_token(&Request::default(), new)).await.told;
    story.pairs.push(Pair {
        access: access.digest(),
        refresh: None,
        origin: Origin::Nothing,
        issued: told,
        ended: None,
    });
    Ok((told, story))
}
