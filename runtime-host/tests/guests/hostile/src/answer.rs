//! Answers that no component should give.

use spin_sdk::http::IntoResponse as _;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Response};
use spin_sdk::wasip3::http_compat::BodyWriter;
use spin_sdk::wasip3::wit_bindgen::StreamResult;

/// What `query` says: `status=101`, `header=NAME:VALUE`, `endless`, or
/// `length=N`, of which the body has five.
pub fn odd(query: &str) -> Result<Response, ErrorCode> {
    let (what, value) = query.split_once('=').unwrap_or((query, ""));
    match what {
        "status" => {
            let (response, _body) = with_body(Fields::new());
            match response.set_status_code(super::size(value) as u16) {
                Ok(()) => {
                    spin_sdk::wasip3::spawn(finish(_body, b"hello"));
                    Ok(response)
                }
                Err(()) => "refused".to_owned().into_response(),
            }
        }
        "header" => {
            let pair = value
                .replace("%0D", "\r")
                .replace("%0A", "\n")
                .replace("%20", " ");
            let (name, value) = pair.split_once(':').unwrap_or((&pair, ""));
            let fields = Fields::new();
            match fields.append(name, value.as_bytes()) {
                Ok(()) => {
                    let (response, body) = with_body(fields);
                    spin_sdk::wasip3::spawn(finish(body, b"hello"));
                    Ok(response)
                }
                Err(e) => format!("refused: {e:?}").into_response(),
            }
        }
        "large-header" => {
            let fields = Fields::new();
            match fields.append("x", &vec![b'x'; super::size(value)]) {
                Ok(()) => {
                    let (response, body) = with_body(fields);
                    spin_sdk::wasip3::spawn(finish(body, b"hello"));
                    Ok(response)
                }
                Err(e) => format!("refused: {e:?}").into_response(),
            }
        }
        "length" => {
            let fields = Fields::new();
            if let Err(e) = fields.append("content-length", value.as_bytes()) {
                return format!("refused: {e:?}").into_response();
            }
            let (response, body) = with_body(fields);
            spin_sdk::wasip3::spawn(finish(body, b"hello"));
            Ok(response)
        }
        "endless" => {
            let (response, mut body) = with_body(Fields::new());
            spin_sdk::wasip3::spawn(async move {
                loop {
                    let (result, _) = body.stream_writer.write(vec![b'x'; 64 << 10]).await;
                    if !matches!(result, StreamResult::Complete(_)) {
                        break;
                    }
                }
            });
            Ok(response)
        }
        other => format!("unknown: {other}").into_response(),
    }
}

fn with_body(fields: Fields) -> (Response, BodyWriter) {
    let (writer, stream, result) = BodyWriter::new();
    let (response, _) = Response::new(fields, Some(stream), result);
    (response, writer)
}

async fn finish(mut body: BodyWriter, text: &[u8]) {
    let _ = body.stream_writer.write_all(text.to_vec()).await;
    drop(body.stream_writer);
    let _ = body.result_writer.write(Ok(None)).await;
}
