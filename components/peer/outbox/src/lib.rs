//! `POST /internal/peers/run`: one run of what is told to other registries.

use duxnet_api::request::expect_no_query;
use duxnet_edge::peers::{HttpLine, Keyring};
use duxnet_edge::{Context, peer_pages, peers, serve, tokens};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        tokens::scheduler(call).await?;
        expect_no_query(call.query())?;
        let context = Context::open().await?;
        let Some(settings) = peers::settings().await? else {
            context.store.disable_peers().await?;
            return Ok(peer_pages::run(None));
        };
        let report = context.peering(&settings).run(&HttpLine, &Keyring).await?;
        for trouble in &report.troubles {
            eprintln!("peers: {trouble}");
        }
        Ok(peer_pages::run(Some(&report)))
    })
    .await
}
