//! What a wallet can spend.

use crate::payments::UNDER_WAY;
use crate::row::{Columns, corrupt, florins};
use crate::{Database, Store, StoreError, UnderWay, Value};
use duxnet_units::{Amount, OutPoint};

/// A coin that can be spent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpendableCoin {
    /// Which.
    pub outpoint: OutPoint,
    /// What it is worth.
    pub value: Amount,
    /// Whether it is in a block.
    pub is_confirmed: bool,
}

/// A wallet's coins as far as a payment needs to know them, all as of one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpendableCoins {
    /// Some of them.
    pub coins: Vec<SpendableCoin>,
    /// What all of them are worth.
    pub total: Amount,
    /// Which payments may still give something back.
    pub under_way: UnderWay,
}

impl<D: Database> Store<D> {
    /// The coins from which a payment of about `amount` is made: the largest, as many as a
    /// transaction can carry, and the smallest that suffice alone, beside what the payments under
    /// way may give back. The number read does not grow with the wallet.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn spendable_coins(
        &self,
        wallet_id: i64,
        amount: Amount,
        largest: u32,
        sufficient: u32,
    ) -> Result<SpendableCoins, StoreError> {
        let rows = self
            .database
            .query(
                &format!(
                    "SELECT w.balance, u.*, c.txid, c.vout, c.value, c.height IS NOT NULL
                     FROM wallets AS w JOIN ({UNDER_WAY}) AS u LEFT JOIN (
                        SELECT * FROM (
                            SELECT txid, vout, value, height FROM outputs WHERE wallet_id = ?1 AND spendable > 0
                            ORDER BY spendable DESC LIMIT ?3
                        )
                        UNION
                        SELECT * FROM (
                            SELECT txid, vout, value, height FROM outputs
                            WHERE wallet_id = ?1 AND spendable > 0 AND spendable >= ?2 ORDER BY spendable LIMIT ?4
                        )
                     ) AS c WHERE w.id = ?1"
                ),
                vec![wallet_id.into(), florins(amount), largest.into(), sufficient.into()],
            )
            .await?;
        let mut found = SpendableCoins {
            coins: Vec::with_capacity(rows.len()),
            total: Amount::ZERO,
            under_way: UnderWay::default(),
        };
        for row in rows {
            let mut columns = Columns::of(row);
            found.total = columns.amount("wallets.balance")?;
            found.under_way = UnderWay::read(&mut columns)?;
            // A wallet without coins is one row of nulls.
            let Some(txid) = columns.optional_txid("outputs.txid")? else {
                continue;
            };
            found.coins.push(SpendableCoin {
                outpoint: OutPoint {
                    txid,
                    vout: columns.small("outputs.vout")?,
                },
                value: columns
                    .optional_amount("outputs.value")?
                    .ok_or_else(|| corrupt("outputs.value", &Value::Null))?,
                is_confirmed: columns.integer("outputs.height")? != 0,
            });
        }
        Ok(found)
    }
}
