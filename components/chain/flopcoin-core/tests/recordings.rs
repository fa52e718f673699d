//! The gateway reads what Flopcoin Core 2.0.0 really says: `core-2.0.0.jsonl` has recorded answers
//! of a regtest node (one a line: id, method, HTTP status, body as sent).
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use chain_flopcoin_core::answers::{Block, Transaction};
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

    fn one_in_batch(id: &str) -> Self {
        Script::of([Ok(Script::batch(&[id]))])
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
    async fn exchange(&self, body: Vec<u8>, max_bytes: usize) -> Result<HttpAnswer, Failure> {
        self.asked
            .borrow_mut()
            .push(String::from_utf8(body).unwrap());
        let answer = self.answers.borrow_mut().pop_front();
        match answer.expect("an answer for each call")? {
            answer if answer.body.len() > max_bytes => Err(Failure::TooLarge(max_bytes)),
            answer => Ok(answer),
        }
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
fn the_mempool_is_read_before_the_tip() {
    let script = Script::of([Ok(Script::batch(&[
        "scan-getrawmempool",
        "scan-getblockchaininfo",
        "scan-getinfo",
    ]))]);
    let (tip, info, mempool) = block_on(node::snapshot(&script)).unwrap();
    assert_eq!((tip.network, tip.height), (Network::Regtest, 20));
    assert_eq!(info.fee_rate, 1_000_000);
    assert_eq!(mempool, [txid(REPLACEMENT), txid(MULTI_OUTPUT)]);
    let asked = script.asked.borrow();
    assert_eq!(asked.len(), 1);
    let order: Vec<usize> = ["getrawmempool", "getblockchaininfo", "getinfo"]
        .iter()
        .map(|method| asked[0].find(method).unwrap())
        .collect();
    assert!(order.is_sorted());
}

/// Pays two wallets, a script address and a stranger, and carries data.
const MULTI_OUTPUT: &str = "752fc964400d27520aa27405b7107c0b20d138304afecebb9659142d1741f26d";
/// Spends the same coin as its replacement.
const REPLACED: &str = "119d7e3eb8319a50a133313025cfa2afe3428fd5fb4dd5b6f836cb03fbd937e1";
const REPLACEMENT: &str = "fb1938c240d351d896d1a8c9da705feefc8b3330d23c9529a1f0746d6d85070b";
/// The coin of both.
const REPLACED_COIN: &str = "41d2d6f01e7fb433bd28f509706fa07a120802aeff085d242e04735101d16b5d";
/// Pays to bare keys: one of one, one of two, one without a count, and to nobody.
const BARE_KEYS: &str = "f77b65e7b0873cf2f48ddcbbae59e6f2d6dbc595454cbd745b25a2ab4e434a59";
/// Two wallets' addresses.
const ALICE: &str = "n3PgcTGp9cgZs1DA6sski7VKCwF8qBUYdj";
const BOB: &str = "mgRt7NyGt2snvrffkcByNHGj2sCg66a2Sf";

fn txid(text: &str) -> Txid {
    Txid::parse(text).unwrap()
}

/// Vout, address and florins of each output.
fn outputs(transaction: &Transaction) -> Vec<(u32, &str, u64)> {
    let outputs = transaction.outputs.iter();
    outputs
        .map(|output| (output.vout, output.address.as_str(), output.value.florins()))
        .collect()
}

#[test]
fn headers_are_those_of_the_heights_and_none_above_the_tip() {
    let hashes = Script::batch(&[
        "scan-getblockhash-22",
        "scan-getblockhash-23",
        "scan-getblockhash-0",
    ]);
    let headers = |ids: &[&str]| {
        let script = Script::of([Ok(hashes.clone()), Ok(Script::batch(ids))]);
        block_on(node::headers(&script, &[22, 23, 0]))
    };
    let found = headers(&["scan-header-22", "scan-genesis-header"]).unwrap();
    let [Some(last), None, Some(first)] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!((last.height, first.height), (22, 0));
    assert!(last.hash.as_str().starts_with("19dffbda") && last.time > first.time);

    // A reorganisation in between.
    let found = headers(&["scan-header-unknown", "scan-genesis-header"]).unwrap();
    assert!(found[0].is_none() && found[2].is_some());
    let failure = headers(&["scan-header-21", "scan-genesis-header"]).unwrap_err();
    assert_eq!(
        failure,
        Failure::BadResponse("getblockheader: another block".into())
    );
}

#[test]
fn no_height_is_no_round_trip_and_only_missing_heights_are_one() {
    assert_eq!(
        block_on(node::headers(&Script::of([]), &[])).unwrap(),
        Vec::new()
    );
    let script = Script::one_in_batch("getblockhash-out-of-range");
    assert_eq!(block_on(node::headers(&script, &[99])).unwrap(), [None]);
}

/// Hashes by their recordings, then answers.
fn blocks(
    first_height: u32,
    hashes: &[&str],
    answers: impl IntoIterator<Item = HttpAnswer>,
) -> Result<Vec<Block>, Failure> {
    let answers = std::iter::once(Script::batch(hashes)).chain(answers);
    let script = Script::of(answers.map(Ok));
    let count = u32::try_from(hashes.len()).unwrap();
    let blocks = block_on(node::blocks(&script, first_height, count));
    assert!(script.answers.borrow().is_empty(), "every answer was asked");
    blocks
}

const HASHES: [&str; 3] = [
    "scan-getblockhash-20",
    "scan-getblockhash-21",
    "scan-getblockhash-22",
];
const BLOCKS: [&str; 3] = ["scan-block-20", "scan-block-21", "scan-block-22"];

fn heights(blocks: &[Block]) -> Vec<u32> {
    blocks.iter().map(|block| block.height).collect()
}

#[test]
fn blocks_say_what_their_transactions_spend_and_pay() {
    let blocks = blocks(20, &HASHES, [Script::batch(&BLOCKS)]).unwrap();
    assert_eq!(heights(&blocks), [20, 21, 22]);
    assert_eq!(blocks[1].previous.as_ref(), Some(&blocks[0].hash));
    assert_eq!(blocks[1].time, 1_795_388_786);

    let transactions = &blocks[1].transactions;
    assert_eq!(transactions.len(), 4);
    assert!(transactions[0].is_coinbase && transactions[0].inputs.is_empty());
    // A coinbase pays to a bare key, which has an address too; its commitment has none.
    assert_eq!(
        outputs(&transactions[0]),
        [(0, "n16PypRhwpZ7aoY5MQThvwRUA691Yke2QH", 50_000_400_999_999)]
    );
    let paid = |id: &str| {
        let transaction = transactions.iter().find(|tx| tx.txid == txid(id)).unwrap();
        assert!(!transaction.is_coinbase && transaction.inputs.len() == 1);
        outputs(transaction)
    };
    assert_eq!(
        paid(MULTI_OUTPUT),
        [
            (0, ALICE, 10_000_000_001),
            (1, BOB, 50_000_000),
            (2, "2N86vNQdWGbGrb3TdnHyxkZwAsiT34rVKfg", 700_000_000),
            (3, "mzFo9DCYqAhfEuyZAtDgYWZGL3eQT5r55r", 49_989_249_000_000)
        ]
    );
    assert_eq!(
        paid(BARE_KEYS),
        [
            (2, ALICE, 300_000_000),
            (3, "mh5CE8Nbj38iND267s4XnvhSmhDW7yWc6Q", 49_999_300_000_000)
        ]
    );
}

#[test]
fn the_first_block_has_none_before_it() {
    let hashes = ["scan-getblockhash-0"];
    let blocks = blocks(0, &hashes, [Script::batch(&["scan-genesis"])]).unwrap();
    assert_eq!((blocks[0].height, &blocks[0].previous), (0, &None));
    assert!(blocks[0].transactions[0].is_coinbase);
}

#[test]
fn blocks_end_at_the_tip() {
    let hashes = ["scan-getblockhash-22", "scan-getblockhash-23"];
    let found = blocks(22, &hashes, [Script::batch(&["scan-block-22"])]).unwrap();
    assert_eq!(heights(&found), [22]);
    assert_eq!(blocks(23, &["scan-getblockhash-23"], []).unwrap(), []);
}

#[test]
fn a_reorganisation_in_between_cuts_the_blocks_off() {
    // Block 22 of another chain has the same block before it, block 23 has not.
    let hashes = [
        "scan-getblockhash-21",
        "scan-getblockhash-22",
        "scan-other-getblockhash-23",
    ];
    let answer = [
        "scan-block-21",
        "scan-stale-block-22",
        "scan-other-block-23",
    ];
    let found = blocks(21, &hashes, [Script::batch(&answer)]).unwrap();
    assert_eq!(heights(&found), [21, 22]);

    let answer = ["scan-block-20", "scan-block-unknown", "scan-block-22"];
    let found = blocks(20, &HASHES, [Script::batch(&answer)]).unwrap();
    assert_eq!(heights(&found), [20]);
    let answer = ["scan-block-unknown", "scan-block-21", "scan-block-22"];
    let failure = blocks(20, &HASHES, [Script::batch(&answer)]).unwrap_err();
    assert!(matches!(failure, Failure::BadResponse(_)), "{failure:?}");
}

#[test]
fn a_block_that_was_not_asked_for_is_a_bad_response() {
    for answer in [
        ["scan-block-21", "scan-block-20", "scan-block-22"],
        ["scan-block-20", "scan-block-21", "scan-other-block-22"],
    ] {
        let failure = blocks(20, &HASHES, [Script::batch(&answer)]).unwrap_err();
        assert_eq!(
            failure,
            Failure::BadResponse("getblock: another block".into())
        );
    }
    // The same blocks at other heights.
    let failure = blocks(19, &HASHES, [Script::batch(&BLOCKS)]).unwrap_err();
    assert!(matches!(failure, Failure::BadResponse(_)), "{failure:?}");
}

/// A batch padded to one byte above the bound.
fn too_large(ids: &[&str]) -> HttpAnswer {
    let mut answer = Script::batch(ids);
    answer.body.resize(node::MAX_BLOCKS_BYTES + 1, b' ');
    answer
}

#[test]
fn an_answer_above_the_bound_is_halved_down_to_one_block() {
    let answers = [too_large(&BLOCKS), Script::batch(&BLOCKS[..1])];
    assert_eq!(heights(&blocks(20, &HASHES, answers).unwrap()), [20]);

    let mut at_the_bound = Script::batch(&BLOCKS);
    at_the_bound.body.resize(node::MAX_BLOCKS_BYTES, b' ');
    assert_eq!(
        heights(&blocks(20, &HASHES, [at_the_bound]).unwrap()),
        [20, 21, 22]
    );

    let answers = [too_large(&BLOCKS), too_large(&BLOCKS[..1])];
    assert_eq!(
        blocks(20, &HASHES, answers).unwrap_err(),
        Failure::TooLarge(node::MAX_BLOCKS_BYTES)
    );
}

#[test]
fn other_answers_have_a_lower_bound() {
    let script = Script::of([Ok(too_large(&HASHES))]);
    assert!(matches!(
        block_on(node::blocks(&script, 20, 3)),
        Err(Failure::TooLarge(bytes)) if bytes < node::MAX_BLOCKS_BYTES
    ));
}

#[test]
fn no_more_blocks_are_asked_for_than_one_answer_may_have() {
    let script = Script::of([Err(Failure::Unreachable("refused".into()))]);
    assert!(block_on(node::blocks(&script, 20, u32::MAX)).is_err());
    let asked = script.asked.borrow();
    assert_eq!(asked[0].matches("getblockhash").count(), 64);
    assert!(asked[0].contains("[83]") && !asked[0].contains("[84]"));
    // The last height there is.
    let script = Script::of([Err(Failure::Unreachable("refused".into()))]);
    assert!(block_on(node::blocks(&script, u32::MAX - 1, 64)).is_err());
}

/// Block 21 with a part of its text replaced.
fn altered_block(from: &str, to: &str) -> Result<Vec<Block>, Failure> {
    let answer = String::from_utf8(Script::batch(&["scan-block-21"]).body).unwrap();
    assert!(answer.contains(from), "{from}");
    let answer = HttpAnswer {
        status: 200,
        body: answer.replacen(from, to, 1).into_bytes(),
    };
    blocks(21, &HASHES[1..2], [answer])
}

#[test]
fn what_no_block_has_is_a_bad_response() {
    let coin = format!("\"txid\":\"{REPLACED_COIN}\"");
    for (from, to) in [
        ("100.00000001", "10000000000.00000001"),
        ("100.00000001", "-100.00000001"),
        ("100.00000001", "100.000000001"),
        ("\"n\":1", "\"n\":7"),
        (REPLACEMENT, "not-a-txid"),
        (coin.as_str(), "\"txid\":\"41d2\""),
        (coin.as_str(), "\"nothing\":1"),
        ("\"vin\":[{\"coinbase\"", "\"vin\":[{},{\"coinbase\""),
        ("\"previousblockhash\"", "\"before\""),
    ] {
        let failure = altered_block(from, to).unwrap_err();
        assert!(
            matches!(failure, Failure::BadResponse(_)),
            "{from} {to}: {failure:?}"
        );
    }
}

#[test]
fn the_largest_output_there_can_be_stops_nobody() {
    let blocks = altered_block("100.00000001", "10000000000.00000000").unwrap();
    let transactions = blocks[0].transactions.iter();
    let mut paying = transactions.filter(|tx| tx.txid == txid(MULTI_OUTPUT));
    assert_eq!(
        outputs(paying.next().unwrap())[0].0,
        1,
        "output 0 is left out"
    );
}

fn mempool(
    ids: &[&str],
    answers: impl IntoIterator<Item = HttpAnswer>,
) -> Result<Vec<Option<Transaction>>, Failure> {
    let txids: Vec<Txid> = ids.iter().map(|id| txid(id)).collect();
    let script = Script::of(answers.into_iter().map(Ok));
    let found = block_on(node::mempool_transactions(&script, &txids));
    assert!(script.answers.borrow().is_empty(), "every answer was asked");
    found
}

#[test]
fn the_mempools_transactions_are_exact_and_the_replaced_one_has_left() {
    let answer = [
        "scan-mempool-multi-output",
        "scan-mempool-replaced",
        "scan-mempool-replacement",
    ];
    let asked = [MULTI_OUTPUT, REPLACED, REPLACEMENT];
    let found = mempool(&asked, [Script::batch(&answer)]).unwrap();
    let [Some(multi_output), None, Some(replacement)] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(multi_output.outputs[0].value, florins(10_000_000_001));
    let coin = OutPoint {
        txid: txid(REPLACED_COIN),
        vout: 0,
    };
    assert_eq!(replacement.inputs, std::slice::from_ref(&coin));
    assert_eq!(outputs(replacement), [(0, BOB, 49_999_700_000_000)]);

    // Both spend the same coin: whoever knows the one sees the conflict in the other.
    let found = mempool(&[REPLACED], [Script::batch(&["scan-mempool-replaceable"])]).unwrap();
    assert_eq!(found[0].as_ref().unwrap().inputs, [coin]);
}

#[test]
fn a_transaction_in_a_block_is_in_no_mempool() {
    let answer = || Script::batch(&["scan-confirmed-multi-output"]);
    assert_eq!(mempool(&[MULTI_OUTPUT], [answer()]).unwrap(), [None]);
    let spent = Script::batch(&["getrawtransaction-fully-spent"]);
    assert_eq!(mempool(&[MULTI_OUTPUT], [spent]).unwrap(), [None]);
    let failure = mempool(&[REPLACEMENT], [answer()]).unwrap_err();
    assert!(matches!(failure, Failure::BadResponse(_)), "{failure:?}");
}

#[test]
fn many_transactions_are_asked_for_in_parts_and_all_are_answered() {
    let known = ["scan-mempool-multi-output", "scan-mempool-replacement"];
    let asked = [MULTI_OUTPUT, REPLACEMENT];
    let answers = [
        too_large(&known),
        Script::batch(&known[..1]),
        Script::batch(&known[1..]),
    ];
    let found = mempool(&asked, answers).unwrap();
    assert!(found.iter().all(Option::is_some) && found.len() == 2);

    let missing = |count| Script::batch(&vec!["scan-mempool-replaced"; count]);
    let found = mempool(&[REPLACED; 501], [missing(250), missing(250), missing(1)]).unwrap();
    assert_eq!(found.len(), 501);
    assert_eq!(mempool(&[], []).unwrap(), []);
}

#[test]
fn addresses_are_made_in_one_round_trip_until_the_keys_run_out() {
    let script = Script::of([Ok(Script::batch(&[
        "getnewaddress-alice",
        "getnewaddress-alice-2",
        "locked-getnewaddress-keypool-empty",
    ]))]);
    assert_eq!(
        block_on(node::new_addresses(&script, 3, "pool")).unwrap(),
        [
            "miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE",
            "mw4EkRZtxSnWRgS3uLTYdttjD5k1nrF26h"
        ]
    );
    assert_eq!(script.asked.borrow()[0].matches("[\"pool\"]").count(), 3);

    let script = Script::one_in_batch("locked-getnewaddress-keypool-empty");
    let failure = block_on(node::new_addresses(&script, 1, "pool")).unwrap_err();
    assert_eq!(rejection(&failure).0, -12);

    let script = Script::of([Err(Failure::Unreachable("refused".into()))]);
    assert!(block_on(node::new_addresses(&script, u32::MAX, "pool")).is_err());
    assert_eq!(
        script.asked.borrow()[0].matches("getnewaddress").count(),
        100
    );
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
