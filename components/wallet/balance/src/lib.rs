//! `GET /wallet/{node_id}/balance`: what a wallet holds.

use duxnet_api::request::expect_no_query;
use duxnet_edge::{Context, render, serve};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        expect_no_query(call.query())?;
        let context = Context::open().await?;
        let node = call.node_id()?;
        context.authenticate_read(call, &node).await?;
        let (wallet, as_of) = context.holdings(&node).await?;
        Ok(render::balance(&wallet, &as_of))
    })
    .await
}
