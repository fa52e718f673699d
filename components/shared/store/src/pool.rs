//! Addresses that were made before anybody needed them: making one is a disk flush of the chain node
//! (throughput.md).

use crate::row::Columns;
use crate::{Database, DatabaseError, Store, StoreError};
use duxnet_units::Address;

/// The parameter's address, or, where it is null, the pool's oldest. The insert that uses it takes
/// it out of the pool (trigger `addresses_inserted`).
pub(crate) fn or_from_pool(parameter: &str) -> String {
    format!("COALESCE({parameter}, (SELECT address FROM address_pool ORDER BY id LIMIT 1))")
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
