//! A host for Spin applications of HTTP components, on wasmtime.
//!
//! It reads a `spin.toml`, composes each component with its dependencies and
//! serves it, granting each component what the manifest grants and nothing
//! else. What an operator adds (limits, a configuration file, a development
//! chain) is in [`cli`].

mod access_log;
mod admission;
pub mod allowed_hosts;
mod answers;
mod app;
mod backup;
mod bindings;
mod bound;
mod build;
mod cache;
mod capabilities;
pub mod cli;
mod compose;
mod config_yaml;
mod connection;
mod deny;
mod devnet;
mod dispatch;
mod engine;
pub mod fault;
mod granted;
#[cfg_attr(not(unix), path = "no_handover.rs")]
mod handover;
mod headers;
mod instance;
mod interval;
mod key_value;
mod limits;
mod linked;
mod log_writer;
mod logging;
pub mod manifest;
mod metrics;
mod observe;
#[cfg(unix)]
mod open_files;
mod outbound;
mod parallel;
mod reachable;
mod refusal;
mod request_id;
mod restore;
mod rotate;
pub mod routes;
mod runtime_config;
mod schedule;
mod server;
mod shards;
mod shutdown;
mod sqlite;
mod startup;
mod stdio;
pub mod template;
mod tls;
mod trace;
mod trouble;
mod up;
pub mod variables;
mod watch;
