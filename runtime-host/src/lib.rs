//! A host for Spin applications of HTTP components, on wasmtime.
//!
//! It reads a `spin.toml`, composes each component with its dependencies and
//! serves it, granting each component what the manifest grants and nothing
//! else. What an operator adds on the command line (limits, a development chain)
//! is in [`cli`], what files and variables say in `config`.

mod app;
mod backup;
mod bound;
pub mod cli;
mod component;
mod config;
mod fault;
mod key_value;
mod manifest;
mod observe;
mod outbound;
mod reachable;
mod schedule;
mod server;
mod sqlite;
mod startup;
