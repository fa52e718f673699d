//! `GET /peers`: the peers, for operators; `GET /peers/nodes`: what they report of their nodes, for
//! anyone; `GET /peers/balances`: what they report of balances, for operators.

use duxnet_api::peers::{parse_peers_query, parse_reports_query};
use duxnet_edge::{Context, peer_pages, serve, tokens};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| match call.path() {
        "/peers/nodes" => {
            let (page, origin) = parse_reports_query(call.query())?;
            let store = Context::open().await?.store;
            let rows = store.reported_nodes(page.after, origin.as_ref(), page.limit + 1);
            Ok(peer_pages::nodes(&rows.await?, page.limit))
        }
        "/peers/balances" => {
            tokens::operator(call).await?;
            let (page, origin) = parse_reports_query(call.query())?;
            let store = Context::open().await?.store;
            let rows = store.reported_balances(page.after, origin.as_ref(), page.limit + 1);
            Ok(peer_pages::balances(&rows.await?, page.limit))
        }
        _ => {
            tokens::operator(call).await?;
            let page = parse_peers_query(call.query())?;
            let store = Context::open().await?.store;
            let rows = store.peers(page.after, page.limit + 1).await?;
            Ok(peer_pages::peers(&rows, page.limit))
        }
    })
    .await
}
