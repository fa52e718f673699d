//! Backups on schedule, and what comes back from one.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::json;
use std::path::PathBuf;
use std::process::{Command, Output};
use tests::{HostOptions, World, eventually, root, runtime_host};

const FLOP: u64 = 100_000_000;

/// The service's own command, as docs/ledger.md has it.
fn restore(world: &World, backup: &PathBuf) -> Output {
    Command::new(runtime_host())
        .arg("restore")
        .arg(backup)
        .arg("--from")
        .arg(root().join("spin.toml"))
        .arg("--state-dir")
        .arg(world.host.state_dir())
        .output()
        .unwrap()
}

fn backups(world: &World) -> Vec<PathBuf> {
    let folder = world.host.state_dir().join("backups");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "db"))
        .collect();
    files.sort();
    files
}

#[test]
fn a_database_that_is_put_back_learns_from_the_chain_what_it_missed() {
    let mut world = World::with(HostOptions::default().one_on_a_file());
    let node = world.funded_node("node_001", &["100"]);
    let address = node.address();
    let made = Command::new(runtime_host())
        .arg("backup")
        .arg("--from")
        .arg(root().join("spin.toml"))
        .arg("--state-dir")
        .arg(world.host.state_dir())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let backup = backups(&world).pop().unwrap();

    // What the backup does not know.
    let recipient = world.chain.foreign_address();
    let sent = node.pay(&recipient, "5").expect_status(200).json();
    world.chain.faucet(&address, "7");
    world.chain.mine(1);
    let before = node.available();

    let refused = restore(&world, &backup);
    assert!(!refused.status.success(), "a host is running");
    assert_eq!(world.host.stop(), Some(0));
    let restored = restore(&world, &backup);
    assert!(restored.status.success(), "{restored:?}");
    world.host.restart();

    let node = node.at(&world.host);
    assert_eq!(node.available(), before);
    let history = node.history();
    let of = |kind: &str, member: &str| {
        history
            .iter()
            .find(|row| row["transaction_type"] == kind)
            .map(|row| row[member].clone())
    };
    assert_eq!(of("send", "txid"), Some(sent["txid"].clone()));
    assert_eq!(of("send", "payment_id"), Some(json!(null)));
    assert_eq!(of("send", "status"), Some(json!("confirmed")));
    world.books().assert_recount();
    node.pay(&recipient, "1").expect_status(200);
    let kept = std::fs::read_dir(world.host.state_dir())
        .unwrap()
        .any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_string_lossy().contains(".before-restore-")
        });
    assert!(kept, "the replaced database is kept");
}

#[test]
fn database_and_chain_nodes_wallet_are_backed_up_on_schedule() {
    let options = HostOptions::default().one_on_a_file();
    let world = World::with(options.variable("backup_interval", "3600"));
    let node = world.funded_node("node_001", &["100"]);
    eventually("the database is backed up", || !backups(&world).is_empty());
    node.follow();
    let backup_at = "SELECT COALESCE(backup_at, 0) FROM chain_state";
    assert!(world.books().count(backup_at) > 0);
    // Not due again.
    let first = world.books().count(backup_at);
    node.follow();
    assert_eq!(world.books().count(backup_at), first);
    assert_eq!(node.available(), 100 * FLOP);
    let file = rusqlite::Connection::open(&backups(&world)[0]).unwrap();
    let checked: String = file
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(checked, "ok");
}
