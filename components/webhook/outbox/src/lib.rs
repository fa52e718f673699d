//! `POST /internal/webhooks/run`: sends what webhooks are to be told. It wants the operator's token.

use duxnet_api::request::expect_no_query;
use duxnet_edge::{Context, serve, tokens, webhooks};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        tokens::scheduler(call).await?;
        expect_no_query(call.query())?;
        let report = Context::open().await?.run_outbox().await?;
        for trouble in &report.troubles {
            eprintln!("webhooks: {trouble}");
        }
        Ok(webhooks::ran(&report))
    })
    .await
}
