//! `POST /nodes/{node_id}/heartbeat`: a node is alive, and how it is.

use duxnet_api::nodes::Heartbeat;
use duxnet_edge::{Context, registry, serve};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let node = call.node_id()?;
        let fields = call.fields(&Heartbeat::FIELDS)?;
        let context = Context::open().await?;
        let authenticated = context.authenticate(call, &node, Some(&fields)).await?;
        let read = Heartbeat::parse(&fields, &node);
        let said = registry::heartbeat(context.wanted(&authenticated, read).await?);
        let (node, stale_after) = context
            .on_registry(async |registry| {
                let node = registry.heartbeat(&authenticated.caller, &said).await?;
                Ok((node, registry.rules.heartbeat_stale_after))
            })
            .await?;
        Ok(registry::heartbeat_taken(&node, stale_after))
    })
    .await
}
