//! `GET /wallet/{node_id}/balance`: what a wallet holds.

use duxnet_api::request::expect_no_query;
use duxnet_edge::{Context, chain::ChainReader, render, serve};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, "GET", async |call| {
        let node = call.node_id()?;
        expect_no_query(call.query())?;
        let context = Context::open().await?;
        context.authenticate_read(&call, &node).await?;
        let service = context.service();
        let wallet = service.wallet(&node).await?;
        let holdings = service.holdings(&ChainReader, &wallet).await?;
        Ok(render::balance(&wallet, &holdings))
    })
    .await
}
