//! The gateway reads what Flopcoin Core 2.0.0 really says: `core-2.0.0.jsonl` has recorded answers
//! of a regtest node (one a line: id, method, HTTP status, body as sent).
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use chain_flopcoin_core::node::{self, Standing};
use chain_flopcoin_core::rpc::{Call, Failure, HttpAnswer, Transport, call};
use duxnet_units::{Address, Amount, BlockHash, Network, OutPoint, Txid, transaction::Output};
use futures::executor::block_on;
use serde::Deserialize;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Deserialize)]
struct Recording {
    id: String,
    method: Option<String>,
    status: u16,
    body: String,
}

fn recordings() -> BTreeMap<String, Recording> {
    include_str!("core-2.0.0.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Recording>(line).unwrap())
        .map(|recording| (recording.id.clone(), recording))
        .collect()
}

impl Recording {
    /// The answer as if our call with this id had been answered.
    fn answer(&self, id: usize) -> HttpAnswer {
        let body = match self.body.rsplit_once("\"id\":") {
            Some((before, own_id))
                if self.body.starts_with('{') && own_id.trim_end().ends_with('}') =>
            {
                format!("{before}\"id\":{id}}}\n")
            }
            _ => self.body.clone(),
        };
        HttpAnswer {
            status: self.status,
            body: body.into_bytes(),
        }
    }
}

/// Gives prepared answers and remembers what was asked.
#[derive(Default)]
struct Script {
    answers: RefCell<VecDeque<Result<HttpAnswer, Failure>>>,
    asked: RefCell<Vec<String>>,
    waits_left: Cell<u32>,
}

impl Script {
    fn of(answers: impl IntoIterator<Item = Result<HttpAnswer, Failure>>) -> Self {
        Script {
            answers: RefCell::new(answers.into_iter().collect()),
            waits_left: Cell::new(3),
            ..Script::default()
        }
    }

    fn one(id: &str) -> Self {
        Script::of([Ok(recordings()[id].answer(0))])
    }

    /// One batch answer made of recorded single ones.
    fn batch(ids: &[&str]) -> HttpAnswer {
        let recordings = recordings();
        let replies: Vec<String> = ids
            .iter()
            .enumerate()
            .map(|(index, id)| {
                String::from_utf8(recordings[*id].answer(index).body)
                    .unwrap()
                    .trim()
                    .to_owned()
            })
            .collect();
        HttpAnswer {
            status: 200,
            body: format!("[{}]\n", replies.join(",")).into_bytes(),
        }
    }
}

impl Transport for Script {
    async fn exchange(&self, body: Vec<u8>) -> Result<HttpAnswer, Failure> {
        self.asked
            .borrow_mut()
            .push(String::from_utf8(body).unwrap());
        self.answers
            .borrow_mut()
            .pop_front()
            .expect("an answer for each call")
    }

    async fn wait_for_a_free_worker(&self) -> bool {
        self.waits_left.set(self.waits_left.get() - 1);
        self.waits_left.get() > 0
    }
}

fn rejection(failure: &Failure) -> (i32, &str) {
    match failure {
        Failure::Rejected { code, message } => (*code, message),
        other => panic!("no rejection: {other:?}"),
    }
}

fn florins(florins: u64) -> Amount {
    Amount::from_florins(florins).unwrap()
}

#[test]
fn every_recorded_answer_is_a_result_a_rejection_or_certainly_not_executed() {
    let mut seen = [0, 0, 0];
    for recording in recordings().values().filter(|r| r.method.is_some()) {
        let script = Script {
            waits_left: Cell::new(1),
            ..Script::of([Ok(recording.answer(0))])
        };
        match block_on(call(&script, Call::new("any", vec![]))) {
            Ok(_) => seen[0] += 1,
            Err(Failure::Rejected { .. }) => seen[1] += 1,
            Err(Failure::Unreachable(_)) => seen[2] += 1,
            Err(other) => panic!("{}: {other:?}", recording.id),
        }
    }
    assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
    println!(
        "{} results, {} rejections, {} not executed",
        seen[0], seen[1], seen[2]
    );
}

#[test]
fn answers_without_a_body_say_that_nothing_was_executed() {
    for id in [
        "auth-missing",
        "auth-wrong",
        "shutdown-503",
        "warmup-3",
        "warmup-badauth",
    ] {
        let failure = block_on(node::tip(&Script::one(id))).unwrap_err();
        assert!(
            matches!(failure, Failure::Unreachable(_)),
            "{id}: {failure:?}"
        );
    }
    let batch = &recordings()["warmup-batch"];
    let failure = block_on(node::list_unspent(
        &Script::of([Ok(batch.answer(0))]),
        &[],
        0,
    ))
    .unwrap_err();
    assert!(
        matches!(failure, Failure::Unreachable(_) | Failure::BadResponse(_)),
        "{failure:?}"
    );
}

#[test]
fn a_full_work_queue_is_tried_again_and_in_the_end_not_executed() {
    let full = || Ok(recordings()["work-queue-exceeded"].answer(0));
    let script = Script::of([
        full(),
        full(),
        Ok(recordings()["fresh-getblockchaininfo"].answer(0)),
    ]);
    assert_eq!(
        block_on(node::tip(&script)).unwrap().network,
        Network::Regtest
    );
    let script = Script::of([full(), full(), full()]);
    assert_eq!(
        block_on(node::tip(&script)).unwrap_err(),
        Failure::Unreachable("work queue full".into())
    );
}

#[test]
fn a_dead_connection_is_asked_again_but_never_for_a_broadcast() {
    let dead = || Err(Failure::OutcomeUnknown("reset".into()));
    let script = Script::of([
        dead(),
        Ok(recordings()["fresh-getblockchaininfo"].answer(0)),
    ]);
    assert!(block_on(node::tip(&script)).is_ok());
    assert_eq!(script.asked.borrow().len(), 2);

    let script = Script::of([dead()]);
    let txid = Txid::parse(&"ab".repeat(32)).unwrap();
    assert_eq!(
        block_on(node::broadcast(&script, &txid, "00")).unwrap_err(),
        Failure::OutcomeUnknown("reset".into())
    );
    assert_eq!(script.asked.borrow().len(), 1);
}

#[test]
fn unspent_outputs_are_exact_and_only_of_the_addresses_asked() {
    let address = "mrUF88hKMoVVzXDs2MPU687hjny5ypKdMC".to_owned();
    let answer = || {
        Ok(Script::batch(&[
            "fresh-getblockchaininfo",
            "fresh-getinfo",
            "dep0-listunspent-0",
        ]))
    };
    let script = Script::of([answer()]);
    let (tip, info, coins) = block_on(node::list_unspent(
        &script,
        std::slice::from_ref(&address),
        0,
    ))
    .unwrap();
    assert_eq!((tip.network, tip.height), (Network::Regtest, 0));
    assert_eq!(info.fee_rate, 1_000_000);
    assert_eq!(coins.len(), 1);
    assert_eq!(
        (
            coins[0].value,
            coins[0].confirmations,
            coins[0].outpoint.vout
        ),
        (florins(10_000_000_001), 0, 1)
    );
    assert!(
        script.asked.borrow()[0]
            .contains(r#""params":[0,9999999,["mrUF88hKMoVVzXDs2MPU687hjny5ypKdMC"]]"#)
    );

    let other = vec!["miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE".to_owned()];
    let failure = block_on(node::list_unspent(&Script::of([answer()]), &other, 0)).unwrap_err();
    assert!(matches!(failure, Failure::BadResponse(_)), "{failure:?}");
}

#[test]
fn a_wallet_without_addresses_does_not_ask_for_everyones_coins() {
    let script = Script::of([Ok(Script::batch(&[
        "fresh-getblockchaininfo",
        "fresh-getinfo",
    ]))]);
    let (_, _, coins) = block_on(node::list_unspent(&script, &[], 0)).unwrap();
    assert!(coins.is_empty());
    assert!(!script.asked.borrow()[0].contains("listunspent"));
}

fn standing(ids: &[&str], headers: &[&str]) -> Vec<Standing> {
    let mut answers = vec![Ok(Script::batch(ids))];
    if !headers.is_empty() {
        answers.push(Ok(Script::batch(headers)));
    }
    let txids: Vec<Txid> = ids
        .iter()
        .map(|_| Txid::parse(&"ab".repeat(32)).unwrap())
        .collect();
    block_on(node::standings(&Script::of(answers), &txids)).unwrap()
}

#[test]
fn standings_tell_mempool_block_conflict_and_absence_apart() {
    let found = standing(&["coinbase-gettransaction"], &["getblockheader"]);
    let Standing::Confirmed {
        confirmations,
        height,
        hash,
        time,
    } = &found[0]
    else {
        panic!("{found:?}");
    };
    assert_eq!((*confirmations, *height, *time), (1, 1, 1_795_369_493));
    assert_eq!(
        *hash,
        BlockHash::parse("c7c1ac30af85c965da3c0be6389b8e021543ed1362f5a874d8f4189642ce2161")
            .unwrap()
    );

    let recordings = recordings();
    let with = |wanted: &str| {
        let mut ids = recordings
            .values()
            .filter(|r| r.method.as_deref() == Some("gettransaction"));
        let found = ids
            .find(|r| r.status == 200 && r.body.contains(wanted) && r.body.contains("\"details\""))
            .unwrap();
        standing(&[&found.id], &[])
    };
    assert_eq!(
        with("\"confirmations\":0,\"trusted\":true"),
        [Standing::Mempool]
    );
    assert_eq!(
        with("\"confirmations\":0,\"trusted\":false"),
        [Standing::NotInMempool]
    );
    assert!(matches!(with("\"confirmations\":-")[0], Standing::Conflicted(depth) if depth > 0));

    let unknown = recordings
        .values()
        .find(|r| r.method.as_deref() == Some("gettransaction") && r.body.contains("\"code\":-5"))
        .unwrap();
    assert_eq!(standing(&[&unknown.id], &[]), [Standing::Absent]);
}

#[test]
fn broadcasts_end_as_core_says() {
    let ok =
        Txid::parse("73d53f44461013efe496e431752eafe18bd648f8d5313d1ab38008d15d5e57a5").unwrap();
    let other = Txid::parse(&"ab".repeat(32)).unwrap();
    let broadcast = |id: &str, txid: &Txid| block_on(node::broadcast(&Script::one(id), txid, "00"));
    assert_eq!(broadcast("sendraw-ok", &ok), Ok(()));
    assert_eq!(broadcast("sendraw-again-mempool", &ok), Ok(()));
    assert_eq!(broadcast("sendraw-already-in-chain", &ok), Ok(()));
    assert!(matches!(
        broadcast("sendraw-ok", &other),
        Err(Failure::BadResponse(_))
    ));
    for (id, code, text) in [
        ("sendraw-missing-inputs", -25, "Missing inputs"),
        ("sendraw-double-spend", -26, "258: txn-mempool-conflict"),
        (
            "chain-limit-26th-sendrawtransaction",
            -26,
            "64: too-long-mempool-chain",
        ),
        ("sendraw-garbage", -22, "TX decode failed"),
    ] {
        assert_eq!(
            rejection(&broadcast(id, &ok).unwrap_err()),
            (code, text),
            "{id}"
        );
    }
}

fn payment() -> (Vec<OutPoint>, Vec<Output>) {
    let txid = Txid::parse(&"ab".repeat(32)).unwrap();
    let address = Address::parse("miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE", Network::Regtest).unwrap();
    (
        vec![OutPoint { txid, vout: 0 }],
        vec![Output::to(&address, florins(100))],
    )
}

fn sign(script: &Script, passphrase: Option<&str>) -> Result<(Txid, String), Failure> {
    let (inputs, outputs) = payment();
    block_on(node::sign(script, &inputs, &outputs, passphrase))
}

#[test]
fn a_signature_is_whole_or_a_rejection() {
    assert!(sign(&Script::one("signraw-ok"), None).is_ok());
    let failure = sign(&Script::one("signraw-missing-input"), None).unwrap_err();
    assert_eq!(rejection(&failure), (0, "Input not found or already spent"));
    let failure = sign(&Script::one("locked-signrawtransaction"), None).unwrap_err();
    assert_eq!(rejection(&failure).0, -13);
}

const NULL: &str = r#"{"result":null,"error":null,"id":"#;

/// unlock, sign, lock: each recorded by id, or a plain null result.
fn unlock_batch(parts: [Option<&str>; 3]) -> HttpAnswer {
    let recordings = recordings();
    let replies: Vec<String> = parts
        .iter()
        .enumerate()
        .map(|(index, part)| match part {
            Some(id) => String::from_utf8(recordings[*id].answer(index).body).unwrap(),
            None => format!("{NULL}{index}}}"),
        })
        .collect();
    HttpAnswer {
        status: 200,
        body: format!("[{}]", replies.join(",")).into_bytes(),
    }
}

#[test]
fn an_encrypted_wallet_is_unlocked_for_the_signature_and_locked_in_the_same_batch() {
    let script = Script::of([Ok(unlock_batch([None, Some("signraw-ok"), None]))]);
    assert!(sign(&script, Some("right")).is_ok());
    let asked = script.asked.borrow();
    let order: Vec<usize> = ["walletpassphrase", "signrawtransaction", "walletlock"]
        .iter()
        .map(|m| asked[0].find(m).unwrap())
        .collect();
    assert!(order.is_sorted() && asked[0].contains("[\"right\",10]"));
}

#[test]
fn another_requests_lock_in_between_is_tried_again() {
    let script = Script::of([
        Ok(unlock_batch([
            None,
            Some("locked-signrawtransaction"),
            None,
        ])),
        Ok(unlock_batch([None, Some("signraw-ok"), None])),
    ]);
    assert!(sign(&script, Some("right")).is_ok());
}

#[test]
fn a_wrong_passphrase_is_told_and_an_unencrypted_wallet_needs_none() {
    let script = Script::of([Ok(unlock_batch([
        Some("walletpassphrase-wrong"),
        Some("locked-signrawtransaction"),
        None,
    ]))]);
    assert_eq!(rejection(&sign(&script, Some("wrong")).unwrap_err()).0, -14);
    let script = Script::of([Ok(unlock_batch([
        Some("plain-walletpassphrase"),
        Some("signraw-ok"),
        None,
    ]))]);
    assert!(sign(&script, Some("needless")).is_ok());
}

#[test]
fn an_unlock_without_an_answer_is_followed_by_a_lock() {
    let script = Script::of([
        Err(Failure::OutcomeUnknown("reset".into())),
        Ok(HttpAnswer {
            status: 200,
            body: format!("{NULL}0}}").into_bytes(),
        }),
    ]);
    assert_eq!(
        sign(&script, Some("right")).unwrap_err(),
        Failure::OutcomeUnknown("reset".into())
    );
    assert!(script.asked.borrow()[1].contains("walletlock"));
}

#[test]
fn an_unknown_block_is_refused_instead_of_answered_with_everything() {
    let block = BlockHash::parse(&"ab".repeat(32)).unwrap();
    let not_found = r#"{"result":null,"error":{"code":-5,"message":"Block not found"},"id":0}"#;
    let everything =
        String::from_utf8(recordings()["fresh-listsinceblock"].answer(1).body).unwrap();
    let script = Script::of([Ok(HttpAnswer {
        status: 200,
        body: format!("[{not_found},{everything}]").into_bytes(),
    })]);
    assert_eq!(
        rejection(&block_on(node::list_since(&script, Some(&block))).unwrap_err()).0,
        -5
    );
}

#[test]
fn movements_are_exact_and_keep_their_direction() {
    let script = Script::one("dep0-listsinceblock");
    let (_, movements) = block_on(node::list_since(&script, None)).unwrap();
    assert_eq!(movements.len(), 1);
    assert!(movements[0].incoming);
    assert_eq!(movements[0].value, florins(10_000_000_001));
}

#[test]
fn every_recorded_list_of_movements_is_read() {
    let lists: Vec<_> = recordings()
        .into_values()
        .filter(|r| r.status == 200 && r.method.as_deref() == Some("listsinceblock"))
        .collect();
    assert!(lists.len() > 5);
    for list in lists {
        let script = Script::of([Ok(list.answer(0))]);
        block_on(node::list_since(&script, None)).unwrap_or_else(|e| panic!("{}: {e:?}", list.id));
    }
}

#[test]
fn core_calls_an_address_valid_that_our_own_rules_refuse() {
    let script = Script::one("validateaddress-trailing-nul");
    assert!(
        block_on(node::validate_address(&script, "x"))
            .unwrap()
            .is_some()
    );
    let script = Script::one("validateaddress-own");
    let (address, is_mine) = block_on(node::validate_address(&script, "x"))
        .unwrap()
        .unwrap();
    assert!(is_mine && Address::parse(&address, Network::Regtest).is_ok());
}

#[test]
fn what_is_no_answer_is_a_bad_response() {
    for (status, body) in [
        (200, ""),
        (200, "<html>"),
        (200, "{}"),
        (200, "[]"),
        (200, r#"{"result":{"chain":"moon"},"error":null,"id":0}"#),
        (200, r#"{"result":1,"error":null,"id":7}"#),
        (500, "oops"),
    ] {
        let script = Script::of([Ok(HttpAnswer {
            status,
            body: body.as_bytes().to_vec(),
        })]);
        let failure = block_on(node::tip(&script)).unwrap_err();
        assert!(
            matches!(failure, Failure::BadResponse(_)),
            "{status} {body}: {failure:?}"
        );
    }
}

#[test]
fn a_fee_rate_beyond_belief_is_a_bad_response() {
    let body = String::from_utf8(recordings()["fresh-getinfo"].answer(0).body).unwrap();
    let body = body.replace("\"paytxfee\":0.01000000", "\"paytxfee\":100.00000000");
    let script = Script::of([Ok(HttpAnswer {
        status: 200,
        body: body.into_bytes(),
    })]);
    assert!(matches!(
        block_on(node::info(&script)).unwrap_err(),
        Failure::BadResponse(_)
    ));
}
