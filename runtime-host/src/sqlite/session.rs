//! A connection as one guest has it, wherever the database is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::file_session::FileSession;
use super::query::Outcome;
use super::server::ServerSession;
use crate::component::bindings::spin::sqlite::sqlite::Value;

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

    fn end_request(&self) -> bool {
        match self {
            Self::File(session) => session.end_request(),
            Self::Server(session) => session.roll_back(),
        }
    }

    fn cancel(&self) {
        match self {
            Self::File(session) => session.cancel(),
            // It ends by its own time-out, and then its stream is closed.
            Self::Server(_) => {}
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
pub struct Sessions(Mutex<Open>);

#[derive(Default)]
struct Open {
    sessions: Vec<Known>,
    /// Those that are about to be.
    reserved: usize,
}

impl Sessions {
    fn open(&self) -> MutexGuard<'_, Open> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.sessions.retain(Known::is_live);
        open
    }

    /// A place for one more, if there are not `most` already.
    pub(super) fn reserve(self: &Arc<Self>, most: usize) -> Option<Reserved> {
        let mut open = self.open();
        if open.sessions.len() + open.reserved >= most {
            return None;
        }
        open.reserved += 1;
        drop(open);
        Some(Reserved(Arc::clone(self)))
    }

    /// Undoes transactions that were left open; whether there was one. For when
    /// the guest has nothing more to do: a request that ended amid a transaction
    /// would otherwise keep every other writer waiting for as long as its
    /// instance lives.
    pub fn end_request(&self) -> bool {
        let sessions: Vec<_> = {
            let open = self.open();
            open.sessions.iter().filter_map(Known::get).collect()
        };
        let undone = sessions.iter().filter(|session| session.end_request());
        undone.count() > 0
    }

    /// Stops what runs, since nobody waits for it any more: it would otherwise
    /// keep the locks of its transaction to its end.
    pub fn cancel(&self) {
        for session in self.open().sessions.iter().filter_map(Known::get) {
            session.cancel();
        }
    }
}

/// A place among [`Sessions`].
pub(super) struct Reserved(Arc<Sessions>);

impl Reserved {
    /// Gives the place to `session`.
    pub(super) fn take(self, session: &Session) {
        self.0.open().sessions.push(match session {
            Session::File(session) => Known::File(Arc::downgrade(session)),
            Session::Server(session) => Known::Server(Arc::downgrade(session)),
        });
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.0.open().reserved -= 1;
    }
}
