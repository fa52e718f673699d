//! One guest's use of one connection, wherever the database is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::file_session::FileSession;
use super::query::Outcome;
use super::server::ServerSession;
use crate::bindings::spin::sqlite::sqlite::Value;

/// A connection as a guest uses it. Statements run one after the other.
#[derive(Clone)]
pub enum Session {
    /// To a file.
    File(Arc<FileSession>),
    /// To a server.
    Server(Arc<ServerSession>),
}

impl Session {
    /// Runs one statement.
    pub async fn execute(&self, statement: String, parameters: Vec<Value>) -> Outcome {
        match self {
            Self::File(session) => session.execute(statement, parameters).await,
            Self::Server(session) => session.execute(statement, parameters).await,
        }
    }

    /// The row id of the last insertion of this session, or 0.
    pub fn last_insert_rowid(&self) -> i64 {
        match self {
            Self::File(session) => session.last_insert_rowid(),
            Self::Server(session) => session.last_insert_rowid(),
        }
    }

    /// The rows that the last writing statement of this session changed, or 0.
    pub fn changes(&self) -> u64 {
        match self {
            Self::File(session) => session.changes(),
            Self::Server(session) => session.changes(),
        }
    }

    fn roll_back(&self) -> bool {
        match self {
            Self::File(session) => session.roll_back(),
            Self::Server(session) => session.roll_back(),
        }
    }
}

enum Known {
    File(Weak<FileSession>),
    Server(Weak<ServerSession>),
}

impl Known {
    fn get(&self) -> Option<Session> {
        match self {
            Self::File(session) => session.upgrade().map(Session::File),
            Self::Server(session) => session.upgrade().map(Session::Server),
        }
    }

    fn is_live(&self) -> bool {
        match self {
            Self::File(session) => session.strong_count() > 0,
            Self::Server(session) => session.strong_count() > 0,
        }
    }
}

/// The sessions of one instance.
#[derive(Default)]
pub struct Sessions(Mutex<Vec<Known>>);

impl Sessions {
    fn all(&self) -> MutexGuard<'_, Vec<Known>> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(Known::is_live);
        sessions
    }

    pub(super) fn live(&self) -> usize {
        self.all().len()
    }

    pub(super) fn add(&self, session: &Session) {
        self.all().push(match session {
            Session::File(session) => Known::File(Arc::downgrade(session)),
            Session::Server(session) => Known::Server(Arc::downgrade(session)),
        });
    }

    /// Undoes transactions that were left open. For when the guest has nothing
    /// more to do: a request that ended amid a transaction would otherwise keep
    /// every other writer waiting for as long as its instance lives.
    pub fn roll_back(&self) {
        for session in self.all().iter().filter_map(Known::get) {
            if session.roll_back() {
                tracing::warn!("a request ended amid a transaction, which is undone");
            }
        }
    }
}
