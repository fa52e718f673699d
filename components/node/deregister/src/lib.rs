//! `POST /nodes/{node_id}/deregister`: a node leaves, paid out to an address if it says so.

use duxnet_api::nodes::Deregister;
use duxnet_edge::{Context, chain::ChainNode, registry, serve};
use duxnet_wallet::deregister::Order;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let node = call.node_id()?;
        let fields = call.fields(&Deregister::FIELDS)?;
        let context = Context::open().await?;
        let authenticated = context.authenticate(call, &node, Some(&fields)).await?;
        let read = Deregister::parse(&fields, &node, call.idempotency_key());
        let wanted = context.wanted(&authenticated, read).await?;
        let order = Order {
            request_hash: wanted.hash(),
            send_to: wanted.send_to,
            idempotency_key: authenticated.idempotency_key(wanted.idempotency_key),
        };
        let departure = context
            .service()
            .deregister(&ChainNode, &authenticated.caller, &order)
            .await?;
        Ok(registry::deregistered(&departure))
    })
    .await
}
