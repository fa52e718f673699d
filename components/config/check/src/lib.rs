//! The start-up check: a host that knows it calls this private route once before it serves, and
//! shows every fault of the settings at once. Answers 200 with warnings, or 503 with faults.

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
    serve(request, "GET", async |_call| {
        let (faults, warnings) = settings::check().await;
        let status = if faults.is_empty() { 200 } else { 503 };
        let report = Report { faults, warnings };
        Ok(Answer::status(status, &report))
    })
    .await
}
