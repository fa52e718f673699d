//! This registry among others.

use crate::check::{Checker, Variables, text};
use crate::notifications::{is_key, key_fault};
use duxnet_units::NodeId;
use duxnet_units::is_registry_address;

/// The variables of this group.
pub const NAMES: [&str; 7] = [
    REGISTRY_ID,
    "registry_address",
    REGISTRY_KEY,
    "peers",
    "peer_sharing",
    "peer_exchange",
    "peer_message_limit",
];
const REGISTRY_ID: &str = "registry_id";
/// 32 bytes, hex: the seed of the registry's Ed25519 key.
pub const REGISTRY_KEY: &str = "registry_key";

/// A peer that the operator names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its id.
    pub id: String,
    /// Scheme, host and port.
    pub address: String,
    /// Lower-case hex.
    pub public_key: String,
}

/// What peers are told of nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic {
    /// That a node is there, its status and address.
    Presence,
    /// What it can do.
    Capabilities,
    /// Health score and reputation.
    Health,
    /// That it has a wallet, and its address.
    Wallet,
    /// Payments sent and received.
    Transactions,
    /// Balances.
    Balances,
}

impl Topic {
    const ALL: [(&'static str, Topic); 6] = [
        ("presence", Topic::Presence),
        ("capabilities", Topic::Capabilities),
        ("health", Topic::Health),
        ("wallet", Topic::Wallet),
        ("transactions", Topic::Transactions),
        ("balances", Topic::Balances),
    ];

    fn from_name(name: &str) -> Option<Self> {
        let (_, topic) = Self::ALL.into_iter().find(|(known, _)| *known == name)?;
        Some(topic)
    }
}

/// Settings that passed every check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peers {
    /// This registry's own id.
    pub id: String,
    /// Where peers reach it.
    pub address: String,
    /// The peers that the operator names.
    pub peers: Vec<Peer>,
    /// What peers are told.
    pub sharing: Vec<Topic>,
    /// Whether peers may introduce their peers.
    pub exchange: bool,
    /// Messages that one peer may send in a minute.
    pub messages_per_minute: u32,
}

/// Checks the group, but for the key, which is another component's; none while there is no id.
///
/// # Errors
/// One line per fault.
pub fn peers(variables: &Variables) -> Result<Option<Peers>, Vec<String>> {
    let mut checker = Checker::new(variables);
    if checker.text(REGISTRY_ID).is_none() {
        return Ok(None);
    }
    let id = checker.value(
        REGISTRY_ID,
        "1 to 64 characters of A-Z a-z 0-9 . _ -, no word that routes use",
        |text| is_id(text).then(|| text.to_owned()),
    );
    let address = checker.value("registry_address", ADDRESS, |text| {
        is_registry_address(text).then(|| text.to_owned())
    });
    let peers = match checker.text("peers") {
        None => Some(Vec::new()),
        Some(_) => checker.value(
            "peers",
            "id=address#public key (64 hexadecimal digits), separated by commas, each id once",
            parse_peers,
        ),
    };
    let sharing = match checker.text("peer_sharing") {
        None => Some(Vec::new()),
        Some(_) => checker.value(
            "peer_sharing",
            "presence, capabilities, health, wallet, transactions, balances, separated by commas",
            |text| {
                text.split(',')
                    .map(|name| Topic::from_name(name.trim()))
                    .collect()
            },
        ),
    };
    let exchange = checker.value("peer_exchange", "on, off", |text| match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    });
    let messages_per_minute = checker.number("peer_message_limit", 1..=100_000);
    let read = (|| {
        Some(Peers {
            id: id?,
            address: address?,
            peers: peers?,
            sharing: sharing?,
            exchange: exchange?,
            messages_per_minute: messages_per_minute?,
        })
    })();
    checker.finish(read).map(Some)
}

const ADDRESS: &str = "http:// or https://, host and port, without a path";

/// A registry signs its requests as a node does, so its id is one.
fn is_id(text: &str) -> bool {
    NodeId::parse(text).is_ok()
}

fn parse_peers(text: &str) -> Option<Vec<Peer>> {
    let mut peers: Vec<Peer> = Vec::new();
    for entry in text.split(',') {
        let (id, rest) = entry.trim().split_once('=')?;
        let (address, key) = rest.split_once('#')?;
        if !is_id(id)
            || !is_registry_address(address)
            || !is_key(key)
            || peers.iter().any(|p| p.id == id)
        {
            return None;
        }
        peers.push(Peer {
            id: id.to_owned(),
            address: address.to_owned(),
            public_key: key.to_ascii_lowercase(),
        });
    }
    Some(peers)
}

/// Every fault of the group.
#[must_use]
pub fn faults(variables: &Variables) -> Vec<String> {
    let mut faults = peers(variables).err().unwrap_or_default();
    faults.extend(key_fault(variables, REGISTRY_KEY));
    if text(variables, REGISTRY_ID).is_some() && text(variables, REGISTRY_KEY).is_none() {
        faults.push(format!(
            "{REGISTRY_KEY} is not set; allowed with registry_id: 64 hexadecimal digits"
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Variables {
        let key = "0A".repeat(32);
        Variables::from([
            (REGISTRY_ID, "registry_a".to_owned()),
            ("registry_address", "https://a.example:8443".to_owned()),
            (REGISTRY_KEY, "11".repeat(32)),
            (
                "peers",
                format!("b=http://127.0.0.1:9#{key}, c=https://[::1]:9#{key}"),
            ),
            ("peer_sharing", "presence, capabilities".to_owned()),
            ("peer_exchange", "off".to_owned()),
            ("peer_message_limit", "120".to_owned()),
        ])
    }

    #[test]
    fn a_registry_with_peers_is_read() {
        let read = peers(&good()).unwrap().unwrap();
        assert_eq!(read.peers.len(), 2);
        assert_eq!(read.peers[0].public_key, "0a".repeat(32));
        assert_eq!(read.sharing, [Topic::Presence, Topic::Capabilities]);
        assert!(faults(&good()).is_empty());
    }

    #[test]
    fn without_an_id_nothing_else_is_asked_for() {
        assert_eq!(peers(&Variables::new()), Ok(None));
        assert!(faults(&Variables::new()).is_empty());
    }

    #[test]
    fn every_fault_is_told_with_what_is_allowed() {
        for (name, value) in [
            (REGISTRY_ID, "a b"),
            ("registry_address", "a.example"),
            ("registry_address", "https://a.example/path"),
            ("peers", "b=http://x"),
            ("peers", "b=http://x#00"),
            ("peer_sharing", "everything"),
            ("peer_exchange", "maybe"),
            ("peer_message_limit", "0"),
            (REGISTRY_KEY, "s3cret"),
            (REGISTRY_KEY, ""),
        ] {
            let mut variables = good();
            variables.insert(name, value.to_owned());
            let faults = faults(&variables);
            assert_eq!(faults.len(), 1, "{name}={value}: {faults:?}");
            assert!(
                faults[0].starts_with(name) && faults[0].contains("allowed"),
                "{faults:?}"
            );
            assert!(!faults[0].contains("s3cret"));
        }
    }
}
