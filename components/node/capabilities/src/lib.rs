//! `/nodes/{node_id}/capabilities`: GET shows what a node can do; POST adds to what it declares, PUT
//! replaces it, DELETE removes from it.

use duxnet_api::nodes::NamedCapabilities;
use duxnet_api::problem::Problem;
use duxnet_api::request::expect_no_query;
use duxnet_edge::{Context, registry, serve};
use duxnet_registry::change_capabilities;
use duxnet_store::CapabilityChange;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let node = call.node_id()?;
        let change = match call.method.as_str() {
            "POST" => CapabilityChange::Add,
            "PUT" => CapabilityChange::Replace,
            "DELETE" => CapabilityChange::Remove,
            _ => {
                expect_no_query(call.query())?;
                let known = Context::open().await?.store.node(&node).await?;
                let node = known.ok_or_else(|| Problem::node_not_found(&node))?;
                return Ok(registry::capabilities(&node));
            }
        };
        let is_removal = change == CapabilityChange::Remove;
        if is_removal && !call.body().is_empty() {
            return Err(Problem::invalid_request("what to remove goes into the query").into());
        }
        let fields = if is_removal {
            None
        } else {
            Some(call.fields(&NamedCapabilities::FIELDS)?)
        };
        let context = Context::open().await?;
        let authenticated = context.authenticate(call, &node, fields.as_ref()).await?;
        let read = match &fields {
            None => NamedCapabilities::parse_query(call.query()),
            Some(fields) => NamedCapabilities::parse(fields, &node),
        };
        let NamedCapabilities(named) = context.wanted(&authenticated, read).await?;
        let caller = &authenticated.caller;
        let changed =
            change_capabilities(&context.store, &context.clock, caller, change, &named).await?;
        Ok(registry::capabilities(&changed))
    })
    .await
}
