//! The component: two secret variables in, `duxnet:identity` exported.

use crate::keys;
use bindings::exports::duxnet::identity::{registry, webhooks};
use ed25519_dalek::SigningKey;
use spin_sdk::variables;

#[allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    reason = "generated from wit/identity"
)]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        inline: "
            package duxnet:config-keyring;
            world component {
                export duxnet:identity/registry@1.0.0;
                export duxnet:identity/webhooks@1.0.0;
            }
        ",
        path: "../../../wit/identity",
        world: "duxnet:config-keyring/component",
        runtime_path: "spin_sdk::wit_bindgen::rt",
    });
}

async fn key(variable: &str) -> Option<SigningKey> {
    keys::parse(&variables::get(variable).await.ok()?)
}

struct Component;

impl registry::Guest for Component {
    async fn public_key() -> Option<String> {
        Some(keys::public_hex(&key("registry_key").await?))
    }

    async fn sign(text: String) -> Option<String> {
        Some(keys::sign_hex(&key("registry_key").await?, &text))
    }
}

impl webhooks::Guest for Component {
    async fn public_key(endpoint: String, version: u32) -> Option<String> {
        let service = key("webhook_key").await?;
        Some(keys::public_webhook(&keys::webhook(
            &service, &endpoint, version,
        )))
    }

    async fn sign(endpoint: String, version: u32, text: String) -> Option<String> {
        let service = key("webhook_key").await?;
        Some(keys::sign_webhook(
            &keys::webhook(&service, &endpoint, version),
            &text,
        ))
    }
}

#[allow(unsafe_code, reason = "the component model's exports")]
mod exported {
    use super::Component;
    super::bindings::export!(Component with_types_in super::bindings);
}
