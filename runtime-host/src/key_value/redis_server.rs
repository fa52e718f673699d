//! A store with a Redis server, which several hosts share: all keys of one of
//! its databases, as in Spin.
//!
//! What was sent and not answered may have been carried out. Reading is then
//! tried once more; writing is not, since in the meantime somebody else may have
//! written what would be lost.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, IntoConnectionInfo as _, Pipeline,
    RedisError,
};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{error::Elapsed, timeout_at};

use super::store::{Failure, KeyValueLimits};
use crate::bound::{self, Bound};
use crate::reachable::Reachable;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection without answers for this long is asked whether it is still there
/// before it is used.
const UNUSED: Duration = Duration::from_secs(1);
/// Keys that the server looks at for one part of a list.
const SCAN_COUNT: usize = 1000;

const PASSWORD: &str = "it refuses the password";

/// Where a server is, and the password for it.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    url: String,
    /// Without user and password.
    shown: String,
}

/// `url` is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "url must be redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or the same with rediss:// for TLS"
)]
pub struct NotAnAddress;

impl RedisAddress {
    /// The server and the database at `url`.
    ///
    /// # Errors
    ///
    /// It is no URL of a Redis server, or would not check its certificate.
    pub fn new(url: &str) -> Result<Self, NotAnAddress> {
        let parsed = url::Url::parse(url).map_err(|_| NotAnAddress)?;
        let is_known = ["redis", "rediss"].contains(&parsed.scheme());
        // `#insecure` would have any certificate accepted.
        if !is_known || parsed.fragment().is_some() || parsed.query().is_some() {
            return Err(NotAnAddress);
        }
        let info = url.into_connection_info().map_err(|_| NotAnAddress)?;
        Ok(Self {
            url: url.to_owned(),
            shown: format!("{}://{}", parsed.scheme(), info.addr()),
        })
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// A store with a server.
pub struct RedisStore {
    address: RedisAddress,
    client: Client,
    /// The one that all operations share, which the server answers in order.
    connection: Mutex<Option<Connected>>,
    permits: Arc<Semaphore>,
    limits: KeyValueLimits,
}

struct Connected {
    connection: MultiplexedConnection,
    number: u64,
    answered: Instant,
}

/// Why there is no answer.
enum Trouble {
    /// The request did not reach the server.
    NotSent(String),
    /// The server refused the password, or what it may not do.
    Refused(&'static str),
    /// The server answered with an error.
    Error(String),
    /// It may have been carried out.
    Unknown(String),
    /// Likewise, and it took too long.
    Timeout,
}

impl Trouble {
    fn of(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::Io => return Self::Unknown(error.to_string()),
            ErrorKind::Parse => return Self::Unknown("it is not Redis' protocol".to_owned()),
            ErrorKind::AuthenticationFailed => return Self::Refused(PASSWORD),
            _ => {}
        }
        let category = error.category().to_owned();
        // The rest of its words could quote what it was sent.
        let errors = error.into_server_errors();
        let code = errors.as_ref().and_then(|all| Some(all.first()?.1.code()));
        match code {
            Some("NOAUTH" | "WRONGPASS") => Self::Refused(PASSWORD),
            Some("NOPERM") => Self::Refused("it refuses permission"),
            Some(code) => Self::Error(code.to_owned()),
            None => Self::Error(category),
        }
    }

    /// Of connecting, and of asking for nothing.
    fn before_sending(self) -> Self {
        match self {
            Self::Unknown(why) => Self::NotSent(why),
            Self::Timeout => Self::NotSent("connecting takes too long".to_owned()),
            other => other,
        }
    }

    fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::Timeout)
    }

    fn told(self, address: &RedisAddress) -> Failure {
        match self {
            Self::NotSent(why) => Failure::other(format!(
                "the key-value server cannot be reached ({why}); nothing was carried out"
            )),
            Self::Refused(why) => {
                let kind = "access to a key-value server";
                bound::denied(
                    kind,
                    "",
                    format_args!("the key-value server {address}: {why}"),
                );
                Failure::other("the key-value server refuses access; nothing was carried out")
            }
            Self::Error(code) => {
                Failure::other(format!("the key-value server answered the error {code}"))
            }
            Self::Unknown(why) => Failure::other(format!(
                "no answer of the key-value server ({why}); the operation may have been carried out"
            )),
            Self::Timeout => Failure::over(
                Bound::KeyValueTimeout,
                "the key-value server takes too long; the operation may have been carried out",
            ),
        }
    }
}

impl From<Elapsed> for Trouble {
    fn from(_: Elapsed) -> Self {
        Self::Timeout
    }
}

/// Whether an operation may be carried out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Yes,
    No,
}

impl RedisStore {
    pub(super) fn new(address: RedisAddress, limits: KeyValueLimits) -> Result<Self, String> {
        let client = Client::open(address.url.as_str()).map_err(|e| e.category().to_owned())?;
        Ok(Self {
            address,
            client,
            connection: Mutex::default(),
            permits: Arc::new(Semaphore::new(limits.operations)),
            limits,
        })
    }

    pub(super) fn limits(&self) -> KeyValueLimits {
        self.limits
    }

    /// Asks the server for nothing, to see whether it is there.
    pub async fn reachable(&self) -> Reachable {
        let told = |why: &str| format!("the key-value server {}: {why}", self.address);
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let asked = async {
            let (mut connection, _) = self.connected(deadline).await?;
            ping(&mut connection, deadline).await
        };
        match asked.await {
            Ok(()) => Reachable::Yes,
            Err(Trouble::Refused(why)) => Reachable::Never(told(why)),
            Err(trouble) => Reachable::NotNow(told(&trouble.told(&self.address).why)),
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        // Never more than one byte too many, whatever somebody else stored.
        let mut get = redis::pipe();
        get.atomic().exists(key).getrange(
            key,
            0,
            isize::try_from(self.limits.value_bytes).unwrap_or(isize::MAX),
        );
        let (exists, value): (bool, Vec<u8>) = self.run(&get, Again::Yes).await?;
        if value.len() > self.limits.value_bytes {
            return Err(Failure::value_too_large(self.limits));
        }
        Ok(exists.then_some(value))
    }

    pub(super) async fn set(&self, key: &str, value: &[u8]) -> Result<(), Failure> {
        let (_,): (String,) = self.run(redis::pipe().set(key, value), Again::No).await?;
        Ok(())
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Failure> {
        let (_,): (u64,) = self.run(redis::pipe().del(key), Again::No).await?;
        Ok(())
    }

    pub(super) async fn exists(&self, key: &str) -> Result<bool, Failure> {
        let (exists,) = self.run(redis::pipe().exists(key), Again::Yes).await?;
        Ok(exists)
    }

    /// All keys, each once. Those that come or go meanwhile may be among them or
    /// not.
    pub(super) async fn keys(&self) -> Result<Vec<String>, Failure> {
        let mut keys = std::collections::HashSet::new();
        let (mut bytes, mut cursor, begun) = (0, 0_u64, Instant::now());
        loop {
            let mut scan = redis::pipe();
            scan.cmd("SCAN").arg(cursor).arg("COUNT").arg(SCAN_COUNT);
            let ((next, part),): ((u64, Vec<Vec<u8>>),) = self.run(&scan, Again::Yes).await?;
            for key in part {
                let key = String::from_utf8(key)
                    .map_err(|_| Failure::other("a key of the server is not valid UTF-8"))?;
                let size = size_of::<String>() + key.len();
                // The server may tell of a key twice.
                if keys.insert(key) {
                    bytes += size;
                }
            }
            if bytes > self.limits.list_bytes {
                return Err(Failure::list_too_large(self.limits));
            }
            if next == 0 {
                return Ok(keys.into_iter().collect());
            }
            if begun.elapsed() > self.limits.timeout {
                return Err(Trouble::Timeout.told(&self.address));
            }
            cursor = next;
        }
    }

    async fn run<T: FromRedisValue>(&self, what: &Pipeline, again: Again) -> Result<T, Failure> {
        let _turn = self.limits.turn(&self.permits).await?;
        let deadline = Instant::now() + self.limits.timeout;
        let mut answer = self.ask(what, deadline).await;
        if again == Again::Yes && matches!(answer, Err(Trouble::Unknown(_))) {
            answer = self.ask(what, deadline).await;
        }
        answer.map_err(|trouble| trouble.told(&self.address))
    }

    async fn ask<T: FromRedisValue>(
        &self,
        what: &Pipeline,
        deadline: Instant,
    ) -> Result<T, Trouble> {
        let (mut connection, number) = self.connected(deadline).await?;
        let answer = query(what, &mut connection, deadline).await;
        // Who has it looks after the connection already.
        let Ok(mut shared) = self.connection.try_lock() else {
            return answer;
        };
        if let Some(connected) = shared.as_mut().filter(|shared| shared.number == number) {
            match &answer {
                Err(trouble) if trouble.is_unknown() => *shared = None,
                _ => connected.answered = Instant::now(),
            }
        }
        answer
    }

    /// The connection, which is there as far as can be told, and its number.
    async fn connected(&self, deadline: Instant) -> Result<(MultiplexedConnection, u64), Trouble> {
        let shared = timeout_at(deadline.into(), self.connection.lock()).await;
        let mut shared = shared.map_err(|e| Trouble::from(e).before_sending())?;
        let soon = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        let mut number = 0;
        if let Some(connected) = shared.as_mut() {
            number = connected.number + 1;
            let is_there = connected.answered.elapsed() < UNUSED
                || ping(&mut connected.connection, soon).await.is_ok();
            if is_there {
                return Ok((connected.connection.clone(), connected.number));
            }
        }
        *shared = None;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(None);
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let connection = match timeout_at(soon.into(), connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(e)) => return Err(Trouble::of(e).before_sending()),
            Err(e) => return Err(Trouble::from(e).before_sending()),
        };
        *shared = Some(Connected {
            connection: connection.clone(),
            number,
            answered: Instant::now(),
        });
        Ok((connection, number))
    }
}

async fn query<T: FromRedisValue>(
    what: &Pipeline,
    connection: &mut MultiplexedConnection,
    deadline: Instant,
) -> Result<T, Trouble> {
    let answer = timeout_at(deadline.into(), what.query_async(connection)).await?;
    answer.map_err(Trouble::of)
}

/// Asks for nothing.
async fn ping(connection: &mut MultiplexedConnection, deadline: Instant) -> Result<(), Trouble> {
    let mut ping = redis::pipe();
    ping.cmd("PING").ignore();
    let answer = query::<()>(&ping, connection, deadline).await;
    answer.map_err(Trouble::before_sending)
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisStore({})", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_redis_servers_and_never_show_the_password() {
        for (url, shown) in [
            ("redis://h", "redis://h:6379"),
            ("redis://:s3cret@h:1/2", "redis://h:1"),
            ("rediss://user:s3cret@[::1]:6380", "rediss://::1:6380"),
        ] {
            let address = RedisAddress::new(url).unwrap();
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("s3cret"));
        }
        for url in [
            "",
            "h:6379",
            "http://h",
            "redis://",
            "redis://0.0.0.0",
            "redis://h/x",
            "rediss://h/#insecure",
            "redis+unix:///s",
            "redis://h?protocol=resp3",
        ] {
            assert_eq!(RedisAddress::new(url), Err(NotAnAddress), "{url}");
        }
    }
}
