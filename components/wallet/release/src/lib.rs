//! `POST /internal/payments/run`: makes the payments that were held and that an operator released. It
//! wants the token of the background work.

use duxnet_api::request::expect_no_query;
use duxnet_edge::{Context, chain::ChainNode, render, serve, tokens};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        tokens::scheduler(call).await?;
        expect_no_query(call.query())?;
        let context = Context::open().await?;
        let run = context.service().make_released(&ChainNode).await?;
        for trouble in &run.troubles {
            eprintln!("released: {trouble}");
        }
        Ok(render::run(&run))
    })
    .await
}
