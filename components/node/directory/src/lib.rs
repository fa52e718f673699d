//! `GET /nodes`: the registered nodes; GET /nodes/{node_id}: one of them.

use duxnet_api::problem::Problem;
use duxnet_api::request::{expect_no_query, parse_directory_query};
use duxnet_edge::{Context, render, serve};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        if call.path_parameter().is_some() {
            let node_id = call.node_id()?;
            expect_no_query(call.query())?;
            let context = Context::open().await?;
            let node = context
                .store
                .node(&node_id)
                .await?
                .ok_or_else(|| Problem::node_not_found(&node_id))?;
            return Ok(render::node(&node));
        }
        let (page, capability) = parse_directory_query(call.query())?;
        let context = Context::open().await?;
        let nodes = context
            .store
            .nodes(page.after, capability.as_ref(), page.limit + 1)
            .await?;
        Ok(render::directory(&nodes, page.limit))
    })
    .await
}
