//! `POST /p2p/messages`: takes what other registries say.

use duxnet_api::request::expect_no_query;
use duxnet_edge::{Context, peer_pages, peers, serve};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let settings = peers::required_settings().await?;
        expect_no_query(call.query())?;
        let context = Context::open().await?;
        let taken = context.receive_message(call, &settings).await?;
        Ok(peer_pages::taken(taken))
    })
    .await
}
