use std::collections::HashSet;

use super::*;

struct Read;
struct Write;

fn read() -> TypeId {
    TypeId::of::<Read>()
}

fn write() -> TypeId {
    TypeId::of::<Write>()
}

fn batch(schedule: &mut Schedule<u32>, most: usize) -> (Vec<Ticket>, Vec<u32>) {
    schedule.take(most, |_| true).into_iter().unzip()
}

#[test]
fn statements_are_served_in_turn() {
    let mut schedule = Schedule::new();
    for call in 0..5 {
        schedule.push(read(), None, call);
    }
    schedule.push(write(), None, 10);
    schedule.push(write(), None, 11);
    assert_eq!(batch(&mut schedule, 2).1, [0, 1]);
    assert_eq!(batch(&mut schedule, 2).1, [10, 11]);
    assert_eq!(batch(&mut schedule, 2).1, [2, 3]);
    schedule.push(write(), None, 12);
    assert_eq!(batch(&mut schedule, 2).1, [4], "a later call waits for its turn");
    assert_eq!(batch(&mut schedule, 2).1, [12]);
    assert!(batch(&mut schedule, 2).1.is_empty());
    assert!(!schedule.has_ready());
}

/// Each kind has its own limit, so that the calls of one key cannot keep other calls out.
#[test]
fn calls_behind_a_key_are_counted_separately() {
    let mut schedule = Schedule::new();
    let tickets: Vec<_> = (0..4).map(|call| schedule.push(write(), Some(7), call)).collect();
    schedule.push(write(), Some(8), 9);
    assert!(schedule.is_busy(7) && !schedule.is_busy(9));
    assert_eq!((schedule.ready(), schedule.behind(), schedule.waiting()), (2, 3, 5));
    schedule.withdraw(tickets[2]);
    assert_eq!((schedule.ready(), schedule.behind()), (2, 2));
    let (taken, _) = batch(&mut schedule, 9);
    assert_eq!((schedule.ready(), schedule.behind()), (0, 2));
    schedule.finish(taken[0]);
    assert_eq!((schedule.ready(), schedule.behind()), (1, 1));
    schedule.drain();
    assert_eq!((schedule.ready(), schedule.behind(), schedule.waiting()), (0, 0, 0));
}

#[test]
fn calls_with_one_key_run_one_at_a_time_across_statements() {
    let mut schedule = Schedule::new();
    for call in 0..3 {
        schedule.push(write(), Some(7), call);
    }
    schedule.push(read(), Some(7), 3);
    schedule.push(write(), Some(8), 4);
    schedule.push(write(), None, 5);
    let (tickets, calls) = batch(&mut schedule, 9);
    assert_eq!(calls, [0, 4, 5]);
    assert_eq!(schedule.waiting(), 3);
    schedule.finish(tickets[1]);
    schedule.finish(tickets[2]);
    assert!(batch(&mut schedule, 9).1.is_empty(), "other calls do not free the key");
    let mut running = tickets[0];
    for next in 1..4 {
        schedule.finish(running);
        schedule.finish(running);
        let (tickets, calls) = batch(&mut schedule, 9);
        assert_eq!(calls, [next]);
        running = tickets[0];
    }
    schedule.finish(running);
    assert!(schedule.keys.is_empty());
}

#[test]
fn a_call_that_is_put_back_keeps_its_ticket_and_its_key() {
    let mut schedule = Schedule::new();
    let first = schedule.push(write(), Some(7), 0);
    schedule.push(write(), Some(7), 1);
    schedule.push(write(), None, 2);
    let taken = schedule.take(1, |_| true);
    assert_eq!(taken, [(first, 0)]);
    assert_eq!(schedule.withdraw(first), None, "it may have been sent");
    schedule.put_back(first, 0);
    assert_eq!(schedule.waiting(), 3);
    assert_eq!(
        batch(&mut schedule, 9),
        (vec![first, Ticket { slot: 2, generation: 0 }], vec![0, 2])
    );
    schedule.put_back(first, 0);
    assert_eq!(schedule.withdraw(first), Some((Stage::Ready, 0)));
    assert_eq!(schedule.withdraw(first), None);
    assert_eq!(batch(&mut schedule, 9).1, [1], "the next call has the key");
}

#[test]
fn a_call_that_waits_aside_keeps_its_key() {
    let mut schedule = Schedule::new();
    let first = schedule.push(write(), Some(7), 0);
    let second = schedule.push(write(), Some(7), 1);
    batch(&mut schedule, 9);
    schedule.set_aside(first, 0);
    assert!(batch(&mut schedule, 9).1.is_empty());
    assert_eq!(schedule.take_aside(first), Some(0));
    assert_eq!(schedule.take_aside(first), None);
    schedule.finish(first);
    assert_eq!(batch(&mut schedule, 9), (vec![second], vec![1]));
    schedule.set_aside(second, 1);
    assert_eq!(schedule.withdraw(second), Some((Stage::Aside, 1)));
    assert_eq!(schedule.take_aside(second), None);
    assert!(schedule.keys.is_empty());
}

#[test]
fn a_call_is_withdrawn_from_any_place() {
    let mut schedule = Schedule::new();
    let free: Vec<_> = (0..5).map(|call| schedule.push(read(), None, call)).collect();
    let keyed: Vec<_> = (0..5).map(|call| schedule.push(read(), Some(7), 10 + call)).collect();
    for (tickets, base) in [(&free, 0), (&keyed, 10)] {
        for place in [2, 0, 4] {
            let (_, call) = schedule.withdraw(tickets[place]).unwrap();
            assert_eq!(usize::try_from(call).unwrap(), base + place);
        }
    }
    assert_eq!(schedule.waiting(), 4);
    let (tickets, calls) = batch(&mut schedule, 9);
    assert_eq!(calls, [1, 3, 11]);
    schedule.finish(tickets[2]);
    assert_eq!(batch(&mut schedule, 9).1, [13]);
    assert_eq!(schedule.waiting(), 0);
}

#[test]
fn an_unwanted_call_is_dropped_and_frees_its_key() {
    let mut schedule = Schedule::new();
    for call in 0..4 {
        schedule.push(read(), Some(7), call);
    }
    let taken = schedule.take(9, |call| *call > 1);
    assert_eq!(taken.into_iter().map(|(_, call)| call).collect::<Vec<_>>(), [2]);
    assert_eq!(schedule.waiting(), 1);
    let other = schedule.push(write(), None, 9);
    assert_eq!(schedule.withdraw(other), Some((Stage::Ready, 9)));
    assert!(batch(&mut schedule, 9).1.is_empty(), "a statement without calls is skipped");
}

#[test]
fn drain_leaves_taken_calls() {
    let mut schedule = Schedule::new();
    for call in 0..6 {
        schedule.push(read(), Some(u128::from(call % 3)), call);
    }
    let (taken, _) = batch(&mut schedule, 2);
    schedule.set_aside(taken[0], 0);
    let drained: HashSet<u32> = schedule.drain().into_iter().collect();
    assert_eq!(drained, [0, 2, 3, 4, 5].into());
    assert_eq!(schedule.waiting(), 0);
    schedule.finish(taken[1]);
    assert!(schedule.keys.is_empty());
}

#[test]
fn slots_are_reused_and_old_tickets_are_ignored() {
    let mut schedule = Schedule::new();
    for call in 0..1_000 {
        let ticket = schedule.push(read(), Some(u128::from(call)), call);
        assert_eq!(batch(&mut schedule, 9).0, [ticket]);
        schedule.finish(ticket);
        let next = schedule.push(read(), None, call);
        schedule.finish(ticket);
        assert_eq!(schedule.withdraw(ticket), None);
        assert_eq!(schedule.withdraw(next), Some((Stage::Ready, call)));
    }
    assert!(schedule.slots.len() <= 2);
}

/// Checks the rules over 20,000 random steps.
#[test]
fn no_call_is_lost_and_no_key_runs_twice() {
    let mut schedule = Schedule::new();
    let mut random = 1_u64;
    let mut next = || {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 40).unwrap()
    };
    let (mut tickets, mut running, mut ended) = (Vec::new(), Vec::new(), 0);
    for step in 0..20_000 {
        match next() % 6 {
            0 | 1 => {
                let key = (next() % 3 > 0).then(|| u128::try_from(next() % 10).unwrap());
                let statement = if next() % 2 == 0 { read() } else { write() };
                tickets.push(schedule.push(statement, key, (step, key)));
            }
            2 => {
                running.extend(schedule.take(1 + next() % 4, |_| true));
                let keys: Vec<u128> = running.iter().filter_map(|(_, (_, key))| *key).collect();
                assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
            }
            3 if !running.is_empty() => {
                let (ticket, call) = running.swap_remove(next() % running.len());
                schedule.put_back(ticket, call);
            }
            4 if !running.is_empty() => {
                let (ticket, _) = running.swap_remove(next() % running.len());
                schedule.finish(ticket);
                ended += 1;
            }
            5 if !tickets.is_empty() => {
                let ticket = tickets[next() % tickets.len()];
                ended += usize::from(schedule.withdraw(ticket).is_some());
            }
            _ => {}
        }
    }
    loop {
        for (ticket, _) in running.drain(..) {
            schedule.finish(ticket);
            ended += 1;
        }
        running = schedule.take(7, |_| true);
        if running.is_empty() {
            break;
        }
    }
    assert_eq!(ended, tickets.len());
    assert_eq!((schedule.waiting(), schedule.keys.len()), (0, 0));
}
