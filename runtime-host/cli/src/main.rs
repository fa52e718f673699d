//! `duxwallet`, the client of the DuxNet wallet service.
//!
//! One subject per file: [`cli`] is the command line, [`key_file`] the node's key, [`sign`] the
//! signature headers, [`client`] the requests, [`retry`] when a request is made again, [`devnet`]
//! the development chain's JSON-RPC, [`output`] what is printed, [`commands`] what each command
//! does. Money is text or whole florins throughout, never a binary float.

mod cli;
mod client;
mod clock;
mod commands;
mod context;
mod devnet;
mod failure;
mod key_file;
mod output;
mod random;
mod retry;
mod sign;
mod view;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let json = cli.global.json;
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::report(&failure, json);
            ExitCode::from(failure.exit.code())
        }
    }
}
