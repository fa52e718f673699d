//! Wallets.

use crate::pool;
use crate::row::Columns;
use crate::signatures::columns;
use crate::{Database, Row, SignatureUse, Store, StoreError};
use duxnet_units::{Address, Amount, IdempotencyKey, NodeId, Timestamp, WalletName};

/// A wallet as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wallet {
    /// The row.
    pub id: i64,
    /// Whose.
    pub node_id: NodeId,
    /// Its display name.
    pub wallet_name: String,
    /// The newest address.
    pub address: String,
    /// False: refuses sends.
    pub is_active: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
    /// The key of the request that made it.
    pub idempotency_key: Option<String>,
    /// The hash of that request's content.
    pub request_hash: String,
    /// What the ledger says it holds.
    pub balance: Balance,
    /// Why an operator has frozen it; none: it is not frozen.
    pub frozen: Option<String>,
}

/// What a wallet holds: sums that the ledger's triggers keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Balance {
    /// What can be spent now.
    pub available: Amount,
    /// Outputs with enough confirmations, reserved or not.
    pub confirmed: Amount,
    /// Money from others with too few confirmations; never spendable.
    pub pending: Amount,
    /// Outputs that payments not yet sent have taken.
    pub reserved: Amount,
}

/// A wallet to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewWallet {
    /// Whose.
    pub node_id: NodeId,
    /// Its display name.
    pub wallet_name: WalletName,
    /// Its first address; none: one of the pool's.
    pub address: Option<Address>,
    /// The request's idempotency key.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The hash of the request's content.
    pub request_hash: String,
    /// Now.
    pub at: Timestamp,
    /// The request's signature.
    pub signature: Option<SignatureUse>,
}

const COLUMNS: &str = "id, node_id, wallet_name, address, is_active, created_at, updated_at,
    idempotency_key, request_hash, balance, confirmed, pending, reserved, frozen_reason";

fn read(row: Row) -> Result<Wallet, StoreError> {
    let mut columns = Columns::of(row);
    Ok(Wallet {
        id: columns.integer("wallets.id")?,
        node_id: columns.node_id("wallets.node_id")?,
        wallet_name: columns.text("wallets.wallet_name")?,
        address: columns.text("wallets.address")?,
        is_active: columns.integer("wallets.is_active")? != 0,
        created_at: columns.time("wallets.created_at")?,
        updated_at: columns.optional_time("wallets.updated_at")?,
        idempotency_key: columns.optional_text("wallets.idempotency_key")?,
        request_hash: columns.text("wallets.request_hash")?,
        balance: Balance {
            available: columns.amount("wallets.balance")?,
            confirmed: columns.amount("wallets.confirmed")?,
            pending: columns.amount("wallets.pending")?,
            reserved: columns.amount("wallets.reserved")?,
        },
        frozen: columns.optional_text("wallets.frozen_reason")?,
    })
}

impl<D: Database> Store<D> {
    /// A node's wallet.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn wallet_of(&self, node_id: &NodeId) -> Result<Option<Wallet>, StoreError> {
        self.first(
            &format!("SELECT {COLUMNS} FROM wallets WHERE node_id = ?"),
            vec![node_id.as_str().into()],
        )
        .await?
        .map(read)
        .transpose()
    }

    /// Makes a wallet and gives its node the capability `wallet`; none when the node has one.
    ///
    /// # Errors
    /// [`StoreError::Replayed`], [`StoreError::PoolEmpty`] when it is to be the pool's address and
    /// there is none, and others.
    pub async fn insert_wallet(&self, wallet: &NewWallet) -> Result<Option<Wallet>, StoreError> {
        let [hash, expires_at] = columns(wallet.signature.as_ref());
        let address = pool::or_from_pool("?3", "?4");
        let sql = format!(
            "INSERT INTO wallets (node_id, wallet_name, address, created_at, updated_at, idempotency_key, request_hash,
                signature_hash, signature_expires_at)
             VALUES (?1, ?2, {address}, ?4, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (node_id) DO NOTHING RETURNING {COLUMNS}"
        );
        self.database
            .query(
                &sql,
                vec![
                    wallet.node_id.as_str().into(),
                    wallet.wallet_name.as_str().into(),
                    wallet.address.as_ref().map(Address::as_str).into(),
                    wallet.at.unix_seconds().into(),
                    wallet
                        .idempotency_key
                        .as_ref()
                        .map(IdempotencyKey::as_str)
                        .into(),
                    wallet.request_hash.as_str().into(),
                    hash,
                    expires_at,
                ],
            )
            .await
            .map_err(pool::empty_or_signed)?
            .into_iter()
            .next()
            .map(read)
            .transpose()
    }
}
