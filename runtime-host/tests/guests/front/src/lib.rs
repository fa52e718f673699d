//! Hands each request to its dependency.

mod bindings {
    spin_sdk::wit_bindgen::generate!({
        path: "../wit",
        world: "front",
        runtime_path: "spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

use bindings::test::dependency::{api, greeting};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let path = request.uri().path().to_owned();
    let argument = request.uri().query().unwrap_or_default().to_owned();
    match path.rsplit('/').next().unwrap_or_default() {
        "variable" => api::variable(argument).await,
        "fetch" => api::fetch(argument).await,
        "database" => api::database(argument).await,
        "environment" => api::environment(&argument),
        "greet" => greeting::greet().await,
        // What the component itself may do.
        "own-variable" => match spin_sdk::variables::get(&argument).await {
            Ok(value) => value,
            Err(e) => format!("error: {e:?}"),
        },
        other => format!("unknown: {other}"),
    }
}
