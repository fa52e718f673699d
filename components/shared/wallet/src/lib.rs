//! What the wallet service does.
//!
//! One file per thing a node can ask for: [`create`], [`balance`], [`send`], [`history`],
//! [`new_address`], [`register`], [`deregister`]; [`release`] makes what an operator let go, [`review`] lets it;
//! [`tracker`] is the background work. They need a [`Store`](duxnet_store::Store), a chain
//! ([`chain`]) and a [`Clock`], and know nothing of HTTP, SQL or the SDK.

pub mod balance;
pub mod chain;
pub mod coins;
pub mod create;
pub mod deregister;
mod error;
pub mod history;
pub mod new_address;
pub mod register;
pub mod release;
pub mod review;
pub mod send;
mod service;
pub mod tracker;

pub use error::WalletError;
pub use service::{Caller, Clock, Policy, Service};
