//! Which address belongs to which wallet. An address never changes hands.

use crate::pool;
use crate::row::Columns;
use crate::signatures::columns;
use crate::{Database, DatabaseError, SignatureUse, Store, StoreError};
use duxnet_units::{Address, IdempotencyKey, Timestamp};

/// An address to be added to a wallet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAddress {
    /// The wallet's row.
    pub wallet_id: i64,
    /// The address; none: one of the pool's.
    pub address: Option<Address>,
    /// The request's idempotency key.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Now.
    pub at: Timestamp,
    /// The request's signature.
    pub signature: Option<SignatureUse>,
}

/// What adding an address came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoredAddress {
    /// It is the wallet's now.
    Added(String),
    /// The idempotency key was used already; this is the address it made.
    Earlier(String),
    /// The wallet has as many as it may.
    LimitReached,
}

impl<D: Database> Store<D> {
    /// The address that an idempotency key made.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn address_by_key(
        &self,
        wallet_id: i64,
        key: &IdempotencyKey,
    ) -> Result<Option<String>, StoreError> {
        self.first(
            "SELECT address FROM addresses WHERE wallet_id = ? AND idempotency_key = ?",
            vec![wallet_id.into(), key.as_str().into()],
        )
        .await?
        .map(|row| Columns::of(row).text("addresses.address"))
        .transpose()
    }

    /// Adds an address and makes it the wallet's newest.
    ///
    /// # Errors
    /// [`StoreError::Replayed`], [`StoreError::PoolEmpty`] when it is to be the pool's and there is
    /// none, and others.
    pub async fn insert_address(&self, new: &NewAddress) -> Result<StoredAddress, StoreError> {
        let [hash, expires_at] = columns(new.signature.as_ref());
        let address = pool::or_from_pool("?1", "?3");
        let result = self
            .first(
                &format!(
                    "INSERT INTO addresses (address, wallet_id, created_at, idempotency_key, signature_hash,
                        signature_expires_at) VALUES ({address}, ?2, ?3, ?4, ?5, ?6) RETURNING address"
                ),
                vec![
                    new.address.as_ref().map(Address::as_str).into(),
                    new.wallet_id.into(),
                    new.at.unix_seconds().into(),
                    new.idempotency_key.as_ref().map(IdempotencyKey::as_str).into(),
                    hash,
                    expires_at,
                ],
            )
            .await;
        let error = match result {
            Ok(row) => {
                let row = row.ok_or_else(|| DatabaseError("an address returned no row".into()))?;
                return Ok(StoredAddress::Added(
                    Columns::of(row).text("addresses.address")?,
                ));
            }
            Err(StoreError::Database(error)) => error,
            Err(error) => return Err(error),
        };
        if error.violates("address_limit_reached") {
            return Ok(StoredAddress::LimitReached);
        }
        if let Some(key) = &new.idempotency_key
            && error.violates("addresses.idempotency_key")
            && let Some(address) = self.address_by_key(new.wallet_id, key).await?
        {
            return Ok(StoredAddress::Earlier(address));
        }
        Err(pool::empty_or_signed(error))
    }
}
