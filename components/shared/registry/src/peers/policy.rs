//! What leaves this registry: of what the operator shares, and, where it is about money, of what the
//! node agrees to. Nothing else decides that.

use super::Sharing;
use duxnet_api::p2p::MessageType;
use duxnet_store::News;
use serde_json::{Map, Value, json};

/// The status of a node that is not there any more.
const DEREGISTERED: &str = "deregistered";

/// What to say about news.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Content {
    /// The type.
    pub(super) message_type: MessageType,
    /// Besides `node_id`; none when there is nothing to say, or nothing any more.
    pub(super) members: Option<Map<String, Value>>,
}

/// What the policy lets say of this.
pub(super) fn content(news: &News, sharing: &[Sharing]) -> Content {
    let is_there = news.status.as_deref().is_some_and(|s| s != DEREGISTERED);
    let shares = |topic: Sharing| sharing.contains(&topic);
    let agreed: Vec<String> = serde_json::from_str(&news.share).unwrap_or_default();
    let agrees = |topic: Sharing| {
        is_there && shares(topic) && agreed.iter().any(|name| name == topic.name())
    };
    let (message_type, value) = match news.topic.as_str() {
        "health" => {
            let value = json!({"health": news.health, "reputation": news.reputation});
            let is_told = is_there && shares(Sharing::Health);
            (MessageType::HealthBroadcast, is_told.then_some(value))
        }
        "wallet" => {
            let address = news.wallet_address.as_ref();
            let address = address.filter(|_| agrees(Sharing::Wallet));
            let value = address.map(|address| json!({"address": address}));
            (MessageType::WalletInfo, value)
        }
        "balance" => {
            let text = |amount: Option<duxnet_units::Amount>| {
                amount.map(|amount| amount.florins().to_string())
            };
            let value = news.balance.is_some().then(|| {
                json!({
                    "balance": text(news.balance),
                    "confirmed": text(news.confirmed),
                    "pending": text(news.pending),
                })
            });
            let value = value.filter(|_| agrees(Sharing::Balances));
            (MessageType::BalanceUpdate, value)
        }
        "transaction" => {
            let value = news.event.as_ref().and_then(transaction);
            let value = value.filter(|_| agrees(Sharing::Transactions));
            (MessageType::TransactionNotification, value)
        }
        _ => {
            let message_type = if news.told_hash.is_none() {
                MessageType::NodeRegister
            } else {
                MessageType::NodeUpdate
            };
            let value = if is_there {
                node(news, sharing, agrees(Sharing::Wallet))
            } else {
                let is_told = news.status.is_some() && shares(Sharing::Presence);
                is_told.then(|| json!({"status": DEREGISTERED}))
            };
            (message_type, value)
        }
    };
    let members = match value {
        Some(Value::Object(mut members)) => {
            members.retain(|_, value| !value.is_null());
            Some(members)
        }
        _ => None,
    };
    Content {
        message_type,
        members,
    }
}

fn node(news: &News, sharing: &[Sharing], tells_wallet: bool) -> Option<Value> {
    let mut members = Map::new();
    if sharing.contains(&Sharing::Presence) {
        members.insert("status".into(), json!(news.status));
        members.insert("address".into(), json!(news.address));
    }
    if sharing.contains(&Sharing::Capabilities) {
        let mut names: Vec<String> = serde_json::from_str(&news.capabilities).unwrap_or_default();
        // Having a wallet is the node's own to tell.
        if tells_wallet && news.wallet_address.is_some() {
            names.push("wallet".into());
            names.sort_unstable();
        }
        members.insert("capabilities".into(), json!(names));
    }
    (!members.is_empty()).then_some(Value::Object(members))
}

/// What of an event is told: not to whom, which the chain shows to whoever looks.
fn transaction((kind, data): &(String, String)) -> Option<Value> {
    let data: Value = serde_json::from_str(data).ok()?;
    Some(json!({"event": kind, "amount": data["amount"], "height": data["height"]}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use duxnet_units::{Amount, NodeId};

    const ALL: [Sharing; 6] = [
        Sharing::Presence,
        Sharing::Capabilities,
        Sharing::Health,
        Sharing::Wallet,
        Sharing::Transactions,
        Sharing::Balances,
    ];
    const TOPICS: [&str; 5] = ["node", "health", "wallet", "transaction", "balance"];

    fn news(topic: &str, share: &str) -> News {
        let amount = Amount::from_florins(4_200_000_000).ok();
        News {
            topic: topic.into(),
            node_id: NodeId::parse("node_001").unwrap_or_else(|_| unreachable!()),
            reference: String::new(),
            revision: 1,
            told_hash: None,
            told_message: None,
            is_changed: true,
            status: Some("online".into()),
            address: Some("node.example:9".into()),
            health: Some(90),
            reputation: Some(50),
            share: share.into(),
            capabilities: r#"["compute"]"#.into(),
            wallet_address: Some("FWallet".into()),
            balance: amount,
            confirmed: amount,
            pending: Some(Amount::ZERO),
            event: Some((
                "payment.sent".into(),
                r#"{"amount":"5","recipient_address":"FOther","height":null}"#.into(),
            )),
        }
    }

    fn told(topic: &str, share: &str, sharing: &[Sharing]) -> Option<String> {
        let members = content(&news(topic, share), sharing).members?;
        Some(Value::Object(members).to_string())
    }

    #[test]
    fn by_default_presence_and_capabilities_are_told_and_not_that_there_is_a_wallet() {
        let default = [Sharing::Presence, Sharing::Capabilities];
        let everything = r#"["wallet","transactions","balances"]"#;
        assert_eq!(
            told("node", everything, &default).as_deref(),
            Some(r#"{"address":"node.example:9","capabilities":["compute"],"status":"online"}"#)
        );
        for topic in &TOPICS[1..] {
            assert_eq!(told(topic, everything, &default), None, "{topic}");
        }
    }

    #[test]
    fn what_is_about_money_needs_the_operator_and_the_node() {
        for (topic, sharing) in [
            ("wallet", Sharing::Wallet),
            ("transaction", Sharing::Transactions),
            ("balance", Sharing::Balances),
        ] {
            let agreed = format!("[\"{}\"]", sharing.name());
            assert!(told(topic, &agreed, &[sharing]).is_some(), "{topic}");
            assert_eq!(told(topic, "[]", &ALL), None, "{topic}");
            assert_eq!(told(topic, "no list", &ALL), None, "{topic}");
            let others: Vec<_> = ALL.into_iter().filter(|t| *t != sharing).collect();
            assert_eq!(told(topic, &agreed, &others), None, "{topic}");
        }
        let told = told("node", r#"["wallet"]"#, &ALL).unwrap_or_default();
        assert!(told.contains(r#"["compute","wallet"]"#), "{told}");
    }

    #[test]
    fn of_a_node_that_is_gone_only_that_is_told() {
        for topic in TOPICS {
            let mut gone = news(topic, r#"["wallet","transactions","balances"]"#);
            gone.status = Some(DEREGISTERED.into());
            let members = content(&gone, &ALL).members;
            let expected = (topic == "node").then(|| r#"{"status":"deregistered"}"#.to_owned());
            assert_eq!(members.map(|m| Value::Object(m).to_string()), expected);
        }
    }

    #[test]
    fn a_transaction_is_told_without_its_recipient() {
        let told = told("transaction", r#"["transactions"]"#, &ALL).unwrap_or_default();
        assert_eq!(told, r#"{"amount":"5","event":"payment.sent"}"#);
    }
}
