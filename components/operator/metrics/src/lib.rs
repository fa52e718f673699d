//! `GET /metrics`: what the service does, for Prometheus. Database only.

use duxnet_api::request::expect_no_query;
use duxnet_edge::{metrics, serve, tokens};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let per_node = tokens::monitor(call).await?;
        expect_no_query(call.query())?;
        Ok(metrics::report(per_node).await)
    })
    .await
}
