//! A startup check: the variable `verdict` says what it finds.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(_request: Request) -> impl IntoResponse {
    let verdict = spin_sdk::variables::get("verdict")
        .await
        .unwrap_or_default();
    match verdict.as_str() {
        "good" => (200, r#"{"warnings":["it is only a test"]}"#.to_owned()),
        "text" => (500, "first fault\nsecond fault\n".to_owned()),
        _ => (
            500,
            r#"{"faults":["rpc_host is empty","rpc_port is no port"]}"#.to_owned(),
        ),
    }
    .respond()
}

trait Respond {
    fn respond(self) -> http::Response<String>;
}

impl Respond for (u16, String) {
    fn respond(self) -> http::Response<String> {
        let mut response = http::Response::new(self.1);
        *response.status_mut() = http::StatusCode::from_u16(self.0).expect("a status");
        response
    }
}
