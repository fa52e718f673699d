//! Between HTTP and the domain, and the only library that touches the SDK.
//!
//! An endpoint reads: [`serve`] a [`Call`], open the [`Context`], authenticate, one call into
//! the domain with the chain's adapters of [`chain`], and [`render`]. What a component imports
//! follows from which of these it uses.

mod auth;
mod bindings;
mod call;
pub mod chain;
mod clock;
mod context;
mod database;
pub mod encryption;
pub mod health;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod monitoring;
pub mod peer_pages;
pub mod peers;
mod problem;
pub mod registry;
mod serve;
pub mod settings;
pub mod stream;
pub mod tokens;
pub mod webhooks;

pub use auth::{Authenticated, Registrant};
pub use call::Call;
pub use context::Context;
pub use duxnet_render::{self as render, Answer};
pub use problem::Failure;
pub use serve::serve;
pub use spin_sdk;
