//! The bounds of an application, as the command line sets them.

use std::time::Duration;

use clap::Args;

use crate::cli::{at_least_one, time, time_or_none};
use crate::component::dispatch;
use crate::component::instance::InstanceLimits;
use crate::key_value::KeyValueLimits;
use crate::outbound::OutboundLimits;
use crate::server::{self, connection};
use crate::sqlite::SqliteLimits;

/// What bounds clients and components.
#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// Threads that serve connections; 0 is one for each processor.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,

    #[command(flatten)]
    pub(crate) clients: Clients,
    #[command(flatten)]
    pub(crate) instances: Instances,
    #[command(flatten)]
    pub(crate) outbound: Outbound,
    #[command(flatten)]
    pub(crate) sqlite: Sqlite,
    #[command(flatten)]
    pub(crate) key_value: KeyValue,
}

/// What bounds clients, and how a host stops.
#[derive(Debug, Args)]
pub(crate) struct Clients {
    /// How long requests that have begun may still take after a signal to stop.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub(crate) shutdown_timeout: Duration,

    /// How long to go on as before after a signal to stop, except that
    /// /.well-known/runtime-host/ready answers 503 and connections are told to
    /// go elsewhere; or 0, and new connections are refused at once.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = time_or_none)]
    pub(crate) shutdown_delay: Duration,

    /// Connections at once; a further one is answered with 503 and closed.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = at_least_one)]
    max_connections: usize,

    /// Connections of one client address at once (of one /64 in IPv6); a
    /// further one is answered with 429 and closed. A proxy is one address.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = at_least_one)]
    max_connections_per_address: usize,

    /// How long a TLS handshake may take; then the connection is closed.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    tls_handshake_timeout: Duration,

    /// The largest head of a request, in bytes; a larger one is answered with
    /// 431.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 16 << 10,
        value_parser = clap::value_parser!(u32).range(MIN_HEAD_BYTES..=MAX_HEAD_BYTES)
    )]
    max_request_head: u32,

    /// Headers of a request; more are answered with 431.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    max_request_headers: usize,

    /// How long the head of a request may take, counted from the answer before
    /// it; then one that has begun is answered with 408. So also how long an
    /// idle connection is kept.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    head_timeout: Duration,

    /// The largest body of a request, in bytes; a larger one is answered with
    /// 413.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    max_request_body: usize,

    /// How long the body of a request may take; then the answer is 408.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    body_timeout: Duration,

    /// Requests of one HTTP/2 connection at once; further ones are refused.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    max_http2_streams: u32,
}

/// hyper's least.
const MIN_HEAD_BYTES: i64 = 8 << 10;
const MAX_HEAD_BYTES: i64 = 1 << 20;

/// What bounds instances of components.
#[derive(Debug, Args)]
pub(crate) struct Instances {
    /// How long a component may take to answer; then the answer is 504 and the
    /// instance is stopped. Seconds, or with a unit: 500ms, 30s, 2m.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    request_timeout: Duration,

    /// Instances of one component at once; further requests wait.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    max_instances: usize,

    /// How long a request waits for an instance; then the answer is 503.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    queue_timeout: Duration,

    /// How many requests an instance answers before it is replaced.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one)]
    max_instance_reuse_count: usize,

    /// How long an instance without work is kept.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    idle_instance_timeout: Duration,

    /// Memory of an instance, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = at_least_one)]
    max_instance_memory: usize,

    /// Resources, streams and futures that an instance may hold at once;
    /// reaching for more stops it.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one)]
    max_instance_resources: usize,

    /// What an instance may hand to the host in one call, in bytes; more stops
    /// it.
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20, value_parser = at_least_one)]
    max_host_call: usize,

    /// Headers that a component makes, of one answer or request, in bytes; it
    /// is told size-exceeded.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 10, value_parser = at_least_one)]
    max_component_headers: usize,

    /// What an instance may print for one request, in bytes; the rest is not
    /// logged.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 10)]
    max_output: usize,
}

/// What bounds requests that components make.
#[derive(Debug, Args)]
pub(crate) struct Outbound {
    /// How long a component's request may wait for a connection and connect,
    /// at most: it may ask for less.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    outbound_connect_timeout: Duration,

    /// How long the head of the answer to it may take, at most.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    outbound_first_byte_timeout: Duration,

    /// How long a pause in that answer's body may be, at most.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    outbound_between_bytes_timeout: Duration,

    /// The largest body of an answer to a component's request, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    max_outbound_response: u64,

    /// Connections of all components at once.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = at_least_one)]
    max_outbound_connections: usize,

    /// Connections to one host and port at once.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_least_one)]
    max_outbound_connections_per_host: usize,

    /// Requests of one instance at once; a further one waits.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one)]
    max_instance_outbound_requests: usize,
}

/// What bounds the use of databases.
#[derive(Debug, Args)]
pub(crate) struct Sqlite {
    /// How long a statement may run, and how long opening waits for a
    /// connection.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    sql_timeout: Duration,

    /// Rows of one result.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = at_least_one)]
    max_sql_rows: usize,

    /// The memory of one result, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20, value_parser = at_least_one)]
    max_sql_result: usize,

    /// The longest statement, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1_000_000, value_parser = clap::value_parser!(i32).range(1..=MAX_SQL_BYTES))]
    max_sql_statement: i32,

    /// The largest string, blob or row, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20, value_parser = clap::value_parser!(i32).range(1..=MAX_SQL_BYTES))]
    max_sql_value: i32,

    /// Connections to one database in use at once; who needs a further one waits.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    max_database_connections: usize,

    /// Connections that one instance may hold at once.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one)]
    max_instance_connections: usize,
}

/// What bounds the use of key-value stores.
#[derive(Debug, Args)]
pub(crate) struct KeyValue {
    /// How long an operation on a key-value store may wait for its turn, and
    /// how long it may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    kv_timeout: Duration,

    /// The longest key, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 10, value_parser = at_least_one)]
    max_kv_key: usize,

    /// The largest value, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20, value_parser = at_least_one)]
    max_kv_value: usize,

    /// The memory of a list of all keys of a store, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20, value_parser = at_least_one)]
    max_kv_list: usize,

    /// Operations on one store at once; a further one waits.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    max_kv_operations: usize,

    /// Stores that one instance may have open at once.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    max_instance_stores: usize,
}

/// SQLite's own most.
const MAX_SQL_BYTES: i64 = 1_000_000_000;

impl Limits {
    /// Threads that serve connections.
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// The files that everything may have open at most, all bounds taken
    /// together.
    pub(crate) fn open_files(&self, components: usize) -> usize {
        /// Of one connection to a database: itself, its log and shared memory.
        const FILES_OF_DATABASE: usize = 3;
        /// Two logs, and its compiled form, opened and mapped.
        const FILES_OF_COMPONENT: usize = 4;
        /// Logs, listeners.
        const OTHERS: usize = 64;
        self.clients
            .max_connections
            .saturating_add(self.outbound.max_outbound_connections)
            .saturating_add(
                self.sqlite
                    .max_database_connections
                    .saturating_add(self.key_value.max_kv_operations)
                    .saturating_mul(FILES_OF_DATABASE),
            )
            .saturating_add(components.saturating_mul(FILES_OF_COMPONENT))
            .saturating_add(OTHERS)
    }

    /// Of clients.
    pub(crate) fn clients(&self) -> server::Bounds {
        let clients = &self.clients;
        server::Bounds {
            connections: clients.max_connections,
            connections_per_address: clients.max_connections_per_address,
            head_bytes: clients.max_request_head,
            headers: clients.max_request_headers,
            body_bytes: clients.max_request_body,
            body_timeout: clients.body_timeout,
            handshake_timeout: clients.tls_handshake_timeout,
            streams: clients.max_http2_streams,
            connection: connection::Limits {
                idle: clients.head_timeout,
                // The head of the answer, then its body; and a little for the
                // network.
                request: clients.body_timeout
                    + 2 * self.instances.request_timeout
                    + Duration::from_secs(1),
            },
        }
    }

    /// Of the instances of one component.
    pub(crate) fn dispatch(&self) -> dispatch::Bounds {
        let instances = &self.instances;
        dispatch::Bounds {
            request_timeout: instances.request_timeout,
            queue_timeout: instances.queue_timeout,
            idle_timeout: instances.idle_instance_timeout,
            requests_per_instance: instances.max_instance_reuse_count,
            instances: instances.max_instances,
        }
    }

    /// Of one instance.
    pub(crate) fn instance(&self) -> InstanceLimits {
        let instances = &self.instances;
        InstanceLimits {
            memory_bytes: instances.max_instance_memory.saturating_mul(1 << 20),
            resources: instances.max_instance_resources,
            call_bytes: instances.max_host_call,
            header_bytes: instances.max_component_headers,
            output_bytes: instances.max_output,
            outbound_requests: self.outbound.max_instance_outbound_requests,
            connections: self.sqlite.max_instance_connections,
            stores: self.key_value.max_instance_stores,
        }
    }

    /// Of requests that components make.
    pub(crate) fn outbound(&self) -> OutboundLimits {
        let outbound = &self.outbound;
        OutboundLimits {
            connect_timeout: outbound.outbound_connect_timeout,
            first_byte_timeout: outbound.outbound_first_byte_timeout,
            between_bytes_timeout: outbound.outbound_between_bytes_timeout,
            response_bytes: outbound.max_outbound_response,
            connections: outbound.max_outbound_connections,
            connections_per_host: outbound.max_outbound_connections_per_host,
        }
    }

    /// Of each database.
    pub(crate) fn sqlite(&self) -> SqliteLimits {
        let sqlite = &self.sqlite;
        SqliteLimits {
            timeout: sqlite.sql_timeout,
            rows: sqlite.max_sql_rows,
            result_bytes: sqlite.max_sql_result,
            statement_bytes: sqlite.max_sql_statement,
            value_bytes: sqlite.max_sql_value,
            connections: sqlite.max_database_connections,
        }
    }

    /// Of each key-value store.
    pub(crate) fn key_value(&self) -> KeyValueLimits {
        let key_value = &self.key_value;
        KeyValueLimits {
            timeout: key_value.kv_timeout,
            key_bytes: key_value.max_kv_key,
            value_bytes: key_value.max_kv_value,
            list_bytes: key_value.max_kv_list,
            operations: key_value.max_kv_operations,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::bound::Bound;

    /// The flags, with what they are if they are not given.
    fn flags() -> BTreeMap<String, String> {
        let command = Limits::augment_args(clap::Command::new("limits"));
        command
            .get_arguments()
            .map(|argument| {
                let flag = argument.get_long().expect("each is a flag");
                let default = argument
                    .get_default_values()
                    .first()
                    .expect("each has a default");
                (format!("--{flag}"), default.to_string_lossy().into_owned())
            })
            .collect()
    }

    #[test]
    fn the_documentation_has_every_flag_with_its_default_and_no_other() {
        let documentation = include_str!("../../../docs/runtime-host.md");
        let (_, bounds) = documentation
            .split_once("\n## Bounds\n")
            .expect("there is a section");
        let (bounds, _) = bounds.split_once("\n## ").expect("there is another one");
        let mut documented = BTreeMap::new();
        for row in bounds.lines().filter(|line| line.starts_with("| `--")) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [flag, default, what] = cells[..] else {
                panic!("not three cells: {row}");
            };
            assert!(!what.is_empty(), "{row}");
            let default = default.split(' ').next().unwrap_or_default();
            let double = documented.insert(flag.trim_matches('`').to_owned(), default.to_owned());
            assert!(double.is_none(), "{flag} is there twice");
        }
        assert_eq!(documented, flags());
    }

    #[test]
    fn every_bound_that_is_logged_is_a_flag() {
        let flags = flags();
        for bound in Bound::ALL {
            assert!(flags.contains_key(bound.flag()), "{}", bound.flag());
        }
    }
}
