//! `POST /wallet/{node_id}/new-address`: another address for a wallet.

use duxnet_api::request::NewAddress;
use duxnet_edge::{Context, chain::ChainNode, render, serve};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let node = call.node_id()?;
        let fields = call.fields(&NewAddress::FIELDS)?;
        let context = Context::open().await?;
        let authenticated = context.authenticate(call, &node, Some(&fields)).await?;
        let read = NewAddress::parse(&fields, &node, call.idempotency_key());
        let wanted = context.wanted(&authenticated, read).await?;
        let key = authenticated.idempotency_key(wanted.idempotency_key);
        let made = context
            .service()
            .new_address(&ChainNode, &authenticated.caller, key.as_ref())
            .await?;
        Ok(render::address_made(&node, &made))
    })
    .await
}
