//! `node ...`: registers nodes, looks them up, changes keys.

use super::{pages, registry};
use crate::cli::{NodeCommand, NodeList, Register};
use crate::client::{Answer, Post};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::key_file::NodeKey;
use crate::output::{self, Align, pairs, table};
use crate::random;
use crate::view::View;
use duxnet_api::signing::{PublicKey, rotation_string};
use duxnet_units::NodeId;
use serde_json::{Map, Value, json};
use std::path::Path;

const REGISTER: &str = "/nodes/register";

pub fn run(context: &Context, command: NodeCommand) -> Result<(), Failure> {
    match command {
        NodeCommand::Register(args) => register(context, args),
        NodeCommand::Show { node_id } => show(context, node_id),
        NodeCommand::List(args) => list(context, &args),
        NodeCommand::Heartbeat(args) => registry::heartbeat(context, args),
        NodeCommand::Capabilities(args) => registry::capabilities(context, args),
        NodeCommand::Deregister {
            send_to,
            idempotency,
        } => registry::deregister(context, send_to, idempotency),
        NodeCommand::Health { node_id } => registry::health(context, node_id),
        NodeCommand::Reputation { node_id, page } => registry::reputation(context, node_id, &page),
        NodeCommand::Rotate { new_key } => rotate(context, &new_key),
    }
}

fn register(context: &Context, args: Register) -> Result<(), Failure> {
    let key = context.node_key()?;
    let mut body = Map::new();
    body.insert("node_id".into(), key.node_id().as_str().into());
    body.insert("public_key".into(), key.public_hex().into());
    if let Some(address) = args.address {
        body.insert("address".into(), address.into());
    }
    if !args.capabilities.is_empty() {
        let names = args.capabilities.iter().map(|c| c.as_str().into());
        body.insert("capabilities".into(), Value::Array(names.collect()));
    }
    if !args.share.is_empty() {
        body.insert("share".into(), args.share.into());
    }
    let body = Value::Object(body).to_string();
    let answer = post(context, &key, &|_| body.clone())?;
    print_registered(context, &answer);
    Ok(())
}

/// The new key signs the request, the old one the hand-over; both name the same time, so a repeat
/// signs both anew. Repeating is harmless: a node that has the new key already keeps it.
fn rotate(context: &Context, new_path: &Path) -> Result<(), Failure> {
    let old = context.node_key()?;
    let new = if new_path.exists() {
        NodeKey::load(new_path)?
    } else {
        let new = NodeKey::generate(Some(old.node_id().clone()))?;
        new.save(new_path, false)?;
        new
    };
    if new.node_id() != old.node_id() {
        return Err(Failure::usage(format!(
            "the new key is for node {}, the old one for {}",
            new.node_id(),
            old.node_id()
        )));
    }
    if new.public_hex() == old.public_hex() {
        return Err(Failure::usage("the new key is the old one"));
    }
    let public = |key: &NodeKey| {
        PublicKey::parse(&key.public_hex())
            .map_err(|error| Failure::usage(format!("public key {error}")))
    };
    let (old_public, new_public) = (public(&old)?, public(&new)?);
    let body = |timestamp| {
        let handover = rotation_string(
            context.network,
            old.node_id(),
            &old_public,
            &new_public,
            timestamp,
        );
        json!({
            "node_id": old.node_id().as_str(),
            "public_key": new.public_hex(),
            "rotation_signature": old.sign(&handover),
        })
        .to_string()
    };
    let answer = post(context, &new, &body)?;
    print_registered(context, &answer);
    output::note(&format!(
        "from now on use --key {}; the old key is worthless",
        new_path.display()
    ));
    Ok(())
}

fn post(context: &Context, key: &NodeKey, body: &dyn Fn(i64) -> String) -> Result<Answer, Failure> {
    let request = Post {
        target: REGISTER,
        key,
        idempotency_key: &random::token()?,
        body,
    };
    context.client().post(&request).map_err(|failure| {
        if failure.exit == Exit::Unknown {
            failure.hint("repeat the same command; doing it twice is harmless")
        } else {
            failure
        }
    })
}

fn print_registered(context: &Context, answer: &Answer) {
    context.output.answer(&answer.body, || {
        let view = View::parse(&answer.body);
        format!("{}\n{}", view.text("/message"), node_text(&view))
    });
}

fn show(context: &Context, node_id: Option<NodeId>) -> Result<(), Failure> {
    let node_id = named(context, node_id)?;
    let answer = context.client().get(&format!("/nodes/{node_id}"), None)?;
    context
        .output
        .answer(&answer.body, || node_text(&View::parse(&answer.body)));
    Ok(())
}

/// The node that is asked for, or the key file's.
///
/// # Errors
/// There is no key file.
pub fn named(context: &Context, node_id: Option<NodeId>) -> Result<NodeId, Failure> {
    node_id.map_or_else(|| Ok(context.node_key()?.node_id().clone()), Ok)
}

fn node_text(view: &View) -> String {
    pairs(&[
        ("node id", view.text("/node/node_id")),
        ("public key", view.text("/node/public_key")),
        ("address", view.text("/node/address")),
        ("capabilities", view.text("/node/capabilities")),
        ("status", view.text("/node/status")),
        ("health", view.text("/node/health")),
        ("reputation", view.text("/node/reputation")),
        ("heartbeat", view.text("/node/heartbeat/at")),
        ("registered", view.text("/node/created_at")),
    ])
}

fn list(context: &Context, args: &NodeList) -> Result<(), Failure> {
    let mut query = Vec::new();
    if !args.capabilities.is_empty() {
        let names: Vec<&str> = args.capabilities.iter().map(|c| c.as_str()).collect();
        query.push(("capabilities", names.join(",")));
    }
    if args.any {
        query.push(("match", "any".to_owned()));
    }
    for (name, value) in [
        ("status", args.status.clone()),
        ("min_health", args.min_health.map(|score| score.to_string())),
        (
            "min_reputation",
            args.min_reputation.map(|score| score.to_string()),
        ),
    ] {
        query.extend(value.map(|value| (name, value)));
    }
    let columns = [
        ("NODE", Align::Left),
        ("STATUS", Align::Left),
        ("HEALTH", Align::Right),
        ("REPUTATION", Align::Right),
        ("ADDRESS", Align::Left),
        ("CAPABILITIES", Align::Left),
    ];
    let client = context.client();
    let get = |target: &str| client.get(target, None);
    pages::print(context, &get, "/nodes", &query, &args.page, |bodies| {
        let rows: Vec<_> = bodies
            .iter()
            .flat_map(|body| body.list("/nodes"))
            .map(|node| {
                [
                    "/node_id",
                    "/status",
                    "/health",
                    "/reputation",
                    "/address",
                    "/capabilities",
                ]
                .map(|field| node.text(field))
                .to_vec()
            })
            .collect();
        if rows.is_empty() {
            "no nodes".to_owned()
        } else {
            table(&columns, &rows)
        }
    })
}
