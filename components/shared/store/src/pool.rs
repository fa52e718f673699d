//! Addresses that were made before anybody needed them: making one is a disk flush of the chain node
//! (throughput.md).

use crate::row::Columns;
use crate::{Database, DatabaseError, Store, StoreError};
use duxnet_units::Address;

/// A ledger that was level with the chain so long ago may be a backup that was put back: the pool's
/// addresses can have been handed out since it was made, and are used no more.
pub const POOL_MAX_AGE_SECONDS: i64 = 20;

/// The parameter's address, or, where it is null, the pool's oldest at the time `at`, another
/// parameter. The insert that uses it takes it out of the pool (trigger `addresses_inserted`).
pub(crate) fn or_from_pool(address: &str, at: &str) -> String {
    format!(
        "COALESCE({address}, (
            SELECT address FROM address_pool
            WHERE (SELECT synced_at FROM chain_state) >= {at} - {POOL_MAX_AGE_SECONDS} ORDER BY id LIMIT 1
        ))"
    )
}

/// Tells an empty pool and a replay apart from other failures.
pub(crate) fn empty_or_signed(error: DatabaseError) -> StoreError {
    let is_null = |column| error.violates(&format!("NOT NULL constraint failed: {column}"));
    if is_null("addresses.address") || is_null("wallets.address") {
        StoreError::PoolEmpty
    } else {
        StoreError::from_signed(error)
    }
}

impl<D: Database> Store<D> {
    /// How many addresses are in the pool.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn pool_size(&self) -> Result<u32, StoreError> {
        let row = self
            .first("SELECT COUNT(*) FROM address_pool", Vec::new())
            .await?
            .ok_or_else(|| DatabaseError("an aggregate returned no row".into()))?;
        Columns::of(row).small("count")
    }

    /// Gives up the pool's addresses; their keys are lost to nobody.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn empty_pool(&self) -> Result<(), StoreError> {
        self.database
            .query("DELETE FROM address_pool", Vec::new())
            .await?;
        Ok(())
    }

    /// Adds addresses to the pool; one that belongs to a wallet already is left out.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn fill_pool(&self, addresses: &[Address]) -> Result<(), StoreError> {
        let list: Vec<&str> = addresses.iter().map(Address::as_str).collect();
        self.database
            .query(
                "INSERT OR IGNORE INTO address_pool (address)
                 SELECT value FROM json_each(?) WHERE value NOT IN (SELECT address FROM addresses)",
                vec![serde_json::to_string(&list).unwrap_or_default().into()],
            )
            .await?;
        Ok(())
    }
}
