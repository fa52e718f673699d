//! `GET /nodes`: the registered nodes; `GET /nodes/{node_id}`: one of them;
//! `GET /nodes/{node_id}/health`: how well it is, and why; `GET /capabilities`: how many nodes can
//! do what.

use duxnet_api::nodes::{DirectoryQuery, parse_statistics_query};
use duxnet_api::problem::Problem;
use duxnet_api::request::expect_no_query;
use duxnet_edge::{Context, registry, render, serve};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| match call.route() {
        "/nodes/:node_id" => {
            let node_id = call.node_id()?;
            expect_no_query(call.query())?;
            let known = Context::open().await?.store.node(&node_id).await?;
            let node = known.ok_or_else(|| Problem::node_not_found(&node_id))?;
            Ok(render::node(&node))
        }
        "/nodes/:node_id/health" => {
            let node_id = call.node_id()?;
            expect_no_query(call.query())?;
            let context = Context::open().await?;
            let (node, assessment) = context
                .on_registry(async |registry| registry.health(&node_id).await)
                .await?;
            Ok(registry::health(&node, &assessment))
        }
        "/capabilities" => {
            let (limit, after) = parse_statistics_query(call.query())?;
            let store = Context::open().await?.store;
            let counts = store.capability_counts(after.as_deref(), limit + 1).await?;
            Ok(registry::statistics(&counts, limit))
        }
        _ => {
            let query = DirectoryQuery::parse(call.query())?;
            let limit = query.page.limit;
            let store = Context::open().await?.store;
            let nodes = store.nodes(&registry::filter(query), limit + 1).await?;
            Ok(render::directory(&nodes, limit))
        }
    })
    .await
}
