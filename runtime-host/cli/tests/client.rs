//! The program as its users run it, against a server that answers by script.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod server;

use duxnet_api::signing::{self, PublicKey, SigningString, rotation_string};
use duxnet_units::{Network, NodeId};
use serde_json::{Value, json};
use server::{Asked, Reaction, Server};
use std::path::PathBuf;
use std::process::{Command, Output};

const ADDRESS: &str = "miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE";
/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// A user with a folder and a key of node_001.
struct User {
    folder: tempfile::TempDir,
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl User {
    fn new() -> User {
        let user = User {
            folder: tempfile::tempdir().unwrap(),
        };
        assert_eq!(
            user.run(NOWHERE, &["keygen", "--node-id", "node_001"]).code,
            0
        );
        user
    }

    fn key_path(&self) -> PathBuf {
        self.folder.path().join("duxnet/key.json")
    }

    fn key_file(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.key_path()).unwrap()).unwrap()
    }

    fn public(&self) -> PublicKey {
        PublicKey::parse(self.key_file()["public_key"].as_str().unwrap()).unwrap()
    }

    fn run(&self, url: &str, args: &[&str]) -> Ran {
        self.run_with(url, args, &[])
    }

    fn run_with(&self, url: &str, args: &[&str], environment: &[(&str, &str)]) -> Ran {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_duxwallet"))
            .args(args)
            .env_clear()
            .env("XDG_CONFIG_HOME", self.folder.path())
            .env("DUXWALLET_URL", url)
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let ran = Ran {
            code: status.code().unwrap(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        };
        if self.key_path().exists() {
            let secret = self.key_file()["secret_key"].as_str().unwrap().to_owned();
            assert!(!format!("{}{}", ran.out, ran.err).contains(&secret));
        }
        ran
    }

    /// Checks a request's signature as the service does, and gives its nonce.
    fn check(&self, asked: &Asked, key: &PublicKey, network: Network) -> String {
        let header = |name| asked.header(name).unwrap();
        let timestamp: i64 = header(signing::TIMESTAMP_HEADER).parse().unwrap();
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        signing::check_timestamp(timestamp, i64::try_from(now).unwrap()).unwrap();
        let nonce = header(signing::NONCE_HEADER);
        assert!(signing::is_nonce(nonce));
        assert_eq!(header(signing::NODE_ID_HEADER), "node_001");
        let text = SigningString {
            network,
            method: &asked.method,
            target: &asked.target,
            node_id: &NodeId::parse("node_001").unwrap(),
            timestamp,
            nonce,
            content: &asked.body,
        }
        .to_string();
        assert!(key.verifies(&text, header(signing::SIGNATURE_HEADER)));
        nonce.to_owned()
    }

    fn check_signed(&self, asked: &Asked) -> String {
        self.check(asked, &self.public(), Network::Regtest)
    }
}

fn ok(body: impl Into<String>) -> Reaction {
    Reaction::Answer(200, "", body.into())
}

fn problem(status: u16, code: &str, retryable: bool) -> Reaction {
    let body = json!({"success": false, "message": "No luck", "code": code, "detail": "why", "retryable": retryable});
    Reaction::Answer(status, "", body.to_string())
}

fn sent(status: &str) -> String {
    format!(
        r#"{{"success":true,"txid":"ab12","amount":12.50000001,"recipient":"{ADDRESS}","transaction":{{"status":"{status}","created_at":"2024-01-01T00:00:00Z"}},"fee":0.001,"payment_id":"p1","state":"broadcast"}}"#
    )
}

const SEND: [&str; 4] = ["wallet", "send", ADDRESS, "12.50000001"];

#[test]
fn a_payment_is_signed_carries_a_key_and_exact_money() {
    let user = User::new();
    let server = Server::start([ok(sent("pending"))]);
    let ran = user.run(&server.url, &SEND);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(
        ran.out
            .contains("sent     12.50000001 FLOP\nfee      0.001 FLOP"),
        "{}",
        ran.out
    );
    let asked = server.asked_once();
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("POST", "/wallet/node_001/send")
    );
    user.check_signed(&asked);
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert_eq!(asked.header("idempotency-key").unwrap().len(), 32);
    assert_eq!(
        asked.json(),
        json!({"recipient_address": ADDRESS, "amount": "12.50000001"})
    );
    let fields =
        duxnet_api::request::Fields::parse(&asked.body, &duxnet_api::request::Send::FIELDS);
    assert!(fields.is_ok());
}

#[test]
fn a_repeat_keeps_the_key_and_is_signed_anew() {
    let user = User::new();
    let server = Server::start([
        Reaction::Drop,
        problem(503, "coins_busy", true),
        Reaction::Answer(202, "", sent("pending")),
        ok(sent("pending")),
    ]);
    let ran = user.run(
        &server.url,
        &[&SEND[..], &["--idempotency-key", "invoice-4711"]].concat(),
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    let mut nonces: Vec<String> = asked.iter().map(|asked| user.check_signed(asked)).collect();
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 4);
    for asked in &asked {
        assert_eq!(asked.header("idempotency-key"), Some("invoice-4711"));
        assert_eq!(asked.body, server_body(ADDRESS).as_bytes());
    }
    assert_eq!(
        ran.err
            .lines()
            .filter(|line| line.starts_with("note: "))
            .count(),
        3
    );
}

fn server_body(address: &str) -> String {
    json!({"recipient_address": address, "amount": "12.50000001"}).to_string()
}

#[test]
fn a_generated_key_is_kept_over_repeats_and_printed_on_failure() {
    let user = User::new();
    let server = Server::start([Reaction::Drop, problem(409, "in_progress", true)]);
    let ran = user.run(&server.url, &[&SEND[..], &["--retries", "1"]].concat());
    assert_eq!(ran.code, 4);
    let asked = server.asked();
    let key = asked[0].header("idempotency-key").unwrap();
    assert_eq!(asked[1].header("idempotency-key"), Some(key));
    assert!(
        ran.err.contains(&format!("--idempotency-key {key}")),
        "{}",
        ran.err
    );
}

#[test]
fn exit_codes_say_what_is_known() {
    let user = User::new();
    let refused = |reaction: Reaction, code: i32, text: &str| {
        let server = Server::start([reaction]);
        let ran = user.run(&server.url, &[&SEND[..], &["--retries", "0"]].concat());
        assert_eq!(ran.code, code, "{text}: {}", ran.err);
        assert!(ran.err.contains(text), "{}", ran.err);
        assert_eq!(ran.out, "");
    };
    refused(
        problem(422, "insufficient_balance", false),
        1,
        "error: No luck (why) [insufficient_balance]\n",
    );
    refused(
        problem(401, "authentication_failed", false),
        1,
        "hint: is the node registered",
    );
    refused(
        problem(429, "rate_limit_exceeded", true),
        1,
        "[rate_limit_exceeded]",
    );
    refused(
        problem(503, "chain_unreachable", true),
        1,
        "[chain_unreachable]",
    );
    refused(
        problem(503, "database_unavailable", true),
        4,
        "the outcome is not known",
    );
    refused(
        Reaction::Answer(202, "", sent("pending")),
        4,
        "(payment p1, txid ab12)",
    );
    refused(
        Reaction::Answer(
            202,
            "",
            r#"{"success":true,"payment_id":"p1","state":"held","status":"pending"}"#.into(),
        ),
        4,
        "waits for an operator (payment p1)",
    );
    refused(Reaction::Answer(502, "", "<html>".into()), 4, "HTTP 502");
    refused(
        Reaction::Answer(307, "location: http://127.0.0.1:9/\r\n", String::new()),
        1,
        "HTTP 307",
    );
    refused(Reaction::Drop, 4, "the outcome is not known");
    // The last attempt certainly came to nothing; the one before may not have.
    let server = Server::start([Reaction::Drop]);
    let ran = user.run(&server.url, &[&SEND[..], &["--retries", "1"]].concat());
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("cannot reach"));
    let ran = user.run(NOWHERE, &[&SEND[..], &["--retries", "1"]].concat());
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert_eq!(user.run(NOWHERE, &["health"]).code, 3);
    let silent = Server::start([Reaction::Silence]);
    let ran = user.run(
        &silent.url,
        &[&SEND[..], &["--retries", "0", "--timeout", "1"]].concat(),
    );
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("timed out"));
}

#[test]
fn what_is_wrong_here_is_never_sent() {
    let user = User::new();
    for args in [
        &["wallet", "send", "nobody", "1"][..],
        &["wallet", "send", "F8VkJuyUpyobPHaakwtcqJFYTUmUfxeWUZ", "1"],
        &["wallet", "send", ADDRESS, "0"],
        &["wallet", "send", ADDRESS, "0.000000001"],
        &["wallet", "history", "--limit", "101"],
        &["wallet", "history", "--type", "gift"],
        &["node", "show", "a/b"],
        &["--url", "http://x/y", "health"],
        &["--key", "/nonexistent/key.json", "wallet", "balance"],
        &["nonsense"],
        &[],
    ] {
        let ran = user.run(NOWHERE, args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
        assert_eq!(ran.out, "");
    }
}

#[test]
fn json_is_printed_as_it_came() {
    let user = User::new();
    let body = r#"{"balance": 90071992.54740993,  "x":[1]}"#;
    let server = Server::start([ok(body)]);
    let ran = user.run(&server.url, &["--json", "wallet", "balance"]);
    assert_eq!((ran.code, ran.out), (0, format!("{body}\n")));
    user.check_signed(&server.asked_once());
    let server = Server::start([problem(404, "wallet_not_found", false)]);
    let ran = user.run(&server.url, &["wallet", "balance", "--json"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("\"code\":\"wallet_not_found\""));
    assert!(ran.err.starts_with("error: No luck"));
}

#[test]
fn the_balance_is_exact_and_aligned() {
    let user = User::new();
    let body = r#"{"balance":90071992.54740993,"available":90071992.54740993,"confirmed":1.5,"pending":0.0,"reserved":0.00000001,"currency":"FLOP"}"#;
    let server = Server::start([ok(body)]);
    let ran = user.run(&server.url, &["wallet", "balance"]);
    assert_eq!(
        ran.out,
        "available  90071992.54740993 FLOP\nconfirmed                1.5 FLOP\npending                  0.0 FLOP\nreserved          0.00000001 FLOP\n"
    );
}

#[test]
fn history_follows_the_pages_with_a_signature_for_each() {
    let user = User::new();
    let page = |txid: &str, next: Value| {
        ok(json!({"transactions": [{"txid": txid, "amount": 1, "status": "pending"}], "next_cursor": next}).to_string())
    };
    let server = Server::start([page("t1", json!("c1")), page("t2", Value::Null)]);
    let ran = user.run(
        &server.url,
        &[
            "wallet",
            "history",
            "--all",
            "--limit",
            "1",
            "--since",
            "2024-01-01",
            "--type",
            "send",
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("t1") && ran.out.contains("t2"));
    let asked = server.asked();
    assert_eq!(
        asked[1].target,
        "/wallet/node_001/transactions?type=send&since=2024-01-01T00%3A00%3A00Z&limit=1&cursor=c1"
    );
    assert_ne!(user.check_signed(&asked[0]), user.check_signed(&asked[1]));
    let server = Server::start([page("t1", json!("c1"))]);
    let ran = user.run(&server.url, &["wallet", "history"]);
    assert_eq!(ran.err, "note: there is more: --cursor c1, or --all\n");
    assert_eq!(server.asked_once().target, "/wallet/node_001/transactions");
}

#[test]
fn waiting_ends_with_the_confirmation_or_the_failure() {
    let user = User::new();
    let row = |status: &str| {
        ok(json!({"transactions": [{"payment_id": "p1", "status": status, "block_height": 7}], "next_cursor": null}).to_string())
    };
    let wait = [&SEND[..], &["--wait"]].concat();
    let server = Server::start([
        ok(sent("pending")),
        Reaction::Drop,
        row("pending"),
        row("confirmed"),
    ]);
    let ran = user.run(&server.url, &wait);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.ends_with("status  confirmed\nblock   7\n"),
        "{}",
        ran.out
    );
    let server = Server::start([ok(sent("pending")), row("failed")]);
    let ran = user.run(&server.url, &wait);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("payment p1 failed"));
    let server = Server::start([ok(sent("pending")), row("pending")]);
    let ran = user.run(&server.url, &[&wait[..], &["--wait-timeout", "0"]].concat());
    assert_eq!(ran.code, 4);
}

#[test]
fn a_node_registers_with_what_it_can_do() {
    let user = User::new();
    let server = Server::start([Reaction::Answer(
        201,
        "",
        json!({"message": "Node node_001 registered", "node": {"node_id": "node_001", "capabilities": ["compute"]}}).to_string(),
    )]);
    let ran = user.run(
        &server.url,
        &[
            "node",
            "register",
            "--address",
            "h:1",
            "--capability",
            "compute",
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("Node node_001 registered\n"));
    let asked = server.asked_once();
    user.check_signed(&asked);
    assert!(asked.header("idempotency-key").is_some());
    assert_eq!(
        asked.json(),
        json!({"node_id": "node_001", "public_key": user.key_file()["public_key"], "address": "h:1", "capabilities": ["compute"]})
    );
}

#[test]
fn a_rotation_is_signed_by_both_keys_each_time() {
    let user = User::new();
    let new_path = user.folder.path().join("new.json");
    let server = Server::start([
        Reaction::Drop,
        ok(json!({"message": "m", "node": {}}).to_string()),
    ]);
    let ran = user.run(
        &server.url,
        &["node", "rotate", "--new-key", new_path.to_str().unwrap()],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let new: Value = serde_json::from_slice(&std::fs::read(&new_path).unwrap()).unwrap();
    let new_public = PublicKey::parse(new["public_key"].as_str().unwrap()).unwrap();
    for asked in server.asked() {
        user.check(&asked, &new_public, Network::Regtest);
        let timestamp = asked
            .header(signing::TIMESTAMP_HEADER)
            .unwrap()
            .parse()
            .unwrap();
        let text = rotation_string(
            Network::Regtest,
            &NodeId::parse("node_001").unwrap(),
            &user.public(),
            &new_public,
            timestamp,
        );
        let body = asked.json();
        assert_eq!(body["public_key"], new["public_key"]);
        assert!(
            user.public()
                .verifies(&text, body["rotation_signature"].as_str().unwrap())
        );
    }
}

#[test]
fn the_network_is_signed() {
    let user = User::new();
    for (name, network) in [("main", Network::Main), ("test", Network::Test)] {
        let server = Server::start([ok("{}")]);
        let ran = user.run_with(
            &server.url,
            &["wallet", "info"],
            &[("DUXWALLET_NETWORK", name)],
        );
        assert_eq!(ran.code, 0);
        user.check(&server.asked_once(), &user.public(), network);
    }
}

#[test]
fn health_is_read_when_degraded_too() {
    let user = User::new();
    let body = json!({"status": "degraded", "service": "wallet", "version": "1.0.0", "checks": {
        "config": {"status": "ok", "latency_ms": 0}, "database": {"status": "ok", "latency_ms": 1},
        "chain": {"status": "failed", "latency_ms": 3000, "detail": "not usable"}}});
    let server = Server::start([Reaction::Answer(503, "", body.to_string())]);
    let ran = user.run(&server.url, &["health"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("chain     failed, 3000 ms, not usable"),
        "{}",
        ran.out
    );
    assert!(server.asked_once().header("x-node-id").is_none());
}

#[test]
fn the_faucet_pays_the_own_wallet_an_exact_amount() {
    let user = User::new();
    let service = Server::start([ok(json!({"address": ADDRESS}).to_string())]);
    let node = Server::start([ok(
        r#"{"result":{"txid":"ab"},"error":null,"id":"duxwallet"}"#,
    )]);
    let rpc_url = node.url.replace("http://", "http://us:pw@");
    let rpc = [("DUXWALLET_RPC_URL", rpc_url.as_str())];
    let ran = user.run_with(
        &service.url,
        &["devnet", "faucet", "90071992.54740993"],
        &rpc,
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let asked = node.asked_once();
    assert_eq!(asked.header("authorization"), Some("Basic dXM6cHc="));
    assert!(
        asked
            .text()
            .contains(&format!("[\"{ADDRESS}\",90071992.54740993]")),
        "{}",
        asked.text()
    );

    let node = Server::start([Reaction::Answer(
        500,
        "",
        r#"{"result":null,"error":{"code":-6,"message":"too few"},"id":1}"#.into(),
    )]);
    let ran = user.run(
        NOWHERE,
        &[
            "devnet",
            "mine",
            "--rpc-url",
            &node.url.replace("//", "//u:p@"),
        ],
    );
    assert_eq!((ran.code, ran.err.as_str()), (1, "error: too few [-6]\n"));
    assert!(
        node.asked_once()
            .text()
            .contains("\"devnet_mine\",\"params\":[1]")
    );
}

#[test]
fn signed_headers_and_the_curl_command_verify() {
    let user = User::new();
    let args = [
        "sign",
        "POST",
        "/wallet/node_001/send?x=1",
        "--body",
        "{\"it's\":1}",
    ];
    let ran = user.run(NOWHERE, &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let header = |name: &str| {
        let line = ran
            .out
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap().to_owned()
    };
    assert_eq!(ran.out.lines().count(), 4);
    let text = SigningString {
        network: Network::Regtest,
        method: "POST",
        target: "/wallet/node_001/send?x=1",
        node_id: &NodeId::parse(&header("X-Node-Id")).unwrap(),
        timestamp: header("X-Auth-Timestamp").parse().unwrap(),
        nonce: &header("X-Auth-Nonce"),
        content: b"{\"it's\":1}",
    };
    assert!(
        user.public()
            .verifies(&text.to_string(), &header("X-Auth-Signature"))
    );
    let ran = user.run(NOWHERE, &[&args[..], &["--curl"]].concat());
    assert!(ran.out.starts_with(
        "curl -sS -X POST 'http://127.0.0.1:9/wallet/node_001/send?x=1' -H 'X-Node-Id: node_001' "
    ));
    assert!(
        ran.out.ends_with("--data-raw '{\"it'\\''s\":1}'\n"),
        "{}",
        ran.out
    );
}

#[cfg(unix)]
#[test]
fn the_key_file_is_private_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let user = User::new();
    let path = user.key_path();
    let mode = |path: &PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.parent().unwrap().to_path_buf()), 0o700);
    let before = user.key_file();
    let ran = user.run(NOWHERE, &["keygen"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("exists"));
    assert_eq!(user.key_file(), before);
    assert_eq!(user.run(NOWHERE, &["keygen", "--force"]).code, 0);
    assert_ne!(user.key_file(), before);
    let kept = std::fs::read(path.with_extension("json.old1")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), before);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = user.run(NOWHERE, &["wallet", "balance"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("mode 0644") && ran.err.contains("chmod 600"),
        "{}",
        ran.err
    );
}

#[test]
fn a_heartbeat_says_what_is_given_and_nothing_else() {
    let user = User::new();
    let server = Server::start([ok(
        r#"{"success":true,"node":{"status":"online","health":87},"stale_after_seconds":90}"#,
    )]);
    let ran = user.run(
        &server.url,
        &["node", "heartbeat", "--load", "0.427", "--uptime", "60"],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("online") && ran.out.contains("90 s"));
    let asked = server.asked_once();
    user.check_signed(&asked);
    assert_eq!(asked.target, "/nodes/node_001/heartbeat");
    assert_eq!(asked.json(), json!({"load": "0.427", "uptime_seconds": 60}));
}

#[test]
fn capabilities_are_shown_and_changed_by_method() {
    let user = User::new();
    let body = r#"{"success":true,"node_id":"node_001","capabilities":["gpu","wallet"]}"#;
    for (arguments, method, target, sent) in [
        (vec!["node_002"], "GET", "/nodes/node_002/capabilities", ""),
        (vec![], "GET", "/nodes/node_001/capabilities", ""),
        (
            vec!["--add", "gpu", "--add", "a.b"],
            "POST",
            "/nodes/node_001/capabilities",
            r#"{"capabilities":["gpu","a.b"]}"#,
        ),
        (
            vec!["--set", "gpu"],
            "PUT",
            "/nodes/node_001/capabilities",
            r#"{"capabilities":["gpu"]}"#,
        ),
        (
            vec!["--clear"],
            "PUT",
            "/nodes/node_001/capabilities",
            r#"{"capabilities":[]}"#,
        ),
        (
            vec!["--remove", "gpu", "--remove", "a:b"],
            "DELETE",
            "/nodes/node_001/capabilities?capabilities=gpu%2Ca%3Ab",
            "",
        ),
    ] {
        let server = Server::start([ok(body)]);
        let ran = user.run(
            &server.url,
            &[&["node", "capabilities"], arguments.as_slice()].concat(),
        );
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (0, "gpu\nwallet\n"),
            "{}",
            ran.err
        );
        let asked = server.asked_once();
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str()),
            (method, target)
        );
        assert_eq!(String::from_utf8_lossy(&asked.body), sent);
        if method != "GET" {
            user.check_signed(&asked);
        }
    }
    for bad in [
        vec!["--add", "gpu", "--remove", "x"],
        vec!["node_002", "--add", "gpu"],
        vec!["--add", "GPU"],
    ] {
        let ran = user.run(
            NOWHERE,
            &[&["node", "capabilities"], bad.as_slice()].concat(),
        );
        assert_eq!(ran.code, 2, "{bad:?}");
    }
}

#[test]
fn leaving_pays_out_under_one_key_and_says_how_to_go_on() {
    let user = User::new();
    let leave = ["node", "deregister", "--send-to", ADDRESS];
    let server = Server::start([ok(format!(
        r#"{{"success":true,"message":"Node node_001 is deregistered","node_id":"node_001","status":"deregistered","payment":{{"payment_id":"p1","txid":"ab12","amount":99.99808,"fee":0.00192,"recipient":"{ADDRESS}"}}}}"#
    ))]);
    let ran = user.run(&server.url, &leave);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("Node node_001 is deregistered\n"));
    assert!(ran.out.contains("99.99808 FLOP") && ran.out.contains("ab12"));
    let asked = server.asked_once();
    user.check_signed(&asked);
    assert_eq!(asked.json(), json!({"send_to": ADDRESS}));
    // The payment is made, the node still there.
    let outstanding =
        r#"{"success":true,"payment":{"payment_id":"p1","txid":"ab12","state":"signed"}}"#;
    let server = Server::start([Reaction::Answer(202, "", outstanding.into())]);
    let ran = user.run(
        &server.url,
        &[leave.as_slice(), &["--retries", "0"]].concat(),
    );
    assert_eq!(ran.code, 4);
    assert!(
        ran.err.contains("(payment p1, txid ab12) [signed]"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("--idempotency-key"));
    // Nothing is sent for an address of another network.
    let ran = user.run(NOWHERE, &["node", "deregister", "--send-to", "FLOPnowhere"]);
    assert_eq!(ran.code, 2);
}

#[test]
fn health_and_reputation_are_shown_with_their_reasons() {
    let user = User::new();
    let server = Server::start([ok(
        r#"{"node_id":"node_002","status":"stale","health":85,"factors":[{"factor":"heartbeat","weight":30,"value":50,"detail":"last heartbeat 195 s ago"}]}"#,
    )]);
    let ran = user.run(&server.url, &["node", "health", "node_002"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("85") && ran.out.contains("last heartbeat 195 s ago"));
    assert_eq!(server.asked_once().target, "/nodes/node_002/health");
    let server = Server::start([ok(
        r#"{"node_id":"node_001","reputation":40,"events":[{"type":"task_timeout","delta":-10,"applied":-10,"reason":"task 7","actor":"alice","created_at":"2024-01-01T00:00:00Z"}],"next_cursor":"abc"}"#,
    )]);
    let ran = user.run(&server.url, &["node", "reputation", "--limit", "1"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.contains("40") && ran.out.contains("task_timeout") && ran.out.contains("task 7")
    );
    assert!(ran.err.contains("--cursor abc"));
    assert_eq!(
        server.asked_once().target,
        "/nodes/node_001/reputation?limit=1"
    );
}

#[test]
fn a_list_is_filtered_as_asked() {
    let user = User::new();
    let server = Server::start([ok(
        r#"{"nodes":[{"node_id":"node_002","status":"online","health":90,"reputation":55,"address":null,"capabilities":["gpu"]}],"next_cursor":null}"#,
    )]);
    let ran = user.run(
        &server.url,
        &[
            "node",
            "list",
            "--capability",
            "gpu",
            "--capability",
            "tape",
            "--any",
            "--status",
            "online",
            "--min-health",
            "80",
            "--min-reputation",
            "50",
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("node_002") && ran.out.contains("90"));
    assert_eq!(
        server.asked_once().target,
        "/nodes?capabilities=gpu%2Ctape&match=any&status=online&min_health=80&min_reputation=50"
    );
}

#[test]
fn recipients_are_shown_and_changed() {
    let user = User::new();
    let policy = format!(
        r#"{{"success":true,"whitelist_only":true,"allow":["{ADDRESS}"],"deny":[],"pending":[{{"change":"end_of_whitelist_only","at":"2024-05-02T10:00:00Z"}}]}}"#
    );
    for (args, body) in [
        (vec!["show"], String::new()),
        (
            vec!["allow", ADDRESS],
            format!(r#"{{"allow":["{ADDRESS}"]}}"#),
        ),
        (
            vec!["deny", ADDRESS],
            format!(r#"{{"deny":["{ADDRESS}"]}}"#),
        ),
        (
            vec!["remove", ADDRESS],
            format!(r#"{{"remove":["{ADDRESS}"]}}"#),
        ),
        (
            vec!["whitelist-only", "off"],
            r#"{"whitelist_only":false}"#.to_owned(),
        ),
    ] {
        let server = Server::start([ok(policy.clone())]);
        let ran = user.run(
            &server.url,
            &[&["wallet", "recipients"], &args[..]].concat(),
        );
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        assert!(ran.out.contains(ADDRESS), "{}", ran.out);
        assert!(ran.out.contains("end_of_whitelist_only"), "{}", ran.out);
        let asked = server.asked_once();
        assert_eq!(asked.target, "/wallet/node_001/recipients");
        assert_eq!(asked.body, body.as_bytes(), "{args:?}");
        user.check_signed(&asked);
    }
    let ran = user.run(NOWHERE, &["wallet", "recipients", "deny", "nowhere"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
}

const WEBHOOK: &str = r#"{"success":true,"node_id":"node_001","webhook":{"id":"wh_1","url":"https://example.com/h","event_types":["payment.*"],"enabled":true,"disabled_reason":null,"disabled_at":null,"public_key":"whpk_abc","key_version":1,"failing_since":null,"created_at":"2024-01-01T00:00:00Z","updated_at":"2024-01-01T00:00:00Z"}}"#;

#[test]
fn a_webhook_is_made_with_its_filter_and_its_key_is_shown() {
    let user = User::new();
    let server = Server::start([Reaction::Answer(201, "", WEBHOOK.into())]);
    let ran = user.run(
        &server.url,
        &[
            "webhook",
            "create",
            "https://example.com/h",
            "--event",
            "payment.*",
            "--idempotency-key",
            "hook-1",
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("whpk_abc"), "{}", ran.out);
    let asked = server.asked_once();
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("POST", "/wallet/node_001/webhooks")
    );
    assert_eq!(asked.header("idempotency-key"), Some("hook-1"));
    assert_eq!(
        asked.json(),
        json!({"url": "https://example.com/h", "event_types": ["payment.*"]})
    );
}

#[test]
fn webhook_commands_use_the_method_and_path_that_they_name() {
    let user = User::new();
    for (args, method, path, body) in [
        (&["list"][..], "GET", "", None),
        (
            &["pause", "wh_1"],
            "PATCH",
            "/wh_1",
            Some(json!({"enabled": false})),
        ),
        (
            &["resume", "wh_1"],
            "PATCH",
            "/wh_1",
            Some(json!({"enabled": true})),
        ),
        (&["delete", "wh_1"], "DELETE", "/wh_1", None),
        (&["test", "wh_1"], "POST", "/wh_1/test", None),
        (&["rotate", "wh_1"], "POST", "/wh_1/rotate", None),
        (
            &["replay", "wh_1", "--from", "7"],
            "POST",
            "/wh_1/replay",
            Some(json!({"from_sequence": 7})),
        ),
    ] {
        let server = Server::start([Reaction::Answer(200, "", WEBHOOK.into())]);
        let ran = user.run(&server.url, &[&["webhook"], args].concat());
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        let asked = server.asked_once();
        assert_eq!(asked.method, method, "{args:?}");
        assert_eq!(asked.target, format!("/wallet/node_001/webhooks{path}"));
        let sent = (!asked.body.is_empty()).then(|| asked.json());
        assert_eq!(sent, body, "{args:?}");
        let signed = SigningString {
            network: Network::Regtest,
            method,
            target: &asked.target,
            node_id: &NodeId::parse("node_001").unwrap(),
            timestamp: asked.header("x-auth-timestamp").unwrap().parse().unwrap(),
            nonce: asked.header("x-auth-nonce").unwrap(),
            content: &asked.body,
        };
        let signature = asked.header("x-auth-signature").unwrap();
        assert!(
            user.public().verifies(&signed.to_string(), signature),
            "{args:?}"
        );
    }
    // What is no id does not become a part of the path.
    for bad in ["wh_1/test", "..", ""] {
        assert_eq!(
            user.run(NOWHERE, &["webhook", "delete", bad]).code,
            2,
            "{bad}"
        );
    }
}

#[test]
fn events_are_read_to_the_newest_one_and_shown() {
    let user = User::new();
    let event = |sequence: i64| {
        json!({"type": "receive.seen", "timestamp": "2024-01-01T00:00:00Z",
            "data": {"amount": "5", "sequence": sequence}})
    };
    let page = |events: &[Value], next: i64| {
        let body =
            json!({"success": true, "node_id": "node_001", "events": events, "next_after": next});
        Reaction::Answer(200, "", body.to_string())
    };
    let script = || {
        [
            page(&[event(4), event(5)], 5),
            page(&[event(6)], 6),
            page(&[], 6),
        ]
    };
    let server = Server::start(script());
    let ran = user.run(&server.url, &["events", "--after", "3"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
    assert!(ran.out.contains("receive.seen"), "{}", ran.out);
    let targets: Vec<String> = server.asked().into_iter().map(|one| one.target).collect();
    let target = |after| format!("/wallet/node_001/events?after={after}&wait=0&limit=100");
    assert_eq!(targets, [target(3), target(5), target(6)]);

    let server = Server::start(script());
    let ran = user.run(&server.url, &["--json", "events", "--after", "3"]);
    let lines: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines, [event(4), event(5), event(6)]);

    // Following ends with the service.
    let server = Server::start([page(&[], 3), page(&[event(4)], 4)]);
    let ran = user.run(&server.url, &["events", "--after", "3", "--follow"]);
    assert_ne!(ran.code, 0);
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.out);
    assert!(server.asked()[0].target.contains("wait=20"));
}
