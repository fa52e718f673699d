//! Who asks (DESIGN 7): time, key, signature. The replay check is the database's, in the same
//! step as the effect.

use crate::{Call, Context, Failure};
use duxnet_api::access::Identity;
use duxnet_api::jcs;
use duxnet_api::problem::{Code, Problem};
use duxnet_api::request::{AUTH_DATA, Fields, parse_node_id};
use duxnet_api::signing::{self, PublicKey, SigningString};
use duxnet_store::{SignatureUse, Wallet};
use duxnet_units::{IdempotencyKey, NodeId};
use duxnet_wallet::{Caller, Clock as _};

/// Who asks, and what the signature says besides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authenticated {
    /// For the domain.
    pub caller: Caller,
    nonce: Option<String>,
}

/// A node that proved possession of the key it registers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registrant {
    /// For the domain.
    pub caller: Caller,
    /// The signature's time, which the rotation signature shares; none where nothing is signed.
    pub timestamp: Option<i64>,
}

impl Authenticated {
    /// The request's own idempotency key, or the signature's nonce in its place.
    #[must_use]
    pub fn idempotency_key(&self, own: Option<IdempotencyKey>) -> Option<IdempotencyKey> {
        own.or_else(|| {
            let nonce = self.nonce.as_ref().filter(|nonce| !nonce.is_empty())?;
            IdempotencyKey::parse(&format!("nonce:{nonce}")).ok()
        })
    }
}

/// A signature as sent, in either form.
pub(crate) struct Claim {
    pub(crate) signer: NodeId,
    timestamp: i64,
    nonce: String,
    pub(crate) signature: String,
    content: Vec<u8>,
}

impl Context {
    /// Checks that `node` itself asks. The signature is not yet used up: the effect does that, or
    /// [`Context::authenticate_read`].
    ///
    /// # Errors
    /// 401 without a valid signature, 403 with another node's, 400 with two.
    pub async fn authenticate(
        &self,
        call: &Call,
        node: &NodeId,
        fields: Option<&Fields>,
    ) -> Result<Authenticated, Failure> {
        let claim = self.claim(call, node, fields)?;
        self.check(call, node, claim).await
    }

    async fn check(
        &self,
        call: &Call,
        node: &NodeId,
        claim: Option<Claim>,
    ) -> Result<Authenticated, Failure> {
        call.prove(Identity::Node)?;
        let Some(claim) = claim else {
            return Ok(Authenticated {
                caller: unsigned(node),
                nonce: None,
            });
        };
        // An unknown node and a wrong signature look the same from outside.
        let known = self.store.node_key(&claim.signer).await?;
        let key = known.as_ref().and_then(Option::as_deref);
        let key = key.map(PublicKey::parse).and_then(Result::ok);
        let signature = match self.verify(call, &claim, key.as_ref())? {
            Some(signature) => signature,
            None => {
                self.count_failure(known.is_some().then_some(&claim.signer))
                    .await;
                return Err(wrong_signature());
            }
        };
        if claim.signer != *node {
            return Err(Problem::new(Code::Forbidden)
                .detail("the signature is valid, but another node's")
                .into());
        }
        let caller = Caller {
            node_id: node.clone(),
            signature: Some(signature),
        };
        Ok(Authenticated {
            caller,
            nonce: Some(claim.nonce),
        })
    }

    /// As [`Context::authenticate`], for a request without body and effect: it is signed in headers,
    /// and the signature is used up here.
    ///
    /// # Errors
    /// As there, and 401 for a replay.
    pub async fn authenticate_read(&self, call: &Call, node: &NodeId) -> Result<Caller, Failure> {
        let authenticated = self.check(call, node, self.header_claim(call)?).await?;
        self.service()
            .consume_signature(&authenticated.caller)
            .await?;
        Ok(authenticated.caller)
    }

    /// What an authenticated request asks for. One that cannot be read uses its signature up: its
    /// headers are not signed, so a copy with others could be read.
    ///
    /// # Errors
    /// The problem found by reading, or 401 for a replay.
    pub async fn wanted<T>(
        &self,
        authenticated: &Authenticated,
        read: Result<T, Problem>,
    ) -> Result<T, Failure> {
        if read.is_err() {
            self.service()
                .consume_signature(&authenticated.caller)
                .await?;
        }
        Ok(read?)
    }

    /// The wallet of the path's node, for that node itself to read.
    ///
    /// # Errors
    /// As [`Context::authenticate_read`], and 404 where there is no wallet.
    pub async fn own_wallet(&self, call: &Call) -> Result<Wallet, Failure> {
        let node = call.node_id()?;
        self.authenticate_read(call, &node).await?;
        Ok(self.service().wallet(&node).await?)
    }

    /// Checks that whoever registers `node` has the key that it registers.
    ///
    /// # Errors
    /// 401 without a valid signature, 400 without a key.
    pub fn authenticate_registration(
        &self,
        call: &Call,
        node: &NodeId,
        fields: &Fields,
        key: Option<&PublicKey>,
    ) -> Result<Registrant, Failure> {
        call.prove(Identity::Node)?;
        let Some(claim) = self.claim(call, node, Some(fields))? else {
            return Ok(Registrant {
                caller: unsigned(node),
                timestamp: None,
            });
        };
        let key = key.ok_or_else(|| Problem::invalid_request("public_key is missing"))?;
        let signature = self
            .verify(call, &claim, Some(key))?
            .ok_or_else(wrong_signature)?;
        if claim.signer != *node {
            return Err(Problem::new(Code::Forbidden)
                .detail("X-Node-Id is not the body's node_id")
                .into());
        }
        Ok(Registrant {
            caller: Caller {
                node_id: node.clone(),
                signature: Some(signature),
            },
            timestamp: Some(claim.timestamp),
        })
    }

    /// The signature of the request in either form; none where requests are not signed.
    fn claim(
        &self,
        call: &Call,
        node: &NodeId,
        fields: Option<&Fields>,
    ) -> Result<Option<Claim>, Failure> {
        if !self.settings.is_signed {
            return Ok(None);
        }
        let Some(auth) = fields.map(Fields::auth_data).transpose()?.flatten() else {
            return self.header_claim(call);
        };
        if call.has_signature_header() {
            return Err(
                Problem::invalid_request("signed in headers and in auth_data; use one").into(),
            );
        }
        let object = fields.map(Fields::object).cloned().unwrap_or_default();
        let content = jcs::canonical_object(&object, AUTH_DATA)
            .map_err(|e| Problem::invalid_request(format!("body: {e}")))?;
        Ok(Some(Claim {
            signer: node.clone(),
            timestamp: auth.timestamp,
            nonce: auth.nonce.unwrap_or_default(),
            signature: auth.signature,
            content,
        }))
    }

    /// The signature in the headers; none where requests are not signed.
    fn header_claim(&self, call: &Call) -> Result<Option<Claim>, Failure> {
        if !self.settings.is_signed {
            return Ok(None);
        }
        if !call.has_signature_header() {
            return Err(Problem::authentication("the request is not signed").into());
        }
        header_claim(call).map(Some)
    }

    /// Counted for the rules about failed signatures; the answer is the same if it cannot be.
    async fn count_failure(&self, node: Option<&NodeId>) {
        let now = self.clock.now();
        if let Err(error) = self.store.count_failed_signature(node, now).await {
            eprintln!("a failed signature is not counted: {error}");
        }
    }

    /// None for a signature that is wrong.
    fn verify(
        &self,
        call: &Call,
        claim: &Claim,
        key: Option<&PublicKey>,
    ) -> Result<Option<SignatureUse>, Failure> {
        let (text, signature) = self.signed(call, claim)?;
        let is_right = key.is_some_and(|key| key.verifies(&text, &claim.signature));
        Ok(is_right.then_some(signature))
    }

    /// What is signed, if it is fresh, and what keeps it from being used again. The signature is not
    /// checked.
    pub(crate) fn signed(
        &self,
        call: &Call,
        claim: &Claim,
    ) -> Result<(String, SignatureUse), Problem> {
        let now = self.clock.now().unix_seconds();
        signing::check_timestamp(claim.timestamp, now).map_err(|fault| {
            let mut problem = Problem::authentication(fault.to_string());
            problem.server_time = Some(now);
            problem
        })?;
        let text = SigningString {
            network: self.settings.policy.network,
            method: &call.method,
            target: &call.target,
            node_id: &claim.signer,
            timestamp: claim.timestamp,
            nonce: &claim.nonce,
            content: &claim.content,
        }
        .to_string();
        let signature = SignatureUse {
            hash: signing::sha256_hex(text.as_bytes()),
            expires_at: claim.timestamp + signing::MAX_AGE_SECONDS,
        };
        Ok((text, signature))
    }
}

fn wrong_signature() -> Failure {
    Problem::authentication("no valid signature of a registered node").into()
}

fn unsigned(node: &NodeId) -> Caller {
    Caller {
        node_id: node.clone(),
        signature: None,
    }
}

pub(crate) fn header_claim(call: &Call) -> Result<Claim, Failure> {
    let header = |name: &str| {
        call.header(name)
            .ok_or_else(|| Problem::authentication(format!("{name} is missing or not readable")))
    };
    let nonce = header(signing::NONCE_HEADER)?;
    if !signing::is_nonce(nonce) {
        return Err(Problem::authentication(
            "x-auth-nonce must be 8 to 64 characters of A-Z a-z 0-9 . _ -",
        )
        .into());
    }
    Ok(Claim {
        signer: parse_node_id(header(signing::NODE_ID_HEADER)?)
            .map_err(|_| Problem::authentication("x-node-id is no node id"))?,
        timestamp: header(signing::TIMESTAMP_HEADER)?
            .parse()
            .map_err(|_| Problem::authentication("x-auth-timestamp must be whole unix seconds"))?,
        nonce: nonce.to_owned(),
        signature: header(signing::SIGNATURE_HEADER)?.to_owned(),
        content: call.body().to_vec(),
    })
}
