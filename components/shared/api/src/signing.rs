//! What a node signs and how a signature is checked (DESIGN 7).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use duxnet_units::{Network, NodeId};
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// First line of every signing string.
pub const TAG: &str = "DUXNET-ED25519-V1";
/// First line of the string that the old key signs when a node changes its key.
pub const ROTATION_TAG: &str = "DUXNET-ED25519-ROTATE-V1";
/// How far a timestamp may lie in the past, seconds.
pub const MAX_AGE_SECONDS: i64 = 120;
/// How far a timestamp may lie in the future, seconds.
pub const MAX_AHEAD_SECONDS: i64 = 30;
/// Stamps at or above this are milliseconds (the year 2286 in seconds).
const MILLISECOND_STAMP: i64 = 10_000_000_000;

/// Header that names the signing node.
pub const NODE_ID_HEADER: &str = "x-node-id";
/// Header with the unix seconds of the signature.
pub const TIMESTAMP_HEADER: &str = "x-auth-timestamp";
/// Header with a value that no other request of the node has.
pub const NONCE_HEADER: &str = "x-auth-nonce";
/// Header with the signature.
pub const SIGNATURE_HEADER: &str = "x-auth-signature";

/// The parts of a signing string.
#[derive(Clone, Copy, Debug)]
pub struct SigningString<'a> {
    /// Which network's service is meant.
    pub network: Network,
    /// Upper case.
    pub method: &'a str,
    /// Path and query exactly as sent.
    pub target: &'a str,
    /// Who signs.
    pub node_id: &'a NodeId,
    /// Unix seconds.
    pub timestamp: i64,
    /// Empty only in the body form.
    pub nonce: &'a str,
    /// The raw body (header form) or the body's canonical form without `auth_data` (body form).
    pub content: &'a [u8],
}

/// Eight lines, joined by a line feed, none at the end.
impl fmt::Display for SigningString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{TAG}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
            self.network.audience(),
            self.method,
            self.target,
            self.node_id,
            self.timestamp,
            self.nonce,
            sha256_hex(self.content),
        )
    }
}

/// What the old key signs to hand the node id over to a new key: tag, audience, node id, old key,
/// new key, unix seconds of the request.
#[must_use]
pub fn rotation_string(
    network: Network,
    node_id: &NodeId,
    old: &PublicKey,
    new: &PublicKey,
    timestamp: i64,
) -> String {
    format!(
        "{ROTATION_TAG}\n{}\n{node_id}\n{old}\n{new}\n{timestamp}",
        network.audience()
    )
}

/// Lower-case hex SHA-256.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Why a timestamp is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TimestampFault {
    /// Milliseconds instead of seconds.
    #[error("timestamp must be unix seconds, not milliseconds")]
    Milliseconds,
    /// Too old.
    #[error("timestamp is more than {MAX_AGE_SECONDS} s old")]
    Stale,
    /// Ahead of the service's clock.
    #[error("timestamp is more than {MAX_AHEAD_SECONDS} s ahead")]
    Ahead,
}

/// Checks a signature's time against the clock, both in unix seconds.
///
/// # Errors
/// See [`TimestampFault`].
pub fn check_timestamp(timestamp: i64, now: i64) -> Result<(), TimestampFault> {
    if timestamp >= MILLISECOND_STAMP {
        Err(TimestampFault::Milliseconds)
    } else if timestamp < now.saturating_sub(MAX_AGE_SECONDS) {
        Err(TimestampFault::Stale)
    } else if timestamp > now.saturating_add(MAX_AHEAD_SECONDS) {
        Err(TimestampFault::Ahead)
    } else {
        Ok(())
    }
}

/// Whether a text can be a nonce: 8 to 64 characters of `A-Z a-z 0-9 . _ -`.
#[must_use]
pub fn is_nonce(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (8..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// A node's Ed25519 public key that is fit to verify with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey(VerifyingKey);

/// Why a text is no usable public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PublicKeyError {
    /// Not 32 bytes in hex or base64url.
    #[error("must be 32 bytes as 64 hex digits or 43 characters of base64url")]
    Encoding,
    /// No point of the curve.
    #[error("is no Ed25519 public key")]
    NotAPoint,
    /// A key of small order verifies anything.
    #[error("is a weak Ed25519 key")]
    Weak,
}

impl PublicKey {
    /// Reads hex or base64url.
    ///
    /// # Errors
    /// See [`PublicKeyError`].
    pub fn parse(text: &str) -> Result<Self, PublicKeyError> {
        let bytes = decode::<32>(text).ok_or(PublicKeyError::Encoding)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| PublicKeyError::NotAPoint)?;
        if key.is_weak() {
            return Err(PublicKeyError::Weak);
        }
        Ok(PublicKey(key))
    }

    /// Whether `signature` (hex or base64url) is this key's over `message`, by the strict rules:
    /// no small-order points, one encoding only.
    #[must_use]
    pub fn verifies(&self, message: &str, signature: &str) -> bool {
        decode::<64>(signature).is_some_and(|bytes| {
            let signature = ed25519_dalek::Signature::from_bytes(&bytes);
            self.0.verify_strict(message.as_bytes(), &signature).is_ok()
        })
    }
}

/// Lower-case hex.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0.as_bytes()))
    }
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = if text.len() == 2 * N {
        hex::decode(text).ok()?
    } else {
        URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?
    };
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    #[test]
    fn the_signing_string_has_eight_lines_and_no_trailing_one() {
        let node_id = NodeId::parse("node_001").unwrap();
        let string = SigningString {
            network: Network::Regtest,
            method: "POST",
            target: "/wallet/node_001/send?x=1",
            node_id: &node_id,
            timestamp: 1_640_995_200,
            nonce: "0123456789",
            content: b"",
        }
        .to_string();
        assert_eq!(
            string,
            "DUXNET-ED25519-V1\nflopcoin-regtest\nPOST\n/wallet/node_001/send?x=1\nnode_001\n1640995200\n0123456789\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn signatures_verify_in_both_encodings_and_only_as_they_are() {
        let signature = key().sign(b"text").to_bytes();
        let public = PublicKey::parse(&hex::encode(key().verifying_key().as_bytes())).unwrap();
        assert!(public.verifies("text", &hex::encode(signature)));
        assert!(public.verifies("text", &URL_SAFE_NO_PAD.encode(signature)));
        assert!(!public.verifies("texT", &hex::encode(signature)));
        for bad in [
            "",
            "abc123...",
            &hex::encode(&signature[1..]),
            &"0".repeat(128),
        ] {
            assert!(!public.verifies("text", bad), "{bad}");
        }
        // S + L is the same signature to a lax verifier.
        let mut malleated = signature;
        malleated[63] |= 0x10;
        assert!(!public.verifies("text", &hex::encode(malleated)));
    }

    #[test]
    fn weak_and_broken_keys_are_refused() {
        assert_eq!(PublicKey::parse("00"), Err(PublicKeyError::Encoding));
        let identity = format!("01{}", "00".repeat(31));
        assert_eq!(PublicKey::parse(&identity), Err(PublicKeyError::Weak));
        assert_eq!(
            PublicKey::parse(&"00".repeat(32)),
            Err(PublicKeyError::Weak)
        );
        let base64 = URL_SAFE_NO_PAD.encode(key().verifying_key().as_bytes());
        assert!(PublicKey::parse(&base64).is_ok());
    }

    #[test]
    fn the_window_is_120_s_back_and_30_s_ahead() {
        let now = 1_700_000_000;
        assert_eq!(check_timestamp(now - 120, now), Ok(()));
        assert_eq!(check_timestamp(now - 121, now), Err(TimestampFault::Stale));
        assert_eq!(check_timestamp(now + 30, now), Ok(()));
        assert_eq!(check_timestamp(now + 31, now), Err(TimestampFault::Ahead));
        assert_eq!(
            check_timestamp(now * 1000, now),
            Err(TimestampFault::Milliseconds)
        );
        assert_eq!(check_timestamp(i64::MIN, now), Err(TimestampFault::Stale));
    }
}
