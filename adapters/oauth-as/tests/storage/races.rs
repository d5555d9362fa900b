//! The same races in two processes, on one database.

mod revocation;

use std::sync::Arc;

use oauth_as::{
    AuthorizationCodeState, ClientAuth, DeviceGrantState, RefreshTokenState, Storage as _,
    StorageError,
};
use oauth_storage_oauth_as::OauthAsStorage;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::records::{at, client, code, consent, device_grant, pushed, refresh, token};
use crate::support::{TestStorage, connect, count, key};
use oauth_storage_testbed::other_process::{OtherProcess, child_input, child_step};

/// The tasks of both processes.
const TASKS: usize = 64;

/// An operation that many tasks attempt on one record. At most one may succeed.
#[derive(Clone, Copy, Debug)]
enum Contest {
    TakeDeviceGrant,
    TakeRefreshToken,
    TakeAuthorizationCode,
    TakePushedRequest,
    RotateRefreshToken,
    SwapClient,
    SwapDeviceGrant,
    SwapAuthorizationCode,
    SwapConsent,
    CreateConsent,
    ClaimReplayId,
}

const CONTESTS: [Contest; 11] = [
    Contest::TakeDeviceGrant,
    Contest::TakeRefreshToken,
    Contest::TakeAuthorizationCode,
    Contest::TakePushedRequest,
    Contest::RotateRefreshToken,
    Contest::SwapClient,
    Contest::SwapDeviceGrant,
    Contest::SwapAuthorizationCode,
    Contest::SwapConsent,
    Contest::CreateConsent,
    Contest::ClaimReplayId,
];

impl Contest {
    fn name(self, item: usize) -> String {
        format!("{self:?}-{item}")
    }

    /// Stores the record.
    async fn prepare(self, storage: &OauthAsStorage, item: usize) {
        let name = &*self.name(item);
        match self {
            Self::TakeDeviceGrant | Self::SwapDeviceGrant => {
                storage.put_device_grant(device_grant(name, name)).await.unwrap();
            }
            Self::TakeRefreshToken | Self::RotateRefreshToken => {
                let record = refresh(name, "client", name);
                assert!(storage.put_refresh_token(record).await.unwrap().is_applied());
            }
            Self::TakeAuthorizationCode | Self::SwapAuthorizationCode => {
                storage.put_authorization_code(code(name)).await.unwrap();
            }
            Self::TakePushedRequest => {
                let record = pushed(name, "client");
                let stored = storage.put_pushed_authorization_request(record).await.unwrap();
                assert!(stored.is_applied());
            }
            Self::SwapClient => {
                storage.put_client(client(name, ClientAuth::Public)).await.unwrap();
            }
            Self::SwapConsent => storage.put_consent(consent(name, name)).await.unwrap(),
            Self::CreateConsent | Self::ClaimReplayId => {}
        }
    }

    /// Returns true if this task won.
    async fn attempt(
        self,
        storage: &OauthAsStorage,
        item: usize,
        racer: &str,
    ) -> Result<bool, StorageError> {
        let name = &*self.name(item);
        match self {
            Self::TakeDeviceGrant => Ok(storage.take_device_grant(name).await?.is_some()),
            Self::TakeRefreshToken => Ok(storage.take_refresh_token(name).await?.is_some()),
            Self::TakeAuthorizationCode => {
                Ok(storage.take_authorization_code(name).await?.is_some())
            }
            Self::TakePushedRequest => {
                Ok(storage.take_pushed_authorization_request(name).await?.is_some())
            }
            Self::RotateRefreshToken => {
                let expected = refresh(name, "client", name);
                let mut spent = expected.clone();
                spent.state = RefreshTokenState::Spent;
                let access = token(&format!("{name} {racer}"), "client", name);
                let next = refresh(&format!("{name} {racer}"), "client", name);
                storage.rotate_refresh_token(&expected, &spent, &access, Some(&next)).await
            }
            Self::SwapClient => {
                let expected = client(name, ClientAuth::Public);
                let mut updated = expected.clone();
                updated.name = Some(racer.into());
                storage.compare_and_swap_client(&expected, updated).await
            }
            Self::SwapDeviceGrant => {
                let mut updated = device_grant(name, name);
                updated.state = DeviceGrantState::Approved { subject: racer.into() };
                storage.compare_and_swap_device_grant(&DeviceGrantState::Pending, updated).await
            }
            Self::SwapAuthorizationCode => {
                let mut updated = code(name);
                updated.state = AuthorizationCodeState::Consumed {
                    access_token: Some(racer.into()),
                    refresh_token: None,
                };
                let expected = AuthorizationCodeState::Issued;
                storage.compare_and_swap_authorization_code(&expected, updated).await
            }
            Self::SwapConsent | Self::CreateConsent => {
                let expected = consent(name, name);
                let mut updated = expected.clone();
                updated.resource = vec![racer.into()];
                let expected = matches!(self, Self::SwapConsent).then_some(&expected);
                if expected.is_none() {
                    updated.consent_id = format!("{name} {racer}").into();
                }
                storage.compare_and_swap_consent(expected, updated).await
            }
            Self::ClaimReplayId => storage.claim_replay_id(name, at(0)).await,
        }
    }
}

/// Runs every contest in many concurrent tasks. Returns the wins per item.
async fn race_all(
    storage: &OauthAsStorage,
    process: &str,
    items: usize,
    mut step: impl AsyncFnMut(),
) -> Vec<usize> {
    let barrier = Arc::new(Barrier::new(TASKS / 2 + 1));
    let mut racers = JoinSet::new();
    for task in 0..TASKS / 2 {
        let (storage, barrier) = (storage.clone(), Arc::clone(&barrier));
        let racer = format!("{process}-{task}");
        racers.spawn(async move {
            let mut won = Vec::new();
            for contest in CONTESTS {
                for item in 0..items {
                    barrier.wait().await;
                    won.push(contest.attempt(&storage, item, &racer).await.unwrap());
                }
            }
            won
        });
    }
    for _ in 0..CONTESTS.len() * items {
        step().await;
        barrier.wait().await;
    }
    let mut wins = vec![0; CONTESTS.len() * items];
    for won in racers.join_all().await {
        wins.iter_mut().zip(won).for_each(|(wins, won)| *wins += usize::from(won));
    }
    wins
}

/// The lead of one process over the other in turn, so that neither wins always. The last ones are much longer
/// than a statement takes on a busy machine.
async fn head_start(step: usize, all: usize, first: bool) {
    if step.is_multiple_of(2) == first {
        let lead = if step + 1 < all { 5 } else { 1000 };
        tokio::time::sleep(std::time::Duration::from_millis(lead)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_has_one_winner_in_two_processes() {
    let test = TestStorage::new("races").await;
    let items = count(300, 8);
    for contest in CONTESTS {
        for item in 0..items {
            contest.prepare(&test.storage, item).await;
        }
    }
    let input = [test.database.url().to_owned(), items.to_string()];
    let mut other = OtherProcess::start("races::child_races", &input).await;
    let mut steps = 0;
    let step = async || {
        other.go().await;
        steps += 1;
        head_start(steps, CONTESTS.len() * items, true).await;
    };
    let ours = race_all(&test.storage, "one", items, step).await;
    let theirs = other.answer().await;
    let theirs: Vec<usize> = theirs.bytes().map(|wins| usize::from(wins - b'0')).collect();
    for (n, contest) in CONTESTS.into_iter().enumerate() {
        let range = n * items..(n + 1) * items;
        let (ours, theirs) = (&ours[range.clone()], &theirs[range]);
        let wins: Vec<usize> =
            ours.iter().zip(theirs).map(|(ours, theirs)| ours + theirs).collect();
        assert_eq!(wins, vec![1; items], "{contest:?}");
    }
    assert!(ours.contains(&1) && theirs.contains(&1), "each process won some: the race was one");
    test.assert_no_deadlock().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_races() {
    let Some(input) = child_input() else { return };
    let [url, items] = &input[..] else { panic!("{input:?}") };
    let (storage, _) = connect(url, key()).await;
    println!("answer: ready");
    let items = items.parse().unwrap();
    let mut steps = 0;
    let step = async || {
        tokio::task::block_in_place(child_step);
        steps += 1;
        head_start(steps, CONTESTS.len() * items, false).await;
    };
    let wins = race_all(&storage, "two", items, step).await;
    // A violation shows as a digit above 1.
    let wins: String = wins.iter().map(|wins| wins.min(&9).to_string()).collect();
    println!("answer: {wins}");
}
