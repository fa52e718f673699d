//! Which connections of clients are let in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::bound::Bound;
use crate::observe::metrics;
use crate::server::answers::Problem;
use crate::server::refusal;

/// Connections that are refused at once; of more, nobody is told why.
const MAX_REFUSALS: usize = 64;
/// How long a client may take to read that it is refused.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Counts the connections there are.
#[derive(Debug)]
pub struct Admission {
    total: Arc<Semaphore>,
    per_address: usize,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    refusals: Arc<Semaphore>,
}

/// A connection that was let in; dropped, it is gone.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    /// Lets in so many connections, and of one address so many.
    pub fn new(total: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            total: Arc::new(Semaphore::new(total)),
            per_address,
            addresses: Mutex::default(),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
        })
    }

    /// A connection of `client`.
    ///
    /// # Errors
    ///
    /// What the client is to be told if there are too many.
    pub fn admit(self: &Arc<Self>, client: IpAddr) -> Result<Admitted, Problem> {
        let Ok(permit) = Arc::clone(&self.total).try_acquire_owned() else {
            Bound::Connections.exceeded("", format_args!("a connection of {client} is refused"));
            return Err(Problem::Full);
        };
        let address = network(client);
        {
            let mut addresses = self.addresses();
            let count = addresses.entry(address).or_default();
            if *count >= self.per_address {
                drop(addresses);
                let what = format_args!("a connection of {client} is refused");
                Bound::ConnectionsPerAddress.exceeded("", what);
                return Err(Problem::TooManyConnections);
            }
            *count += 1;
        }
        Ok(Admitted {
            admission: Arc::clone(self),
            address,
            _permit: permit,
        })
    }

    /// Closes `stream`, telling the client of `problem` unless it would have to
    /// be told in TLS, or too many are being told.
    pub fn refuse(&self, mut stream: TcpStream, problem: Problem, tls: bool) {
        metrics::refused(problem.status());
        let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() else {
            return;
        };
        if tls {
            return;
        }
        tokio::spawn(tokio::time::timeout(REFUSAL_TIMEOUT, async move {
            let _permit = permit;
            let answer = refusal::answer(problem);
            if stream.write_all(&answer).await.is_err() || stream.shutdown().await.is_err() {
                return;
            }
            // To close what has unread bytes makes the system send a reset,
            // which may overtake the answer.
            let mut unread = [0; 4096];
            while matches!(stream.read(&mut unread).await, Ok(1..)) {}
        }));
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut addresses = self.admission.addresses();
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// What counts as one client: an address of IPv4, or the /64 that a site of
/// IPv6 has at least.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_until_connections_end() {
        let admission = Admission::new(4, 2);
        let a = ip("192.0.2.1");
        let first = admission.admit(a).unwrap();
        let _second = admission.admit(a).unwrap();
        assert_eq!(admission.admit(a).unwrap_err(), Problem::TooManyConnections);
        let mapped = admission.admit(ip("::ffff:192.0.2.1"));
        assert_eq!(mapped.unwrap_err(), Problem::TooManyConnections);
        let _other = admission.admit(ip("192.0.2.2")).unwrap();
        drop(first);
        let _third = admission.admit(a).unwrap();
        let _fourth = admission.admit(ip("192.0.2.3")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.4")).unwrap_err(), Problem::Full);
        drop((_second, _third, _other, _fourth));
        assert!(admission.addresses().is_empty(), "nothing is remembered");
    }

    #[test]
    fn in_ipv6_a_network_is_one_client() {
        let admission = Admission::new(10, 1);
        let _one = admission.admit(ip("2001:db8::1")).unwrap();
        assert!(admission.admit(ip("2001:db8::2")).is_err());
        let _two = admission.admit(ip("2001:db8:0:1::1")).unwrap();
    }
}
