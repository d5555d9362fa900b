//! The order in which queued calls run.
//!
//! Each statement has its own queue, and the queues are served in turn. Of the calls with one key,
//! only one is ready or running at a time. The others wait in a queue of the key, so a thousand
//! calls with one key take one place in a batch. The cost of queueing, running and finishing a call
//! does not depend on the number of waiting calls.

use std::any::TypeId;
use std::collections::{HashMap, VecDeque};

/// Identifies a call from queueing until it is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    slot: usize,
    /// Changes each time the slot is reused.
    generation: u64,
}

/// The stage of a queued call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The call waits for a lane.
    Ready,
    /// The call waits for another call with the same key.
    Behind,
    /// The call waits for a connection outside the lanes.
    Aside,
    /// The call was taken and may have been sent.
    Taken,
}

/// The calls that are queued and not finished.
pub(super) struct Schedule<T> {
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
    statements: Vec<Statement>,
    /// Statements with ready calls, the next one first.
    turns: VecDeque<usize>,
    /// The keys of calls that are ready, aside or taken, each with the calls behind.
    keys: HashMap<u128, List>,
    /// The number of calls that are ready or behind.
    waiting: usize,
    /// The number of calls behind another call with the same key.
    behind: usize,
}

struct Slot<T> {
    generation: u64,
    stage: Stage,
    statement: usize,
    key: Option<u128>,
    call: Option<T>,
    before: Option<usize>,
    after: Option<usize>,
}

struct Statement {
    id: TypeId,
    ready: List,
    has_turn: bool,
}

/// A doubly linked list of slots, from which any slot can be removed.
#[derive(Default)]
struct List {
    first: Option<usize>,
    last: Option<usize>,
}

impl<T> Schedule<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            statements: Vec::new(),
            turns: VecDeque::new(),
            keys: HashMap::new(),
            waiting: 0,
            behind: 0,
        }
    }

    /// The number of calls that wait for a lane, or for another call with the same key.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// The number of calls that wait for a lane.
    pub(super) const fn ready(&self) -> usize {
        self.waiting - self.behind
    }

    /// The number of calls that wait for another call with the same key.
    pub(super) const fn behind(&self) -> usize {
        self.behind
    }

    /// Returns true if another call with the key is ready, aside or taken.
    pub(super) fn is_busy(&self, key: u128) -> bool {
        self.keys.contains_key(&key)
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Queues a call.
    pub(super) fn push(&mut self, statement: TypeId, key: Option<u128>, call: T) -> Ticket {
        let statement = self.statement(statement);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                stage: Stage::Taken,
                statement,
                key: None,
                call: None,
                before: None,
                after: None,
            });
            self.slots.len() - 1
        });
        let entry = &mut self.slots[slot];
        (entry.statement, entry.key, entry.call) = (statement, key, Some(call));
        let ticket = Ticket { slot, generation: entry.generation };
        self.waiting += 1;
        match key.and_then(|key| self.keys.get_mut(&key)) {
            Some(behind) => {
                self.slots[slot].stage = Stage::Behind;
                self.behind += 1;
                behind.push_back(&mut self.slots, slot);
            }
            None => {
                if let Some(key) = key {
                    self.keys.insert(key, List::default());
                }
                self.make_ready(slot);
            }
        }
        ticket
    }

    /// Takes the calls of the next statement, in order. Calls that are no longer wanted are
    /// dropped.
    pub(super) fn take(&mut self, most: usize, is_wanted: impl Fn(&T) -> bool) -> Vec<(Ticket, T)> {
        let mut batch = Vec::new();
        while batch.is_empty()
            && let Some(statement) = self.turns.pop_front()
        {
            while batch.len() < most
                && let Some(slot) = self.statements[statement].ready.pop_front(&mut self.slots)
            {
                self.waiting -= 1;
                let entry = &mut self.slots[slot];
                entry.stage = Stage::Taken;
                match entry.call.take() {
                    Some(call) if is_wanted(&call) => {
                        batch.push((Ticket { slot, generation: entry.generation }, call));
                    }
                    _ => self.remove(slot),
                }
            }
            if self.statements[statement].ready.first.is_some() {
                self.turns.push_back(statement);
            } else {
                self.statements[statement].has_turn = false;
            }
        }
        batch
    }

    /// Puts a taken call back at the head of its statement's ready calls.
    pub(super) fn put_back(&mut self, ticket: Ticket, call: T) {
        if self.stage(ticket) == Some(Stage::Taken) {
            let entry = &mut self.slots[ticket.slot];
            (entry.stage, entry.call) = (Stage::Ready, Some(call));
            let statement = entry.statement;
            self.waiting += 1;
            self.statements[statement].ready.push_front(&mut self.slots, ticket.slot);
            self.give_turn(statement);
        }
    }

    /// Moves a taken call to those that wait outside the lanes.
    pub(super) fn set_aside(&mut self, ticket: Ticket, call: T) {
        if self.stage(ticket) == Some(Stage::Taken) {
            let entry = &mut self.slots[ticket.slot];
            (entry.stage, entry.call) = (Stage::Aside, Some(call));
        }
    }

    /// Takes a call that waits outside the lanes, unless it was withdrawn.
    pub(super) fn take_aside(&mut self, ticket: Ticket) -> Option<T> {
        if self.stage(ticket) != Some(Stage::Aside) {
            return None;
        }
        let entry = &mut self.slots[ticket.slot];
        entry.stage = Stage::Taken;
        entry.call.take()
    }

    /// Removes a call that was not taken, and returns it with its stage.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<(Stage, T)> {
        let stage = self.stage(ticket).filter(|stage| *stage != Stage::Taken)?;
        let slot = ticket.slot;
        let Slot { statement, key, .. } = self.slots[slot];
        match stage {
            Stage::Ready => {
                self.statements[statement].ready.remove(&mut self.slots, slot);
                self.waiting -= 1;
            }
            Stage::Behind => {
                if let Some(behind) = key.and_then(|key| self.keys.get_mut(&key)) {
                    behind.remove(&mut self.slots, slot);
                }
                // Another call holds the key.
                self.slots[slot].key = None;
                self.waiting -= 1;
                self.behind -= 1;
            }
            Stage::Aside | Stage::Taken => {}
        }
        let call = self.slots[slot].call.take();
        self.remove(slot);
        call.map(|call| (stage, call))
    }

    /// Ends a taken call; does nothing otherwise.
    pub(super) fn finish(&mut self, ticket: Ticket) {
        if self.stage(ticket) == Some(Stage::Taken) {
            self.remove(ticket.slot);
        }
    }

    /// Removes every call that was not taken.
    pub(super) fn drain(&mut self) -> Vec<T> {
        let tickets: Vec<Ticket> = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.call.is_some())
            .map(|(slot, entry)| Ticket { slot, generation: entry.generation })
            .collect();
        tickets
            .into_iter()
            .filter_map(|ticket| self.withdraw(ticket))
            .map(|(_, call)| call)
            .collect()
    }

    /// The calls that were not taken.
    pub(super) fn calls(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|entry| entry.call.as_ref())
    }

    fn stage(&self, ticket: Ticket) -> Option<Stage> {
        let entry = self.slots.get(ticket.slot)?;
        (entry.generation == ticket.generation).then_some(entry.stage)
    }

    fn statement(&mut self, id: TypeId) -> usize {
        self.statements.iter().position(|statement| statement.id == id).unwrap_or_else(|| {
            self.statements.push(Statement { id, ready: List::default(), has_turn: false });
            self.statements.len() - 1
        })
    }

    fn make_ready(&mut self, slot: usize) {
        self.slots[slot].stage = Stage::Ready;
        let statement = self.slots[slot].statement;
        self.statements[statement].ready.push_back(&mut self.slots, slot);
        self.give_turn(statement);
    }

    fn give_turn(&mut self, statement: usize) {
        if !std::mem::replace(&mut self.statements[statement].has_turn, true) {
            self.turns.push_back(statement);
        }
    }

    /// Frees a slot that is in no list. The next call with its key becomes ready.
    fn remove(&mut self, slot: usize) {
        let entry = &mut self.slots[slot];
        entry.generation += 1;
        entry.call = None;
        let key = entry.key.take();
        self.free.push(slot);
        let Some(key) = key else { return };
        let Some(behind) = self.keys.get_mut(&key) else { return };
        match behind.pop_front(&mut self.slots) {
            Some(next) => {
                self.behind -= 1;
                self.make_ready(next);
            }
            None => {
                self.keys.remove(&key);
            }
        }
    }
}

impl List {
    fn push_back<T>(&mut self, slots: &mut [Slot<T>], slot: usize) {
        (slots[slot].before, slots[slot].after) = (self.last, None);
        match self.last.replace(slot) {
            Some(last) => slots[last].after = Some(slot),
            None => self.first = Some(slot),
        }
    }

    fn push_front<T>(&mut self, slots: &mut [Slot<T>], slot: usize) {
        (slots[slot].before, slots[slot].after) = (None, self.first);
        match self.first.replace(slot) {
            Some(first) => slots[first].before = Some(slot),
            None => self.last = Some(slot),
        }
    }

    fn pop_front<T>(&mut self, slots: &mut [Slot<T>]) -> Option<usize> {
        let first = self.first?;
        self.remove(slots, first);
        Some(first)
    }

    fn remove<T>(&mut self, slots: &mut [Slot<T>], slot: usize) {
        let (before, after) = (slots[slot].before.take(), slots[slot].after.take());
        match before {
            Some(before) => slots[before].after = after,
            None => self.first = after,
        }
        match after {
            Some(after) => slots[after].before = before,
            None => self.last = before,
        }
    }
}

#[cfg(test)]
mod tests;
