//! `POST /nodes/register`: registers a node, or changes its key.

use duxnet_api::request::RegisterNode;
use duxnet_api::signing::{PublicKey, rotation_string};
use duxnet_edge::{Context, render, serve};
use duxnet_store::NodeChange;
use duxnet_wallet::Clock as _;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let fields = call.fields(&RegisterNode::FIELDS)?;
        let wanted = RegisterNode::parse(&fields)?;
        let context = Context::open().await?;
        let key = wanted.public_key.as_ref();
        let registrant = context.authenticate_registration(call, &wanted.node_id, &fields, key)?;
        let change = NodeChange {
            node_id: wanted.node_id.clone(),
            public_key: key.map(ToString::to_string),
            address: wanted.address,
            capabilities: wanted.capabilities,
            share: wanted.share,
            at: context.clock.now(),
            signature: registrant.caller.signature,
        };
        let network = context.settings.policy.network;
        let handed_over =
            |old: Option<&str>| match (registrant.timestamp, key, &wanted.rotation_signature) {
                // Where nothing is signed, nobody owns a node id.
                (None, _, _) => true,
                (Some(timestamp), Some(new), Some(signature)) => {
                    old.map(PublicKey::parse).is_some_and(|old| {
                        old.is_ok_and(|old| {
                            old.verifies(
                                &rotation_string(network, &wanted.node_id, &old, new, timestamp),
                                signature,
                            )
                        })
                    })
                }
                (Some(_), _, _) => false,
            };
        let registered = context.service().register(&change, handed_over).await?;
        Ok(render::registered(&registered))
    })
    .await
}
