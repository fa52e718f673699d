//! `devnet ...`: money and blocks for nothing.

use super::wallet;
use crate::cli::{self, Devnet, DevnetCommand};
use crate::context::Context;
use crate::devnet::Rpc;
use crate::failure::{Exit, Failure};
use crate::output::pairs;
use crate::view::View;
use duxnet_units::{Amount, Network};
use serde_json::{Number, Value, json};
use std::time::Duration;

/// Between two looks at the service's ledger, and how many.
const LEDGER_PAUSE: Duration = Duration::from_millis(100);
const LEDGER_LOOKS: u32 = 50;

pub fn run(context: &Context, args: Devnet) -> Result<(), Failure> {
    let rpc = Rpc::new(&args.rpc_url, context.timeout)?;
    match args.command {
        DevnetCommand::Faucet { amount, to } => faucet(context, &rpc, amount, to),
        DevnetCommand::Mine { blocks } => mine(context, &rpc, blocks),
    }
}

fn faucet(context: &Context, rpc: &Rpc, amount: Amount, to: Option<String>) -> Result<(), Failure> {
    let address = match to {
        Some(address) => cli::address(&address, Network::Regtest)
            .map_err(Failure::usage)?
            .to_string(),
        None => own_address(context)?,
    };
    // The exact literal; serde_json keeps it.
    let literal: Number = amount
        .to_string()
        .parse()
        .map_err(|_| Failure::usage("the amount is no number"))?;
    let params = json!([address, Value::Number(literal)]);
    let answer = rpc.call("devnet_faucet", &params)?;
    context.output.answer(&answer.body, || {
        pairs(&[
            ("sent", format!("{amount} FLOP")),
            ("to", address.clone()),
            ("txid", View::parse(&answer.body).text("/result/txid")),
        ])
    });
    Ok(())
}

fn own_address(context: &Context) -> Result<String, Failure> {
    let key = context.node_key()?;
    let answer = wallet::look_up(context, &key)?;
    View::parse(&answer.body).string("/address").ok_or_else(|| {
        Failure::new(
            Exit::Refused,
            "the service's answer names no address; use --to",
        )
        .body(&answer.body)
    })
}

fn mine(context: &Context, rpc: &Rpc, blocks: u32) -> Result<(), Failure> {
    let answer = rpc.call("devnet_mine", &json!([blocks]))?;
    let count = rpc.call("getblockcount", &json!([]))?;
    if let Some(height) = View::parse(&count.body).number("/result") {
        wait_for_the_ledger(context, height);
    }
    context.output.answer(&answer.body, || {
        let hashes = View::parse(&answer.body).list("/result");
        let mined = format!("{} mined", hashes.len());
        pairs(&[
            ("blocks", mined),
            (
                "tip",
                hashes
                    .last()
                    .map_or_else(|| "-".into(), |hash| hash.text("")),
            ),
        ])
    });
    Ok(())
}

/// Until the service's ledger has the block, so that the next command shows what it changed. A
/// service that is not there, or takes long, keeps nobody from mining.
fn wait_for_the_ledger(context: &Context, height: u64) {
    for _ in 0..LEDGER_LOOKS {
        let Ok(health) = context.client().get_any("/wallet/health", None) else {
            return;
        };
        let health = View::parse(&health.body);
        match health.number("/checks/ledger/height") {
            Some(known) if known < height => {}
            _ if health.text("/checks/ledger/status") == "failed" => {}
            _ => return,
        }
        std::thread::sleep(LEDGER_PAUSE);
    }
}
