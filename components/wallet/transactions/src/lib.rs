//! `GET /wallet/{node_id}/transactions`: a wallet's history.

use duxnet_api::request::HistoryQuery;
use duxnet_edge::{Context, chain::ChainReader, render, serve};
use duxnet_store::HistoryFilter;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, "GET", async |call| {
        let query = HistoryQuery::parse(call.query())?;
        let context = Context::open().await?;
        let wallet = context.own_wallet(&call).await?;
        let filter = HistoryFilter {
            before_id: query.page.after,
            transaction_type: query.transaction_type,
            status: query.status,
            since: query.since,
            until: query.until,
        };
        let log = |error: &_| eprintln!("history without the chain node: {error}");
        let page = context
            .service()
            .history(&ChainReader, &wallet, &filter, query.page.limit, log)
            .await?;
        Ok(render::history(&wallet, &page))
    })
    .await
}
