//! `POST /internal/tracker/tick`: one run of the background work, and
//! `POST /internal/tracker/resume-sends`: an operator has looked at what stopped payments. Both want
//! the operator's token.

use duxnet_api::request::expect_no_query;
use duxnet_edge::{Context, chain::ChainNode, render, serve, tokens};
use duxnet_wallet::tracker::TrackerPolicy;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

const RESUME: &str = "/internal/tracker/resume-sends";

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        tokens::scheduler(call).await?;
        expect_no_query(call.query())?;
        let context = Context::open().await?;
        if call.path() == RESUME {
            return Ok(render::resumed(context.store.resume_sends().await?));
        }
        let rules = TrackerPolicy {
            watchdog_interval: context.settings.watchdog_interval,
            watchdog_max_drift: context.settings.watchdog_max_drift,
            backup_interval: context.settings.backup_interval,
        };
        let ledger = context.service().tick(&ChainNode, &rules).await;
        // Without a chain node the registry goes on.
        let registry = context
            .on_registry(async |registry| Ok(registry.tick().await))
            .await?;
        for trouble in &registry.troubles {
            eprintln!("registry: {trouble}");
        }
        let report = ledger?;
        for trouble in &report.troubles {
            eprintln!("tracker: {trouble}");
        }
        Ok(render::ticked(&report))
    })
    .await
}
