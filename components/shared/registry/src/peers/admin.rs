//! What an operator decides about peers.

use super::{Peering, after};
use crate::RegistryError;
use duxnet_api::peers::JoinPeer;
use duxnet_api::problem::{Code, Problem};
use duxnet_api::signing::sha256_hex;
use duxnet_store::Database;
use duxnet_units::{NodeId, Timestamp};
use duxnet_wallet::Clock;

/// Seconds after which a run has noted the key.
const SHORTLY_SECONDS: u32 = 5;

fn not_found(peer: &NodeId) -> RegistryError {
    Problem::new(Code::PeerNotFound)
        .detail(format!("{peer} is no peer"))
        .into()
}

impl<D: Database, C: Clock> Peering<'_, D, C> {
    /// This registry's public key, which the first run of the outbox notes.
    ///
    /// # Errors
    /// 503 before that.
    pub async fn own_key(&self) -> Result<String, RegistryError> {
        self.store.own_public_key().await?.ok_or_else(|| {
            Problem::new(Code::Misconfigured)
                .detail("the registry's key is not known yet: POST /internal/peers/run has not run")
                .retry_after(SHORTLY_SECONDS)
                .into()
        })
    }

    /// Makes an invitation: its token, and until when. Only its hash is kept.
    ///
    /// # Errors
    /// The database's.
    pub async fn invite(
        &self,
        by: &str,
        seconds: i64,
    ) -> Result<(String, Timestamp), RegistryError> {
        let now = self.clock.now();
        let expires_at = after(now, seconds);
        let token = self.store.random_token().await?;
        self.store
            .insert_invite(&sha256_hex(token.as_bytes()), by, now, expires_at)
            .await?;
        Ok((token, expires_at))
    }

    /// Accepts another registry's invitation: the next run says hello with it.
    ///
    /// # Errors
    /// 422 for an address that is not allowed, or a registry that cannot be added.
    pub async fn join(&self, invitation: &JoinPeer, by: &str) -> Result<(), RegistryError> {
        if invitation.registry_id == self.settings.id {
            return Err(Problem::invalid_value("registry_id is this registry's own").into());
        }
        if !self.settings.allows(&invitation.address) {
            return Err(super::private(&invitation.address));
        }
        let is_added = self
            .store
            .join_peer(
                &invitation.registry_id,
                &invitation.address,
                &invitation.public_key,
                &invitation.token,
                by,
                self.clock.now(),
            )
            .await?;
        if is_added {
            Ok(())
        } else {
            Err(Problem::invalid_value(
                "there are as many peers as there may be, or one of this id that is blocked or has another key",
            )
            .into())
        }
    }

    /// Blocks a peer, or lets a blocked one speak again; its state then.
    ///
    /// # Errors
    /// 404.
    pub async fn block(
        &self,
        peer: &NodeId,
        block: bool,
        by: &str,
    ) -> Result<&'static str, RegistryError> {
        if !self.store.block_peer(peer, block, by).await? {
            return Err(not_found(peer));
        }
        Ok(if block { "blocked" } else { "joining" })
    }

    /// Forgets a peer, which hears a goodbye first.
    ///
    /// # Errors
    /// 404, and 409 for one that stands in the settings.
    pub async fn forget(&self, peer: &NodeId) -> Result<&'static str, RegistryError> {
        let known = self.store.peer(peer).await?;
        if known.ok_or_else(|| not_found(peer))?.source == "static" {
            return Err(Problem::new(Code::PeerStatic)
                .detail("take it out of `peers`, or block it")
                .into());
        }
        if !self.store.forget_peer(peer).await? {
            return Err(not_found(peer));
        }
        Ok("leaving")
    }
}
