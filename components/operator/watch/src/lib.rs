//! `GET /operator/alerts`, `/operator/payments`, `/operator/decisions`, `/operator/rules`: what the
//! rules found, which payments they held, what operators decided, the rules themselves.

use duxnet_edge::{Context, monitoring, serve, tokens};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        tokens::operator(call).await?;
        let context = Context::open().await?;
        monitoring::list(call, &context).await
    })
    .await
}
