//! This registry among others: settings, the signer, the line to peers, and who brings a message.

use crate::auth::header_claim;
use crate::bindings::duxnet::config::{notifications, peers as config};
use crate::bindings::duxnet::identity::registry as identity;
use crate::clock::SystemClock;
use crate::database::SpinDatabase;
use crate::settings::misconfigured;
use crate::{Call, Context, Failure};
use bytes::Bytes;
use duxnet_api::access::Identity;
use duxnet_api::p2p::TARGET;
use duxnet_api::problem::{Code, Problem};
use duxnet_api::signing::PublicKey;
use duxnet_registry::peers::{
    Line, Outgoing, PeerSettings, Peering, Reply, Sharing, Signer, StaticPeer, Taken,
};
use duxnet_units::NodeId;
use futures::future::{Either, select};
use http_body_util::BodyExt as _;
use spin_sdk::http::{FullBody, Request, send};
use std::pin::pin;
use std::time::Duration;

/// How long a peer may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How much of an answer is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// The settings; none while the registry has no id.
///
/// # Errors
/// 503 when they are at fault.
pub async fn settings() -> Result<Option<PeerSettings>, Problem> {
    let loaded = config::load()
        .await
        .map_err(|faults| misconfigured(&faults))?;
    let Some(loaded) = loaded else {
        return Ok(None);
    };
    let notifications = notifications::load()
        .await
        .map_err(|faults| misconfigured(&faults))?;
    let id = |text: &str| {
        NodeId::parse(text).map_err(|e| misconfigured(&[format!("registry id {text}: {e}")]))
    };
    Ok(Some(PeerSettings {
        id: id(&loaded.id)?,
        address: loaded.address,
        peers: loaded
            .peers
            .into_iter()
            .map(|peer| {
                Ok(StaticPeer {
                    id: id(&peer.id)?,
                    address: peer.address,
                    public_key: peer.public_key,
                })
            })
            .collect::<Result<_, Problem>>()?,
        sharing: loaded.sharing.into_iter().map(sharing).collect(),
        exchange: loaded.exchange,
        messages_per_minute: loaded.messages_per_minute,
        private_networks: notifications.private_networks,
    }))
}

/// As [`settings`], for what makes no sense without peers.
///
/// # Errors
/// 404 while the registry has no id; 503.
pub async fn required_settings() -> Result<PeerSettings, Problem> {
    settings().await?.ok_or_else(|| {
        Problem::new(Code::PeersDisabled).detail("the registry has no registry_id, and so no peers")
    })
}

fn sharing(topic: config::Topic) -> Sharing {
    match topic {
        config::Topic::Presence => Sharing::Presence,
        config::Topic::Capabilities => Sharing::Capabilities,
        config::Topic::Health => Sharing::Health,
        config::Topic::Wallet => Sharing::Wallet,
        config::Topic::Transactions => Sharing::Transactions,
        config::Topic::Balances => Sharing::Balances,
    }
}

impl Context {
    /// Everything that dealing with peers needs.
    #[must_use]
    pub fn peering<'a>(
        &'a self,
        settings: &'a PeerSettings,
    ) -> Peering<'a, SpinDatabase, SystemClock> {
        Peering {
            store: &self.store,
            clock: &self.clock,
            settings,
            network: self.settings.policy.network,
        }
    }

    /// Takes the message of a request, after whoever sends it has proved to be a peer, or to be
    /// invited. For strangers nothing is written.
    ///
    /// # Errors
    /// 401, 429, and why the message is not taken.
    pub async fn receive_message(
        &self,
        call: &Call,
        settings: &PeerSettings,
    ) -> Result<Taken, Failure> {
        let claim = header_claim(call)?;
        let (text, signature) = self.signed(call, &claim)?;
        let sender = &claim.signer;
        let peering = self.peering(settings);
        let stranger = || Problem::authentication("no valid signature of a known peer");
        let is_signed_by = |key: &PublicKey| key.verifies(&text, &claim.signature);
        if let Some(peer) = peering.peer(sender).await? {
            let key = PublicKey::parse(&peer.public_key).ok();
            if !key.as_ref().is_some_and(is_signed_by) {
                return Err(stranger().into());
            }
            peering.note_request(sender, &signature).await?;
            call.prove(Identity::Peer)?;
            return Ok(peering.receive(sender, call.body()).await?);
        }
        let newcomer = peering.newcomer(sender, call.body()).await?;
        let newcomer = newcomer
            .filter(|newcomer| is_signed_by(&newcomer.public_key))
            .ok_or_else(stranger)?;
        call.prove(Identity::Peer)?;
        Ok(peering.welcome(&newcomer, signature).await?)
    }
}

/// The registry's key, in the component that keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Keyring;

impl Signer for Keyring {
    async fn public_key(&self) -> Option<String> {
        identity::public_key().await
    }

    async fn sign(&self, text: &str) -> Option<String> {
        identity::sign(text.to_owned()).await
    }
}

/// HTTP to peers. A redirect is an answer like any other, and no success.
#[derive(Clone, Copy, Debug)]
pub struct HttpLine;

impl Line for HttpLine {
    async fn deliver(&self, request: Outgoing) -> Reply {
        let exchange = exchange(request);
        match select(pin!(exchange), pin!(spin_sdk::time::sleep(DEADLINE))).await {
            Either::Left((Ok(reply), _)) => reply,
            Either::Left((Err(why), _)) => Reply::Silent(why),
            Either::Right(((), _)) => Reply::Silent("no answer before the deadline".into()),
        }
    }
}

async fn exchange(request: Outgoing) -> Result<Reply, String> {
    let mut builder = Request::post(format!("{}{TARGET}", request.address))
        .header("content-type", "application/json")
        .header("content-length", request.body.len());
    for (name, value) in request.headers {
        builder = builder.header(name, value);
    }
    let request = builder
        .body(FullBody::new(Bytes::from(request.body)))
        .map_err(|_| "the address makes no URL".to_owned())?;
    let response = send(request).await.map_err(|e| format!("{e:?}"))?;
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| format!("answer cut off: {e:?}"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > MAX_ANSWER_BYTES {
            return Err("the answer is too large".into());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Reply::Answered {
        status,
        retry_after,
        body: bytes,
    })
}
