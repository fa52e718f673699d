//! `wallet recipients`: whom the wallet may pay.

use super::wallet;
use crate::cli::{self, Idempotency, RecipientsCommand};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::pairs;
use crate::view::View;
use serde_json::json;

pub fn run(context: &Context, command: RecipientsCommand) -> Result<(), Failure> {
    let key = context.node_key()?;
    let target = format!("/wallet/{}/recipients", key.node_id());
    let body = match command {
        RecipientsCommand::Show => {
            let answer = context.client().get(&target, Some(&key))?;
            context
                .output
                .answer(&answer.body, || policy_text(&View::parse(&answer.body)));
            return Ok(());
        }
        RecipientsCommand::Allow { addresses } => {
            json!({"allow": checked(context, &addresses)?})
        }
        RecipientsCommand::Deny { addresses } => json!({"deny": checked(context, &addresses)?}),
        RecipientsCommand::Remove { addresses } => {
            json!({"remove": checked(context, &addresses)?})
        }
        RecipientsCommand::WhitelistOnly { state } => json!({"whitelist_only": state == "on"}),
    };
    // To repeat a change changes nothing, so the user need not know its key.
    let once = Idempotency {
        idempotency_key: None,
    };
    let answer = wallet::post(context, &target, &key, once, &body.to_string())?;
    context
        .output
        .answer(&answer.body, || policy_text(&View::parse(&answer.body)));
    Ok(())
}

fn checked(context: &Context, addresses: &[String]) -> Result<Vec<String>, Failure> {
    addresses
        .iter()
        .map(|text| {
            cli::address(text, context.network)
                .map(|address| address.as_str().to_owned())
                .map_err(|error| Failure::usage(error).hint("is --network the service's?"))
        })
        .collect()
}

fn policy_text(view: &View) -> String {
    let texts = |pointer: &str| {
        let list: Vec<String> = view
            .list(pointer)
            .iter()
            .map(|item| item.text(""))
            .collect();
        if list.is_empty() {
            "none".to_owned()
        } else {
            list.join(" ")
        }
    };
    let only = if view.text("/whitelist_only") == "true" {
        "on: only allowed addresses are paid"
    } else {
        "off"
    };
    let mut rows = vec![
        ("whitelist only", only.to_owned()),
        ("allowed", texts("/allow")),
        ("denied", texts("/deny")),
    ];
    for pending in view.list("/pending") {
        rows.push((
            "pending",
            format!(
                "{} {} from {}",
                pending.text("/change"),
                pending.text("/address"),
                pending.text("/at")
            ),
        ));
    }
    pairs(&rows)
}
