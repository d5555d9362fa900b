//! Device authorizations and consent on two processes: decided, issued and withdrawn exactly once.

use std::time::Duration;

use oauth_storage::device_authorization::{
    DeviceApproval, DevicePoll, DevicePollOutcome, NewDeviceAuthorization, UserCodeLookup,
    UserCodeOutcome,
};
use oauth_storage::{
    ConsentStorage as _, DeviceAuthorizationStorage as _, PgStorage, RequestContext,
};
use tokio::task::JoinSet;

use super::{LIVE_GRANTS, TASKS, assert_no_deadlock, count, number, storage};
use crate::support::{TestStorage, alice, scope};
use oauth_storage_testbed::other_process::{OtherProcess, child_input, child_step};

/// The numbers of approvals, denials, pairs and withdrawals that one process won.
type Won = [usize; 4];

/// A device: its code and its user code.
type Device = (String, String);

async fn decide(storage: &PgStorage, user_code: &str, approves: bool) -> bool {
    let lookup = UserCodeLookup::new(user_code);
    let UserCodeOutcome::Found(shown) = storage.find_device_authorization(lookup).await.unwrap()
    else {
        return false;
    };
    if !approves {
        return storage.deny_device_authorization(user_code, shown.grant_id).await.unwrap();
    }
    let approval = DeviceApproval::new(user_code, &shown, scope());
    storage.approve_device_authorization(&alice(), approval).await.unwrap()
}

/// Decides and polls each device in each of many concurrent tasks, and withdraws consents.
async fn win_all(storage: &PgStorage, client: &str, devices: &[Device]) -> Won {
    let mut racers = JoinSet::new();
    for task in 0..TASKS / 2 {
        let (storage, client, devices) = (storage.clone(), client.to_owned(), devices.to_vec());
        racers.spawn(async move {
            let mut won = [0; 4];
            for (n, (device_code, user_code)) in devices.iter().enumerate() {
                let approves = !(task + n).is_multiple_of(4);
                let decided = decide(&storage, user_code, approves).await;
                won[usize::from(!approves)] += usize::from(decided);
                let poll = DevicePoll::new(&client, device_code.as_str()).with_refresh_token(true);
                let request = RequestContext::default();
                let outcome = storage.poll_device_authorization(&request, poll).await;
                match outcome.unwrap() {
                    DevicePollOutcome::Issued(_) => won[2] += 1,
                    DevicePollOutcome::Denied | DevicePollOutcome::Invalid => {}
                    other => panic!("{other:?}"),
                }
                if task % 8 == n % 8 {
                    let subject = format!("subject{n}");
                    let outcome = storage.withdraw_consent(&subject, &client).await.unwrap();
                    won[3] += usize::from(outcome.withdrawn);
                }
            }
            won
        });
    }
    let mut sum = [0; 4];
    for won in racers.join_all().await {
        sum.iter_mut().zip(won).for_each(|(sum, won)| *sum += won);
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_decided_and_issued_once_on_two_processes() {
    let test = TestStorage::new("devices").await;
    let storage = storage(test.database.url()).await;
    let (client, _) = test.client().await;
    let number_of_devices = count(1_000, 50);
    let mut devices: Vec<Device> = Vec::new();
    for n in 0..number_of_devices {
        let new =
            NewDeviceAuthorization::new(&client, scope()).with_expires_in(Duration::from_hours(1));
        let device = storage.start_device_authorization(new).await.unwrap();
        devices.push((device.device_code.expose().to_owned(), device.user_code));
        storage.add_consent(&format!("subject{n}"), &client, &scope()).await.unwrap();
    }
    let mut input = vec![test.database.url().to_owned(), client.clone()];
    input.extend(devices.iter().flat_map(|(code, user_code)| [code.clone(), user_code.clone()]));
    let mut other = OtherProcess::start("races::devices::child_wins_devices", &input).await;
    other.go().await;
    let ours = win_all(&storage, &client, &devices).await;
    let theirs = other.answer().await;
    let theirs: Vec<usize> = theirs.split(' ').map(|number| number.parse().unwrap()).collect();
    let sum: Vec<usize> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours + theirs).collect();
    let [approved, denied, issued, withdrawn] = sum[..] else { panic!("{theirs:?}") };
    assert_eq!(approved + denied, number_of_devices, "each is decided once");
    assert_eq!(withdrawn, number_of_devices, "each consent is withdrawn once");
    // A pair that no racer got is still there.
    let mut late = 0;
    for (device_code, _) in &devices {
        let poll = DevicePoll::new(&client, device_code.as_str());
        let outcome = storage.poll_device_authorization(&RequestContext::default(), poll).await;
        late += usize::from(outcome.unwrap().issued().is_some());
    }
    assert_eq!(issued + late, approved, "each that was approved is issued once");
    assert!(ours[2] > 0 && theirs[2] > 0, "a race: {ours:?}, {theirs:?}");
    assert_eq!(number(&test, LIVE_GRANTS).await, i64::try_from(approved).unwrap());
    storage.close().await;
    assert_no_deadlock(&test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_wins_devices() {
    let Some(input) = child_input() else { return };
    let [url, client, codes @ ..] = &input[..] else { panic!("{input:?}") };
    let devices: Vec<Device> =
        codes.chunks(2).map(|codes| (codes[0].clone(), codes[1].clone())).collect();
    let storage = storage(url).await;
    println!("answer: ready");
    tokio::task::block_in_place(child_step);
    let won = win_all(&storage, client, &devices).await;
    println!("answer: {}", won.map(|won| won.to_string()).join(" "));
}
