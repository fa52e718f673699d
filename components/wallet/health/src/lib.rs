//! `GET /wallet/health`: whether the service can do its work.

use duxnet_edge::{health, serve};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |_call| Ok(health::report().await)).await
}
