//! `node heartbeat`, `capabilities`, `deregister`, `health`, `reputation`: a node among others.

use super::node::named;
use super::{idempotency_key, pages, repeatable, wallet};
use crate::cli::{self, Capabilities, Heartbeat, Idempotency, Page};
use crate::client::Post;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Align, pairs, table};
use crate::view::View;
use duxnet_units::{Capability, NodeId};
use serde_json::{Map, Value, json};

/// An idempotency key of its own: a repeat does no harm.
const ANEW: Idempotency = Idempotency {
    idempotency_key: None,
};

pub fn heartbeat(context: &Context, args: Heartbeat) -> Result<(), Failure> {
    let key = context.node_key()?;
    let mut body = Map::new();
    let numbers = [
        ("memory_used_bytes", args.memory_used),
        ("memory_total_bytes", args.memory_total),
        ("uptime_seconds", args.uptime),
    ];
    for (name, value) in numbers {
        body.extend(value.map(|value| (name.to_owned(), value.into())));
    }
    for (name, value) in [("load", args.load), ("version", args.node_version)] {
        body.extend(value.map(|value| (name.to_owned(), value.into())));
    }
    let target = format!("/nodes/{}/heartbeat", key.node_id());
    let body = Value::Object(body).to_string();
    let answer = wallet::post(context, &target, &key, ANEW, &body)?;
    context.output.answer(&answer.body, || {
        let view = View::parse(&answer.body);
        pairs(&[
            ("status", view.text("/node/status")),
            ("health", view.text("/node/health")),
            (
                "stale after",
                format!("{} s", view.text("/stale_after_seconds")),
            ),
        ])
    });
    Ok(())
}

pub fn capabilities(context: &Context, args: Capabilities) -> Result<(), Failure> {
    let names = |list: &[Capability]| -> Vec<String> {
        list.iter().map(|name| name.as_str().to_owned()).collect()
    };
    let body = |list: &[Capability]| json!({"capabilities": names(list)}).to_string();
    let (method, query, body) = if !args.add.is_empty() {
        ("POST", String::new(), body(&args.add))
    } else if !args.set.is_empty() || args.clear {
        ("PUT", String::new(), body(&args.set))
    } else if !args.remove.is_empty() {
        let list = [("capabilities", names(&args.remove).join(","))];
        (
            "DELETE",
            pages::target("", &list, None, None),
            String::new(),
        )
    } else {
        let node_id = named(context, args.node_id)?;
        let target = format!("/nodes/{node_id}/capabilities");
        let answer = context.client().get(&target, None)?;
        return show_capabilities(context, &answer.body);
    };
    let key = context.node_key()?;
    let target = format!("/nodes/{}/capabilities{query}", key.node_id());
    let idempotency_key = idempotency_key(ANEW)?;
    let request = Post {
        target: &target,
        key: &key,
        idempotency_key: &idempotency_key,
        body: &|_| body.clone(),
    };
    let answer = context.client().change(method, &request)?;
    show_capabilities(context, &answer.body)
}

fn show_capabilities(context: &Context, body: &[u8]) -> Result<(), Failure> {
    context.output.answer(body, || {
        let list = View::parse(body).list("/capabilities");
        let names: Vec<String> = list.iter().map(|name| name.text("")).collect();
        if names.is_empty() {
            "no capabilities".to_owned()
        } else {
            names.join("\n")
        }
    });
    Ok(())
}

pub fn deregister(
    context: &Context,
    send_to: Option<String>,
    args: Idempotency,
) -> Result<(), Failure> {
    let mut body = Map::new();
    if let Some(text) = send_to {
        let address = cli::address(&text, context.network)
            .map_err(|error| Failure::usage(error).hint("is --network the service's?"))?;
        body.insert("send_to".into(), address.as_str().into());
    }
    let key = context.node_key()?;
    let target = format!("/nodes/{}/deregister", key.node_id());
    let body = Value::Object(body).to_string();
    let idempotency_key = idempotency_key(args)?;
    let request = Post {
        target: &target,
        key: &key,
        idempotency_key: &idempotency_key,
        body: &|_| body.clone(),
    };
    let answer = context
        .client()
        .post(&request)
        .map_err(|failure| repeatable(failure, &idempotency_key))?;
    context.output.answer(&answer.body, || {
        let view = View::parse(&answer.body);
        let mut text = view.text("/message");
        if view.string("/payment/payment_id").is_some() {
            let paid = pairs(&[
                ("sent", view.flop("/payment/amount")),
                ("fee", view.flop("/payment/fee")),
                ("to", view.text("/payment/recipient")),
                ("txid", view.text("/payment/txid")),
                ("payment", view.text("/payment/payment_id")),
            ]);
            text = format!("{text}\n{paid}");
        }
        text
    });
    Ok(())
}

pub fn health(context: &Context, node_id: Option<NodeId>) -> Result<(), Failure> {
    let node_id = named(context, node_id)?;
    let answer = context
        .client()
        .get(&format!("/nodes/{node_id}/health"), None)?;
    context.output.answer(&answer.body, || {
        let view = View::parse(&answer.body);
        let head = pairs(&[
            ("node id", view.text("/node_id")),
            ("status", view.text("/status")),
            ("health", view.text("/health")),
        ]);
        let columns = [
            ("FACTOR", Align::Left),
            ("WEIGHT", Align::Right),
            ("VALUE", Align::Right),
            ("DETAIL", Align::Left),
        ];
        let rows: Vec<_> = view
            .list("/factors")
            .iter()
            .map(|factor| {
                ["/factor", "/weight", "/value", "/detail"]
                    .map(|field| factor.text(field))
                    .to_vec()
            })
            .collect();
        format!("{head}\n{}", table(&columns, &rows))
    });
    Ok(())
}

pub fn reputation(context: &Context, node_id: Option<NodeId>, page: &Page) -> Result<(), Failure> {
    let node_id = named(context, node_id)?;
    let client = context.client();
    let get = |target: &str| client.get(target, None);
    let path = format!("/nodes/{node_id}/reputation");
    pages::print(context, &get, &path, &[], page, |bodies| {
        let score = bodies.first().map(|body| body.text("/reputation"));
        let head = pairs(&[
            ("node id", node_id.to_string()),
            ("reputation", score.unwrap_or_default()),
        ]);
        let columns = [
            ("TIME", Align::Left),
            ("TYPE", Align::Left),
            ("DELTA", Align::Right),
            ("APPLIED", Align::Right),
            ("ACTOR", Align::Left),
            ("REASON", Align::Left),
        ];
        let rows: Vec<_> = bodies
            .iter()
            .flat_map(|body| body.list("/events"))
            .map(|event| {
                [
                    "/created_at",
                    "/type",
                    "/delta",
                    "/applied",
                    "/actor",
                    "/reason",
                ]
                .map(|field| event.text(field))
                .to_vec()
            })
            .collect();
        if rows.is_empty() {
            format!("{head}\nno events")
        } else {
            format!("{head}\n{}", table(&columns, &rows))
        }
    })
}
