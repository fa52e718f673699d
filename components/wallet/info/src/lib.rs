//! `GET /wallet/{node_id}`: a node's wallet.

use duxnet_api::request::expect_no_query;
use duxnet_edge::{Context, render, serve};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        expect_no_query(call.query())?;
        let context = Context::open().await?;
        let wallet = context.own_wallet(call).await?;
        Ok(render::wallet(&wallet))
    })
    .await
}
