//! A restart that nobody notices.

use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::client::{self, Client, head};
use crate::process::{Application, Host, refused};
use crate::upstream::{Next, Upstream, respond};

fn socket(app: &Application) -> PathBuf {
    app.path().join("handover")
}

fn start(app: &Application, arguments: &[&str]) -> Host {
    Host::start(
        app.command()
            .arg("--handover")
            .arg(socket(app))
            .args(arguments),
    )
}

/// Requests on connections of their own, and on one that is kept as long as the
/// host keeps it.
fn load(address: std::net::SocketAddr, stop: &AtomicBool, answered: &AtomicUsize) {
    let mut kept: Option<Client> = None;
    while !stop.load(Ordering::Relaxed) {
        let answer = client::request(address, "GET", "/count", "");
        assert_eq!(answer.status, 200, "{}", answer.body);

        let mut connection = kept.take().unwrap_or_else(|| Client::connect(address));
        connection.write(head("GET", "/count", "").as_bytes());
        let answer = connection.read();
        assert_eq!(answer.status, 200, "{}", answer.body);
        if answer
            .headers
            .get("connection")
            .is_none_or(|c| c != "close")
        {
            kept = Some(connection);
        }
        answered.fetch_add(2, Ordering::Relaxed);
    }
}

#[test]
fn restarts_under_load_refuse_no_connection_and_lose_no_request() {
    let (release, released) = std::sync::mpsc::channel();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::start(move |_, stream| {
        let _ = released.lock().unwrap().recv();
        respond(stream, "200 OK", "late");
        Next::Close
    });
    let app = Application::probe("allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n");
    let mut host = start(&app, &[]);
    let address = host.address;
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| load(address, &stop, &answered)))
            .collect();
        for _ in 0..3 {
            let what = format!("GET http://{}/", upstream.address);
            let in_flight = scope.spawn(move || client::request(address, "POST", "/fetch", &what));
            upstream.next_request();

            let next = start(&app, &[]);
            assert_eq!(next.address, address);
            host.logged("stopping");
            let before = answered.load(Ordering::Relaxed);
            while answered.load(Ordering::Relaxed) < before + 20
                && !clients.iter().any(|client| client.is_finished())
            {
                std::thread::yield_now();
            }
            release.send(()).unwrap();
            let answer = in_flight.join().unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (200, "200 late"));
            assert_eq!(host.ended().code(), Some(0));
            host = next;
        }
        stop.store(true, Ordering::Relaxed);
    });

    // Whoever ends without a successor leaves nothing behind.
    host.signal("TERM");
    assert_eq!(host.ended().code(), Some(0));
    assert!(!socket(&app).exists());
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(start(&app, &[]).get("/count").status, 200);
}

#[test]
fn a_connection_that_is_idle_brings_one_more_request() {
    let app = Application::probe("");
    let mut first = start(&app, &[]);
    let mut idle = Client::connect(first.address);
    idle.write(head("GET", "/count", "").as_bytes());
    assert_eq!(idle.read().status, 200);
    let second = start(&app, &[]);
    first.logged("stopping");
    idle.write(head("GET", "/count", "").as_bytes());
    let answer = idle.read();
    assert_eq!(answer.body, "2", "it is the first that answers");
    assert_eq!(answer.headers["connection"], "close");
    assert!(idle.try_read().is_none());
    assert_eq!(first.ended().code(), Some(0));
    assert_eq!(second.get("/count").body, "1");
}

#[test]
fn a_successor_that_does_not_start_changes_nothing() {
    let app = Application::probe("");
    let host = start(&app, &[]);
    let broken = Application::new(
        r#"
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [component.probe]
        source = "@probe@"
        dependencies = { "some:thing/else" = { path = "none.wasm" } }
        "#,
    );
    let (lines, code) = refused(broken.command().arg("--handover").arg(socket(&app)));
    assert_eq!(code, 2, "{lines:#?}");
    host.logged("another process starts in the place of this one");
    host.logged("the socket was not handed over");
    assert_eq!(host.get("/count").status, 200);
    assert_eq!(host.get("/.well-known/runtime-host/ready").status, 200);

    // Once more, and this time it does.
    let next = start(&app, &[]);
    assert_eq!(next.address, host.address);
    host.logged("stopping");
}

#[test]
fn what_cannot_be_handed_over_is_told() {
    let app = Application::probe("");
    let host = start(&app, &[]);
    let command = |listen: &str, path: &PathBuf| {
        let mut command = app.command();
        command.args(["--handover".as_ref(), path.as_os_str()]);
        // The last one counts.
        let arguments: Vec<_> = command
            .get_args()
            .map(|argument| match argument.to_str() {
                Some("127.0.0.1:0") => listen.into(),
                _ => argument.to_owned(),
            })
            .collect();
        let mut command = std::process::Command::new(command.get_program());
        command.args(arguments);
        command
    };
    // Without the same file a port is taken, however it was opened.
    let here = host.address.to_string();
    let (lines, code) = refused(&mut command(&here, &app.path().join("other")));
    assert_eq!(code, 2);
    assert!(lines[0].contains("is already in use"), "{lines:#?}");

    let (lines, code) = refused(&mut command("127.0.0.1:1", &socket(&app)));
    assert_eq!((lines.len(), code), (1, 2));
    assert!(lines[0].contains(&here), "{lines:#?}");

    let file = app.write("file", "kept");
    let (lines, code) = refused(&mut command("127.0.0.1:0", &file));
    assert_eq!((lines.len(), code), (1, 2), "{lines:#?}");
    assert!(lines[0].contains("not a socket"), "{lines:#?}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "kept");
    assert_eq!(host.get("/count").status, 200);
}

#[test]
fn the_socket_is_the_users_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let app = Application::probe("");
    let _host = start(&app, &[]);
    let mode = std::fs::metadata(socket(&app))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
