//! What an instance may take, and that others go on meanwhile.

use std::time::{Duration, Instant};

use crate::client::{self, Client};
use crate::process::{Application, Host};
use crate::upstream::Upstream;

/// Asks `path`, and somebody else again and again until the answer is there.
fn beside(host: &Host, path: &str) -> (u16, String) {
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| host.get(path));
        while !asked.is_finished() {
            assert_eq!(host.get("/count").status, 200, "others are answered");
        }
        let answer = asked.join().unwrap();
        (answer.status, answer.body)
    })
}

#[test]
fn a_guest_that_hangs_spins_or_waits_is_stopped() {
    // Answers nobody.
    let upstream = Upstream::silent();
    let app = Application::hostile("allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n");
    let host = app.start(&["--request-timeout", "1s"]);
    for path in ["/spin", "/hang"] {
        let (status, body) = beside(&host, path);
        // A guest that waits for nothing at all is found out earlier.
        assert!(
            status == 504 || (path == "/hang" && status == 500),
            "{path}: {body}"
        );
    }
    let url = format!("http://{}/", upstream.address);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| host.post("/parallel?1", &url).status);
        while !asked.is_finished() {
            assert_eq!(host.get("/count").status, 200, "others are answered");
        }
        assert_eq!(asked.join().unwrap(), 504);
    });
}

#[test]
fn the_deadline_is_told_with_its_flag_and_the_id() {
    let app = Application::hostile("");
    let host = app.start(&["--request-timeout", "1s"]);
    let (status, body) = beside(&host, "/spin");
    assert_eq!(status, 504);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let id = body["id"].as_str().unwrap();
    host.logged(&format!(
        "no answer within 1s; see --request-timeout component=\"hostile\" id={id}"
    ));
}

#[test]
fn a_trap_is_told_under_its_id_and_costs_only_its_instance() {
    let app = Application::probe("");
    let host = app.start(&["--threads", "1"]);
    assert_eq!(host.get("/count").body, "1");
    let answer = host.get("/trap");
    assert_eq!(answer.status, 500);
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let id = body["id"].as_str().unwrap();
    assert_eq!(body["code"], "internal");
    host.logged(id);
    host.logged("the instance was stopped");
    host.logged("wasm `unreachable` instruction executed");
    assert_eq!(host.get("/count").body, "1", "a fresh instance");
}

#[test]
fn after_its_answer_a_guest_has_only_so_much_time() {
    let upstream = Upstream::silent();
    let app = Application::hostile("allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n");
    for path in [
        "/answer-and-spin".to_owned(),
        format!("/answer-and-wait?http://{}/", upstream.address),
    ] {
        let host = app.start(&["--request-timeout", "1s"]);
        let answer = host.get(&path);
        // What it answers may not get out before it spins.
        assert!(
            (answer.status == 200 && answer.body == "answered")
                || (answer.status == 504 && path == "/answer-and-spin"),
            "{path}: {answer:?}"
        );
        assert_eq!(host.get("/count").status, 200, "others do not notice");
        let line = host.logged("an instance took too long and was stopped");
        assert!(line.contains("--request-timeout"), "{line}");
        let started = Instant::now();
        while host.get("/fine").status != 200 {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "it is answered again"
            );
        }
    }
}

#[test]
fn instances_are_bounded_and_the_queue_too() {
    let app = Application::hostile("");
    let host = app.start(&[
        "--max-instances",
        "2",
        "--queue-timeout",
        "100ms",
        "--request-timeout",
        "3s",
    ]);
    std::thread::scope(|scope| {
        let spinning: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| host.get("/spin").status))
            .collect();
        let started = Instant::now();
        let refused = loop {
            let answer = host.get("/fine");
            if answer.status == 503 {
                break answer;
            }
            assert!(started.elapsed() < Duration::from_secs(60));
        };
        assert!(
            refused.body.contains(r#""code":"busy""#),
            "{}",
            refused.body
        );
        assert_eq!(refused.headers["retry-after"], "1");
        let line = host.logged("see --max-instances");
        assert!(
            line.contains("--queue-timeout") && line.contains("hostile"),
            "{line}"
        );
        assert_eq!(
            host.get("/count").status,
            200,
            "another component has its own"
        );
        for status in spinning {
            assert_eq!(status.join().unwrap(), 504);
        }
    });
    assert_eq!(host.get("/fine").status, 200);
}

#[test]
fn requests_that_come_at_once_and_only_compute_share_few_instances() {
    let app = Application::probe("");
    let host = app.start(&["--threads", "1"]);
    let mut clients: Vec<_> = (0..64).map(|_| Client::connect(host.address)).collect();
    let mut instances = 0;
    for _ in 0..5 {
        for client in &mut clients {
            client.write(client::head("GET", "/count", "").as_bytes());
        }
        let answers = clients.iter_mut().map(Client::read);
        instances += answers.filter(|answer| answer.body == "1").count();
    }
    assert!(instances < 16, "{instances}");
}

#[test]
fn requests_that_wait_do_not_keep_others_from_being_begun() {
    const AT_ONCE: usize = 32;
    let upstream = Upstream::silent();
    let app = Application::hostile("allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n");
    let host = app.start(&["--threads", "1", "--request-timeout", "10s"]);
    let url = format!("http://{}/", upstream.address);
    let mut clients: Vec<_> = (0..AT_ONCE)
        .map(|_| Client::connect(host.address))
        .collect();
    for client in &mut clients {
        client.write(client::head("POST", "/parallel?1", &url).as_bytes());
    }
    for _ in 0..AT_ONCE {
        upstream.next_request();
    }
    assert_eq!(host.get("/fine").status, 200);
}

#[test]
fn memory_is_bounded_and_the_flag_told() {
    let app = Application::probe("");
    let host = app.start(&["--max-instance-memory", "16"]);
    assert_eq!(host.get("/grow?32").status, 500);
    let line = host.logged("see --max-instance-memory");
    assert!(line.contains("probe"), "{line}");
    assert_eq!(host.get("/grow?4").status, 200);
}

#[test]
fn tables_cannot_be_filled_without_end() {
    let app = Application::hostile("");
    let host = app.start(&["--max-instance-resources", "500"]);
    for kind in ["fields", "options", "streams"] {
        assert_eq!(host.get(&format!("/hold?{kind}=100")).body, "100", "{kind}");
        let (status, body) = beside(&host, &format!("/hold?{kind}=1000000"));
        assert_eq!(status, 500, "{kind}: {body}");
        let (status, _) = beside(&host, &format!("/hold?{kind}=100"));
        assert_eq!(status, 200, "a fresh instance may again");
    }
    let line = host.logged("see --max-instance-resources");
    assert!(line.contains("hostile"), "{line}");
    let told = |line: &&String| line.contains("see --max-instance-resources");
    let started = Instant::now();
    while host.log_lines().iter().filter(told).count() < 3 {
        assert!(started.elapsed() < Duration::from_secs(60), "each time");
    }
}

#[test]
fn one_call_cannot_hand_over_everything() {
    let app = Application::hostile("");
    let host = app.start(&["--max-host-call", "1000000"]);
    assert_eq!(
        host.get("/call?500000").body,
        "refused",
        "there is no such variable"
    );
    let (status, _) = beside(&host, "/call?2000000");
    assert_eq!(status, 500);
    host.logged("see --max-host-call");
}

#[test]
fn printing_is_bounded_for_each_request() {
    let app = Application::hostile("");
    let host = app.start(&["--max-output", "1000"]);
    for _ in 0..2 {
        let (status, body) = beside(&host, "/print?100000");
        assert_eq!((status, body.as_str()), (200, "printed"));
    }
    host.logged("see --max-output");
    // Its line comes after everything that was printed.
    assert_eq!(host.get("/hang").status, 500);
    host.logged("the component gave no answer");
    let zeros = "0".repeat(90);
    let lines = host.log_lines();
    let printed = lines.iter().filter(|line| line.contains(&zeros));
    assert_eq!(printed.count(), 20, "of both requests the first 1000 bytes");
}

#[test]
fn headers_of_a_component_are_bounded() {
    let upstream = Upstream::answering("ok");
    let app = Application::hostile("allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n");
    let host = app.start(&["--max-component-headers", "10000"]);
    let authority = upstream.address.to_string();
    assert_eq!(host.post("/large-header?9000", &authority).body, "200");
    let refused = host.post("/large-header?11000", &authority).body;
    assert!(
        refused.starts_with("refused: HeaderError::SizeExceeded"),
        "{refused}"
    );
    assert_eq!(upstream.requests(), 1);
    let answer = host.get("/answer?large-header=9000");
    assert_eq!((answer.status, answer.headers["x"].len()), (200, 9000));
    let answer = host.get("/answer?large-header=11000");
    assert!(
        answer
            .body
            .starts_with("refused: HeaderError::SizeExceeded"),
        "{answer:?}"
    );
}
