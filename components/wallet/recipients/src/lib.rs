//! `GET /wallet/{node_id}/recipients`: whom the wallet may pay, by its node's own rules; `POST`
//! changes them.

use duxnet_edge::{Context, monitoring, serve};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let context = Context::open().await?;
        monitoring::recipients(call, &context).await
    })
    .await
}
