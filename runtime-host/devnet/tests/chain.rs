//! Money, blocks and branches through real HTTP.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Node, text};
use devnet::json::Json;

#[tokio::test]
async fn a_payment_is_received_spent_and_seen() {
    let node = Node::start().await;
    let address = node.text("getnewaddress", "[\"alice\"]").await;
    let txid = node.fund(&address, "12.5").await;
    assert_eq!(node.transaction(&txid, "confirmations").await, Json::int(0));
    assert_eq!(
        node.call("getbalance", "[]").await,
        Json::Number("0.00000000".into())
    );
    node.mine(1).await;
    assert_eq!(
        node.call("getbalance", "[]").await,
        Json::Number("12.50000000".into())
    );

    let coins = node
        .call("listunspent", &format!("[1,9999999,[\"{address}\"]]"))
        .await;
    let coin = &coins.as_array().unwrap()[0];
    assert_eq!(text(coin.get("txid").unwrap()), txid);
    let vout = text(coin.get("vout").unwrap());
    let raw = node
        .text(
            "createrawtransaction",
            &format!("[[{{\"txid\":\"{txid}\",\"vout\":{vout}}}],{{\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\":12.49}}]"),
        )
        .await;
    let signed = node
        .call("signrawtransaction", &format!("[\"{raw}\"]"))
        .await;
    assert_eq!(signed.get("complete"), Some(&Json::Bool(true)));
    let hex = text(signed.get("hex").unwrap());
    let sent = node
        .text("sendrawtransaction", &format!("[\"{hex}\"]"))
        .await;
    // Sending the same bytes again is fine while it waits, and says so once it is mined.
    assert_eq!(
        node.text("sendrawtransaction", &format!("[\"{hex}\"]"))
            .await,
        sent
    );
    assert_eq!(
        node.transaction(&sent, "fee").await,
        Json::Number("-0.01000000".into())
    );
    assert_eq!(node.transaction(&sent, "trusted").await, Json::Bool(true));
    node.mine(1).await;
    assert_eq!(node.transaction(&sent, "confirmations").await, Json::int(1));
    let (code, _) = node
        .try_call("sendrawtransaction", &format!("[\"{hex}\"]"))
        .await
        .unwrap_err();
    assert_eq!(code, "-27");
    node.stop().await;
}

#[tokio::test]
async fn a_reorganisation_gives_payments_back_unless_they_are_dropped() {
    let node = Node::start().await;
    let address = node.text("getnewaddress", "[]").await;
    let kept = node.fund(&address, "1").await;
    let dropped = node.fund(&address, "2").await;
    node.mine(2).await;
    let before = node.call("getblockcount", "[]").await;
    let stale = node.text("getbestblockhash", "[]").await;
    assert_eq!(node.transaction(&kept, "confirmations").await, Json::int(2));

    let result = node
        .call(
            "devnet_reorg",
            &format!("{{\"depth\":2,\"drop\":[\"{dropped}\"]}}"),
        )
        .await;
    assert_eq!(
        result
            .get("disconnected")
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        result.get("connected").unwrap().as_array().unwrap().len(),
        3
    );
    let after: u32 = text(&node.call("getblockcount", "[]").await)
        .parse()
        .unwrap();
    assert_eq!(after, text(&before).parse::<u32>().unwrap() + 1);
    let block = node.call("getblock", &format!("[\"{stale}\"]")).await;
    assert_eq!(block.get("confirmations"), Some(&Json::int(-1)));

    assert_eq!(node.transaction(&kept, "confirmations").await, Json::int(0));
    let waiting = node.call("getrawmempool", "[]").await;
    assert_eq!(waiting.as_array().unwrap(), [Json::text(&kept)]);
    node.mine(1).await;
    assert_eq!(node.transaction(&kept, "confirmations").await, Json::int(1));
    // The other is remembered by the wallet and by nobody else.
    assert_eq!(
        node.transaction(&dropped, "confirmations").await,
        Json::int(0)
    );
    assert_eq!(
        node.call("getbalance", "[]").await,
        Json::Number("1.00000000".into())
    );

    let included = node.fund(&address, "3").await;
    node.mine(1).await;
    node.call("devnet_reorg", "{\"depth\":1,\"include\":true}")
        .await;
    assert_eq!(
        node.transaction(&included, "confirmations").await,
        Json::int(2)
    );

    for params in ["[0]", "[3,3]", "[100000]", "{\"depth\":1,\"drop\":\"x\"}"] {
        assert!(
            node.try_call("devnet_reorg", params).await.is_err(),
            "{params}"
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn a_double_spent_receipt_vanishes_and_a_double_spent_payment_turns_negative() {
    let node = Node::start().await;
    let address = node.text("getnewaddress", "[\"alice\"]").await;
    let receipt = node.fund(&address, "5").await;
    assert_eq!(
        node.call("listtransactions", "[]")
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
    node.call("devnet_doublespend", &format!("[\"{receipt}\"]"))
        .await;
    assert_eq!(
        node.call("listtransactions", "[]").await,
        Json::Array(Vec::new())
    );
    assert_eq!(
        node.transaction(&receipt, "confirmations").await,
        Json::int(-1)
    );
    assert_eq!(
        node.transaction(&receipt, "details").await,
        Json::Array(Vec::new())
    );
    assert_eq!(
        node.transaction(&receipt, "amount").await,
        Json::Number("5.00000000".into())
    );
    node.mine(2).await;
    assert_eq!(
        node.transaction(&receipt, "confirmations").await,
        Json::int(-3)
    );

    node.fund(&address, "10").await;
    node.mine(1).await;
    let payment = node
        .text(
            "sendtoaddress",
            "[\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\",4]",
        )
        .await;
    let rival = node
        .call("devnet_doublespend", &format!("[\"{payment}\"]"))
        .await;
    let listed = node.call("listtransactions", "[]").await;
    let entry = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| text(entry.get("txid").unwrap()) == payment)
        .unwrap();
    assert_eq!(entry.get("confirmations"), Some(&Json::int(-1)));
    assert_eq!(
        node.transaction(&payment, "walletconflicts").await,
        Json::Array(vec![rival.get("txid").unwrap().clone()])
    );

    // Confirmed money cannot be spent again.
    let safe = node.fund(&address, "1").await;
    node.mine(1).await;
    assert!(
        node.try_call("devnet_doublespend", &format!("[\"{safe}\"]"))
            .await
            .is_err()
    );
    node.stop().await;
}

#[tokio::test]
async fn the_26th_of_a_chain_is_sent_but_does_not_wait() {
    let node = Node::start().await;
    let address = node.text("getnewaddress", "[]").await;
    node.fund(&address, "1000").await;
    node.mine(1).await;
    let mut last = String::new();
    for _ in 0..25 {
        last = node
            .text(
                "sendtoaddress",
                "[\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\",1]",
            )
            .await;
    }
    assert_eq!(node.transaction(&last, "trusted").await, Json::Bool(true));
    let stuck = node
        .text(
            "sendtoaddress",
            "[\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\",1]",
        )
        .await;
    assert_eq!(node.transaction(&stuck, "trusted").await, Json::Bool(false));
    assert_eq!(
        node.transaction(&stuck, "confirmations").await,
        Json::int(0)
    );
    assert_eq!(
        node.call("getbalance", "[]").await,
        Json::Number("0.00000000".into())
    );
    let hex = text(&node.transaction(&stuck, "hex").await);
    let refused = node
        .try_call("sendrawtransaction", &format!("[\"{hex}\"]"))
        .await
        .unwrap_err();
    assert_eq!(refused, ("-26".into(), "64: too-long-mempool-chain".into()));
    node.mine(1).await;
    assert_eq!(
        node.text("sendrawtransaction", &format!("[\"{hex}\"]"))
            .await,
        stuck
    );
    node.stop().await;
}

#[tokio::test]
async fn broken_and_conflicting_transactions_are_refused_with_cores_words() {
    let node = Node::start().await;
    let address = node.text("getnewaddress", "[]").await;
    let txid = node.fund(&address, "10").await;
    node.mine(1).await;
    let coin = node.call("listunspent", "[]").await.as_array().unwrap()[0].clone();
    let input = format!(
        "[{{\"txid\":\"{txid}\",\"vout\":{}}}]",
        text(coin.get("vout").unwrap())
    );
    let pay = async |amount: &str| {
        let raw = node
            .text(
                "createrawtransaction",
                &format!("[{input},{{\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\":{amount}}}]"),
            )
            .await;
        let signed = node
            .call("signrawtransaction", &format!("[\"{raw}\"]"))
            .await;
        (raw, text(signed.get("hex").unwrap()))
    };
    let send = async |hex: &str| {
        node.try_call("sendrawtransaction", &format!("[\"{hex}\"]"))
            .await
    };
    let refusal = |message: &str| Err(("-26".to_owned(), message.to_owned()));
    let (unsigned, good) = pay("9.99").await;
    assert_eq!(
        send(&unsigned).await,
        refusal(
            "16: mandatory-script-verify-flag-failed (Operation not valid with the current stack size)"
        )
    );
    let (_, too_much) = pay("10.01").await;
    assert!(send(&too_much).await.is_err());
    // The amount is signed: one florin more breaks the signature.
    let forged = good.replace("c0878b3b", "c1878b3b");
    assert_ne!(forged, good);
    assert_eq!(
        send(&forged).await,
        refusal(
            "16: mandatory-script-verify-flag-failed (Signature must be zero for failed CHECK(MULTI)SIG operation)"
        )
    );
    send(&good).await.unwrap();
    let (_, rival) = pay("9.98").await;
    assert_eq!(send(&rival).await, refusal("258: txn-mempool-conflict"));
    node.mine(1).await;
    // The faucet's change of the same transaction is unspent, so Core can tell.
    assert_eq!(send(&rival).await, refusal("18: bad-txns-inputs-spent"));
    assert_eq!(
        send("zz").await,
        Err(("-22".into(), "TX decode failed".into()))
    );
    node.stop().await;
}

#[tokio::test]
async fn blocks_can_be_refused_and_taken_back() {
    let node = Node::start().await;
    let address = node.text("getnewaddress", "[]").await;
    let txid = node.fund(&address, "7").await;
    node.mine(3).await;
    let tip = node.text("getbestblockhash", "[]").await;
    let block = text(&node.transaction(&txid, "blockhash").await);
    node.call("invalidateblock", &format!("[\"{block}\"]"))
        .await;
    assert_eq!(node.transaction(&txid, "confirmations").await, Json::int(0));
    let all = node.call("listsinceblock", "[\"garbage\"]").await;
    assert_eq!(
        all.get("transactions").unwrap().as_array().unwrap().len(),
        1
    );
    let since_stale = node.call("listsinceblock", &format!("[\"{tip}\"]")).await;
    assert_eq!(
        since_stale
            .get("transactions")
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    node.call("reconsiderblock", &format!("[\"{block}\"]"))
        .await;
    assert_eq!(node.text("getbestblockhash", "[]").await, tip);
    assert_eq!(node.transaction(&txid, "confirmations").await, Json::int(3));
    assert_eq!(
        node.call("getrawmempool", "[]").await,
        Json::Array(Vec::new())
    );
    node.stop().await;
}

#[tokio::test]
async fn the_faucet_serves_hundreds_between_two_blocks() {
    let node = Node::start().await;
    let address = node.text("getnewaddress", "[]").await;
    for _ in 0..400 {
        node.fund(&address, "1.25").await;
    }
    node.fund(&address, "700000").await;
    node.mine(1).await;
    assert_eq!(
        node.call("getbalance", "[]").await,
        Json::Number("700500.00000000".into())
    );
    assert_eq!(
        node.call("getrawmempool", "[]").await,
        Json::Array(Vec::new())
    );
    for (params, code) in [
        ("[\"garbage\",1]", "-5"),
        ("[\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\",0]", "-3"),
        ("[\"mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6\",9999999999]", "-6"),
    ] {
        assert_eq!(
            node.try_call("devnet_faucet", params).await.unwrap_err().0,
            code,
            "{params}"
        );
    }
    let named = node
        .call(
            "devnet_faucet",
            &format!("{{\"amount\":\"0.5\",\"address\":\"{address}\"}}"),
        )
        .await;
    assert_eq!(text(named.get("txid").unwrap()).len(), 64);
    node.stop().await;
}

#[tokio::test]
async fn the_timer_mines() {
    let options = devnet::Options {
        block_interval: Some(std::time::Duration::from_millis(20)),
        ..common::manual()
    };
    let node = Node::with(options).await;
    let height = |json: Json| text(&json).parse::<u32>().unwrap();
    let start = height(node.call("getblockcount", "[]").await);
    while height(node.call("getblockcount", "[]").await) < start + 3 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    node.call("devnet_setinterval", "[0]").await;
    // A block that was being mined may still arrive.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let stopped = node.call("getblockcount", "[]").await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(node.call("getblockcount", "[]").await, stopped);
    node.stop().await;
}
