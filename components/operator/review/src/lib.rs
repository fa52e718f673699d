//! `POST /operator/payments/{payment}/release` and `.../refuse`, `/operator/wallets/{node_id}/freeze`
//! and `.../unfreeze`, `/operator/alerts/{alert}/acknowledge`: an operator decides. It only decides: a
//! released payment is made by who can sign.

use duxnet_edge::{Context, monitoring, serve, tokens};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let operator = tokens::operator(call).await?;
        let context = Context::open().await?;
        monitoring::decide(call, &context, &operator.name).await
    })
    .await
}
