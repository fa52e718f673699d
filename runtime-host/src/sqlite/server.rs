//! A database with a libSQL server, which several hosts share.
//!
//! A statement outside a transaction is one round trip on a stream of its own,
//! so nothing stays at the server between two of them. `BEGIN` and `SAVEPOINT`
//! keep a stream until the transaction ends; if the guest drops its connection
//! or its request ends before, the stream is closed, which rolls back.
//!
//! What was sent and not answered may have been executed. It is never sent
//! again, and a transaction in which that happens is lost as a whole: the
//! connection answers nothing more.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request as HttpRequest, StatusCode, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::Error;

use super::database::{OpenError, SqliteLimits, permit};
use super::file_session::Place;
use super::hrana::{Answer, Done, Pipeline, Request, Statement};
use super::query::{self, Outcome};
use super::verb;
use crate::bound::{self, Bound};
use crate::component::bindings::spin::sqlite::sqlite::{Error as SqlError, Value};
use crate::outbound::{self, Client, OutboundLimits};
use crate::reachable::Reachable;
use crate::server::answers;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stream may take to be closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a server is, and the token for it.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerAddress {
    pipeline: Uri,
    authorization: Option<HeaderValue>,
}

/// Why there is no [`ServerAddress`]. Never shows the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The URL is not one that can be asked.
    #[error("url must be http://HOST[:PORT] or https://HOST[:PORT], without user and password")]
    Url,
    /// The token cannot stand in a header.
    #[error("token has characters that no token has")]
    Token,
}

impl ServerAddress {
    /// The server at `url`, asked with `token` unless that is empty.
    ///
    /// # Errors
    ///
    /// See [`AddressError`].
    pub fn new(url: &str, token: &str) -> Result<Self, AddressError> {
        let base: Uri = url.parse().map_err(|_| AddressError::Url)?;
        let scheme = base.scheme_str().filter(|s| ["http", "https"].contains(s));
        let (Some(scheme), Some(authority)) = (scheme, base.authority()) else {
            return Err(AddressError::Url);
        };
        let path = base.path().trim_end_matches('/');
        if authority.as_str().contains('@') || base.query().is_some() {
            return Err(AddressError::Url);
        }
        let pipeline = format!("{scheme}://{authority}{path}/v3/pipeline");
        let authorization = match token {
            "" => None,
            token => {
                let value = HeaderValue::from_str(&format!("Bearer {token}"));
                let mut value = value.map_err(|_| AddressError::Token)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self {
            pipeline: pipeline.parse().map_err(|_| AddressError::Url)?,
            authorization,
        })
    }
}

impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerAddress({self})")
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.pipeline.scheme_str().unwrap_or_default();
        let authority = self.pipeline.authority().map_or("", |a| a.as_str());
        write!(f, "{scheme}://{authority}")
    }
}

/// A libSQL server.
#[derive(Debug)]
pub struct Server {
    address: ServerAddress,
    /// For it alone: components' own requests cannot keep it waiting.
    client: Client,
    limits: SqliteLimits,
    permits: Arc<Semaphore>,
}

/// Why there is no answer.
enum Trouble {
    /// The request did not reach the server.
    NotSent(String),
    /// The server refused to do anything of it.
    Refused(StatusCode),
    /// It may have been executed.
    Unknown(String),
    /// The same, for a bound that the answer is over.
    Over(Bound, String),
}

impl Trouble {
    fn told(&self, address: &ServerAddress) -> String {
        match self {
            Self::NotSent(why) => {
                format!("the database server cannot be reached ({why}); nothing was executed")
            }
            Self::Refused(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                bound::denied(
                    "token of a database server",
                    "",
                    format_args!("the database server {address} refuses the token"),
                );
                "the database server refuses access; nothing was executed".to_owned()
            }
            Self::Refused(status) => {
                format!("the database server answered {status}; nothing was executed")
            }
            Self::Unknown(why) => format!(
                "no answer of the database server ({why}); the statement may have been executed"
            ),
            Self::Over(_, why) => format!("{why}; the statement may have been executed"),
        }
    }

    /// What the guest is told.
    fn outcome(&self, address: &ServerAddress) -> Outcome {
        let why = SqlError::Io(self.told(address));
        match self {
            Self::Over(bound, _) => Outcome::over(*bound, why),
            Self::NotSent(_) | Self::Refused(_) | Self::Unknown(_) => Outcome::failed(why),
        }
    }
}

impl Server {
    /// # Errors
    ///
    /// The TLS library refuses its settings.
    pub(super) fn new(
        address: ServerAddress,
        outbound: OutboundLimits,
        limits: SqliteLimits,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            address,
            client: Client::new(OutboundLimits {
                connections: limits.connections,
                connections_per_host: limits.connections,
                ..outbound
            })?,
            limits,
            permits: Arc::new(Semaphore::new(limits.connections)),
        })
    }

    /// Asks the server for nothing, to see whether it is there.
    pub async fn reachable(&self) -> Reachable {
        let Ok(stmt) = Statement::new("SELECT 1", &[]) else {
            return Reachable::Yes;
        };
        let requests = vec![
            Request::Execute { stmt },
            Request::GetAutocommit,
            Request::Close,
        ];
        match self.ask(None, requests, CONNECT_TIMEOUT).await {
            Ok(_) => Reachable::Yes,
            Err(trouble @ Trouble::Refused(_)) => {
                Reachable::Never(format!("{}: {}", self.address, trouble.told(&self.address)))
            }
            Err(trouble) => {
                Reachable::NotNow(format!("{}: {}", self.address, trouble.told(&self.address)))
            }
        }
    }

    /// A connection for one guest. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// Too many are open.
    pub(super) async fn open(self: &Arc<Self>) -> Result<Arc<ServerSession>, OpenError> {
        let permit = permit(&self.permits, self.limits.timeout).await?;
        Ok(Arc::new(ServerSession {
            server: Arc::clone(self),
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::default(),
            _permit: permit,
        }))
    }

    async fn ask(
        &self,
        baton: Option<&str>,
        requests: Vec<Request<'_>>,
        timeout: Duration,
    ) -> Result<Answer, Trouble> {
        let body = serde_json::to_vec(&Pipeline { baton, requests })
            .map_err(|e| Trouble::NotSent(e.to_string()))?;
        self.exchange(Bytes::from(body), timeout).await
    }

    async fn exchange(&self, body: Bytes, timeout: Duration) -> Result<Answer, Trouble> {
        let mut request = HttpRequest::new(answers::full(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.address.pipeline.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(value) = &self.address.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        // With what JSON puts around the values.
        let limit = self
            .limits
            .result_bytes
            .saturating_add(self.limits.result_bytes / 2);
        let response = self
            .client
            .send_own(request, timeout, limit, "libSQL")
            .await
            .map_err(|e| match e {
                e if outbound::is_unsent(&e) => Trouble::NotSent(e.to_string()),
                Error::HttpResponseBodySize(_) => {
                    let why = query::result_too_large(self.limits.result_bytes);
                    Trouble::Over(Bound::SqlResult, why)
                }
                Error::ConnectionReadTimeout => {
                    let why = format!("interrupted: no answer within {timeout:?}");
                    Trouble::Over(Bound::SqlTimeout, why)
                }
                e => Trouble::Unknown(e.to_string()),
            })?;
        match response.status() {
            StatusCode::OK => {}
            // What stands between may have given up on what it had handed on.
            StatusCode::REQUEST_TIMEOUT => {
                return Err(Trouble::Unknown("it took too long".to_owned()));
            }
            status if status.is_client_error() => return Err(Trouble::Refused(status)),
            status => return Err(Trouble::Unknown(format!("it answered {status}"))),
        }
        serde_json::from_slice(response.body())
            .map_err(|_| Trouble::Unknown("it is not Hrana 3".to_owned()))
    }

    /// Ends a stream without having anybody wait for it.
    fn close(self: &Arc<Self>, baton: String) {
        let server = Arc::clone(self);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // The process ends; the server gives the stream up by itself.
            return;
        };
        runtime.spawn(async move {
            let closed = server
                .ask(Some(&baton), vec![Request::Close], CLOSE_TIMEOUT)
                .await;
            if let Err(trouble) = closed {
                tracing::debug!(
                    "a stream is left to the server's own time-out: {}",
                    trouble.told(&server.address)
                );
            }
        });
    }
}

/// One guest's use of the server. Statements run one after the other.
pub struct ServerSession {
    server: Arc<Server>,
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct State {
    /// The stream of an open transaction.
    baton: Option<String>,
    /// A transaction ended in a way that nobody knows.
    is_lost: bool,
    last_insert_rowid: i64,
    changes: u64,
}

/// What became of a statement that was asked for once.
enum Once {
    /// Another writer was in the way, and nothing was executed.
    Busy(Outcome),
    /// What there is to say.
    Ended(Outcome),
}

/// Between two tries; not the same for all that wait.
fn busy_pause() -> Duration {
    const LEAST: Duration = Duration::from_millis(10);
    const SPREAD_MILLIS: u64 = 40;
    LEAST + Duration::from_millis(RandomState::new().build_hasher().finish() % SPREAD_MILLIS)
}

impl ServerSession {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one statement, to its end even if the guest does not wait for it:
    /// only then is known which stream is to be closed.
    pub async fn execute(self: &Arc<Self>, statement: String, parameters: Vec<Value>) -> Outcome {
        let session = Arc::clone(self);
        let running = tokio::spawn(async move {
            let _turn = session.turn.lock().await;
            session.run(&statement, &parameters).await
        });
        let outcome = running
            .await
            .unwrap_or_else(|e| Outcome::failed(SqlError::Io(e.to_string())));
        Outcome {
            place: Place::Server,
            ..outcome
        }
    }

    async fn run(&self, sql: &str, parameters: &[Value]) -> Outcome {
        let limits = self.server.limits;
        let refused = query::too_long(sql, limits).or_else(|| query::too_big(parameters, limits));
        if let Some(refused) = refused {
            return refused;
        }
        // The server waits for other writers too, but not as long as a file does.
        // A try that is cut short may have been executed: each has its whole time.
        let deadline = Instant::now() + self.server.limits.timeout;
        loop {
            match self.once(sql, parameters).await {
                Once::Busy(_) if Instant::now() < deadline => {
                    tokio::time::sleep(busy_pause()).await;
                }
                Once::Busy(outcome) | Once::Ended(outcome) => return outcome,
            }
        }
    }

    async fn once(&self, sql: &str, parameters: &[Value]) -> Once {
        let stmt = match Statement::new(sql, parameters) {
            Ok(stmt) => stmt,
            Err(error) => return Once::Ended(Outcome::failed(error)),
        };
        let baton = {
            let mut state = self.state();
            if state.is_lost {
                return Once::Ended(Outcome::failed(SqlError::InvalidConnection));
            }
            state.baton.take()
        };
        let stays = baton.is_some() || verb::begins_transaction(sql);
        let mut requests = vec![Request::Execute { stmt }, Request::GetAutocommit];
        if !stays {
            requests.push(Request::Close);
        }
        let timeout = self.server.limits.timeout;
        let answer = self.server.ask(baton.as_deref(), requests, timeout).await;
        let next = match &answer {
            Ok(answer) => answer.baton.clone(),
            Err(_) => None,
        };
        let done = answer.and_then(|answer| {
            let broken = |why: &str| Trouble::Unknown(format!("it breaks the protocol: {why}"));
            answer.done(self.server.limits).map_err(broken)
        });
        match done {
            Ok(done) => {
                // In a transaction, what is read already may be of yesterday.
                let is_busy = done.is_busy && baton.is_none();
                let outcome = self.finish(done, next, stays);
                if is_busy {
                    Once::Busy(outcome)
                } else {
                    Once::Ended(outcome)
                }
            }
            Err(trouble) => {
                let began = !matches!(trouble, Trouble::NotSent(_));
                self.state().is_lost = baton.is_some() || (stays && began);
                // The server rolls back what is not committed, when the stream
                // is closed here or by its own time-out.
                if let Some(baton) = next.or(baton) {
                    self.server.close(baton);
                }
                Once::Ended(trouble.outcome(&self.server.address))
            }
        }
    }

    fn finish(&self, done: Done, next: Option<String>, stays: bool) -> Outcome {
        let mut state = self.state();
        if let Some((changes, rowid)) = done.written {
            state.changes = changes;
            if let Some(rowid) = rowid {
                state.last_insert_rowid = rowid;
            }
        }
        match (next, done.is_autocommit) {
            (Some(next), false) if stays => state.baton = Some(next),
            (Some(next), _) => self.server.close(next),
            (None, true) => {}
            (None, false) if stays => state.is_lost = true,
            (None, false) => {
                return Outcome::failed(SqlError::Io(
                    "a transaction must begin with BEGIN or SAVEPOINT as the first word; \
                     this one is rolled back"
                        .to_owned(),
                ));
            }
        }
        done.outcome
    }

    /// The row id of the last insertion of this session, or 0.
    pub fn last_insert_rowid(&self) -> i64 {
        self.state().last_insert_rowid
    }

    /// The rows that the last writing statement of this session changed, or 0.
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Undoes a transaction that is open; whether there was one.
    pub(super) fn roll_back(&self) -> bool {
        // While a statement runs, the guest has not ended.
        let Ok(_turn) = self.turn.try_lock() else {
            return false;
        };
        match self.state().baton.take() {
            Some(baton) => {
                self.server.close(baton);
                true
            }
            None => false,
        }
    }
}

impl Drop for ServerSession {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(baton) = state.baton.take() {
            self.server.close(baton);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_and_keeps_its_token() {
        let address = ServerAddress::new("https://db.example.org:8080/", "s3cret").unwrap();
        assert_eq!(address.pipeline, "https://db.example.org:8080/v3/pipeline");
        assert_eq!(address.to_string(), "https://db.example.org:8080");
        assert!(!format!("{address:?}").contains("s3cret"));
        for bad in [
            "",
            "db",
            "libsql://db",
            "http://",
            "http://a:b@c",
            "http://a?b=c",
        ] {
            assert_eq!(ServerAddress::new(bad, ""), Err(AddressError::Url), "{bad}");
        }
        assert_eq!(
            ServerAddress::new("http://a", "a\nb"),
            Err(AddressError::Token)
        );
    }
}
