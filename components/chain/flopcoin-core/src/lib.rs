//! The gateway to Flopcoin Core 2.0.0.
//!
//! Exports `duxnet:chain` (wit/chain) and is the only component that knows the RPC password and
//! speaks JSON-RPC. `rpc` keeps the four kinds of failure apart, `node` has one function per
//! question, `answers` reads Core's replies. Only `component` touches WASI, so all else is
//! tested natively against recordings of the real daemon.

pub mod answers;
#[cfg(target_family = "wasm")]
mod component;
pub mod node;
pub mod rpc;
