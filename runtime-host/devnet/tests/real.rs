//! The devnet beside a real Flopcoin Core, both through the same calls. Runs only when `FLOPCOIND`
//! names the daemon's binary; the real node is reached by forwarding.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Node, text};
use devnet::Options;
use devnet::json::Json;

const FOREIGN: &str = "mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6";
const FOREIGN_SCRIPT: &str = "2MxD8fvqTdvVhUipeb3pn8iJtvfZ5NXesRn";

/// A real daemon in a folder of its own.
struct Daemon {
    child: std::process::Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Daemon {
    fn start() -> Option<Daemon> {
        let program = std::env::var_os("FLOPCOIND")?;
        let folder = tempfile::tempdir().unwrap();
        let free = || {
            std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port()
        };
        let port = free();
        let child = std::process::Command::new(program)
            .arg("-regtest")
            .arg(format!("-datadir={}", folder.path().display()))
            .args([
                "-rpcuser=u",
                "-rpcpassword=p",
                "-listen=0",
                "-server",
                "-printtoconsole=0",
            ])
            .arg(format!("-rpcport={port}"))
            .arg(format!("-port={}", free()))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        Some(Daemon {
            child,
            port,
            _folder: folder,
        })
    }

    async fn forwarded(&self) -> Node {
        let forward = Some(format!("http://u:p@127.0.0.1:{}", self.port));
        for _ in 0..200 {
            let options = Options {
                forward: forward.clone(),
                ..common::manual()
            };
            if let Ok(devnet) = devnet::Devnet::start(options).await {
                let client = common::Rpc::new(devnet.address());
                return Node {
                    devnet: Some(devnet),
                    client,
                };
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the daemon does not answer");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What calls answered, with everything that differs between any two chains named by order of appearance.
#[derive(Default)]
struct Record {
    lines: Vec<String>,
    names: BTreeMap<String, String>,
}

impl Record {
    fn neutral(&mut self, value: &Json) -> Json {
        match value {
            Json::String(text) => Json::String(self.name(text)),
            Json::Array(elements) => Json::Array(
                elements
                    .iter()
                    .map(|element| self.neutral(element))
                    .collect(),
            ),
            Json::Object(members) => Json::Object(
                members
                    .iter()
                    .map(|(name, value)| {
                        let value = match name.as_str() {
                            "time" | "timereceived" | "blocktime" | "timestamp" | "height"
                            | "blockindex" | "mediantime" | "locktime" | "size" | "vsize"
                            | "hdkeypath" => Json::from("(differs)"),
                            // Change is at a random place.
                            "vout" if matches!(value, Json::Number(_)) => "(differs)".into(),
                            // A signature may be a byte shorter.
                            "hex" | "asm" if value.as_str().is_some_and(|text| text.len() > 60) => {
                                "(long)".into()
                            }
                            _ => self.neutral(value),
                        };
                        (name.clone(), value)
                    })
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    fn name(&mut self, text: &str) -> String {
        let mut words = Vec::new();
        for word in text.split(' ') {
            let hex = word.len() >= 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            let address = (26..36).contains(&word.len())
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let fixed = word == FOREIGN || word == FOREIGN_SCRIPT;
            if (hex || address) && !fixed {
                let number = self.names.len();
                words.push(
                    self.names
                        .entry(word.to_owned())
                        .or_insert_with(|| format!("({number})"))
                        .clone(),
                );
            } else {
                words.push(word.to_owned());
            }
        }
        words.join(" ")
    }

    async fn call(
        &mut self,
        node: &Node,
        method: &str,
        params: &str,
    ) -> Result<Json, (String, String)> {
        let result = node.try_call(method, params).await;
        let shown = match &result {
            Ok(result) => self.neutral(result).to_string(),
            Err((code, message)) => {
                format!("{code} {}", self.name(message.split('\n').next().unwrap()))
            }
        };
        let params = self.name_params(params);
        self.lines.push(format!("{method} {params} -> {shown}"));
        result
    }

    fn name_params(&mut self, params: &str) -> String {
        match Json::parse(params) {
            Some(json) => self.neutral(&json).to_string(),
            None => params.to_owned(),
        }
    }
}

/// A coin of the wallet: input JSON and amount.
async fn coin(node: &Node, address: &str) -> (String, String, String) {
    let coins = node
        .call("listunspent", &format!("[1,9999999,[\"{address}\"]]"))
        .await;
    let coin = &coins.as_array().unwrap()[0];
    let (txid, vout) = (
        text(coin.get("txid").unwrap()),
        text(coin.get("vout").unwrap()),
    );
    (
        format!("{{\"txid\":\"{txid}\",\"vout\":{vout}}}"),
        txid,
        text(coin.get("scriptPubKey").unwrap()),
    )
}

async fn signed(
    node: &Node,
    record: &mut Record,
    inputs: &str,
    outputs: &str,
    more: &str,
) -> String {
    let raw = text(
        &record
            .call(
                node,
                "createrawtransaction",
                &format!("[[{inputs}],{outputs}{more}]"),
            )
            .await
            .unwrap(),
    );
    let signed = record
        .call(node, "signrawtransaction", &format!("[\"{raw}\"]"))
        .await
        .unwrap();
    text(signed.get("hex").unwrap())
}

async fn session(node: &Node) -> Vec<String> {
    let mut record = Record::default();
    let r = &mut record;
    let mut addresses = Vec::new();
    for name in ["alice", "bob", "carol", "dave", "erin"] {
        let address = text(
            &r.call(node, "getnewaddress", &format!("[\"{name}\"]"))
                .await
                .unwrap(),
        );
        node.fund(&address, "10").await;
        addresses.push(address);
    }
    node.mine(7).await;
    let [alice, bob, carol, dave, erin] = addresses.try_into().unwrap();
    for address in [&alice, &bob] {
        r.call(node, "validateaddress", &format!("[\"{address}\"]"))
            .await
            .unwrap();
        r.call(node, "listunspent", &format!("[1,9999999,[\"{address}\"]]"))
            .await
            .unwrap();
        r.call(node, "getbalance", "[\"alice\"]").await.unwrap();
    }

    // Refusals.
    let (input, txid, script) = coin(node, &alice).await;
    let pay = |amount: &str| format!("{{\"{FOREIGN}\":{amount}}}");
    let send = |hex: &str| format!("[\"{hex}\"]");
    let raw = text(
        &r.call(
            node,
            "createrawtransaction",
            &format!("[[{input}],{}]", pay("9.99")),
        )
        .await
        .unwrap(),
    );
    let _ = r.call(node, "sendrawtransaction", &send(&raw)).await;
    let good = signed(node, r, &input, &pay("9.99"), "").await;
    let forged = good.replace("c0878b3b", "c1878b3b");
    assert_ne!(forged, good);
    let _ = r.call(node, "sendrawtransaction", &send(&forged)).await;
    // Another wallet key's signature and public key.
    let (_, other_txid, other_script) = coin(node, &bob).await;
    let lie = format!(
        "[\"{raw}\",[{{\"txid\":\"{txid}\",\"vout\":0,\"scriptPubKey\":\"{other_script}\"}}]]"
    );
    let _ = (
        r.call(
            node,
            "signrawtransaction",
            &lie.replace(
                "\"vout\":0",
                &input[input.find("\"vout\"").unwrap()..input.len() - 1],
            ),
        )
        .await,
        other_txid,
    );
    let same = format!(
        "[\"{raw}\",[{{\"txid\":\"{txid}\",{},\"scriptPubKey\":\"{script}\"}}]]",
        &input[input.find("\"vout\"").unwrap()..input.len() - 1]
    );
    r.call(node, "signrawtransaction", &same).await.unwrap();
    for bad in [
        format!("[\"{raw}\",[1]]"),
        format!("[\"{raw}\",[{{\"txid\":\"{txid}\"}}]]"),
        format!(
            "[\"{raw}\",[{{\"txid\":\"{txid}\",\"vout\":\"0\",\"scriptPubKey\":\"{script}\"}}]]"
        ),
        format!("[\"{raw}\",null,[]]"),
        format!("[\"{raw}\",null,[\"x\"]]"),
        format!("[\"{raw}\",null,null,\"X\"]"),
        format!("[\"{raw}\",5]"),
        "[\"\"]".into(),
        "[\"00\"]".into(),
    ] {
        let _ = r.call(node, "signrawtransaction", &bad).await;
    }
    for outputs in [pay("10.01"), pay("10"), pay("9.9999"), pay("0.001")] {
        let hex = signed(node, r, &input, &outputs, "").await;
        let _ = r.call(node, "decoderawtransaction", &send(&hex)).await;
        if outputs != pay("10") && outputs != pay("9.9999") && outputs != pay("0.001") {
            let _ = r.call(node, "sendrawtransaction", &send(&hex)).await;
        }
    }
    let late = signed(node, r, &input, &pay("9.99"), ",400000000").await;
    let _ = r.call(node, "sendrawtransaction", &send(&late)).await;
    let twice = signed(node, r, &format!("{input},{input}"), &pay("9.99"), "").await;
    let _ = r.call(node, "sendrawtransaction", &send(&twice)).await;
    let nothing = signed(node, r, &input, "{}", "").await;
    let _ = r.call(node, "sendrawtransaction", &send(&nothing)).await;
    let empty = text(
        &r.call(node, "createrawtransaction", &format!("[[],{}]", pay("1")))
            .await
            .unwrap(),
    );
    let _ = r.call(node, "sendrawtransaction", &send(&empty)).await;

    // A payment, again, in conflict, mined.
    r.call(node, "sendrawtransaction", &send(&good))
        .await
        .unwrap();
    r.call(node, "sendrawtransaction", &send(&good))
        .await
        .unwrap();
    let rival = signed(node, r, &input, &pay("9.98"), "").await;
    let _ = r.call(node, "sendrawtransaction", &send(&rival)).await;
    let sent = text(
        r.call(node, "decoderawtransaction", &send(&good))
            .await
            .unwrap()
            .get("txid")
            .unwrap(),
    );
    r.call(node, "gettransaction", &send(&sent)).await.unwrap();
    for verbose in ["0", "1", "true", "\"1\"", "null"] {
        let _ = r
            .call(
                node,
                "getrawtransaction",
                &format!("[\"{sent}\",{verbose}]"),
            )
            .await;
    }
    r.call(node, "gettxout", &format!("[\"{sent}\",0]"))
        .await
        .unwrap();
    r.call(node, "gettxout", &format!("[\"{sent}\",0,false]"))
        .await
        .unwrap();
    r.call(node, "gettxout", &format!("[\"{txid}\",-1]"))
        .await
        .unwrap();
    node.mine(1).await;
    let _ = r.call(node, "sendrawtransaction", &send(&good)).await;
    let _ = r.call(node, "sendrawtransaction", &send(&rival)).await;
    r.call(node, "gettransaction", &send(&sent)).await.unwrap();
    r.call(node, "getrawtransaction", &format!("[\"{sent}\",1]"))
        .await
        .unwrap();
    r.call(node, "gettxout", &format!("[\"{sent}\",0]"))
        .await
        .unwrap();

    // Replacement, data, a script address, too high a fee, no fee.
    let (input, ..) = coin(node, &bob).await;
    let replaceable = input.replace('}', ",\"sequence\":1}");
    let first = signed(
        node,
        r,
        &replaceable,
        &format!("{{\"{FOREIGN_SCRIPT}\":9.9,\"data\":\"00ff\"}}"),
        "",
    )
    .await;
    let first_id = text(
        &r.call(node, "sendrawtransaction", &send(&first))
            .await
            .unwrap(),
    );
    r.call(node, "gettransaction", &send(&first_id))
        .await
        .unwrap();
    r.call(node, "getrawtransaction", &format!("[\"{first_id}\",1]"))
        .await
        .unwrap();
    let poorer = signed(
        node,
        r,
        &input,
        &format!("{{\"{FOREIGN_SCRIPT}\":9.95}}"),
        "",
    )
    .await;
    let _ = r.call(node, "sendrawtransaction", &send(&poorer)).await;
    let richer = signed(
        node,
        r,
        &input,
        &format!("{{\"{FOREIGN_SCRIPT}\":9.8}}"),
        "",
    )
    .await;
    let richer_id = text(
        &r.call(node, "sendrawtransaction", &send(&richer))
            .await
            .unwrap(),
    );
    for id in [&first_id, &richer_id] {
        r.call(node, "gettransaction", &send(id)).await.unwrap();
    }
    r.call(node, "getrawmempool", "[]").await.unwrap();
    node.mine(1).await;
    for id in [&first_id, &richer_id] {
        r.call(node, "gettransaction", &send(id)).await.unwrap();
    }
    node.fund(&carol, "500").await;
    node.mine(1).await;
    let coins = node
        .call(
            "listunspent",
            &format!("[1,9999999,[\"{carol}\"],true,{{\"minimumAmount\":100}}]"),
        )
        .await;
    let big = &coins.as_array().unwrap()[0];
    let big = format!(
        "{{\"txid\":\"{}\",\"vout\":{}}}",
        text(big.get("txid").unwrap()),
        text(big.get("vout").unwrap())
    );
    let generous = signed(node, r, &big, &pay("1"), "").await;
    let _ = r.call(node, "sendrawtransaction", &send(&generous)).await;
    r.call(
        node,
        "sendrawtransaction",
        &format!("[\"{generous}\",true]"),
    )
    .await
    .unwrap();
    let (young, ..) = coin(node, &dave).await;
    let (old, ..) = coin(node, &erin).await;
    let both = signed(node, r, &format!("{young},{old}"), &pay("19.99"), "").await;
    r.call(node, "sendrawtransaction", &send(&both))
        .await
        .unwrap();
    node.mine(1).await;

    // Accounts and lists; refusals of the wallet.
    for (method, params) in [
        ("getbalance", "[\"alice\"]".to_owned()),
        ("getbalance", "[\"nobody\",0]".into()),
        ("listtransactions", "[\"alice\",100]".into()),
        ("listtransactions", "[\"bob\",100]".into()),
        ("listtransactions", "[\"carol\",1,1]".into()),
        (
            "listunspent",
            format!("[1,9999999,[\"{alice}\",\"{alice}\"]]"),
        ),
        ("listunspent", "[1,9999999,[\"x\"]]".into()),
        ("listunspent", "[\"1\"]".into()),
        ("listunspent", "[1,9999999,[],1]".into()),
        ("listunspent", "[1,9999999,[],true,5]".into()),
        ("listunspent", "[9999998]".into()),
        ("sendtoaddress", format!("[\"{FOREIGN}\",99999999]")),
        ("sendtoaddress", format!("[\"{FOREIGN}\",0.001]")),
        ("sendtoaddress", format!("[\"{FOREIGN}\",1,5]")),
        ("sendtoaddress", format!("[\"{FOREIGN}\",1,\"a\",\"b\",1]")),
        (
            "sendtoaddress",
            format!("[\"{FOREIGN}\",0.011,\"\",\"\",true]"),
        ),
        ("getblockhash", "[-1]".into()),
        ("getblock", "[\"00\"]".into()),
        ("getblock", "[\"00\",\"1\"]".into()),
        ("getblockheader", "[\"00\",1]".into()),
        ("invalidateblock", "[\"00\"]".into()),
        ("generatetoaddress", "[1,\"x\"]".into()),
        ("getaccount", "[\"x\"]".into()),
        ("gettxout", "[5,0]".into()),
        ("gettxout", "[\"00\",\"0\"]".into()),
        ("estimatefee", "[\"6\"]".into()),
        ("settxfee", "[-1]".into()),
        ("settxfee", "[\"x\"]".into()),
        ("createrawtransaction", "[null,{}]".into()),
        ("createrawtransaction", "[[],{},-1]".into()),
        ("createrawtransaction", "[[5],{}]".into()),
        ("createrawtransaction", "[[],{\"data\":\"xyz\"}]".into()),
        ("createrawtransaction", "[[],{\"data\":\"\"}]".into()),
        ("decoderawtransaction", "[5]".into()),
        ("walletpassphrase", "[\"x\"]".into()),
        ("walletlock", "[]".into()),
    ] {
        let _ = r.call(node, method, &params).await;
    }
    record.lines
}

#[tokio::test]
async fn the_devnet_answers_like_the_real_daemon() {
    let Some(daemon) = Daemon::start() else {
        println!("FLOPCOIND is not set: not compared with the real daemon");
        return;
    };
    let real = daemon.forwarded().await;
    let own = Node::start().await;
    let expected = session(&real).await;
    let got = session(&own).await;
    let differing: Vec<String> = expected
        .iter()
        .zip(&got)
        .filter(|(expected, got)| expected != got)
        .map(|(expected, got)| format!("= {expected}\n< {got}"))
        .collect();
    assert_eq!(expected.len(), got.len());
    assert!(
        differing.is_empty(),
        "{} of {} differ\n{}",
        differing.len(),
        got.len(),
        differing.join("\n")
    );
    println!("{} answers are like the real daemon's", got.len());
    real.stop().await;
    own.stop().await;
}

#[tokio::test]
async fn forwarding_keeps_what_is_the_devnets_own() {
    let Some(daemon) = Daemon::start() else {
        println!("FLOPCOIND is not set: forwarding is not tried");
        return;
    };
    let node = daemon.forwarded().await;
    let address = node.text("getnewaddress", "[\"alice\"]").await;
    let mut paid = Vec::new();
    for _ in 0..30 {
        paid.push(node.fund(&address, "1").await);
    }
    node.mine(1).await;
    let waiting = node.fund(&address, "2").await;
    let before = node.text("getbestblockhash", "[]").await;
    node.call("devnet_reorg", "[2]").await;
    assert_ne!(node.text("getbestblockhash", "[]").await, before);
    node.mine(1).await;
    for txid in paid.iter().chain([&waiting]) {
        assert!(
            text(&node.transaction(txid, "confirmations").await)
                .parse::<i64>()
                .unwrap()
                > 0
        );
    }

    node.call("devnet_fault", "{\"method\":\"getinfo\",\"when\":\"before\",\"action\":\"error\",\"code\":-4,\"message\":\"no\",\"times\":1}").await;
    assert_eq!(
        node.try_call("getinfo", "[]").await.unwrap_err(),
        ("-4".into(), "no".into())
    );
    node.call("getinfo", "[]").await;
    node.call("devnet_stats", "{\"reset\":true}").await;
    let (status, body) = node
        .post("[{\"method\":\"getblockcount\",\"id\":1.50},7]")
        .await
        .unwrap();
    assert_eq!(status.as_u16(), 200);
    assert!(std::str::from_utf8(&body).unwrap().contains("\"id\":1.50"));
    let statistics = node.call("devnet_stats", "[]").await;
    assert_eq!(
        statistics.to_string(),
        "{\"requests\":1,\"calls\":{\"getblockcount\":1}}"
    );
    for method in ["devnet_restart", "devnet_doublespend"] {
        let params = if method == "devnet_restart" {
            "{}".into()
        } else {
            format!("[\"{waiting}\"]")
        };
        let (code, message) = node.try_call(method, &params).await.unwrap_err();
        assert_eq!(code, "-32601");
        assert!(message.contains("not supported"), "{message}");
    }
    assert_eq!(node.raw(None, "{}").await.unwrap().0.as_u16(), 401);
    node.stop().await;
}
