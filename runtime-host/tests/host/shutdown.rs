//! Stopping.

use std::sync::mpsc::channel;

use crate::process::Application;
use crate::upstream::{Next, Upstream, respond};

/// A server that holds each answer back until it is released.
fn held() -> (Upstream, std::sync::mpsc::Sender<()>) {
    let (release, released) = channel();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::start(move |_, stream| {
        let _ = released.lock().unwrap().recv();
        respond(stream, "200 OK", "late");
        Next::KeepAlive
    });
    (upstream, release)
}

#[test]
fn requests_in_flight_are_answered_before_the_end() {
    for signal in ["TERM", "INT"] {
        let (upstream, release) = held();
        let app = Application::probe("allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n");
        let mut host = app.start(&[]);
        let address = host.address;
        let what = format!("GET http://{}/", upstream.address);
        let in_flight =
            std::thread::spawn(move || crate::client::request(address, "POST", "/fetch", &what));
        upstream.next_request();
        host.signal(signal);
        host.logged("stopping");
        // Nobody else is let in.
        while std::net::TcpStream::connect(address).is_ok() {
            std::thread::yield_now();
        }
        release.send(()).unwrap();
        let answer = in_flight.join().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "200 late"));
        assert_eq!(host.ended().code(), Some(0));
    }
}

#[test]
fn idle_connections_do_not_keep_it() {
    let app = Application::probe("");
    let mut host = app.start(&[]);
    let mut client = crate::client::Client::connect(host.address);
    client.write(crate::client::head("GET", "/count", "").as_bytes());
    assert_eq!(client.read().status, 200);
    host.signal("TERM");
    assert_eq!(host.ended().code(), Some(0));
}

#[test]
fn a_second_signal_and_the_timeout_end_it_at_once() {
    for arguments in [&["--shutdown-timeout", "100ms"][..], &[]] {
        let (upstream, _release) = held();
        let app = Application::probe("allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n");
        let mut host = app.start(arguments);
        let address = host.address;
        let what = format!("GET http://{}/", upstream.address);
        let in_flight = std::thread::spawn(move || {
            let mut client = crate::client::Client::connect(address);
            client.write(crate::client::head("POST", "/fetch", &what).as_bytes());
            client.try_read().is_none()
        });
        upstream.next_request();
        host.signal("TERM");
        host.logged("stopping");
        if arguments.is_empty() {
            host.signal("TERM");
        }
        assert_eq!(host.ended().code(), Some(0));
        assert!(in_flight.join().unwrap(), "its connection was closed");
    }
}
