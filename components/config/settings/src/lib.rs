//! The service's settings (DESIGN 8): every variable is checked here, and all faults come at once.
//!
//! Exports `duxnet:config` (wit/config). Whoever can read one variable of a composed
//! component can read them all, so the endpoints read none and import this instead. One file per
//! group of variables; a component has those of the interfaces that it imports.

pub mod check;
#[cfg(target_family = "wasm")]
mod component;
pub mod notifications;
pub mod operators;
pub mod peers;
pub mod registry;
