//! Why the service does not do what it was asked for.

use crate::chain::ChainError;
use duxnet_store::{Balance, StoreError};
use duxnet_units::{AddressError, Amount, Network, NodeId};

/// Every refusal and failure of the domain. Nothing was paid and nothing is half done when one of
/// these comes back, with one exception: [`WalletError::Store`] from a send can mean that the
/// database failed after the payment was made. Its row then says `signed`, and a repeat with the
/// same idempotency key finds it and answers as if nothing had happened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WalletError {
    /// The database failed, or a signature was used twice.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain node failed before anything was sent.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The chain node is on another network than the service.
    #[error("the chain node is on {found:?}, the service is set to {expected:?}")]
    WrongNetwork {
        /// The service's.
        expected: Network,
        /// The node's.
        found: Network,
    },
    /// The ledger has not seen the chain yet.
    #[error("the ledger has not seen the chain yet")]
    Syncing,
    /// The ledger's blocks and the chain node's have none in common.
    #[error("the chain node knows none of the ledger's blocks, the lowest is {lowest}")]
    AnotherChain {
        /// The lowest of them.
        lowest: u32,
    },
    /// All payments are stopped.
    #[error("payments are stopped: {0}")]
    SendsStopped(String),
    /// The chain node's wallet cannot sign.
    #[error("the chain node's wallet cannot sign ({code}): {message}")]
    SigningUnavailable {
        /// Core's code: -13 locked, -14 wrong passphrase, -15 not as configured.
        code: i32,
        /// Core's words.
        message: String,
    },
    /// The node is not registered.
    #[error("node {0} is not registered")]
    NodeNotFound(NodeId),
    /// The node id belongs to another key.
    #[error("node {0} is registered with another key")]
    NodeExists(NodeId),
    /// The node has left; registering again brings it back.
    #[error("node {0} is deregistered")]
    NodeDeregistered(NodeId),
    /// The node cannot leave while its wallet holds something.
    #[error("the wallet holds {} FLOP that can be spent, {} pending, {} reserved", .0.available, .0.pending, .0.reserved)]
    WalletNotEmpty(Balance),
    /// What the wallet holds is to be sent to the wallet itself.
    #[error("the address is the wallet's own")]
    OwnAddress,
    /// The node has no wallet.
    #[error("node {0} has no wallet")]
    WalletNotFound(NodeId),
    /// The node has a wallet.
    #[error("node {0} has a wallet")]
    WalletExists(NodeId),
    /// The wallet refuses sends.
    #[error("the wallet is not active")]
    WalletInactive,
    /// The wallet has as many addresses as it may.
    #[error("the wallet has as many addresses as it may")]
    AddressLimit,
    /// The recipient is no address of the network.
    #[error("recipient_address: {0}")]
    InvalidRecipient(AddressError),
    /// Above `max_transaction_amount`.
    #[error("above {0} FLOP")]
    AmountAboveLimit(Amount),
    /// So little that nodes do not relay it.
    #[error("below {0} FLOP")]
    AmountBelowDust(Amount),
    /// Amount and fee are more than the wallet can spend.
    #[error("insufficient balance: {available} FLOP available, {needed} FLOP needed with the fee")]
    InsufficientBalance {
        /// What can be spent.
        available: Amount,
        /// Amount and fee.
        needed: Amount,
    },
    /// The amount needs more coins than a transaction can carry.
    #[error("the amount needs more coins than one transaction can carry")]
    TooManyCoins,
    /// Money that other payments will give back would suffice.
    #[error("the wallet's coins are busy")]
    CoinsBusy,
    /// The window is full.
    #[error("rate limit exceeded")]
    RateLimited {
        /// How many payments the window takes.
        payments: u32,
        /// The window, seconds.
        window_seconds: u32,
        /// Seconds until the oldest payment leaves the window.
        retry_after_seconds: u32,
    },
    /// The idempotency key was used for something else.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The idempotency key belongs to a payment that was sent and has failed.
    #[error("the payment of this idempotency key has failed")]
    PaymentFailed,
    /// An operator has frozen the wallet, for this reason.
    #[error("the wallet is frozen: {0}")]
    WalletFrozen(String),
    /// The wallet's own rules exclude the recipient.
    #[error("the wallet's rules exclude the recipient")]
    RecipientNotAllowed,
    /// An operator has refused the payment of this idempotency key, for this reason.
    #[error("an operator has refused the payment: {0}")]
    PaymentRefused(String),
    /// The wallet has no such transaction.
    #[error("the wallet has no such transaction")]
    TransactionNotFound,
    /// A request of the same key is running.
    #[error("a request of the same idempotency key is running")]
    InProgress,
}
