//! TLS towards clients, and its keys.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::client::{self, head};
use crate::process::Application;
use crate::tls_client::{Keys, connect, get, secure, trusting};

fn probe(keys: &Keys) -> Application {
    let app = Application::probe("");
    keys.write(&app);
    app
}

#[test]
fn requests_come_over_tls_and_components_see_it() {
    let keys = Keys::new();
    let app = probe(&keys);
    let host = secure(&app, &[]);
    let line = format!("Serving https://{}", host.address);
    assert_eq!(host.stdout_lines()[0], line);
    host.printed(&format!("  probe: https://{}/...", host.address));

    let config = trusting(&[&keys], &[]);
    let mut client = connect(host.address, &config).unwrap();
    for count in ["1", "2"] {
        client.write(head("GET", "/count", "").as_bytes());
        assert_eq!(client.read().body, count, "on one connection");
    }
    let body = get(host.address, &config, "/headers/x?q=1").unwrap().body;
    let url = "spin-full-url: https://localhost/headers/x?q=1";
    assert!(body.lines().any(|line| line == url), "{body}");

    // Who is not sure of the server asks nothing, and without TLS there is no
    // answer.
    let other = trusting(&[&Keys::new()], &[]);
    assert!(get(host.address, &other, "/count").is_err());
    let mut plain = client::Client::connect(host.address);
    plain.write(head("GET", "/count", "").as_bytes());
    assert!(plain.try_read().is_none());
    assert_eq!(get(host.address, &config, "/count").unwrap().body, "4");
}

#[test]
fn keys_that_do_not_fit_are_told_in_one_line() {
    let keys = Keys::new();
    let app = probe(&keys);
    let other = Keys::new().key;
    app.write("other.pem", &other);
    app.write("empty.pem", "");
    let path = |name: &str| app.path().join(name).display().to_string();
    for (certificate, key, told) in [
        ("none.pem", "key.pem", "--tls-cert: cannot read "),
        ("cert.pem", "none.pem", "--tls-key: cannot read "),
        (
            "empty.pem",
            "key.pem",
            "--tls-cert: there is no certificate",
        ),
        ("key.pem", "key.pem", "--tls-cert: there is no certificate"),
        ("cert.pem", "cert.pem", "--tls-key: there is no private key"),
        ("cert.pem", "other.pem", "is not the key of"),
    ] {
        let arguments = ["--tls-cert", &path(certificate), "--tls-key", &path(key)];
        let (lines, code) = app.refused(&arguments);
        assert_eq!((lines.len(), code), (1, 2), "{lines:#?}");
        assert!(lines[0].contains(told), "{told} in {lines:#?}");
    }
    let (lines, code) = app.refused(&["--tls-cert", &path("cert.pem")]);
    assert_eq!((lines.len(), code), (1, 2), "{lines:#?}");
}

#[test]
fn spins_variables_name_the_keys_and_self_is_warned_of() {
    let keys = Keys::new();
    let app = Application::probe("allowed_outbound_hosts = [\"http://self\"]\n");
    keys.write(&app);
    let host = crate::process::Host::start(
        app.command()
            .env("SPIN_TLS_CERT", app.path().join("cert.pem"))
            .env("SPIN_TLS_KEY", app.path().join("key.pem")),
    );
    let config = trusting(&[&keys], &[]);
    assert_eq!(get(host.address, &config, "/count").unwrap().body, "1");
    let line = host.logged("http://self");
    assert!(line.contains("component.probe"), "{line}");
}

#[test]
fn keys_are_renewed_under_load_without_a_failed_request() {
    let (old, new) = (Keys::new(), Keys::new());
    let app = probe(&old);
    // A look every year: only the signal counts.
    let host = secure(&app, &["--tls-reload-interval", "8760h"]);
    let (only_old, only_new) = (trusting(&[&old], &[]), trusting(&[&new], &[]));
    let both = trusting(&[&old, &new], &[]);
    let mut kept = connect(host.address, &only_old).unwrap();

    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let answer = get(host.address, &both, "/count").expect("an answer");
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let load = || {
            let before = answered.load(Ordering::Relaxed);
            while answered.load(Ordering::Relaxed) < before + 10 {
                std::thread::yield_now();
            }
        };
        load();
        new.write(&app);
        host.signal("HUP");
        host.logged("new connections get the key that was read now");
        load();
        assert!(get(host.address, &only_old, "/count").is_err());
        assert_eq!(get(host.address, &only_new, "/count").unwrap().status, 200);

        app.write("key.pem", &old.key);
        host.signal("HUP");
        let line = host.logged("the old key stays");
        assert!(line.contains("is not the key of"), "{line}");
        load();
        assert_eq!(get(host.address, &only_new, "/count").unwrap().status, 200);
        stop.store(true, Ordering::Relaxed);
    });
    kept.write(head("GET", "/count", "").as_bytes());
    assert_eq!(kept.read().status, 200, "what was connected still is");
}

#[test]
fn keys_are_renewed_when_their_files_change() {
    let (old, new) = (Keys::new(), Keys::new());
    let app = probe(&old);
    let host = secure(&app, &["--tls-reload-interval", "50ms"]);
    std::fs::remove_file(app.path().join("cert.pem")).unwrap();
    host.logged("the old key stays: --tls-cert: cannot read");
    assert!(get(host.address, &trusting(&[&old], &[]), "/count").is_ok());
    new.write(&app);
    host.logged("new connections get the key that was read now");
    assert!(get(host.address, &trusting(&[&new], &[]), "/count").is_ok());
}

#[test]
fn slow_clients_are_let_go_over_tls_too() {
    let keys = Keys::new();
    let app = probe(&keys);
    let host = secure(
        &app,
        &[
            "--tls-handshake-timeout",
            "200ms",
            "--head-timeout",
            "300ms",
            "--body-timeout",
            "100ms",
        ],
    );
    let started = Instant::now();
    let mut silent = client::tcp(host.address);
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0, "it is closed");

    let config = trusting(&[&keys], &[]);
    let mut idle = connect(host.address, &config).unwrap();
    idle.write(b"GET /count HT");
    assert_eq!(idle.read().status, 408);
    let mut slow = connect(host.address, &config).unwrap();
    slow.write(b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nab");
    assert_eq!(slow.read().status, 408);
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(get(host.address, &config, "/count").unwrap().status, 200);
}
