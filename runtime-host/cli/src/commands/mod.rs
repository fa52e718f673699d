//! One file per command.

mod devnet;
mod events;
mod health;
mod history;
mod keygen;
mod node;
mod pages;
mod recipients;
mod registry;
mod send;
mod sign;
mod wallet;
mod webhook;

use crate::cli::{Cli, Command, Idempotency};
use crate::context::Context;
use crate::failure::Failure;
use crate::random;

/// Does what the command line says.
///
/// # Errors
/// See [`crate::failure::Exit`].
pub fn run(cli: Cli) -> Result<(), Failure> {
    let context = Context::new(&cli.global)?;
    match cli.command {
        Command::Keygen(args) => keygen::run(&context, args),
        Command::Node(command) => node::run(&context, command),
        Command::Wallet(command) => wallet::run(&context, *command),
        Command::Webhook(command) => webhook::run(&context, command),
        Command::Events(args) => events::run(&context, &args),
        Command::Health => health::run(&context),
        Command::Devnet(args) => devnet::run(&context, args),
        Command::Sign(args) => sign::run(&context, &args),
    }
}

/// The idempotency key given, or a new one.
fn idempotency_key(args: Idempotency) -> Result<String, Failure> {
    args.idempotency_key
        .map_or_else(random::token, |key| Ok(key.to_string()))
}

/// Says how to repeat a request that failed, where a repeat may pass.
fn repeatable(failure: Failure, idempotency_key: &str) -> Failure {
    if !failure.is_repeatable {
        return failure;
    }
    failure.hint(format!(
        "to repeat this very request, add --idempotency-key {idempotency_key}"
    ))
}
