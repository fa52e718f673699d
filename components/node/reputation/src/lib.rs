//! `/nodes/{node_id}/reputation`: GET shows how far a node is trusted, and why; POST is an
//! operator's, who says what a node did.

use duxnet_api::nodes::{Judge, parse_page};
use duxnet_edge::{Context, registry, serve, tokens};
use duxnet_registry::reputation::{judge, reputation};
use duxnet_store::Judgement;
use duxnet_wallet::Clock as _;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let node = call.node_id()?;
        if call.method == "GET" {
            let page = parse_page(call.query())?;
            let context = Context::open().await?;
            let (node, events) =
                reputation(&context.store, &node, page.after, page.limit + 1).await?;
            return Ok(registry::reputation(&node, &events, page.limit));
        }
        let operator = tokens::operator(call).await?;
        let fields = call.fields(&Judge::FIELDS)?;
        let wanted = Judge::parse(&fields, &node, call.idempotency_key())?;
        let context = Context::open().await?;
        let judgement = Judgement {
            request_hash: wanted.hash(&node),
            node_id: node,
            conduct: wanted.conduct,
            reason: wanted.reason,
            operator: operator.name,
            idempotency_key: wanted.idempotency_key,
            at: context.clock.now(),
        };
        Ok(registry::judged(&judge(&context.store, &judgement).await?))
    })
    .await
}
