//! `wallet send`: pays someone.

use super::{pages, wallet};
use crate::cli::{self, Send};
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::key_file::NodeKey;
use crate::output::{self, pairs};
use crate::view::View;
use duxnet_api::MAX_PAGE_ENTRIES;
use serde_json::json;
use std::time::{Duration, Instant};

/// Between two looks at a payment.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

pub fn run(context: &Context, args: Send) -> Result<(), Failure> {
    let address = cli::address(&args.address, context.network)
        .map_err(|error| Failure::usage(error).hint("is --network the service's?"))?;
    let key = context.node_key()?;
    // The amount as a string: no reader on the way can take it for a binary float.
    let body = json!({
        "recipient_address": address.as_str(),
        "amount": args.amount.to_string(),
    })
    .to_string();
    let target = format!("/wallet/{}/send", key.node_id());
    let answer = wallet::post(context, &target, &key, args.idempotency, &body)?;
    let sent = View::parse(&answer.body);
    context.output.answer(&answer.body, || {
        let head = if answer.is_replayed {
            "this payment was made before; here is its answer\n"
        } else {
            ""
        };
        format!("{head}{}", sent_text(&sent))
    });
    if !args.wait {
        return verdict(&sent.text("/transaction/status"), &sent);
    }
    let patience = Duration::from_secs(args.wait_timeout.into());
    let row = wait(context, &key, &sent, patience)?;
    if context.output.json {
        output::print(&row.to_json());
    } else {
        output::print(&pairs(&[
            ("status", row.text("/status")),
            ("block", row.text("/block_height")),
        ]));
    }
    verdict(&row.text("/status"), &sent)
}

fn sent_text(sent: &View) -> String {
    pairs(&[
        ("sent", sent.flop("/amount")),
        ("fee", sent.flop("/fee")),
        ("to", sent.text("/recipient")),
        ("txid", sent.text("/txid")),
        ("payment", sent.text("/payment_id")),
        ("status", sent.text("/transaction/status")),
    ])
}

fn verdict(status: &str, sent: &View) -> Result<(), Failure> {
    if status == "failed" {
        let message = format!(
            "payment {} failed; nothing was paid",
            sent.text("/payment_id")
        );
        return Err(Failure::new(Exit::Refused, message));
    }
    Ok(())
}

/// Looks at the history until the payment is no longer pending. A look that fails is no reason to
/// give up: the payment is made.
fn wait(
    context: &Context,
    key: &NodeKey,
    sent: &View,
    patience: Duration,
) -> Result<View, Failure> {
    let client = context.client();
    let start = Instant::now();
    output::note("waiting for the confirmation; interrupting this does not stop the payment");
    loop {
        let trouble = match find(&client, key, sent) {
            Ok(Some(row)) if row.text("/status") != "pending" => return Ok(row),
            Ok(_) => None,
            Err(failure) => Some(failure.message),
        };
        if start.elapsed() + POLL_INTERVAL > patience {
            let trouble = trouble
                .map(|cause| format!(" ({cause})"))
                .unwrap_or_default();
            let message = format!(
                "payment {} is made and not confirmed after {} s{trouble}",
                sent.text("/payment_id"),
                patience.as_secs()
            );
            return Err(Failure::new(Exit::Unknown, message)
                .hint("`duxwallet wallet history --type send` shows what becomes of it"));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The payment's entry in the history.
fn find(client: &Client, key: &NodeKey, sent: &View) -> Result<Option<View>, Failure> {
    let path = format!("/wallet/{}/transactions", key.node_id());
    let query = [
        ("type", "send".to_owned()),
        ("since", sent.text("/transaction/created_at")),
    ];
    let payment = sent.text("/payment_id");
    let mut cursor: Option<String> = None;
    loop {
        let target = pages::target(&path, &query, Some(MAX_PAGE_ENTRIES), cursor.as_deref());
        let page = View::parse(&client.get(&target, Some(key))?.body);
        let mut rows = page.list("/transactions").into_iter();
        if let Some(row) = rows.find(|row| row.text("/payment_id") == payment) {
            return Ok(Some(row));
        }
        let next = page.string("/next_cursor");
        if next.is_none() || next == cursor {
            return Ok(None);
        }
        cursor = next;
    }
}
