//! The host from the outside: real processes, real components, real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod capabilities;
mod client;
mod composition;
mod devnet;
mod http;
mod limits;
mod misconfiguration;
mod outbound;
mod process;
mod shutdown;
mod sqlite;
mod upstream;
