//! What the service signs with: its key towards peers, and the keys of webhooks.
//!
//! Exports `duxnet:identity` (wit/identity). The private keys never leave this component: whoever
//! imports it can have a text signed, and cannot read the key.

#[cfg(target_family = "wasm")]
mod component;
pub mod keys;
