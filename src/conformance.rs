//! The conformance suite: what every storage has to do, as rules that anybody can run against
//! their own (feature `conformance`).
//!
//! ```
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # use oauth_storage::MemoryStorage as MyStorage;
//! // In your crate: #[tokio::test(flavor = "multi_thread")]
//! oauth_storage::conformance::run(Arc::new(MyStorage::new())).await;
//! # }
//! ```
//!
//! Each rule has a stable name, says which line it holds ([`rules`] lists them), and registers
//! clients of its own under identifiers that nobody else has: the suite runs on a database that
//! holds something already, and twice on the same one. It leaves its clients behind, and purges what
//! has expired, so it is for a database of its own or of tests.
//!
//! A debug build of Argon2 takes a second a password. With the feature `password`, put this into your
//! workspace's `Cargo.toml`:
//!
//! ```toml
//! [profile.dev.package]
//! argon2 = { opt-level = 3 }
//! blake2 = { opt-level = 3 }
//! ```
//!
//! With [`Conformance`] you say more: a user whom the storage knows, that it signs ID tokens, or
//! that you want some of the rules only.
//!
//! ```
//! use oauth_storage::MemoryStorage;
//! use oauth_storage::conformance::Conformance;
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let storage = Arc::new(MemoryStorage::new());
//! let outcomes = Conformance::new(storage).only("token::").outcomes().await;
//! assert!(outcomes.len() > 10);
//! assert!(outcomes.iter().all(|outcome| outcome.broken.is_none()));
//! # }
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a suite of tests, which panics where a rule is broken"
)]

mod authorization_code;
mod authorization_code_input;
mod cases;
mod client;
mod client_input;
mod client_secret;
mod concurrency;
mod context;
mod forwarding;
mod grant;
mod grant_rotation;
mod hygiene;
mod id_token;
mod purge;
mod revocation;
mod token;
mod token_input;
mod user;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle};

use crate::secret::Secret;
use crate::storage::Storage;
use context::{Context, Credentials};

/// Makes the table of a room: `name: "what it holds"` for each function of that name.
macro_rules! room {
    ($noun:literal { $($rule:ident: $holds:literal,)+ }) => {
        pub(super) const RULES: &[crate::conformance::Rule] = &[$(crate::conformance::Rule {
            name: concat!($noun, "::", stringify!($rule)),
            holds: $holds,
            check: |cx| Box::pin($rule(cx)),
        }),+];
    };
}
use room;

type Check = fn(Context) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// One rule of the contract.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Rule {
    /// Its stable name: `noun::rule`.
    pub name: &'static str,
    /// The line that it holds: of the contract, of an RFC, of the list of security lines.
    pub holds: &'static str,
    check: Check,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("name", &self.name)
            .field("holds", &self.holds)
            .finish_non_exhaustive()
    }
}

/// Every rule, in the order in which they are told.
///
/// ```
/// let mut rules = oauth_storage::conformance::rules();
/// assert!(rules.any(|rule| rule.name == "token::unknown_is_none"));
/// ```
pub fn rules() -> impl Iterator<Item = Rule> {
    [
        client::RULES,
        client_input::RULES,
        client_secret::RULES,
        token::RULES,
        token_input::RULES,
        revocation::RULES,
        authorization_code::RULES,
        authorization_code_input::RULES,
        grant::RULES,
        grant_rotation::RULES,
        user::RULES,
        id_token::RULES,
        hygiene::RULES,
        forwarding::RULES,
        concurrency::RULES,
        purge::RULES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Runs every rule against the storage, prints a line for each, and panics at the end with a list
/// of those that it breaks. Run it on a runtime of several threads, for the rules about
/// concurrency to mean something.
///
/// `authenticate` and `get_id_token` are checked in so far as one can without a user and a signer;
/// see [`Conformance`].
///
/// # Panics
/// If the storage breaks a rule.
pub async fn run(storage: Arc<dyn Storage>) {
    Conformance::new(storage).run().await;
}

/// How a rule ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// The rule.
    pub rule: Rule,
    /// What was wrong; none where the storage keeps the rule.
    pub broken: Option<String>,
}

/// The suite, and what it should know about the storage.
///
/// ```
/// use oauth_storage::MemoryStorage;
/// use oauth_storage::conformance::Conformance;
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// Conformance::new(Arc::new(MemoryStorage::new())).at_once(4).only("revocation::").run().await;
/// # }
/// ```
#[must_use = "call `run`"]
pub struct Conformance {
    context: Context,
    only: &'static str,
    at_once: usize,
    time_limit: Duration,
}

impl Conformance {
    /// Every rule, eight at once, each with five minutes to end.
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            context: Context { storage, user: None, id_tokens: false },
            only: "",
            at_once: 8,
            time_limit: Duration::from_mins(5),
        }
    }

    /// A user whom the storage knows: `authenticate` has to find them with this password, and not
    /// with another. Without one, it may say that it is not configured.
    pub fn user(
        mut self,
        username: impl Into<String>,
        password: impl Into<Secret>,
        subject: impl Into<String>,
    ) -> Self {
        self.context.user = Some(Arc::new(Credentials {
            username: username.into(),
            password: password.into(),
            subject: subject.into(),
        }));
        self
    }

    /// The storage signs ID tokens: `get_id_token` has to give one. Without this, it may say that
    /// it is not configured. (The claims are checked; the signature is not, for the contract gives
    /// no key to check it with.)
    pub fn id_tokens(mut self) -> Self {
        self.context.id_tokens = true;
        self
    }

    /// Only the rules whose name starts so: a noun, or one rule.
    pub fn only(mut self, prefix: &'static str) -> Self {
        self.only = prefix;
        self
    }

    /// As many rules at the same time; at least one. The rules about concurrency make up to 64
    /// calls at once, each.
    pub fn at_once(mut self, rules: usize) -> Self {
        self.at_once = rules.max(1);
        self
    }

    /// How long a rule may take before it counts as broken.
    pub fn time_limit(mut self, time_limit: Duration) -> Self {
        self.time_limit = time_limit;
        self
    }

    /// Runs the rules, prints a line for each, and panics with a list of those that are broken.
    ///
    /// # Panics
    /// If the storage breaks a rule, or if [`only`](Self::only) leaves no rule.
    pub async fn run(self) {
        let outcomes = self.outcomes().await;
        assert!(!outcomes.is_empty(), "there is no rule of that name");
        let mut broken = Vec::new();
        for Outcome { rule, broken: message } in &outcomes {
            match message {
                None => println!("kept    {}", rule.name),
                Some(message) => {
                    println!("BROKEN  {}: {message}", rule.name);
                    broken.push(format!("{}: {message}\n    holds: {}", rule.name, rule.holds));
                }
            }
        }
        assert!(
            broken.is_empty(),
            "the storage breaks {} of {} rules:\n- {}",
            broken.len(),
            outcomes.len(),
            broken.join("\n- ")
        );
    }

    /// Runs the rules and tells how each ended, without a panic of its own.
    pub async fn outcomes(self) -> Vec<Outcome> {
        let turns = Arc::new(Semaphore::new(self.at_once));
        let running: Vec<(Rule, JoinHandle<Option<String>>)> = rules()
            .filter(|rule| rule.name.starts_with(self.only))
            .map(|rule| {
                let (turns, context) = (Arc::clone(&turns), self.context.clone());
                let time_limit = self.time_limit;
                // A purge would remove what another rule is about to look at.
                let alone = rule.name.starts_with("purge::");
                let needed = if alone { self.at_once } else { 1 };
                let task = tokio::spawn(async move {
                    let _turn = turns.acquire_many(u32::try_from(needed).unwrap()).await;
                    outcome(rule, context, time_limit).await
                });
                (rule, task)
            })
            .collect();
        let mut outcomes = Vec::with_capacity(running.len());
        for (rule, task) in running {
            let broken = task.await.unwrap_or_else(|error| Some(message(error)));
            outcomes.push(Outcome { rule, broken });
        }
        outcomes
    }
}

async fn outcome(rule: Rule, context: Context, time_limit: Duration) -> Option<String> {
    let mut task = tokio::spawn((rule.check)(context));
    match tokio::time::timeout(time_limit, &mut task).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(message(error)),
        Err(_) => {
            task.abort();
            Some(format!("did not end within {time_limit:?}"))
        }
    }
}

fn message(error: JoinError) -> String {
    if !error.is_panic() {
        return error.to_string();
    }
    let panic: Box<dyn Any + Send> = error.into_panic();
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic
            .downcast_ref::<&str>()
            .map_or_else(|| "panicked without a message".into(), |text| (*text).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::MemoryStorage;

    #[test]
    fn names_are_unique_and_each_says_what_it_holds() {
        let names: BTreeSet<_> = rules().map(|rule| rule.name).collect();
        assert_eq!(names.len(), rules().count());
        for rule in rules() {
            let source = ["contract ", "RFC ", "OIDC ", "S1", "S5", "S9"];
            assert!(source.iter().any(|source| rule.holds.starts_with(source)), "{rule:?}");
        }
    }

    #[tokio::test]
    async fn panics_and_endless_rules_are_told_apart() {
        let context = || Conformance::new(Arc::new(MemoryStorage::new())).context;
        let rule = |check| Rule { name: "x::x", holds: "contract 0", check };
        let limit = Duration::from_millis(50);
        let kept = rule(|_| Box::pin(async {}));
        assert_eq!(outcome(kept, context(), limit).await, None);
        let text = rule(|_| Box::pin(async { panic!("plain") }));
        assert_eq!(outcome(text, context(), limit).await.unwrap(), "plain");
        let formatted = rule(|_| Box::pin(async { panic!("{}", "formatted".to_owned()) }));
        assert_eq!(outcome(formatted, context(), limit).await.unwrap(), "formatted");
        let endless = rule(|_| Box::pin(std::future::pending()));
        assert!(outcome(endless, context(), limit).await.unwrap().contains("did not end"));
    }
}
