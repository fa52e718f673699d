//! What the real Flopcoin Core 2.0.0 answered, against what the devnet answers.
//! `tests/transcripts/README.md` says what each file holds and how it is checked.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Node, basic, text};
use devnet::json::Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ELIDED: &str = "<usage text elided>";

struct Line(Json);

impl Line {
    fn get(&self, name: &str) -> &Json {
        self.0.get(name).unwrap_or(&Json::Null)
    }

    fn text(&self, name: &str) -> &str {
        self.get(name).as_str().unwrap_or_default()
    }

    fn id(&self) -> &str {
        self.text("id")
    }
}

fn lines(file: &str) -> Vec<Line> {
    let path = format!(
        "{}/tests/transcripts/{file}.jsonl",
        env!("CARGO_MANIFEST_DIR")
    );
    let lines: Vec<Line> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| Line(Json::parse(line).unwrap()))
        .collect();
    assert!(!lines.is_empty());
    lines
}

/// Panics with all failures, or says how many lines hold.
fn conclude(file: &str, checked: usize, failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{file}: {} of {checked} differ\n{}",
        failures.len(),
        failures.join("\n")
    );
    println!("{file}: {checked} recorded lines hold");
}

/// Whether an answer is the recorded one; of a usage text only the first line counts.
fn same(expected: &str, answer: &str) -> bool {
    match expected.split_once(ELIDED) {
        Some((first, rest)) => {
            answer.starts_with(first) && answer.ends_with(rest.trim_start_matches(ELIDED))
        }
        None => expected == answer,
    }
}

/// Puts the devnet's own chain into a recorded answer.
async fn fill(node: &Node, recorded: &str) -> String {
    if !recorded.contains("${") {
        return recorded.to_owned();
    }
    let height = text(&node.call("getblockcount", "[]").await);
    let tip = node.text("getbestblockhash", "[]").await;
    let mut filled = recorded
        .replace("${HEIGHT}", &height)
        .replace("${TIP}", &tip);
    for height in 0..5 {
        let hash = node.text("getblockhash", &format!("[{height}]")).await;
        filled = filled.replace(&format!("${{HASH{height}}}"), &hash);
    }
    filled
}

async fn replay(file: &str, change: impl Fn(&str) -> String) {
    let node = Node::start().await;
    let mut failures = Vec::new();
    let lines = lines(file);
    for line in &lines {
        let body = change(line.text("body"));
        let expected = fill(&node, &change(line.text("response"))).await;
        let (status, answer) = node.post(body.clone()).await.unwrap();
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        if status.as_u16().to_string() != line.get("status").to_string()
            || !same(&expected, &answer)
        {
            failures.push(format!(
                "{}\n  > {body}\n  = {expected}  < {status} {answer}",
                line.id()
            ));
        }
    }
    conclude(file, lines.len(), &failures);
    node.stop().await;
}

#[tokio::test]
async fn answers_without_a_past_are_the_same_bytes() {
    replay("exact", str::to_owned).await;
}

#[tokio::test]
async fn amounts_are_read_the_same() {
    replay("amounts", |text| {
        text.replace(
            "\"sendfrom\",\"params\":[\"nobody\",",
            "\"sendtoaddress\",\"params\":[",
        )
        .replace(
            "\"sendfrom\",\"params\":[\"alice\",",
            "\"sendtoaddress\",\"params\":[",
        )
        .replace("Account has insufficient funds", "Insufficient funds")
    })
    .await;
}

#[tokio::test]
async fn a_starting_node_answers_the_same() {
    let lines = lines("warmup");
    let mut failures = Vec::new();
    let node = Node::start().await;
    for line in &lines {
        let recorded = line.text("response");
        let json = Json::parse(recorded).unwrap();
        let first = json.as_array().map_or(&json, |all| &all[0]);
        let message = text(first.get("error").unwrap().get("message").unwrap());
        node.call(
            "devnet_restart",
            &format!("{{\"milliseconds\":60000,\"message\":\"{message}\"}}"),
        )
        .await;
        let (status, answer) = node.post(line.text("body").to_owned()).await.unwrap();
        if status.as_u16().to_string() != line.get("status").to_string()
            || answer != recorded.as_bytes()
        {
            failures.push(format!("{}: {status} {answer:?}", line.id()));
        }
    }
    conclude("warmup", lines.len(), &failures);
    node.stop().await;
}

#[tokio::test]
async fn http_around_the_calls_is_the_same() {
    let node = Node::start().await;
    let lines = lines("http");
    let mut failures = Vec::new();
    for line in &lines {
        let body = line.text("body");
        let authorization = match line.text("auth") {
            "ok" => Some(basic("devnet", "devnet")),
            "wrong" => Some(basic("devnet", "wrong")),
            "missing" => None,
            other => Some(other.trim_start_matches("custom: ").to_owned()),
        };
        let mut request = format!(
            "{} {} HTTP/1.1\r\nHost: x\r\n",
            line.text("method"),
            line.text("path")
        );
        if let Some(value) = authorization {
            request.push_str(&format!("Authorization: {value}\r\n"));
        }
        if let Json::Object(headers) = line.get("headers") {
            for (name, value) in headers {
                request.push_str(&format!("{name}: {}\r\n", text(value)));
            }
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        let reply = exchange(&node, request.as_bytes(), 1).await;
        let (head, answer) = reply.split_once("\r\n\r\n").unwrap();
        let head = format!("{}\r\n", head.to_ascii_lowercase());
        let expected = fill(&node, line.text("response")).await;
        let status = head.split(' ').nth(1).unwrap().to_owned();
        let mut wrong = Vec::new();
        if status != line.get("status").to_string() {
            wrong.push(format!("status {status}"));
        }
        if line.text("method") != "HEAD" && answer != expected {
            wrong.push(format!("body {answer:?}"));
        }
        let kind = line.text("type").to_ascii_lowercase();
        if !kind.is_empty() && !head.contains(&format!("content-type: {kind}\r\n")) {
            wrong.push("content type".into());
        }
        if head.contains("\r\nconnection: close\r\n") != (line.get("close") == &Json::Bool(true)) {
            wrong.push("connection".into());
        }
        if head.contains("\r\nwww-authenticate: basic realm=\"jsonrpc\"\r\n")
            != (line.get("challenge") == &Json::Bool(true))
        {
            wrong.push("challenge".into());
        }
        if !wrong.is_empty() {
            failures.push(format!("{}: {wrong:?} in {head}", line.id()));
        }
    }
    conclude("http", lines.len(), &failures);
    node.stop().await;
}

/// Sends bytes and reads `answers` whole answers, or until the end.
async fn exchange(node: &Node, request: &[u8], answers: usize) -> String {
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut reply = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await;
        let read = read.expect("an answer in time").unwrap_or(0);
        reply.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&reply).into_owned();
        if read == 0 || whole_answers(&text) >= answers {
            return text;
        }
    }
}

/// How many complete answers a text starts with.
fn whole_answers(mut text: &str) -> usize {
    let mut count = 0;
    while let Some((head, rest)) = text.split_once("\r\n\r\n") {
        let head = head.to_ascii_lowercase();
        if head.starts_with("http/1.1 100") {
            text = rest;
            continue;
        }
        let length: usize = match head.split_once("content-length: ") {
            Some((_, length)) => length.split("\r\n").next().unwrap().parse().unwrap(),
            // The answer to HEAD has no body.
            None if head.starts_with("http/1.1 405") => 0,
            None => break,
        };
        let Some(after) = rest.get(length..) else {
            break;
        };
        text = after;
        count += 1;
    }
    count
}

/// Statuses and bodies of a run of answers.
fn answers_of(text: &str) -> Vec<(String, String)> {
    let mut rest = text;
    let mut answers = Vec::new();
    while let Some((head, after)) = rest
        .split_once("\r\n\r\n")
        .or_else(|| rest.split_once("\n\n"))
    {
        let status = head
            .trim_start()
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        let lower = head.to_ascii_lowercase();
        let length = lower.split_once("content-length: ").map(|(_, length)| {
            length
                .lines()
                .next()
                .unwrap()
                .trim()
                .parse::<usize>()
                .unwrap()
        });
        let length = if status == "100" {
            0
        } else {
            length.unwrap_or(after.len())
        };
        let length = length.min(after.len());
        answers.push((status, after[..length].to_owned()));
        rest = &after[length..];
    }
    answers
}

#[tokio::test]
async fn bytes_on_the_socket_are_answered_the_same() {
    // hyper answers this with an empty body.
    const STATUS_ONLY: [&str; 1] = ["raw-garbage"];
    const RECORDED_TIP: &str = "eec96a4e6f871090779ff7cfc82c50fe1e91d338911d3aef6fc74045c937b644";
    let node = Node::start().await;
    let lines = lines("raw");
    let mut failures = Vec::new();
    let authorization = basic("devnet", "devnet");
    for line in &lines {
        let request = line
            .text("request")
            .replace("Basic <ok>", &authorization)
            .replace("Basic ZmxvcGNvaW5ycGM6c2VjcmV0", &authorization);
        let recorded: Vec<_> = answers_of(line.text("response"));
        let expected_count = recorded
            .iter()
            .filter(|(status, _)| status != "100")
            .count();
        let reply = exchange(&node, request.as_bytes(), expected_count).await;
        let got = answers_of(&reply);
        // What follows is not recorded.
        let mut fits = got.len() >= recorded.len();
        for ((status, body), (recorded_status, recorded_body)) in got.iter().zip(&recorded) {
            let recorded_body = recorded_body
                .replace("\"result\":47", "\"result\":${HEIGHT}")
                .replace(RECORDED_TIP, "${TIP}");
            let recorded_body = fill(&node, &recorded_body).await;
            let body_fits =
                STATUS_ONLY.contains(&line.id()) || body.trim_end() == recorded_body.trim_end();
            fits &= status == recorded_status && body_fits;
        }
        let closes = |text: &str| text.to_ascii_lowercase().contains("connection: close");
        fits &= STATUS_ONLY.contains(&line.id())
            || got.len() > recorded.len()
            || closes(&reply) == closes(line.text("response"));
        if !fits {
            failures.push(format!("{}\n  = {recorded:?}\n  < {got:?}", line.id()));
        }
    }
    conclude("raw", lines.len(), &failures);
    node.stop().await;
}

#[tokio::test]
async fn an_encrypted_wallet_answers_the_same() {
    let node = Node::start().await;
    let lines = lines("encryption");
    let mut failures = Vec::new();
    for line in &lines {
        match line.id() {
            // The recorded daemon ran with a pool of three keys, used up before this line.
            "locked-getnewaddress-keypool-empty" => {
                while node.try_call("getnewaddress", "[\"kp\"]").await.is_ok() {}
            }
            "walletpassphrase-expired" => tokio::time::sleep(Duration::from_millis(2100)).await,
            _ => {}
        }
        let body = line.text("body").replace(
            "\"sendfrom\",\"params\":[\"alice\",",
            "\"sendtoaddress\",\"params\":[",
        );
        let (status, answer) = node.post(body.clone()).await.unwrap();
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        let recorded = line.text("response");
        let fits = if recorded.contains("\"error\":null") && !recorded.contains("\"result\":null") {
            let (left, right) = (
                Json::parse(recorded).unwrap(),
                Json::parse(&answer).unwrap(),
            );
            let locked = |json: &Json| {
                json.get("result")
                    .and_then(|result| result.get("unlocked_until"))
                    .map(|until| *until == Json::int(0))
            };
            shape(left.get("result").unwrap()) == shape(right.get("result").unwrap())
                && locked(&left) == locked(&right)
        } else {
            same(recorded, &answer)
        };
        if status.as_u16().to_string() != line.get("status").to_string() || !fits {
            failures.push(format!(
                "{}\n  > {body}\n  = {recorded}  < {status} {answer}",
                line.id()
            ));
        }
    }
    conclude("encryption", lines.len(), &failures);
    node.stop().await;
}

/// Names, order and value formats of an answer, without its values.
fn shape(value: &Json) -> String {
    match value {
        Json::Null => "null".into(),
        Json::Bool(_) => "bool".into(),
        Json::Number(token) => match token.trim_start_matches('-').split_once('.') {
            Some((_, decimals))
                if decimals.len() == 8 && decimals.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                "amount".into()
            }
            Some(_) => "float".into(),
            None => "int".into(),
        },
        Json::String(text)
            if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            "hash".into()
        }
        Json::String(text)
            if text.len() > 30 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            "hex".into()
        }
        Json::String(_) => "text".into(),
        Json::Array(elements) => {
            let shapes: BTreeSet<String> = elements.iter().map(shape).collect();
            format!("[{}]", shapes.into_iter().collect::<Vec<_>>().join("|"))
        }
        Json::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{}:{}", name_shape(name), shape(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

/// Names that are transaction ids are all alike.
fn name_shape(name: &str) -> &str {
    if name.len() == 64 { "(txid)" } else { name }
}

/// The parts of an answer that have a shape each: the entries of a list rather than the list.
fn parts(value: &Json) -> Vec<String> {
    match value {
        Json::Array(elements) => elements
            .iter()
            .flat_map(parts)
            .chain(["[]".into()])
            .collect(),
        Json::Object(members) => {
            let mut outer = Vec::new();
            let mut all = Vec::new();
            for (name, value) in members {
                if let (Json::Array(_), "transactions" | "details" | "tx") = (value, name.as_str())
                {
                    all.extend(
                        parts(value)
                            .into_iter()
                            .map(|part| format!("{name}.{part}")),
                    );
                    outer.push(format!("{name}:list"));
                } else {
                    outer.push(format!("{}:{}", name_shape(name), shape(value)));
                }
            }
            all.push(format!("{{{}}}", outer.join(",")));
            all
        }
        other => vec![shape(other)],
    }
}

/// Whether a recorded entry is of a kind that the devnet does not have.
fn is_foreign(part: &str) -> bool {
    // `move`, watch-only addresses, multisig addresses and `bumpfee`.
    [
        "otheraccount:",
        "involvesWatchonly:",
        "redeemScript:",
        "replaced_by_txid:",
        "replaces_txid:",
        "script:text",
        "isscript:bool,script",
    ]
    .iter()
    .any(|mark| part.contains(mark))
}

/// Everything the devnet can answer in the scenario, by method.
async fn scenario() -> BTreeMap<String, BTreeSet<String>> {
    let node = Node::start().await;
    let mut shapes = BTreeMap::new();
    let foreign = "mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6";
    collect(&node, &mut shapes).await;

    // A named address, an unnamed one, deposits to both, one confirmed.
    let alice = node.text("getnewaddress", "[\"alice\"]").await;
    let plain = node.text("getnewaddress", "[]").await;
    let change = node.text("getrawchangeaddress", "[]").await;
    for address in [&alice, &plain, &change] {
        node.fund(address, "100").await;
    }
    let two_to_one = node.fund(&alice, "\"1.5\"").await;
    collect(&node, &mut shapes).await;
    node.mine(2).await;
    node.fund(&alice, "3").await;
    collect(&node, &mut shapes).await;
    node.call("getrawtransaction", &format!("[\"{two_to_one}\",1]"))
        .await;

    // Mined by the wallet: immature, then old enough.
    node.call("generatetoaddress", &format!("[1,\"{alice}\"]"))
        .await;
    node.call("generate", "[1]").await;
    collect(&node, &mut shapes).await;
    node.mine(7).await;
    collect(&node, &mut shapes).await;

    // Payments: out, to itself by name, to its own change address; with and without notes.
    node.call("sendtoaddress", &format!("[\"{foreign}\",2]"))
        .await;
    node.call("sendtoaddress", &format!("[\"{foreign}\",2,\"note\"]"))
        .await;
    node.call(
        "sendtoaddress",
        &format!("[\"{foreign}\",2,\"note\",\"whom\"]"),
    )
    .await;
    node.call("sendtoaddress", &format!("[\"{alice}\",3,\"note\"]"))
        .await;
    node.call("sendtoaddress", &format!("[\"{alice}\",3]"))
        .await;
    node.call("sendtoaddress", &format!("[\"{change}\",4,\"note\"]"))
        .await;
    node.call("sendtoaddress", &format!("[\"{change}\",4]"))
        .await;
    collect(&node, &mut shapes).await;
    node.mine(1).await;
    collect(&node, &mut shapes).await;

    // Conflicts of a payment in and of payments out.
    let lost = node.fund(&alice, "5").await;
    node.call("devnet_doublespend", &format!("[\"{lost}\"]"))
        .await;
    for note in ["", ",\"note\""] {
        let spent = node
            .text("sendtoaddress", &format!("[\"{foreign}\",6{note}]"))
            .await;
        node.call("devnet_doublespend", &format!("[\"{spent}\"]"))
            .await;
    }
    collect(&node, &mut shapes).await;

    // Two payments in that spend the same coins: one mined, then neither.
    let first = node.fund(&alice, "6").await;
    let other = node
        .call("devnet_doublespend", &format!("[\"{first}\",\"{alice}\"]"))
        .await;
    collect(&node, &mut shapes).await;
    let block = text(other.get("blockhash").unwrap());
    node.call("invalidateblock", &format!("[\"{block}\"]"))
        .await;
    collect(&node, &mut shapes).await;

    // Blocks that were taken back.
    node.call("generatetoaddress", &format!("[1,\"{alice}\"]"))
        .await;
    let tip = node.text("getbestblockhash", "[]").await;
    node.call("invalidateblock", &format!("[\"{tip}\"]")).await;
    collect(&node, &mut shapes).await;
    add(&node, &mut shapes, "getblock", &format!("[\"{tip}\"]")).await;
    add(
        &node,
        &mut shapes,
        "invalidateblock",
        &format!("[\"{tip}\"]"),
    )
    .await;
    add(
        &node,
        &mut shapes,
        "reconsiderblock",
        &format!("[\"{tip}\"]"),
    )
    .await;

    // Change on change until the memory pool takes no more.
    let lonely = Node::start().await;
    let address = lonely.text("getnewaddress", "[\"alice\"]").await;
    lonely.fund(&address, "1000").await;
    lonely.mine(1).await;
    for round in 0..26 {
        lonely
            .call(
                "sendtoaddress",
                &format!("[\"{foreign}\",1,\"chain-{round}\"]"),
            )
            .await;
    }
    collect(&lonely, &mut shapes).await;
    lonely.stop().await;
    node.stop().await;
    shapes
}

async fn add(
    node: &Node,
    shapes: &mut BTreeMap<String, BTreeSet<String>>,
    method: &str,
    params: &str,
) {
    if let Ok(result) = node.try_call(method, params).await {
        shapes
            .entry(method.to_owned())
            .or_default()
            .extend(parts(&result));
    }
}

/// Asks everything that can be asked without changing much.
async fn collect(node: &Node, shapes: &mut BTreeMap<String, BTreeSet<String>>) {
    for (method, params) in [
        ("getinfo", "[]"),
        ("getblockcount", "[]"),
        ("getblockchaininfo", "[]"),
        ("getbestblockhash", "[]"),
        ("getmininginfo", "[]"),
        ("getwalletinfo", "[]"),
        ("getbalance", "[]"),
        ("getunconfirmedbalance", "[]"),
        ("listtransactions", "[\"*\",1000]"),
        ("listsinceblock", "[]"),
        ("listunspent", "[0]"),
        ("getrawmempool", "[]"),
        ("getrawmempool", "[true]"),
        ("getchaintips", "[]"),
        ("getnewaddress", "[\"more\"]"),
        ("getrawchangeaddress", "[]"),
        ("getaddressesbyaccount", "[\"alice\"]"),
        ("generate", "[0]"),
        (
            "generatetoaddress",
            "[1,\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\"]",
        ),
        ("getaccount", "[\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\"]"),
        (
            "sendtoaddress",
            "[\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\",0.02]",
        ),
    ] {
        if method == "generatetoaddress" || method == "sendtoaddress" {
            continue;
        }
        add(node, shapes, method, params).await;
    }
    let listed = node.call("listtransactions", "[\"*\",1000]").await;
    let mut txids: BTreeSet<String> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| text(entry.get("txid").unwrap()))
        .collect();
    let waiting = node.call("getrawmempool", "[]").await;
    txids.extend(waiting.as_array().unwrap().iter().map(text));
    for txid in &txids {
        add(node, shapes, "gettransaction", &format!("[\"{txid}\"]")).await;
        add(node, shapes, "getrawtransaction", &format!("[\"{txid}\"]")).await;
        add(
            node,
            shapes,
            "getrawtransaction",
            &format!("[\"{txid}\",1]"),
        )
        .await;
        add(node, shapes, "gettxout", &format!("[\"{txid}\",0]")).await;
        add(node, shapes, "gettxout", &format!("[\"{txid}\",1]")).await;
        if let Ok(Json::String(hex)) = node
            .try_call("getrawtransaction", &format!("[\"{txid}\"]"))
            .await
        {
            add(
                node,
                shapes,
                "decoderawtransaction",
                &format!("[\"{hex}\"]"),
            )
            .await;
            add(node, shapes, "sendrawtransaction", &format!("[\"{hex}\"]")).await;
            add(node, shapes, "signrawtransaction", &format!("[\"{hex}\"]")).await;
        }
    }
    let coins = node.call("listunspent", "[1]").await;
    for coin in coins.as_array().unwrap().iter().take(1) {
        let (txid, vout) = (
            text(coin.get("txid").unwrap()),
            text(coin.get("vout").unwrap()),
        );
        let raw = node
            .text("createrawtransaction", &format!("[[{{\"txid\":\"{txid}\",\"vout\":{vout}}}],{{\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\":0.5}}]"))
            .await;
        add(node, shapes, "signrawtransaction", &format!("[\"{raw}\"]")).await;
        add(
            node,
            shapes,
            "signrawtransaction",
            &format!("[\"{raw}\",null,[]]"),
        )
        .await;
    }
    let height: u32 = text(&node.call("getblockcount", "[]").await)
        .parse()
        .unwrap();
    for height in [0, 1, height.saturating_sub(1), height] {
        let hash = node.text("getblockhash", &format!("[{height}]")).await;
        for verbosity in ["0", "1", "2", "false", "true"] {
            add(
                node,
                shapes,
                "getblock",
                &format!("[\"{hash}\",{verbosity}]"),
            )
            .await;
        }
        add(node, shapes, "getblockheader", &format!("[\"{hash}\"]")).await;
    }
    for account in ["alice", "more", ""] {
        let addresses = node
            .call("getaddressesbyaccount", &format!("[\"{account}\"]"))
            .await;
        for address in addresses.as_array().unwrap().iter().map(text) {
            add(node, shapes, "validateaddress", &format!("[\"{address}\"]")).await;
            add(node, shapes, "getaccount", &format!("[\"{address}\"]")).await;
        }
    }
    let change = node.text("getrawchangeaddress", "[]").await;
    add(node, shapes, "validateaddress", &format!("[\"{change}\"]")).await;
    add(node, shapes, "getaccount", &format!("[\"{change}\"]")).await;
}

#[tokio::test]
async fn answers_with_a_past_have_the_same_shape() {
    let mut known = scenario().await;
    // What the scenario itself did, with results of one kind each.
    for (method, result) in [("sendtoaddress", "hash"), ("sendrawtransaction", "hash")] {
        known
            .entry(method.into())
            .or_default()
            .insert(result.into());
    }
    for method in ["generate", "generatetoaddress"] {
        known
            .entry(method.into())
            .or_default()
            .extend(["[]".into(), "hash".into()]);
    }
    let lines = lines("shapes");
    let mut failures = Vec::new();
    let (mut checked, mut skipped) = (0, 0);
    for line in &lines {
        let recorded = Json::parse(line.text("response")).unwrap();
        for part in parts(recorded.get("result").unwrap()) {
            if is_foreign(&part) {
                skipped += 1;
                continue;
            }
            checked += 1;
            if !known
                .get(line.text("method"))
                .is_some_and(|shapes| shapes.contains(&part))
            {
                failures.push(format!("{} ({}): {part}", line.id(), line.text("method")));
            }
        }
    }
    failures.sort();
    failures.dedup();
    println!("shapes: {checked} parts checked, {skipped} of kinds that the devnet has not");
    conclude("shapes", lines.len(), &failures);
}
