//! From domain errors to problems, once, at the end; the cause goes to the log.

use crate::webhooks;
use duxnet_api::problem::{Code, Problem};
use duxnet_registry::RegistryError;
use duxnet_store::StoreError;
use duxnet_wallet::WalletError;
use duxnet_wallet::chain::ChainError;

/// Seconds after which a client may try again what only needs a moment.
const SHORTLY_SECONDS: u32 = 1;
/// Seconds after which a client may try again what needs an operator or a restart.
const LATER_SECONDS: u32 = 10;
/// How Core refuses to send, and to sign, a payment one of whose coins it does not know: spent
/// elsewhere, or the change of a payment that left its mempool and is about to be sent again.
const MISSING_INPUTS: i32 = -25;
const INPUT_NOT_FOUND: &str = "Input not found or already spent";
/// How Core refuses a payment whose unconfirmed ancestors are too many (FACTS 0.1).
const LONG_CHAIN: &str = "too-long-mempool-chain";

/// Why a request is not answered with success.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Found at the edge.
    Problem(Problem),
    /// Found by the domain.
    Wallet(WalletError),
    /// Found by the registry.
    Registry(RegistryError),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Failure::Problem(problem)
    }
}

impl From<WalletError> for Failure {
    fn from(error: WalletError) -> Self {
        Failure::Wallet(error)
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Failure::Registry(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Wallet(error.into())
    }
}

impl Failure {
    pub(crate) fn into_problem(self) -> Problem {
        match self {
            Failure::Problem(problem) => problem,
            Failure::Wallet(error) => logged(problem_of(&error), &error),
            Failure::Registry(error) => logged(registry_problem(&error), &error),
        }
    }
}

fn logged(problem: Problem, cause: &impl std::fmt::Display) -> Problem {
    if problem.code.status() >= 500 {
        eprintln!("{}: {cause}", problem.code.name());
    }
    problem
}

fn registry_problem(error: &RegistryError) -> Problem {
    match error {
        RegistryError::Store(error) => store_problem(error),
        RegistryError::Wallet(error) => problem_of(error),
        RegistryError::NodeNotFound(node) => Problem::node_not_found(node),
        RegistryError::NodeDeregistered(node) => Problem::node_deregistered(node),
        RegistryError::KeyReused => problem_of(&WalletError::KeyReused),
        RegistryError::Webhook(error) => webhooks::problem(error),
        RegistryError::Refused(problem) => problem.clone(),
        RegistryError::NoRegistryKey => Problem::new(Code::Misconfigured),
    }
}

fn problem_of(error: &WalletError) -> Problem {
    match error {
        WalletError::Store(error) => store_problem(error),
        WalletError::Chain(error) => chain_problem(error),
        WalletError::WrongNetwork { .. } => {
            Problem::new(Code::ChainBadResponse).detail("the chain node is on another network; nothing was paid")
        }
        WalletError::SigningUnavailable { .. } => Problem::new(Code::SigningUnavailable)
            .detail("the chain node's wallet is locked or its passphrase is not the configured one; nothing was paid")
            .retry_after(LATER_SECONDS),
        WalletError::Syncing => Problem::new(Code::Syncing)
            .detail("the ledger has not seen the chain yet")
            .retry_after(SHORTLY_SECONDS),
        WalletError::AnotherChain { .. } => Problem::new(Code::ChainBadResponse)
            .detail("the chain node is on another chain than the ledger; nothing was paid"),
        WalletError::SendsStopped(_) => Problem::new(Code::SendsStopped)
            .detail("an operator has to look; nothing was paid")
            .retry_after(LATER_SECONDS),
        WalletError::PaymentFailed => Problem::new(Code::PaymentFailed)
            .detail("the payment of this idempotency key was sent and will never confirm: pay again with another key"),
        WalletError::WalletFrozen(reason) => Problem::new(Code::WalletFrozen).detail(reason.as_str()),
        WalletError::RecipientNotAllowed => Problem::new(Code::RecipientNotAllowed)
            .detail("the wallet's own rules exclude this recipient (GET /wallet/{node_id}/recipients)"),
        WalletError::PaymentRefused(reason) => Problem::new(Code::PaymentRefused).detail(reason.as_str()),
        WalletError::TransactionNotFound => Problem::new(Code::TransactionNotFound),
        WalletError::NodeNotFound(node) => Problem::node_not_found(node),
        WalletError::NodeExists(node) => Problem::new(Code::NodeExists).detail(format!(
            "node {node} is registered with another key; to change it, send the old key's rotation_signature"
        )),
        WalletError::NodeDeregistered(node) => Problem::node_deregistered(node),
        WalletError::WalletNotEmpty(_) => Problem::new(Code::WalletNotEmpty).detail(format!(
            "{error}; what can be spent goes to the address in send_to; the rest, and payments under way, have to end first"
        )),
        WalletError::OwnAddress => {
            Problem::new(Code::InvalidAddress).detail(format!("send_to: {error}"))
        }
        WalletError::WalletNotFound(node) => Problem::wallet_not_found(node),
        WalletError::WalletExists(node) => Problem::wallet_exists(node),
        WalletError::WalletInactive => Problem::new(Code::Forbidden).detail("the wallet is not active"),
        WalletError::AddressLimit => Problem::invalid_value(error.to_string()),
        WalletError::InvalidRecipient(_) => Problem::new(Code::InvalidAddress).detail(error.to_string()),
        WalletError::AmountAboveLimit(limit) => Problem::amount_above_limit(*limit),
        WalletError::AmountBelowDust(limit) => {
            Problem::new(Code::InvalidAmount).detail(format!("amount: the least that can be paid is {limit} FLOP"))
        }
        WalletError::InsufficientBalance { .. } => Problem::new(Code::InsufficientBalance).detail(error.to_string()),
        WalletError::TooManyCoins => Problem::invalid_value(format!("amount: {error}; send less at once")),
        WalletError::CoinsBusy => Problem::new(Code::CoinsBusy)
            .detail("the wallet's coins are in payments under way; nothing was paid")
            .retry_after(SHORTLY_SECONDS),
        WalletError::RateLimited { payments, window_seconds, retry_after_seconds } => {
            Problem::rate_limit(*payments, *window_seconds, *retry_after_seconds)
        }
        WalletError::KeyReused => Problem::new(Code::IdempotencyKeyReused)
            .detail("the idempotency key was used for a request with other content"),
        WalletError::InProgress => Problem::new(Code::InProgress)
            .detail("the first request with this idempotency key has not ended")
            .retry_after(SHORTLY_SECONDS),
    }
}

fn store_problem(error: &StoreError) -> Problem {
    match error {
        StoreError::Replayed => {
            Problem::authentication("the signature was used before; sign each request anew")
        }
        StoreError::Database(_) => {
            Problem::new(Code::DatabaseUnavailable).retry_after(SHORTLY_SECONDS)
        }
        StoreError::SchemaTooNew { .. } => Problem::new(Code::DatabaseUnavailable)
            .detail("the database belongs to a newer version of the service")
            .retry_after(LATER_SECONDS),
        StoreError::TooManyCapabilities => {
            Problem::invalid_value("capabilities: a node has at most 32")
        }
        // The domain names the node.
        StoreError::NodeDeregistered => Problem::new(Code::NodeDeregistered),
        StoreError::Corrupt { .. } | StoreError::PoolEmpty => Problem::new(Code::Internal),
    }
}

fn chain_problem(error: &ChainError) -> Problem {
    match error {
        ChainError::Rejected { message, .. } if message.contains(LONG_CHAIN) => {
            Problem::new(Code::CoinsBusy)
                .detail("too many payments in a row wait for a block; nothing was paid")
                .retry_after(LATER_SECONDS)
        }
        ChainError::Rejected { code, message }
            if *code == MISSING_INPUTS || message.contains(INPUT_NOT_FOUND) =>
        {
            Problem::new(Code::CoinsBusy)
                .detail(
                    "the chain node does not have one of the coins at the moment; nothing was paid",
                )
                .retry_after(LATER_SECONDS)
        }
        ChainError::Rejected { .. } => {
            Problem::new(Code::ChainRejected).detail("the chain node refused; nothing was paid")
        }
        ChainError::Unreachable(_) => Problem::new(Code::ChainUnreachable)
            .detail("the chain node cannot be reached; nothing was paid")
            .retry_after(LATER_SECONDS),
        ChainError::OutcomeUnknown(_) => Problem::new(Code::ChainTimeout)
            .detail("the chain node did not answer; nothing was paid")
            .retry_after(LATER_SECONDS),
        ChainError::BadResponse(_) => Problem::new(Code::ChainBadResponse)
            .detail("the chain node's answer is not usable; nothing was paid")
            .retry_after(LATER_SECONDS),
    }
}
