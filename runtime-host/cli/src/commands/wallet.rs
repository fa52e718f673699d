//! `wallet ...`: the node's own wallet.

use super::{history, idempotency_key, recipients, repeatable, send};
use crate::cli::{Idempotency, WalletCommand};
use crate::client::{Answer, Post};
use crate::context::Context;
use crate::failure::Failure;
use crate::key_file::NodeKey;
use crate::output::pairs;
use crate::view::View;
use duxnet_units::WalletName;
use serde_json::json;

pub fn run(context: &Context, command: WalletCommand) -> Result<(), Failure> {
    match command {
        WalletCommand::Create { name, idempotency } => create(context, &name, idempotency),
        WalletCommand::Info => info(context),
        WalletCommand::Balance => balance(context),
        WalletCommand::Send(args) => send::run(context, args),
        WalletCommand::History(args) => history::run(context, &args),
        WalletCommand::Recipients(command) => recipients::run(context, command),
        WalletCommand::NewAddress(idempotency) => new_address(context, idempotency),
    }
}

fn create(context: &Context, name: &WalletName, args: Idempotency) -> Result<(), Failure> {
    let key = context.node_key()?;
    let body = json!({"node_id": key.node_id().as_str(), "wallet_name": name.as_str()}).to_string();
    let answer = post(context, "/wallet/create", &key, args, &body)?;
    context.output.answer(&answer.body, || {
        let view = View::parse(&answer.body);
        let head = view.text("/message");
        format!("{head}\n{}", wallet_text(&view, "/wallet"))
    });
    Ok(())
}

fn info(context: &Context) -> Result<(), Failure> {
    let key = context.node_key()?;
    let answer = look_up(context, &key)?;
    context
        .output
        .answer(&answer.body, || wallet_text(&View::parse(&answer.body), ""));
    Ok(())
}

/// The wallet as the service describes it.
///
/// # Errors
/// A refusal, or no answer.
pub fn look_up(context: &Context, key: &NodeKey) -> Result<Answer, Failure> {
    context
        .client()
        .get(&format!("/wallet/{}", key.node_id()), Some(key))
}

fn wallet_text(view: &View, at: &str) -> String {
    let text = |field: &str| view.text(&format!("{at}/{field}"));
    let mut rows = vec![
        ("node id", text("node_id")),
        ("wallet", text("wallet_name")),
        ("address", text("address")),
        ("balance", view.flop(&format!("{at}/balance"))),
        ("active", text("is_active")),
        ("created", text("created_at")),
    ];
    if view.string(&format!("{at}/frozen_reason")).is_some() {
        rows.push(("frozen", text("frozen_reason")));
    }
    pairs(&rows)
}

fn balance(context: &Context) -> Result<(), Failure> {
    let key = context.node_key()?;
    let target = format!("/wallet/{}/balance", key.node_id());
    let answer = context.client().get(&target, Some(&key))?;
    context.output.answer(&answer.body, || {
        let view = View::parse(&answer.body);
        let amounts = ["available", "confirmed", "pending", "reserved"]
            .map(|name| (name, view.text(&format!("/{name}"))));
        let width = amounts.iter().map(|(_, amount)| amount.len()).max();
        let width = width.unwrap_or(0);
        pairs(
            &amounts.map(|(name, amount)| {
                (name, format!("{amount:>width$} {}", view.text("/currency")))
            }),
        )
    });
    Ok(())
}

fn new_address(context: &Context, args: Idempotency) -> Result<(), Failure> {
    let key = context.node_key()?;
    let target = format!("/wallet/{}/new-address", key.node_id());
    let answer = post(context, &target, &key, args, "{}")?;
    context.output.answer(&answer.body, || {
        View::parse(&answer.body).text("/new_address")
    });
    Ok(())
}

/// Has something done under an idempotency key.
///
/// # Errors
/// As the client's, with the key.
pub fn post(
    context: &Context,
    target: &str,
    key: &NodeKey,
    args: Idempotency,
    body: &str,
) -> Result<Answer, Failure> {
    let idempotency_key = idempotency_key(args)?;
    let request = Post {
        target,
        key,
        idempotency_key: &idempotency_key,
        body: &|_| body.to_owned(),
    };
    context
        .client()
        .post(&request)
        .map_err(|failure| repeatable(failure, &idempotency_key))
}
