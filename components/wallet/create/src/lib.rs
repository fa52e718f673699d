//! `POST /wallet/create`: makes a registered node's wallet.

use duxnet_api::request::CreateWallet;
use duxnet_edge::{Context, chain::ChainNode, render, serve};
use duxnet_wallet::create::Order;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let fields = call.fields(&CreateWallet::FIELDS)?;
        let wanted = CreateWallet::parse(&fields, call.idempotency_key())?;
        let context = Context::open().await?;
        let authenticated = context
            .authenticate(call, &wanted.node_id, Some(&fields))
            .await?;
        let order = Order {
            request_hash: wanted.hash(),
            idempotency_key: authenticated.idempotency_key(wanted.idempotency_key),
            wallet_name: wanted.wallet_name,
        };
        let created = context
            .service()
            .create_wallet(&ChainNode, &authenticated.caller, &order)
            .await?;
        Ok(render::created(&created))
    })
    .await
}
