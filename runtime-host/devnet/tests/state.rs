//! A devnet that keeps its state.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Node, text};
use devnet::json::Json;
use devnet::{Devnet, Options};

fn kept(folder: &std::path::Path) -> Options {
    Options {
        state_dir: Some(folder.to_owned()),
        ..common::manual()
    }
}

/// Everything that must be the same after a restart.
async fn picture(node: &Node) -> Vec<String> {
    let mut picture = Vec::new();
    for (method, params) in [
        ("getbestblockhash", "[]"),
        ("getblockcount", "[]"),
        ("getrawmempool", "[true]"),
        ("listtransactions", "[\"*\",1000]"),
        ("listunspent", "[0]"),
        ("getaddressesbyaccount", "[\"alice\"]"),
        ("getwalletinfo", "[]"),
        ("getchaintips", "[]"),
    ] {
        picture.push(node.call(method, params).await.to_string());
    }
    picture
}

async fn live(node: &Node) -> String {
    let address = node.text("getnewaddress", "[\"alice\"]").await;
    node.fund(&address, "10").await;
    node.fund(&address, "20").await;
    node.mine(2).await;
    node.call(
        "sendtoaddress",
        "[\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\",3,\"note\",\"whom\"]",
    )
    .await;
    node.mine(1).await;
    node.call("generate", "[1]").await;
    node.call("devnet_reorg", "[2]").await;
    let lost = node.fund(&address, "5").await;
    node.call("devnet_doublespend", &format!("[\"{lost}\"]"))
        .await;
    node.fund(&address, "7").await;
    node.call(
        "sendtoaddress",
        "[\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\",4]",
    )
    .await;
    let tip = node.text("getbestblockhash", "[]").await;
    node.call("invalidateblock", &format!("[\"{tip}\"]")).await;
    address
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::with(kept(folder.path())).await;
    let address = live(&node).await;
    let before = picture(&node).await;
    node.stop().await;

    let journal = folder.path().join("journal.jsonl");
    assert_eq!(
        std::fs::metadata(&journal).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let node = Node::with(kept(folder.path())).await;
    assert_eq!(picture(&node).await, before);
    // And it goes on: new keys are new, old keys still sign.
    assert_ne!(node.text("getnewaddress", "[\"alice\"]").await, address);
    node.mine(1).await;
    node.call(
        "sendtoaddress",
        "[\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\",\"0.5\"]",
    )
    .await;
    node.stop().await;
}

#[tokio::test]
async fn a_cut_line_is_dropped_and_a_damaged_one_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::with(kept(folder.path())).await;
    live(&node).await;
    let before = picture(&node).await;
    node.stop().await;
    let journal = folder.path().join("journal.jsonl");
    let mut bytes = std::fs::read(&journal).unwrap();
    let whole = bytes.len();
    bytes.extend_from_slice(b"[{\"event\":\"named\",\"acc");
    std::fs::write(&journal, &bytes).unwrap();
    let node = Node::with(kept(folder.path())).await;
    assert_eq!(picture(&node).await, before);
    node.stop().await;
    assert_eq!(
        std::fs::metadata(&journal).unwrap().len(),
        u64::try_from(whole).unwrap()
    );

    let text =
        std::fs::read_to_string(&journal)
            .unwrap()
            .replacen("\"connected\"", "\"conected\"", 1);
    std::fs::write(&journal, text).unwrap();
    let error = Devnet::start(kept(folder.path()))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 1") && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn two_devnets_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::with(kept(folder.path())).await;
    let error = Devnet::start(kept(folder.path()))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("in use by another devnet"), "{error}");
    node.stop().await;
}

/// The example server as a process of its own.
struct Process(std::process::Child, std::net::SocketAddr);

impl Process {
    fn start(folder: &std::path::Path) -> Process {
        use std::io::BufRead;
        // Examples are built with the tests, beside their folder.
        let mut program = std::env::current_exe().unwrap();
        program.pop();
        program.pop();
        program.push("examples/serve");
        let mut child = std::process::Command::new(program)
            .args([
                "--rpc-listen",
                "127.0.0.1:0",
                "--block-interval",
                "1ms",
                "--state",
            ])
            .arg(folder)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .parse()
            .unwrap();
        Process(child, address)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut addresses = Vec::new();
    for round in 0..4 {
        let process = Process::start(folder.path());
        let client = common::Rpc::new(process.1);
        for _ in 0..10 {
            let address = client.text("getnewaddress", "[\"kept\"]").await;
            client.fund(&address, "1").await;
            addresses.push(address);
        }
        process.kill();
        assert_eq!(addresses.len(), (round + 1) * 10);
    }
    let node = Node::with(kept(folder.path())).await;
    node.mine(1).await;
    let known = node.call("getaddressesbyaccount", "[\"kept\"]").await;
    let known: std::collections::BTreeSet<String> =
        known.as_array().unwrap().iter().map(text).collect();
    assert_eq!(known, addresses.into_iter().collect());
    assert_eq!(
        node.call("getbalance", "[]").await,
        Json::Number("40.00000000".into())
    );
    node.stop().await;
}

#[tokio::test]
async fn an_encrypted_wallet_stays_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::with(kept(folder.path())).await;
    let address = node.text("getnewaddress", "[]").await;
    node.fund(&address, "5").await;
    node.mine(1).await;
    node.call("encryptwallet", "[\"secret words\"]").await;
    node.call("walletpassphrase", "[\"secret words\",1000]")
        .await;
    node.stop().await;
    let journal = std::fs::read_to_string(folder.path().join("journal.jsonl")).unwrap();
    assert!(!journal.contains("secret words"));
    let node = Node::with(kept(folder.path())).await;
    let send = "[\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\",1]";
    assert_eq!(
        node.try_call("sendtoaddress", send).await.unwrap_err().0,
        "-13"
    );
    node.call("walletpassphrase", "[\"secret words\",1000]")
        .await;
    node.call("sendtoaddress", send).await;
    node.call("backupwallet", "[\"../copy.txt\"]").await;
    let backup = folder.path().join("backups/copy.txt");
    assert_eq!(
        std::fs::metadata(backup).unwrap().permissions().mode() & 0o777,
        0o600
    );
    node.stop().await;
}
