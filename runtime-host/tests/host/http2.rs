//! HTTP/2.

use std::io::{Read as _, Write as _};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;

use crate::process::Application;
use crate::tls_client::{Keys, http2, request, secure, stream, trusting, whole};
use crate::upstream::{Next, Upstream, respond};

type Sender = SendRequest<Full<Bytes>>;

async fn send(sender: &mut Sender, method: &str, path: &str, body: &str) -> (u16, String) {
    sender.ready().await.unwrap();
    let response = sender.send_request(request(method, path, body));
    whole(response.await.unwrap()).await
}

async fn get(sender: &mut Sender, path: &str) -> (u16, String) {
    send(sender, "GET", path, "").await
}

/// Waits until the server has ended the connection.
async fn closed(sender: &Sender) {
    let started = Instant::now();
    while !sender.is_closed() {
        assert!(started.elapsed() < Duration::from_secs(60), "it stays open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_share_a_connection() {
    let keys = Keys::new();
    let app = Application::probe("");
    keys.write(&app);
    let host = secure(&app, &[]);
    let mut sender = http2(host.address, &keys).await;
    let (status, body) = get(&mut sender, "/headers?q=1").await;
    assert_eq!(status, 200);
    let url = "spin-full-url: https://localhost/headers?q=1";
    assert!(body.lines().any(|line| line == url), "{body}");

    let all = (0..50).map(|number| {
        let mut sender = sender.clone();
        async move {
            let text = format!("number {number} ").repeat(number);
            assert_eq!(send(&mut sender, "POST", "/echo", &text).await, (200, text));
        }
    });
    futures::future::join_all(all).await;
    assert_eq!(get(&mut sender, "/.well-known/spin/health").await.1, "OK");
}

#[test]
fn the_bounds_are_announced() {
    let keys = Keys::new();
    let app = Application::probe("");
    keys.write(&app);
    let host = secure(&app, &["--max-http2-streams", "7"]);
    let mut stream = stream(host.address, &trusting(&[&keys], &[b"h2"])).unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    // The first frame is its settings: length, type 4, flags, stream 0.
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[3..], [4, 0, 0, 0, 0, 0]);
    let mut settings = vec![0; usize::from(head[2])];
    stream.read_exact(&mut settings).unwrap();
    let setting = |id: u8| {
        settings
            .chunks(6)
            .find(|setting| setting[..2] == [0, id])
            .map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()))
    };
    assert_eq!(setting(3), Some(7), "MAX_CONCURRENT_STREAMS");
    assert_eq!(setting(6), Some(16 * 1024), "MAX_HEADER_LIST_SIZE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_or_too_slow_is_refused() {
    let keys = Keys::new();
    let app = Application::probe("");
    keys.write(&app);
    let host = secure(
        &app,
        &["--max-request-body", "1000", "--body-timeout", "100ms"],
    );
    let mut sender = http2(host.address, &keys).await;
    let (status, body) = send(&mut sender, "POST", "/echo", &"x".repeat(1001)).await;
    assert_eq!(status, 413);
    assert!(body.contains(r#""code":"payload_too_large""#), "{body}");

    let mut long = request("GET", "/count", "");
    long.headers_mut()
        .insert("x", "y".repeat(20_000).parse().unwrap());
    sender.ready().await.unwrap();
    assert_eq!(sender.send_request(long).await.unwrap().status(), 431);

    let mut many = request("GET", "/count", "");
    for number in 0..101 {
        let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
        many.headers_mut().insert(name, "y".parse().unwrap());
    }
    sender.ready().await.unwrap();
    let (status, body) = whole(sender.send_request(many).await.unwrap()).await;
    assert_eq!(status, 431);
    assert!(body.contains(r#""code":"headers_too_large""#), "{body}");

    // A body that never ends.
    let slow = http2_with_endless_body(host.address, &keys).await;
    assert_eq!(slow, 408);
    let mut sender = http2(host.address, &keys).await;
    assert_eq!(get(&mut sender, "/count").await.0, 200);
}

async fn http2_with_endless_body(address: std::net::SocketAddr, keys: &Keys) -> u16 {
    use futures::StreamExt as _;
    let first = futures::stream::iter([Ok::<_, std::convert::Infallible>(http_body::Frame::data(
        Bytes::from_static(b"ab"),
    ))]);
    let body = http_body_util::StreamBody::new(first.chain(futures::stream::pending()));
    let mut sender = crate::tls_client::http2_of(address, keys).await;
    let request = http::Request::post("https://localhost/echo")
        .body(body)
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status().as_u16();
    let _ = answer.into_body().collect().await;
    status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_closed() {
    let keys = Keys::new();
    let app = Application::probe("");
    keys.write(&app);
    let host = secure(&app, &["--head-timeout", "200ms"]);
    let mut sender = http2(host.address, &keys).await;
    assert_eq!(get(&mut sender, "/count").await.0, 200);
    closed(&sender).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_flight_are_answered_before_the_end() {
    let keys = Keys::new();
    let (release, released) = channel();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::start(move |_, stream| {
        let _ = released.lock().unwrap().recv();
        respond(stream, "200 OK", "late");
        Next::KeepAlive
    });
    let app = Application::probe("allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n");
    keys.write(&app);
    let mut host = secure(&app, &[]);
    let mut sender = http2(host.address, &keys).await;
    let what = format!("GET http://{}/", upstream.address);
    let in_flight = sender.send_request(request("POST", "/fetch", &what));
    let in_flight = tokio::spawn(in_flight);
    let upstream = tokio::task::spawn_blocking(move || {
        upstream.next_request();
        upstream
    });
    let _upstream = upstream.await.unwrap();
    host.signal("TERM");
    host.logged("stopping");
    // GOAWAY: soon nothing new is begun on this connection.
    let started = Instant::now();
    while sender
        .send_request(request("GET", "/count", ""))
        .await
        .is_ok()
    {
        assert!(started.elapsed() < Duration::from_secs(60));
    }
    release.send(()).unwrap();
    let answer = in_flight.await.unwrap().unwrap();
    assert_eq!(whole(answer).await, (200, "200 late".to_owned()));
    assert_eq!(host.ended().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_requests_count_until_they_end() {
    let keys = Keys::new();
    let (release, released) = channel();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::start(move |_, stream| {
        let _ = released.lock().unwrap().recv();
        respond(stream, "200 OK", "late");
        Next::Close
    });
    let app = Application::probe("allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n");
    keys.write(&app);
    let host = secure(&app, &["--max-http2-streams", "2"]);
    let mut sender = http2(host.address, &keys).await;
    let what = format!("GET http://{}/", upstream.address);
    let upstream = std::sync::Arc::new(std::sync::Mutex::new(upstream));
    for _ in 0..2 {
        sender.ready().await.unwrap();
        let cancelled = tokio::spawn(sender.send_request(request("POST", "/fetch", &what)));
        let upstream = std::sync::Arc::clone(&upstream);
        tokio::task::spawn_blocking(move || upstream.lock().unwrap().next_request())
            .await
            .unwrap();
        cancelled.abort();
        assert!(cancelled.await.is_err());
    }
    let (status, body) = get(&mut sender, "/count").await;
    assert_eq!(status, 503, "{body}");
    let mut other = http2(host.address, &keys).await;
    assert_eq!(get(&mut other, "/count").await.0, 200, "others do not care");
    for _ in 0..2 {
        release.send(()).unwrap();
    }
    let started = Instant::now();
    while get(&mut sender, "/count").await.0 != 200 {
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}
