//! What is bounded, and how the log tells of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::observe::metrics;

/// A bound, by the flag that sets it. Each is a row of the table in
/// docs/runtime-host.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bound {
    /// `--max-connections`
    Connections,
    /// `--max-connections-per-address`
    ConnectionsPerAddress,
    /// `--tls-handshake-timeout`
    TlsHandshakeTimeout,
    /// `--max-request-head`
    RequestHead,
    /// `--max-request-headers`
    RequestHeaders,
    /// `--head-timeout`
    HeadTimeout,
    /// `--max-request-body`
    RequestBody,
    /// `--body-timeout`
    BodyTimeout,
    /// `--max-http2-streams`
    Http2Streams,
    /// `--request-timeout`
    RequestTimeout,
    /// `--max-instances`
    Instances,
    /// `--max-instance-memory`
    InstanceMemory,
    /// `--max-instance-resources`
    InstanceResources,
    /// `--max-host-call`
    HostCall,
    /// `--max-output`
    Output,
    /// `--outbound-connect-timeout`
    OutboundConnectTimeout,
    /// `--outbound-first-byte-timeout`
    OutboundFirstByteTimeout,
    /// `--outbound-between-bytes-timeout`
    OutboundBetweenBytesTimeout,
    /// `--max-outbound-response`
    OutboundResponse,
    /// `--max-outbound-connections`
    OutboundConnections,
    /// `--max-outbound-connections-per-host`
    OutboundConnectionsPerHost,
    /// `--max-instance-outbound-requests`
    InstanceOutboundRequests,
    /// `--sql-timeout`
    SqlTimeout,
    /// `--max-sql-rows`
    SqlRows,
    /// `--max-sql-result`
    SqlResult,
    /// `--max-sql-statement`
    SqlStatement,
    /// `--max-sql-value`
    SqlValue,
    /// `--max-database-connections`
    DatabaseConnections,
    /// `--max-instance-connections`
    InstanceConnections,
    /// `--kv-timeout`
    KeyValueTimeout,
    /// `--max-kv-key`
    KeyValueKey,
    /// `--max-kv-value`
    KeyValueValue,
    /// `--max-kv-list`
    KeyValueList,
    /// `--max-kv-operations`
    KeyValueOperations,
    /// `--max-instance-stores`
    InstanceStores,
}

impl Bound {
    /// All, for the test that compares them with the command line.
    #[cfg(test)]
    pub const ALL: [Self; 35] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::TlsHandshakeTimeout,
        Self::RequestHead,
        Self::RequestHeaders,
        Self::HeadTimeout,
        Self::RequestBody,
        Self::BodyTimeout,
        Self::Http2Streams,
        Self::RequestTimeout,
        Self::Instances,
        Self::InstanceMemory,
        Self::InstanceResources,
        Self::HostCall,
        Self::Output,
        Self::OutboundConnectTimeout,
        Self::OutboundFirstByteTimeout,
        Self::OutboundBetweenBytesTimeout,
        Self::OutboundResponse,
        Self::OutboundConnections,
        Self::OutboundConnectionsPerHost,
        Self::InstanceOutboundRequests,
        Self::SqlTimeout,
        Self::SqlRows,
        Self::SqlResult,
        Self::SqlStatement,
        Self::SqlValue,
        Self::DatabaseConnections,
        Self::InstanceConnections,
        Self::KeyValueTimeout,
        Self::KeyValueKey,
        Self::KeyValueValue,
        Self::KeyValueList,
        Self::KeyValueOperations,
        Self::InstanceStores,
    ];

    /// The flag that sets it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Connections => "--max-connections",
            Self::ConnectionsPerAddress => "--max-connections-per-address",
            Self::TlsHandshakeTimeout => "--tls-handshake-timeout",
            Self::RequestHead => "--max-request-head",
            Self::RequestHeaders => "--max-request-headers",
            Self::HeadTimeout => "--head-timeout",
            Self::RequestBody => "--max-request-body",
            Self::BodyTimeout => "--body-timeout",
            Self::Http2Streams => "--max-http2-streams",
            Self::RequestTimeout => "--request-timeout",
            Self::Instances => "--max-instances",
            Self::InstanceMemory => "--max-instance-memory",
            Self::InstanceResources => "--max-instance-resources",
            Self::HostCall => "--max-host-call",
            Self::Output => "--max-output",
            Self::OutboundConnectTimeout => "--outbound-connect-timeout",
            Self::OutboundFirstByteTimeout => "--outbound-first-byte-timeout",
            Self::OutboundBetweenBytesTimeout => "--outbound-between-bytes-timeout",
            Self::OutboundResponse => "--max-outbound-response",
            Self::OutboundConnections => "--max-outbound-connections",
            Self::OutboundConnectionsPerHost => "--max-outbound-connections-per-host",
            Self::InstanceOutboundRequests => "--max-instance-outbound-requests",
            Self::SqlTimeout => "--sql-timeout",
            Self::SqlRows => "--max-sql-rows",
            Self::SqlResult => "--max-sql-result",
            Self::SqlStatement => "--max-sql-statement",
            Self::SqlValue => "--max-sql-value",
            Self::DatabaseConnections => "--max-database-connections",
            Self::InstanceConnections => "--max-instance-connections",
            Self::KeyValueTimeout => "--kv-timeout",
            Self::KeyValueKey => "--max-kv-key",
            Self::KeyValueValue => "--max-kv-value",
            Self::KeyValueList => "--max-kv-list",
            Self::KeyValueOperations => "--max-kv-operations",
            Self::InstanceStores => "--max-instance-stores",
        }
    }

    /// Logs that `component`, or a client if that is empty, is over the bound.
    pub fn exceeded(self, component: &str, what: fmt::Arguments<'_>) {
        let bound = self.flag();
        metrics::bound_hit(bound);
        let Some(unlogged) = THROTTLE.pass(bound, component) else {
            return;
        };
        if component.is_empty() {
            tracing::warn!(bound, unlogged, "{what}; see {bound}");
        } else {
            tracing::warn!(component, bound, unlogged, "{what}; see {bound}");
        }
    }
}

/// Logs, as [`Bound::exceeded`] does, what `component` may not do or should not
/// have done; `kind` is always the same for one such thing.
pub fn denied(kind: &'static str, component: &str, what: fmt::Arguments<'_>) {
    if let Some(unlogged) = THROTTLE.pass(kind, component) {
        tracing::warn!(component, unlogged, "{what}");
    }
}

/// Of one kind and component, this many lines at once...
const BURST: u32 = 10;
/// ... and one more each time that this has passed, so that nobody can fill the
/// disk from outside.
const REFILL: Duration = Duration::from_secs(1);

static THROTTLE: LazyLock<Throttle> = LazyLock::new(Throttle::default);

/// Keeps the lines which somebody else can cause from becoming too many. There
/// are as many entries as kinds and components.
#[derive(Default)]
struct Throttle(Mutex<HashMap<(&'static str, Box<str>), Bucket>>);

struct Bucket {
    left: u32,
    since: Instant,
    unlogged: u64,
}

impl Throttle {
    /// Whether to log, and how many lines were not logged since the last.
    fn pass(&self, kind: &'static str, component: &str) -> Option<u64> {
        self.pass_at(kind, component, Instant::now())
    }

    fn pass_at(&self, kind: &'static str, component: &str, now: Instant) -> Option<u64> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry((kind, component.into())).or_insert(Bucket {
            left: BURST,
            since: now,
            unlogged: 0,
        });
        let refills = now.saturating_duration_since(bucket.since).as_secs() / REFILL.as_secs();
        if refills > 0 {
            bucket.since = now;
            let refills = u32::try_from(refills).unwrap_or(BURST);
            bucket.left = bucket.left.saturating_add(refills).min(BURST);
        }
        if bucket.left == 0 {
            bucket.unlogged += 1;
            return None;
        }
        bucket.left -= 1;
        Some(std::mem::take(&mut bucket.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_a_count_and_others_are_still_heard() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let logged = (0..1000)
            .filter_map(|_| throttle.pass_at("--x", "loud", start))
            .count();
        assert_eq!(logged, 10);
        assert_eq!(throttle.pass_at("--x", "quiet", start), Some(0));
        assert_eq!(throttle.pass_at("--y", "loud", start), Some(0));
        let later = start + REFILL;
        assert_eq!(throttle.pass_at("--x", "loud", later), Some(990));
        assert_eq!(throttle.pass_at("--x", "loud", later), None);
    }
}
