//! Which address belongs to which wallet. An address never changes hands.

use crate::row::Columns;
use crate::signatures::columns;
use crate::{Database, SignatureUse, Store, StoreError};
use duxnet_units::{Address, IdempotencyKey, Timestamp};

/// An address to be added to a wallet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAddress {
    /// The wallet's row.
    pub wallet_id: i64,
    /// The address.
    pub address: Address,
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
    Added,
    /// The idempotency key was used already; this is the address it made.
    Earlier(String),
    /// The wallet has as many as it may.
    LimitReached,
}

impl<D: Database> Store<D> {
    /// All addresses of a wallet, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn addresses_of(&self, wallet_id: i64) -> Result<Vec<String>, StoreError> {
        self.database
            .query(
                "SELECT address FROM addresses WHERE wallet_id = ? ORDER BY id",
                vec![wallet_id.into()],
            )
            .await?
            .into_iter()
            .map(|row| Columns::of(row).text("addresses.address"))
            .collect()
    }

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
    /// [`StoreError::Replayed`] and others.
    pub async fn insert_address(&self, new: &NewAddress) -> Result<StoredAddress, StoreError> {
        let [hash, expires_at] = columns(new.signature.as_ref());
        let result = self
            .database
            .query(
                "INSERT INTO addresses (address, wallet_id, created_at, idempotency_key, signature_hash,
                    signature_expires_at) VALUES (?, ?, ?, ?, ?, ?)",
                vec![
                    new.address.as_str().into(),
                    new.wallet_id.into(),
                    new.at.unix_seconds().into(),
                    new.idempotency_key.as_ref().map(IdempotencyKey::as_str).into(),
                    hash,
                    expires_at,
                ],
            )
            .await;
        match (result, &new.idempotency_key) {
            (Ok(_), _) => Ok(StoredAddress::Added),
            (Err(error), _) if error.violates("address_limit_reached") => {
                Ok(StoredAddress::LimitReached)
            }
            (Err(error), Some(key)) if error.violates("addresses.idempotency_key") => {
                match self.address_by_key(new.wallet_id, key).await? {
                    Some(address) => Ok(StoredAddress::Earlier(address)),
                    None => Err(error.into()),
                }
            }
            (Err(error), _) => Err(StoreError::from_signed(error)),
        }
    }
}
