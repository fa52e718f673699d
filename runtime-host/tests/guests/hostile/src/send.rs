//! Asks others for too much.

use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use spin_sdk::http::EmptyBody;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Method, Request, RequestOptions, Scheme};
use spin_sdk::wasip3::http_compat::{BodyWriter, RequestOptionsExtension};
use spin_sdk::wasip3::wit_bindgen::StreamResult;

/// The answer of `url`.
pub async fn get(url: &str) -> String {
    answer(http::Request::get(url).body(EmptyBody::new())).await
}

async fn answer(request: http::Result<http::Request<EmptyBody>>) -> String {
    let request = match request {
        Ok(request) => request,
        Err(e) => return format!("error: {e:?}"),
    };
    match spin_sdk::http::send(request).await {
        Ok(response) => match response.into_body().collect().await {
            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
            Err(e) => format!("body: {e:?}"),
        },
        Err(e) => format!("error: {e:?}"),
    }
}

/// So many requests for `url` at once.
pub async fn parallel(number: usize, url: &str) -> String {
    let asking = (0..number).map(|_| get(url));
    futures::future::join_all(asking).await.join("\n")
}

/// Asks `url` with all time limits so many milliseconds.
pub async fn impatient(millis: usize, url: &str) -> String {
    let time = Some(Duration::from_millis(millis as u64).as_nanos() as u64);
    let options = RequestOptions::new();
    let set = [
        options.set_connect_timeout(time),
        options.set_first_byte_timeout(time),
        options.set_between_bytes_timeout(time),
    ];
    if let Some(e) = set.into_iter().find_map(Result::err) {
        return format!("error: {e:?}");
    }
    let mut request = http::Request::get(url).body(EmptyBody::new());
    if let Ok(request) = &mut request {
        request
            .extensions_mut()
            .insert(RequestOptionsExtension(options));
    }
    let started = Instant::now();
    let answer = answer(request).await;
    format!("{} {answer}", started.elapsed().as_millis())
}

/// Sends a body without an end to `authority`.
pub async fn endless(authority: &str) -> String {
    let (mut body, stream, result) = BodyWriter::new();
    let (request, _) = Request::new(Fields::new(), Some(stream), result, None);
    let set = [
        request.set_method(&Method::Post),
        request.set_scheme(Some(&Scheme::Http)),
        request.set_authority(Some(authority)),
        request.set_path_with_query(Some("/")),
    ];
    if set.iter().any(Result::is_err) {
        return "refused".to_owned();
    }
    spin_sdk::wasip3::spawn(async move {
        loop {
            let (result, _) = body.stream_writer.write(vec![b'x'; 64 << 10]).await;
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
        }
    });
    match client::send(request).await {
        Ok(response) => response.get_status_code().to_string(),
        Err(e) => format!("error: {e:?}"),
    }
}

/// Sends a header of so many bytes to `authority`.
pub async fn large_header(bytes: usize, authority: &str) -> String {
    let fields = Fields::new();
    if let Err(e) = fields.append("x", &vec![b'x'; bytes]) {
        return format!("refused: {e:?}");
    }
    let sent = async {
        let (mut body, stream, result) = BodyWriter::new();
        let (request, _) = Request::new(fields, Some(stream), result, None);
        let refused = |()| ErrorCode::HttpRequestUriInvalid;
        request.set_scheme(Some(&Scheme::Http)).map_err(refused)?;
        request.set_authority(Some(authority)).map_err(refused)?;
        request.set_path_with_query(Some("/")).map_err(refused)?;
        spin_sdk::wasip3::spawn(async move {
            let _ = body.stream_writer.write_all(Vec::new()).await;
            drop(body.stream_writer);
            let _ = body.result_writer.write(Ok(None)).await;
        });
        client::send(request).await
    };
    match sent.await {
        Ok(response) => response.get_status_code().to_string(),
        Err(e) => format!("error: {e:?}"),
    }
}
