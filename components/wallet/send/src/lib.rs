//! `POST /wallet/{node_id}/send`: pays someone.

use duxnet_api::request::Send;
use duxnet_edge::{Context, chain::ChainNode, render, serve};
use duxnet_wallet::send::{HowMuch, Order};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let node = call.node_id()?;
        let fields = call.fields(&Send::FIELDS)?;
        let context = Context::open().await?;
        let authenticated = context.authenticate(call, &node, Some(&fields)).await?;
        let read = Send::parse(&fields, &node, call.idempotency_key());
        let wanted = context.wanted(&authenticated, read).await?;
        let order = Order {
            request_hash: wanted.hash(),
            idempotency_key: authenticated.idempotency_key(wanted.idempotency_key),
            recipient_address: wanted.recipient_address,
            amount: HowMuch::Exactly(wanted.amount),
        };
        let sent = context
            .service()
            .send(&ChainNode, &authenticated.caller, &order)
            .await?;
        Ok(render::sent(&sent))
    })
    .await
}
