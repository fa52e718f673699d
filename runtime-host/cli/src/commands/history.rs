//! `wallet history`: payments and receipts, newest first.

use super::pages;
use crate::cli::History;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Align, table};
use crate::view::View;

const COLUMNS: [(&str, Align); 8] = [
    ("TIME", Align::Left),
    ("TYPE", Align::Left),
    ("STATUS", Align::Left),
    ("AMOUNT", Align::Right),
    ("FEE", Align::Right),
    ("CONF", Align::Right),
    ("ADDRESS", Align::Left),
    ("TXID", Align::Left),
];

pub fn run(context: &Context, args: &History) -> Result<(), Failure> {
    let key = context.node_key()?;
    let path = format!("/wallet/{}/transactions", key.node_id());
    let query: Vec<(&str, String)> = [
        ("type", args.kind.clone()),
        ("status", args.status.clone()),
        ("since", args.since.map(|time| time.to_string())),
        ("until", args.until.map(|time| time.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    let client = context.client();
    let get = |target: &str| client.get(target, Some(&key));
    pages::print(context, &get, &path, &query, &args.page, |bodies| {
        let rows: Vec<_> = bodies
            .iter()
            .flat_map(|body| body.list("/transactions"))
            .map(|row| cells(&row))
            .collect();
        if rows.is_empty() {
            "no transactions".to_owned()
        } else {
            table(&COLUMNS, &rows)
        }
    })
}

fn cells(row: &View) -> Vec<String> {
    [
        "/created_at",
        "/transaction_type",
        "/status",
        "/amount",
        "/fee",
        "/confirmations",
        "/recipient_address",
        "/txid",
    ]
    .map(|field| row.text(field))
    .to_vec()
}
