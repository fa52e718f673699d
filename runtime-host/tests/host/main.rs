//! The host from the outside: real processes, real components, real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod backup;
mod bounded_clients;
mod bounded_instances;
mod bounded_outbound;
mod bounded_sql;
mod capabilities;
mod client;
mod collector;
mod composition;
mod devnet;
mod generated_variables;
mod handover;
mod hostile;
mod http;
mod http2;
mod key_value;
mod libsql;
mod limits;
mod misconfiguration;
mod neighbours;
mod observe_logs;
mod observe_metrics;
mod observe_requests;
mod observe_traces;
mod outbound;
mod process;
mod redis;
mod schedule;
mod server_process;
mod shutdown;
mod sqld;
mod sqlite;
mod tls;
mod tls_client;
mod upstream;
