//! Every pair of payment states against the database, compared with the table that people read.
#![allow(clippy::unwrap_used, missing_docs)]

use duxnet_store::native::NativeDatabase;
use duxnet_store::{Database, Row, Value, migrate};
use futures::executor::block_on;

const STATES: [&str; 7] = [
    "reserved",
    "held",
    "released",
    "signed",
    "broadcast",
    "confirmed",
    "failed",
];
const TABLE: &str = include_str!("../../../../docs/payments.md");

/// `| from | to | when |` of the documentation.
fn documented() -> Vec<(String, String)> {
    let (_, section) = TABLE.split_once("## The state machine").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    section
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split("` | `");
            let from = cells.next()?.to_owned();
            let to = cells.next()?.split('`').next()?.to_owned();
            Some((from, to))
        })
        .collect()
}

/// How a payment is brought into a state: the review of a reserved one stands in a column of its own.
fn set(state: &str) -> String {
    match state {
        "held" | "released" => format!("review = '{state}'"),
        "reserved" => "state = 'reserved', review = ''".to_owned(),
        _ => format!("state = '{state}'"),
    }
}

struct Ledger(NativeDatabase);

impl Ledger {
    fn open() -> (tempfile::NamedTempFile, Ledger) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let database = NativeDatabase::open(file.path()).unwrap();
        block_on(migrate(&database, || async {})).unwrap();
        let ledger = Ledger(database);
        ledger.must("INSERT INTO nodes (node_id, created_at, updated_at) VALUES ('n', 1, 1)");
        ledger.must(
            "INSERT INTO wallets (node_id, wallet_name, address, created_at, request_hash)
             VALUES ('n', 'w', 'own', 1, '')",
        );
        (file, ledger)
    }

    fn run(&self, sql: &str) -> Result<Vec<Row>, String> {
        block_on(self.0.query(sql, vec![])).map_err(|e| e.0)
    }

    fn must(&self, sql: &str) -> Vec<Row> {
        self.run(sql).unwrap()
    }

    /// A payment that came to this state on the way that payments come there.
    fn payment_in(&self, state: &str, id: usize) {
        self.must(&format!(
            "INSERT INTO outputs (txid, vout, wallet_id, address, value, state, height, settled, cause, changed_at)
             VALUES ('coin-{id}', 0, 1, 'own', 100, 'confirmed', 1, 1, 'receive', 1)"
        ));
        self.must(&format!(
            "INSERT INTO payments (id, node_id, wallet_id, request_hash, recipient_address, amount, fee,
                change_amount, change_address, inputs, lease_until, created_at, updated_at, window_seconds, window_payments)
             VALUES ({id}, 'n', 1, '', 'other', 60, 10, 30, 'own',
                '[{{\"txid\":\"coin-{id}\",\"vout\":0,\"value\":100}}]', 1, 1, 1, 1, 1000)"
        ));
        let way: &[&str] = match state {
            "reserved" => &[],
            "held" => &["held"],
            "released" => &["held", "released"],
            "signed" => &["signed"],
            "broadcast" => &["signed", "broadcast"],
            "confirmed" => &["signed", "broadcast", "confirmed"],
            _ => &["signed", "broadcast", "failed"],
        };
        for step in way {
            self.must(&format!(
                "UPDATE payments SET {}, txid = 'paid-{id}' WHERE id = {id}",
                set(step)
            ));
        }
    }

    fn assert_sums(&self, context: &str) {
        let sums = self.must(
            "SELECT balance + pending + reserved - (SELECT SUM(held) FROM outputs),
                (SELECT SUM(held) FROM outputs) - (SELECT SUM(amount) FROM movements) FROM wallets",
        );
        assert_eq!(
            sums[0].0,
            [Value::Integer(0), Value::Integer(0)],
            "{context}"
        );
    }
}

#[test]
fn the_database_allows_exactly_the_documented_transitions() {
    let documented = documented();
    assert!(documented.len() >= 14);
    let (_file, ledger) = Ledger::open();
    let mut id = 0;
    for from in STATES {
        for to in STATES.iter().filter(|to| **to != from) {
            for in_block in [false, true] {
                id += 1;
                ledger.payment_in(from, id);
                let height = if in_block { "1" } else { "NULL" };
                let done = ledger.run(&format!(
                    "UPDATE payments SET {}, txid = 'paid-{id}', block_height = {height} WHERE id = {id}",
                    set(to)
                ));
                let is_documented = documented.contains(&(from.to_owned(), (*to).to_owned()));
                // Only a block brings a failed payment back.
                let is_allowed = is_documented && (from != "failed" || in_block);
                let context = format!("{from} to {to}, in a block: {in_block}: {done:?}");
                assert_eq!(done.is_ok(), is_allowed, "{context}");
                if let Err(error) = done {
                    assert!(error.contains("invalid_state_transition"), "{context}");
                }
                ledger.assert_sums(&context);
            }
        }
    }
}

#[test]
fn no_other_word_is_a_state() {
    let (_file, ledger) = Ledger::open();
    ledger.payment_in("reserved", 1);
    assert!(ledger.run("UPDATE payments SET state = 'paid'").is_err());
    assert!(ledger.run("UPDATE payments SET review = 'seen'").is_err());
}

#[test]
fn movements_and_events_are_append_only() {
    let (_file, ledger) = Ledger::open();
    ledger.payment_in("broadcast", 1);
    for table in ["movements", "events"] {
        for sql in [
            format!("UPDATE {table} SET wallet_id = 2"),
            format!("DELETE FROM {table}"),
        ] {
            let error = ledger.run(&sql).unwrap_err();
            assert!(error.contains("append-only"), "{sql}: {error}");
        }
    }
}
