//! A component that takes what it can get.

mod answer;
mod greed;
mod outside;
mod send;
mod transaction;

use http_body_util::BodyExt as _;
use spin_sdk::http::{IntoResponse as _, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types;

#[http_service]
async fn handle(request: Request) -> Result<types::Response, types::ErrorCode> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    match path.split('/').nth(1).unwrap_or_default() {
        "fine" => "fine".to_owned(),
        // Without reading its body.
        "unread" => "unread".to_owned(),
        "hang" => std::future::pending().await,
        "spin" => spin(),
        "answer-and-spin" => {
            spin_sdk::wasip3::spawn(async { spin() });
            "answered".to_owned()
        }
        "answer-and-wait" => {
            let url = query.clone();
            spin_sdk::wasip3::spawn(async move { drop(send::get(&url).await) });
            "answered".to_owned()
        }
        "pile" => greed::pile(size(&query)).await,
        "hold" => greed::hold(&query).await,
        "set" => greed::set(size(&query)).await,
        "call" => greed::call(size(&query)).await,
        "print" => greed::print(size(&query)),
        "outside" => outside::everything(&query),
        "file" => outside::file(&query),
        "parallel" => send::parallel(size(&query), &body(request).await).await,
        "impatient" => send::impatient(size(&query), &body(request).await).await,
        "endless-upload" => send::endless(&query).await,
        "large-header" => send::large_header(size(&query), &body(request).await).await,
        "transaction" => transaction::leave(&query, &body(request).await).await,
        "answer" => return answer::odd(&query),
        other => format!("unknown: {other}"),
    }
    .into_response()
}

fn spin() -> ! {
    loop {
        std::hint::black_box(());
    }
}

fn size(text: &str) -> usize {
    text.parse().unwrap_or(0)
}

async fn body(request: Request) -> String {
    match request.into_body().collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(e) => format!("error: {e:?}"),
    }
}
