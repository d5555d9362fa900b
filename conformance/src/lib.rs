//! The conformance suite: the contract as rules that any storage can run.
//!
//! ```
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # use oauth_storage::MemoryStorage as MyStorage;
//! // In your crate: #[tokio::test(flavor = "multi_thread")]
//! oauth_storage_conformance::run(Arc::new(MyStorage::new())).await;
//! # }
//! ```
//!
//! Each rule has a stable name and cites its source ([`rules`] lists them). It registers its own
//! clients under unique identifiers, so the suite runs on a database that holds other rows, and
//! twice on the same one. It leaves its clients behind and purges expired rows: use its own database,
//! or one for tests.
//!
//! A debug build of Argon2 takes a second for a password. With the feature `password`, add this to
//! the `Cargo.toml` of your workspace:
//!
//! ```toml
//! [profile.dev.package]
//! argon2 = { opt-level = 3 }
//! blake2 = { opt-level = 3 }
//! ```
//!
//! [`Conformance`] takes options: a user whom the storage can authenticate, that the storage signs ID
//! tokens, and a selection of rules.
//!
//! ```
//! use oauth_storage::MemoryStorage;
//! use oauth_storage_conformance::Conformance;
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
    reason = "a suite of tests, which panics if a rule is broken"
)]

/// Defines the rules of a module: `name: "source"` for each function of that name.
macro_rules! rules {
    ($noun:literal { $($rule:ident: $holds:literal,)+ }) => {
        pub(super) const RULES: &[crate::Rule] = &[$(crate::Rule {
            name: concat!($noun, "::", stringify!($rule)),
            holds: $holds,
            check: |cx| Box::pin($rule(cx)),
        }),+];
    };
}

mod authorization_code;
mod authorization_code_input;
mod cases;
mod client;
mod client_deletion;
mod client_input;
mod client_lifecycle;
mod client_secret;
mod code_grant;
mod concurrency;
mod concurrency_revocation;
mod consent;
mod context;
mod device_authorization;
mod flow;
mod forwarding;
mod grant;
mod grant_erasure;
mod grant_idle;
mod grant_listing;
mod grant_revocation;
mod grant_rotation;
mod hygiene;
mod id_token;
mod purge;
mod record;
mod revocation;
mod signing_key;
mod token;
mod token_grant;
mod token_input;
mod token_lookup;
mod user;
mod user_session;
mod user_session_end;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle};

use context::{Context, Credentials};
use oauth_storage::{Secret, Storage};

type Check = fn(Context) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// One rule of the contract.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Rule {
    /// The stable name: `noun::rule`.
    pub name: &'static str,
    /// The source of the rule, in the contract, an RFC or the list of security requirements (`S…`), and
    /// what it asks for.
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

/// Every rule, in the order of [`Conformance::outcomes`].
///
/// ```
/// let mut rules = oauth_storage_conformance::rules();
/// assert!(rules.any(|rule| rule.name == "token::unknown_is_none"));
/// ```
pub fn rules() -> impl Iterator<Item = Rule> {
    [
        client::RULES,
        client_deletion::RULES,
        client_input::RULES,
        client_lifecycle::RULES,
        client_secret::RULES,
        token::RULES,
        token_lookup::RULES,
        token_input::RULES,
        token_grant::RULES,
        revocation::RULES,
        authorization_code::RULES,
        authorization_code_input::RULES,
        code_grant::RULES,
        grant::RULES,
        grant_rotation::RULES,
        grant_idle::RULES,
        grant_revocation::RULES,
        grant_erasure::RULES,
        grant_listing::RULES,
        user::RULES,
        id_token::RULES,
        hygiene::RULES,
        forwarding::RULES,
        concurrency::RULES,
        concurrency_revocation::RULES,
        purge::RULES,
        record::RULES,
        device_authorization::RULES,
        consent::RULES,
        signing_key::RULES,
        user_session::RULES,
        user_session_end::RULES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Runs every rule against the storage, prints a line for each, and panics at the end with a list
/// of those that are broken. Run it on a runtime of several threads: the rules about concurrency need
/// them.
///
/// `authenticate` and `get_id_token` are checked only partly without a user and a signer; see
/// [`Conformance`].
///
/// # Panics
/// If the storage breaks a rule.
pub async fn run(storage: Arc<dyn Storage>) {
    Conformance::new(storage).run().await;
}

/// The outcome of a rule.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// The rule.
    pub rule: Rule,
    /// The message of the failure; `None` if the storage keeps the rule.
    pub broken: Option<String>,
}

/// The suite with its options.
///
/// ```
/// use oauth_storage::MemoryStorage;
/// use oauth_storage_conformance::Conformance;
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
    /// Every rule, eight at a time, with a limit of five minutes each.
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            context: Context { storage, user: None, id_tokens: false },
            only: "",
            at_once: 8,
            time_limit: Duration::from_mins(5),
        }
    }

    /// Names a user whom the storage can authenticate: with this password, and with no other. Without
    /// a user `authenticate` may fail as not configured.
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

    /// Requires that `get_id_token` returns an ID token. Without this it may fail as not configured.
    /// The claims are checked. The signature is not, because the contract gives no key.
    pub fn id_tokens(mut self) -> Self {
        self.context.id_tokens = true;
        self
    }

    /// Selects the rules whose name starts with a prefix: a noun, or one rule.
    pub fn only(mut self, prefix: &'static str) -> Self {
        self.only = prefix;
        self
    }

    /// Sets the number of rules that run at the same time; at least one. A single rule about concurrency
    /// makes up to 64 calls at once.
    pub fn at_once(mut self, rules: usize) -> Self {
        self.at_once = rules.max(1);
        self
    }

    /// Sets the time after which a rule counts as broken.
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

    /// Runs the rules and returns their outcomes. Does not panic.
    pub async fn outcomes(self) -> Vec<Outcome> {
        let turns = Arc::new(Semaphore::new(self.at_once));
        let running: Vec<(Rule, JoinHandle<Option<String>>)> = rules()
            .filter(|rule| rule.name.starts_with(self.only))
            .map(|rule| {
                let (turns, context) = (Arc::clone(&turns), self.context.clone());
                let time_limit = self.time_limit;
                // A purge removes expired rows that another rule still reads.
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
    use oauth_storage::MemoryStorage;

    #[test]
    fn names_are_unique_and_each_rule_cites_its_source() {
        let names: BTreeSet<_> = rules().map(|rule| rule.name).collect();
        assert_eq!(names.len(), rules().count());
        for rule in rules() {
            let source = ["contract ", "RFC ", "OIDC "];
            let security = rule.holds.strip_prefix('S').is_some_and(|rest| {
                rest.split([',', ':']).next().is_some_and(|number| number.parse::<u8>().is_ok())
            });
            let cited = source.iter().any(|source| rule.holds.starts_with(source));
            assert!(cited || security, "{rule:?}");
        }
    }

    #[tokio::test]
    async fn panics_and_endless_rules_are_distinguished() {
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
