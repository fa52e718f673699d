//! The vocabulary of the wallet service: one checked type per unit.
//!
//! Text from outside becomes one of these types at the edge or is refused; inside, only the types
//! travel. Nothing here does I/O.

mod address;
mod amount;
mod hash;
mod name;
pub mod net;
mod registry;
mod registry_address;
mod timestamp;
pub mod transaction;

pub use address::{Address, AddressError, Network};
pub use amount::{Amount, AmountError};
pub use hash::{BlockHash, HashError, OutPoint, Txid};
pub use name::{Capability, IdempotencyKey, NameError, NodeId, WalletName};
pub use registry::{Conduct, Match, NodeStatus, Share};
pub use registry_address::{is_public_registry, is_registry_address};
pub use timestamp::{Timestamp, TimestampError};
