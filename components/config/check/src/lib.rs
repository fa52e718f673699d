//! The start-up check: a host that knows it calls this private route once before it serves, and
//! shows every fault of the settings at once. Settings without a fault are compared with the chain
//! node's wallet. Answers 200 with warnings, or 503 with faults.

use duxnet_edge::encryption::{self, Finding};
use duxnet_edge::{Answer, serve, settings};
use serde::Serialize;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[derive(Serialize)]
struct Report {
    faults: Vec<String>,
    warnings: Vec<String>,
}

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |_call| {
        let report = report().await;
        let status = if report.faults.is_empty() { 200 } else { 503 };
        Ok(Answer::status(status, &report))
    })
    .await
}

async fn report() -> Report {
    let (mut faults, mut warnings) = settings::check().await;
    if let Ok(settings) = settings::load().await
        && faults.is_empty()
    {
        match encryption::check(settings.wallet_encryption).await {
            Finding::AsSet => {}
            Finding::Fault(line) => faults.push(line),
            Finding::Unknown(line) => warnings.push(line),
        }
    }
    Report { faults, warnings }
}
