//! `GET /wallet/{node_id}/transactions`: a wallet's history, and `.../transactions/{id}`: one of it.

use duxnet_api::request::{HistoryQuery, expect_no_query};
use duxnet_edge::{Context, render, serve};
use duxnet_store::HistoryFilter;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        if let Some(id) = call.transaction()? {
            expect_no_query(call.query())?;
            let context = Context::open().await?;
            let wallet = context.own_wallet(call).await?;
            let found = context.service().transaction(&wallet, &id).await?;
            return Ok(render::transaction_found(&wallet, &found));
        }
        let query = HistoryQuery::parse(call.query())?;
        let context = Context::open().await?;
        let wallet = context.own_wallet(call).await?;
        let filter = HistoryFilter {
            before_id: query.page.after,
            transaction_type: query.transaction_type,
            status: query.status,
            since: query.since,
            until: query.until,
        };
        let page = context
            .service()
            .history(&wallet, &filter, query.page.limit)
            .await?;
        Ok(render::history(&wallet, &page))
    })
    .await
}
