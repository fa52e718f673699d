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
