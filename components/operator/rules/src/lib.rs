//! `PUT /operator/rules/{rule}`: changes a rule of the monitoring, or adds one.

use duxnet_edge::{Context, monitoring, serve, tokens};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let operator = tokens::operator(call).await?;
        let context = Context::open().await?;
        monitoring::set_rule(call, &context, &operator.name).await
    })
    .await
}
