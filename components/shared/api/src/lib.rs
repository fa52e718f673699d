//! The HTTP contract (DESIGN 6 and 7), shared by the components and the client.
//!
//! * [`request`]: what clients may send, parsed strictly.
//! * [`response`]: what they get.
//! * [`nodes`]: both, of the registry around the wallets.
//! * [`access`]: who may do what.
//! * [`monitoring`]: what operators ask and get, and whom a wallet may pay.
//! * [`problem`]: every error, its status and its text, in one place.
//! * [`webhooks`]: webhooks and events.
//! * [`p2p`]: what registries say to each other; [`peers`]: the routes around that.
//! * [`signing`] and [`jcs`]: what a node signs and how it is checked.

pub mod access;
pub mod cursor;
pub mod jcs;
pub mod json;
pub mod monitoring;
pub mod nodes;
pub mod p2p;
pub mod peers;
pub mod problem;
pub mod request;
pub mod response;
pub mod signing;
pub mod webhooks;

/// Largest request body in bytes.
pub const MAX_BODY_BYTES: usize = 16 * 1024;
/// Deepest nesting of a request body.
pub const MAX_JSON_DEPTH: usize = 8;
/// Entries of a history or directory page when none is asked for.
pub const DEFAULT_PAGE_ENTRIES: u32 = 50;
/// Most entries of a page.
pub const MAX_PAGE_ENTRIES: u32 = 100;
