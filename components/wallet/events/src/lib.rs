//! `GET /wallet/{node_id}/events`: what happened to a wallet, as it happens. A stream for whoever
//! accepts one, else an answer that waits.

use duxnet_api::webhooks::EventsQuery;
use duxnet_edge::{Context, stream};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    stream::serve(request, async |call| {
        let context = Context::open().await?;
        let wallet = context.own_wallet(call).await?;
        let query = EventsQuery::parse(call.query(), call.header("last-event-id"))?;
        if stream::is_wanted(call) {
            return Ok(stream::events(context, &wallet, query.after).await?);
        }
        Ok(stream::wait(&context, &wallet, &query).await?)
    })
    .await
}
