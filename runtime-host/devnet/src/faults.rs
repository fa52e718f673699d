//! Faults that tests ask for, and what becomes of the calls that meet them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::json::{Json, Object};
use crate::rpc::RpcError;

/// Whether a fault strikes before the call is executed, which then never happens (a delay apart),
/// or after it, so that only the answer suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before.
    Before,
    /// After.
    After,
}

impl When {
    /// Its name in requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            When::Before => "before",
            When::After => "after",
        }
    }
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Holds the answer until the fault is cleared; the connection is then closed without one.
    Hang,
    /// Closes the connection without an answer.
    Drop,
    /// Waits, then goes on.
    Delay(Duration),
    /// Answers with this status and body.
    Garbage(u16, Bytes),
    /// Answers with a body of more than 64 MiB that looks like JSON.
    Huge,
    /// Sends half of the answer and closes the connection.
    Truncate,
    /// Answers 503 and closes the connection, like a node that is stopping.
    Refuse,
    /// Answers with this JSON-RPC error, under this status or the one that goes with it.
    Error(RpcError, Option<u16>),
}

impl Action {
    /// Its name in requests.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Action::Hang => "hang",
            Action::Drop => "drop",
            Action::Delay(_) => "delay",
            Action::Garbage(..) => "garbage",
            Action::Huge => "huge",
            Action::Truncate => "truncate",
            Action::Refuse => "refuse",
            Action::Error(..) => "error",
        }
    }

    /// Whether it strikes one call of a batch rather than the whole answer.
    fn is_for_one_call(&self) -> bool {
        matches!(self, Action::Error(..))
    }
}

/// A fault as it was asked for.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The method it strikes, or `*` for every one of Core's.
    pub method: String,
    /// Before or after.
    pub when: When,
    /// What it does.
    pub action: Action,
    /// How often; `None` for always.
    pub times: Option<u64>,
}

#[derive(Debug)]
struct Rule {
    id: u64,
    fault: Fault,
    hits: u64,
    /// Calls that hang here hold a receiver each; they go on when this is dropped.
    hold: watch::Sender<()>,
}

/// A fault that struck.
#[derive(Debug)]
pub struct Strike {
    /// What it does.
    pub action: Action,
    /// For [`Action::Hang`]: ends when the fault is cleared.
    pub hold: Hold,
}

/// Waits for a fault to be cleared.
#[derive(Debug)]
pub struct Hold(watch::Receiver<()>);

impl Hold {
    /// Until the fault is cleared.
    pub async fn released(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

/// All faults that are set.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<(u64, Vec<Rule>)>,
}

impl Faults {
    fn rules(&self) -> MutexGuard<'_, (u64, Vec<Rule>)> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a fault and returns its number.
    pub fn add(&self, fault: Fault) -> u64 {
        let mut rules = self.rules();
        rules.0 += 1;
        let id = rules.0;
        rules.1.push(Rule {
            id,
            fault,
            hits: 0,
            hold: watch::Sender::new(()),
        });
        id
    }

    /// Takes one fault away, or all of them, and lets go of what hangs there.
    pub fn clear(&self, id: Option<u64>) -> usize {
        let mut rules = self.rules();
        let before = rules.1.len();
        rules.1.retain(|rule| id.is_some_and(|id| rule.id != id));
        before - rules.1.len()
    }

    /// The faults that strike a whole answer to calls of these methods, in the order they were set.
    pub fn strike_answer(&self, methods: &[&str], when: When) -> Vec<Strike> {
        self.strike(methods, when, false)
    }

    /// The fault that strikes one call of this method.
    pub fn strike_call(&self, method: &str, when: When) -> Option<Action> {
        self.strike(&[method], when, true)
            .into_iter()
            .next()
            .map(|strike| strike.action)
    }

    fn strike(&self, methods: &[&str], when: When, one_call: bool) -> Vec<Strike> {
        let mut rules = self.rules();
        let mut strikes = Vec::new();
        for rule in &mut rules.1 {
            let fault = &rule.fault;
            let due = fault.times.is_none_or(|times| rule.hits < times);
            let meant = methods
                .iter()
                .any(|method| fault.method == "*" || fault.method == *method);
            if due && meant && fault.when == when && fault.action.is_for_one_call() == one_call {
                rule.hits += 1;
                strikes.push(Strike {
                    action: fault.action.clone(),
                    hold: Hold(rule.hold.subscribe()),
                });
            }
        }
        strikes
    }

    /// Whether a fault is set that strikes single calls.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.rules()
            .1
            .iter()
            .any(|rule| rule.fault.action.is_for_one_call())
    }

    /// All faults with what they did so far.
    #[must_use]
    pub fn list(&self) -> Json {
        let rules = self.rules();
        let entries = rules.1.iter().map(|rule| {
            Object::new()
                .with("id", Json::int(rule.id))
                .with("method", rule.fault.method.as_str())
                .with("when", rule.fault.when.name())
                .with("action", rule.fault.action.name())
                .with("times", rule.fault.times.map_or(Json::Null, Json::int))
                .with("hits", Json::int(rule.hits))
                .with("hanging", Json::size(rule.hold.receiver_count()))
                .into()
        });
        Json::Array(entries.collect())
    }
}
