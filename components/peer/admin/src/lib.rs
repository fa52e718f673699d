//! What an operator decides: `POST /peers/invites` makes an invitation, `POST /peers/join` accepts
//! another registry's, `POST /peers/{peer_id}/block`, `/unblock` and `/forget`.

use duxnet_api::peers::{InvitePeer, JoinPeer};
use duxnet_edge::{Context, peer_pages, peers, serve, tokens};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let operator = tokens::operator(call).await?;
        let settings = peers::required_settings().await?;
        let context = Context::open().await?;
        let peering = context.peering(&settings);
        match call.path().rsplit('/').next() {
            Some("invites") => {
                let wanted = InvitePeer::parse(&call.fields(&InvitePeer::FIELDS)?)?;
                let key = peering.own_key().await?;
                let (token, expires_at) = peering.invite(&operator.name, wanted.expires_in).await?;
                Ok(peer_pages::invitation(&settings, key, token, expires_at))
            }
            Some("join") => {
                let invitation = JoinPeer::parse(&call.fields(&JoinPeer::FIELDS)?)?;
                peering.join(&invitation, &operator.name).await?;
                Ok(peer_pages::changed(&invitation.registry_id, "joining"))
            }
            verb => {
                let peer = call.peer_id()?;
                call.fields(&[])?;
                let state = match verb {
                    Some("block") => peering.block(&peer, true, &operator.name).await?,
                    Some("unblock") => peering.block(&peer, false, &operator.name).await?,
                    _ => peering.forget(&peer).await?,
                };
                Ok(peer_pages::changed(&peer, state))
            }
        }
    })
    .await
}
