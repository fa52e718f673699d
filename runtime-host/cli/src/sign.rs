//! The four headers of a signed request (DESIGN 7, header form).

use crate::failure::Failure;
use crate::key_file::NodeKey;
use crate::{clock, random};
use duxnet_api::signing::SigningString;
use duxnet_units::Network;

/// A request as far as its signature covers it.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    /// Which network's service is meant.
    pub network: Network,
    /// Upper case.
    pub method: &'a str,
    /// Path and query, exactly as they will be sent.
    pub target: &'a str,
    /// The body's bytes.
    pub body: &'a [u8],
}

/// A request's signature headers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Headers(pub [(&'static str, String); 4]);

impl Signable<'_> {
    /// Signs for a given time and nonce.
    #[must_use]
    pub fn sign_at(&self, key: &NodeKey, timestamp: i64, nonce: &str) -> Headers {
        let text = SigningString {
            network: self.network,
            method: self.method,
            target: self.target,
            node_id: key.node_id(),
            timestamp,
            nonce,
            content: self.body,
        }
        .to_string();
        Headers([
            ("X-Node-Id", key.node_id().to_string()),
            ("X-Auth-Timestamp", timestamp.to_string()),
            ("X-Auth-Nonce", nonce.to_owned()),
            ("X-Auth-Signature", key.sign(&text)),
        ])
    }

    /// Signs for now, with a fresh nonce.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn sign(&self, key: &NodeKey) -> Result<Headers, Failure> {
        Ok(self.sign_at(key, clock::unix_seconds(), &random::token()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duxnet_api::signing;
    use duxnet_units::NodeId;

    #[test]
    fn the_headers_are_those_that_the_service_reads_and_the_signature_verifies() {
        let key = NodeKey::from_secret(NodeId::parse("node_001").unwrap(), &[7; 32]);
        let signable = Signable {
            network: Network::Regtest,
            method: "GET",
            target: "/wallet/node_001",
            body: b"",
        };
        let Headers(headers) = signable.sign_at(&key, 1_640_995_200, "0123456789");
        let names: Vec<String> = headers.iter().map(|(n, _)| n.to_lowercase()).collect();
        assert_eq!(
            names,
            [
                signing::NODE_ID_HEADER,
                signing::TIMESTAMP_HEADER,
                signing::NONCE_HEADER,
                signing::SIGNATURE_HEADER
            ]
        );
        let text = "DUXNET-ED25519-V1\nflopcoin-regtest\nGET\n/wallet/node_001\nnode_001\n\
            1640995200\n0123456789\n\
            e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(key.public().verifies(text, &headers[3].1));
    }

    #[test]
    fn every_signature_has_its_own_nonce_of_the_allowed_form() {
        let key = NodeKey::from_secret(NodeId::parse("n").unwrap(), &[7; 32]);
        let signable = Signable {
            network: Network::Main,
            method: "GET",
            target: "/",
            body: b"",
        };
        let (Headers(one), Headers(two)) =
            (signable.sign(&key).unwrap(), signable.sign(&key).unwrap());
        assert!(signing::is_nonce(&one[2].1));
        assert_ne!(one[2].1, two[2].1);
    }
}
