//! The signature test vectors against the contract's crate; `tests/fixtures/check_signatures.py`
//! computes the same without it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use duxnet_api::jcs;
use duxnet_api::json::parse_object;
use duxnet_api::request::AUTH_DATA;
use duxnet_api::signing::{PublicKey, SigningString, rotation_string, sha256_hex};
use duxnet_units::{Network, NodeId};
use ed25519_dalek::{Signer as _, SigningKey};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    network: String,
    method: String,
    target: String,
    node_id: String,
    timestamp: i64,
    nonce: String,
    form: String,
    body: String,
    content_sha256: String,
    signing_string: String,
    secret_key: String,
    public_key: String,
    signature: String,
    new_public_key: Option<String>,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../../../tests/fixtures/signatures.json")).unwrap()
}

/// What a body-form signature covers; the body must carry the vector's own signature.
fn canonical(vector: &Vector) -> Vec<u8> {
    let object = parse_object(vector.body.as_bytes()).unwrap();
    let auth = &object[AUTH_DATA];
    assert_eq!(auth["signature"], vector.signature.as_str());
    assert_eq!(auth["timestamp"].as_i64(), Some(vector.timestamp));
    assert_eq!(auth["nonce"].as_str().unwrap_or_default(), vector.nonce);
    jcs::canonical_object(&object, AUTH_DATA).unwrap()
}

#[test]
fn the_contract_computes_every_vector() {
    let vectors = vectors();
    assert!(vectors.len() >= 10);
    for vector in vectors {
        let network = Network::from_name(&vector.network).unwrap();
        let node_id = NodeId::parse(&vector.node_id).unwrap();
        let public = PublicKey::parse(&vector.public_key).unwrap();
        let content = match vector.form.as_str() {
            "header" => Some(vector.body.clone().into_bytes()),
            "body" => Some(canonical(&vector)),
            "rotation" => None,
            other => panic!("form {other}"),
        };
        let text = match content {
            Some(content) => {
                assert_eq!(
                    sha256_hex(&content),
                    vector.content_sha256,
                    "{}",
                    vector.name
                );
                SigningString {
                    network,
                    method: &vector.method,
                    target: &vector.target,
                    node_id: &node_id,
                    timestamp: vector.timestamp,
                    nonce: &vector.nonce,
                    content: &content,
                }
                .to_string()
            }
            None => {
                let new = PublicKey::parse(vector.new_public_key.as_ref().unwrap()).unwrap();
                rotation_string(network, &node_id, &public, &new, vector.timestamp)
            }
        };
        assert_eq!(text, vector.signing_string, "{}", vector.name);
        assert!(public.verifies(&text, &vector.signature), "{}", vector.name);
        assert!(!public.verifies(&format!("{text}\n"), &vector.signature));

        let secret: [u8; 32] = hex::decode(&vector.secret_key).unwrap().try_into().unwrap();
        let key = SigningKey::from_bytes(&secret);
        assert_eq!(
            hex::encode(key.verifying_key().as_bytes()),
            vector.public_key
        );
        assert_eq!(
            hex::encode(key.sign(text.as_bytes()).to_bytes()),
            vector.signature
        );
    }
}

#[test]
fn both_forms_all_networks_and_the_rotation_are_covered() {
    let vectors = vectors();
    let count = |test: &dyn Fn(&Vector) -> bool| vectors.iter().filter(|v| test(v)).count();
    for form in ["header", "body", "rotation"] {
        assert!(count(&|v| v.form == form) > 0, "{form}");
    }
    for network in ["main", "test", "regtest"] {
        assert!(count(&|v| v.network == network) > 0, "{network}");
    }
    assert!(count(&|v| v.form == "body" && v.nonce.is_empty()) > 0);
    assert!(count(&|v| v.target.contains('?')) > 1);
}
