//! The specification's examples as written, against a service with `auth_mode = "off"`. Only the
//! base URL is another.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use tests::{Node, World, root};

const BASE_URL: &str = "http://localhost:8000";

/// A fixture with this host's URL in place of the specification's, in `folder`.
fn example(world: &World, folder: &Path, name: &str) {
    let text = std::fs::read_to_string(root().join("tests/fixtures").join(name)).unwrap();
    assert!(text.contains(BASE_URL), "{name} is for another base URL");
    let text = text.replace(BASE_URL, world.host.url());
    std::fs::write(folder.join(name), text).unwrap();
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command.env("NO_PROXY", "*").env("no_proxy", "*");
    if program == "python3" && !has_requests() {
        command.env("PYTHONPATH", root().join("tests/fixtures"));
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn has_requests() -> bool {
    let output = Command::new("python3")
        .args(["-c", "import requests"])
        .output();
    output.expect("python3 runs").status.success()
}

/// A world whose node_001 is registered, and a folder for the example.
fn prepared(name: &str) -> (World, Node, tempfile::TempDir) {
    let world = World::unsigned();
    let node = world.node("node_001");
    let folder = tempfile::tempdir().unwrap();
    example(&world, folder.path(), name);
    (world, node, folder)
}

fn fund(world: &World, node: &Node) {
    world.chain.faucet(&node.address(), "100.0");
    world.chain.mine(1);
    node.follow();
}

#[test]
fn the_python_client_runs_as_written() {
    let (world, node, folder) = prepared("spec_client.py");
    let printed = run(folder.path(), "python3", &["spec_client.py"]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 3, "{printed}");
    let address = node.address();
    for (line, start, parts) in [
        (
            lines[0],
            "Wallet created: {'success': True, 'message': 'Wallet my_wallet created successfully'",
            vec!["'balance': 0.0", "'wallet_type': 'flopcoin'"],
        ),
        (
            lines[1],
            "Balance: {'success': True, 'node_id': 'node_001', 'wallet_name': 'my_wallet'",
            vec!["'balance': 0.0", "'currency': 'FLOP'", &address],
        ),
        (
            lines[2],
            // The example's recipient is no address of any network.
            "Transaction: {'success': False, 'message': 'Invalid address'",
            vec!["'code': 'invalid_address'", "'status': 422"],
        ),
    ] {
        assert!(line.starts_with(start), "{line}");
        for part in parts {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
    assert_eq!(world.chain.mempool(), Vec::<String>::new());
}

#[test]
fn the_python_clients_functions_pay_a_real_address() {
    let (world, node, folder) = prepared("spec_client.py");
    let recipient = world.chain.foreign_address();
    let call = |call: &str| -> Value {
        let program = format!("import json, spec_client; print(json.dumps(spec_client.{call}))");
        serde_json::from_str(&run(folder.path(), "python3", &["-c", &program])).unwrap()
    };
    let created = call("create_wallet('node_001', 'my_wallet')");
    assert_eq!(created["success"], true, "{created}");
    fund(&world, &node);
    let balance = call("get_balance('node_001')");
    assert_eq!(balance["balance"].to_string(), "100.0");
    let sent = call(&format!(
        "send_transaction('node_001', '{recipient}', 10.0)"
    ));
    assert_eq!(sent["success"], true, "{sent}");
    assert_eq!(sent["amount"].to_string(), "10.0");
    assert_eq!(sent["recipient"], recipient);
    assert_eq!(world.chain.mempool(), [sent["txid"].as_str().unwrap()]);
}

#[test]
fn the_curl_examples_run_as_written() {
    let (world, node, folder) = prepared("spec_examples.sh");
    let printed = run(folder.path(), "sh", &["spec_examples.sh"]);
    let answers: Vec<Value> = serde_json::Deserializer::from_str(&printed)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(answers.len(), 3, "{printed}");
    let (created, balance, sent) = (&answers[0], &answers[1], &answers[2]);
    assert_eq!(created["message"], "Wallet my_wallet created successfully");
    assert_eq!(created["wallet"]["address"], node.address());
    assert_eq!(balance["success"], true);
    assert_eq!(balance["balance"].to_string(), "0.0");
    assert_eq!(sent["success"], false);
    assert_eq!(sent["message"], "Invalid address");

    fund(&world, &node);
    let recipient = world.chain.foreign_address();
    let script = folder.path().join("spec_examples.sh");
    let text = std::fs::read_to_string(&script).unwrap();
    std::fs::write(&script, text.replace("FLOP987654321fedcba", &recipient)).unwrap();
    let printed = run(folder.path(), "sh", &["spec_examples.sh"]);
    let answers: Vec<Value> = serde_json::Deserializer::from_str(&printed)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(answers[0]["code"], "wallet_exists");
    assert_eq!(answers[1]["balance"].to_string(), "100.0");
    assert_eq!(answers[2]["recipient"], recipient);
    assert_eq!(answers[2]["transaction"]["status"], "pending");
    assert_eq!(
        world.chain.mempool(),
        [answers[2]["txid"].as_str().unwrap()]
    );
}

#[test]
fn a_service_that_checks_nothing_warns_of_it() {
    let world = World::unsigned();
    assert!(world.host.log().contains("auth_mode is off"));
}
