//! The keys, and what they sign.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use hkdf::Hkdf;
use sha2::Sha256;

/// Marks what is derived as a webhook's key, and the way it is derived.
const WEBHOOK_TAG: &str = "duxnet-webhook-ed25519-v1";
/// Standard Webhooks: the prefix of a public key.
const PUBLIC_PREFIX: &str = "whpk_";
/// Standard Webhooks: the version of asymmetric signatures.
const SIGNATURE_VERSION: &str = "v1a";

/// A key from 64 hexadecimal digits; none for any other text.
#[must_use]
pub fn parse(text: &str) -> Option<SigningKey> {
    let bytes: [u8; 32] = hex::decode(text.trim()).ok()?.try_into().ok()?;
    Some(SigningKey::from_bytes(&bytes))
}

/// The key of one version of a webhook endpoint, derived from the service's (HKDF, RFC 5869).
#[must_use]
pub fn webhook(service: &SigningKey, endpoint: &str, version: u32) -> SigningKey {
    let mut seed = [0; 32];
    let info = format!("{WEBHOOK_TAG}\n{endpoint}\n{version}");
    // Fails only for more than 255 hashes' length.
    let _ = Hkdf::<Sha256>::new(None, service.as_bytes()).expand(info.as_bytes(), &mut seed);
    SigningKey::from_bytes(&seed)
}

/// A registry's public key, lower-case hex.
#[must_use]
pub fn public_hex(key: &SigningKey) -> String {
    hex::encode(key.verifying_key().as_bytes())
}

/// A registry's signature, lower-case hex.
#[must_use]
pub fn sign_hex(key: &SigningKey, text: &str) -> String {
    hex::encode(key.sign(text.as_bytes()).to_bytes())
}

/// A webhook's public key as Standard Webhooks writes it.
#[must_use]
pub fn public_webhook(key: &SigningKey) -> String {
    format!(
        "{PUBLIC_PREFIX}{}",
        STANDARD.encode(key.verifying_key().as_bytes())
    )
}

/// A webhook's signature as Standard Webhooks writes it.
#[must_use]
pub fn sign_webhook(key: &SigningKey, text: &str) -> String {
    format!(
        "{SIGNATURE_VERSION},{}",
        STANDARD.encode(key.sign(text.as_bytes()).to_bytes())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_64_digits_are_a_key() {
        assert!(parse(&"0A".repeat(32)).is_some());
        for bad in ["", "00", "xyz", &"0".repeat(63), &"0".repeat(66)] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn each_endpoint_and_version_has_a_key_of_its_own_and_always_the_same() {
        let service = parse(&"07".repeat(32)).unwrap();
        let public =
            |endpoint: &str, version| public_webhook(&webhook(&service, endpoint, version));
        assert_eq!(public("a", 1), public("a", 1));
        assert_ne!(public("a", 1), public("a", 2));
        assert_ne!(public("a", 1), public("b", 1));
        assert_ne!(public("a\n1", 1), public("a", 1));
        let other = parse(&"08".repeat(32)).unwrap();
        assert_ne!(public("a", 1), public_webhook(&webhook(&other, "a", 1)));
        assert!(public("a", 1).starts_with("whpk_"));
    }

    /// The vectors of check_webhooks.py, which computes them in another language.
    #[test]
    fn keys_and_signatures_are_those_of_an_independent_computation() {
        let vectors = include_str!("../../../../tests/fixtures/webhooks.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
        assert!(!vectors.is_empty());
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().unwrap();
            let service = parse(text("webhook_key")).unwrap();
            let version = vector["version"].as_u64().unwrap().try_into().unwrap();
            let key = webhook(&service, text("endpoint"), version);
            let signed = format!("{}.{}.{}", text("id"), vector["timestamp"], text("body"));
            assert_eq!(public_webhook(&key), text("public_key"));
            assert_eq!(sign_webhook(&key, &signed), text("signature"));
        }
    }

    #[test]
    fn signatures_verify_with_the_public_key() {
        let key = webhook(&parse(&"07".repeat(32)).unwrap(), "a", 1);
        let signature = sign_webhook(&key, "id.1.{}");
        let bytes = STANDARD
            .decode(signature.strip_prefix("v1a,").unwrap())
            .unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&bytes).unwrap();
        assert!(
            key.verifying_key()
                .verify_strict(b"id.1.{}", &signature)
                .is_ok()
        );
        assert_eq!(sign_hex(&key, "x").len(), 128);
        assert_eq!(public_hex(&key).len(), 64);
    }
}
