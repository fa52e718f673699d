//! What the tracker tells the ledger. Each function is one statement: a page of blocks, a
//! reorganisation or the mempool is in the ledger as a whole or not at all
//! (`migrations/0002_ledger.sql`).

use crate::payments::{self, Payment};
use crate::row::{Columns, corrupt, florins};
use crate::{Database, DatabaseError, Store, StoreError, Value};
use duxnet_units::{Amount, BlockHash, Network, OutPoint, Timestamp, Txid};
use serde::Serialize;

/// A block in the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerBlock {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// Its time.
    pub time: Timestamp,
}

/// The ledger's place in the chain, and what belongs to the whole service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChainState {
    /// The last block in the ledger; none before the first.
    pub block: Option<LedgerBlock>,
    /// The chain node's network, as last seen.
    pub network: Option<Network>,
    /// The chain node's tip, as last seen.
    pub tip_height: Option<u32>,
    /// Florins per 1000 bytes, as last seen.
    pub fee_rate: Option<u64>,
    /// When the ledger was last level with the chain node.
    pub synced_at: Option<Timestamp>,
    /// The watchdog's place: the last row of `addresses` that this round has compared.
    pub watchdog_cursor: i64,
    /// What this round found so far.
    pub watchdog_sum: Amount,
    /// What the last whole round found.
    pub watchdog_drift: Option<Amount>,
    /// When it ended.
    pub watchdog_at: Option<Timestamp>,
    /// When the chain node's wallet was last backed up.
    pub backup_at: Option<Timestamp>,
    /// Since when payments are stopped.
    pub sends_stopped_at: Option<Timestamp>,
    /// Why.
    pub sends_stopped_reason: Option<String>,
}

/// An output that pays an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenOutput {
    /// Which of the transaction's.
    pub vout: u32,
    /// Whom it pays.
    pub address: String,
    /// How much.
    pub value: Amount,
}

/// A transaction that concerns one of our wallets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenTransaction {
    /// Its id.
    pub txid: Txid,
    /// Whether it is a coinbase.
    pub is_coinbase: bool,
    /// The payment (its row) that it is.
    pub payment: Option<i64>,
    /// Who is shown as paid when it is no payment of ours.
    pub recipient: String,
    /// What it spends.
    pub inputs: Vec<OutPoint>,
    /// What it pays.
    pub outputs: Vec<SeenOutput>,
}

/// A block to be applied, with the transactions that concern us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenBlock {
    /// Its place.
    pub block: LedgerBlock,
    /// What in it concerns us.
    pub transactions: Vec<SeenTransaction>,
}

/// When outputs can be spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Depths {
    /// Confirmations that money from others needs.
    pub required: u32,
    /// Confirmations that a coinbase needs.
    pub maturity: u32,
}

/// What a statement for the ledger came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applied {
    /// It is in the ledger.
    Done,
    /// Another tracker was faster: nothing was changed.
    LedgerMoved,
}

#[derive(Serialize)]
struct WireBlock<'a> {
    height: u32,
    hash: &'a str,
    time: i64,
}

/// Transactions of blocks, or of the mempool, as flat lists: each line carries what it needs, because
/// looking it up in its transaction would read that once for each.
#[derive(Default)]
struct Wire<'a> {
    /// payment, txid, height, block hash
    payments: Vec<(i64, &'a str, Option<u32>, Option<&'a str>)>,
    /// txid, vout, address, value, coinbase, height, block hash, block time
    outputs: Vec<WireOutput<'a>>,
    /// txid, vout, spender, recipient, height
    inputs: Vec<(&'a str, u32, &'a str, &'a str, Option<u32>)>,
}

type WireOutput<'a> = (
    &'a str,
    u32,
    &'a str,
    u64,
    u8,
    Option<u32>,
    Option<&'a str>,
    Option<i64>,
);

impl<'a> Wire<'a> {
    fn add(&mut self, transactions: &'a [SeenTransaction], block: Option<&'a LedgerBlock>) {
        let height = block.map(|block| block.height);
        let hash = block.map(|block| block.hash.as_str());
        let time = block.map(|block| block.time.unix_seconds());
        for transaction in transactions {
            let txid = transaction.txid.as_str();
            self.payments
                .extend(transaction.payment.map(|id| (id, txid, height, hash)));
            self.outputs
                .extend(transaction.outputs.iter().map(|output| {
                    let is_coinbase = transaction.is_coinbase.into();
                    let (address, value) = (output.address.as_str(), output.value.florins());
                    (
                        txid,
                        output.vout,
                        address,
                        value,
                        is_coinbase,
                        height,
                        hash,
                        time,
                    )
                }));
            self.inputs.extend(transaction.inputs.iter().map(|input| {
                let recipient = transaction.recipient.as_str();
                (input.txid.as_str(), input.vout, txid, recipient, height)
            }));
        }
    }

    fn parameters(&self) -> [Value; 3] {
        [
            json(&self.payments),
            json(&self.outputs),
            json(&self.inputs),
        ]
    }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_string(value).unwrap_or_default().into()
}

fn pairs(outpoints: &[OutPoint]) -> Value {
    let list: Vec<(&str, u32)> = outpoints
        .iter()
        .map(|outpoint| (outpoint.txid.as_str(), outpoint.vout))
        .collect();
    json(&list)
}

const STATE: &str =
    "height, hash, block_time, network, tip_height, fee_rate, synced_at, watchdog_cursor,
    watchdog_sum, watchdog_drift, watchdog_at, backup_at, sends_stopped_at, sends_stopped_reason";

fn read_state(row: crate::Row) -> Result<ChainState, StoreError> {
    let mut columns = Columns::of(row);
    let height = columns.optional_small("chain_state.height")?;
    let hash = columns.optional_text("chain_state.hash")?;
    let time = columns.optional_time("chain_state.block_time")?;
    let block = match (height, hash, time) {
        (Some(height), Some(hash), Some(time)) => Some(LedgerBlock {
            height,
            hash: block_hash(&hash)?,
            time,
        }),
        _ => None,
    };
    Ok(ChainState {
        block,
        network: columns
            .optional_text("chain_state.network")?
            .map(|name| {
                Network::from_name(&name)
                    .ok_or_else(|| corrupt("chain_state.network", &Value::Text(name)))
            })
            .transpose()?,
        tip_height: columns.optional_small("chain_state.tip_height")?,
        fee_rate: columns
            .optional_integer("chain_state.fee_rate")?
            .and_then(|rate| u64::try_from(rate).ok()),
        synced_at: columns.optional_time("chain_state.synced_at")?,
        watchdog_cursor: columns.integer("chain_state.watchdog_cursor")?,
        watchdog_sum: columns.amount("chain_state.watchdog_sum")?,
        watchdog_drift: columns.optional_amount("chain_state.watchdog_drift")?,
        watchdog_at: columns.optional_time("chain_state.watchdog_at")?,
        backup_at: columns.optional_time("chain_state.backup_at")?,
        sends_stopped_at: columns.optional_time("chain_state.sends_stopped_at")?,
        sends_stopped_reason: columns.optional_text("chain_state.sends_stopped_reason")?,
    })
}

fn block_hash(text: &str) -> Result<BlockHash, StoreError> {
    BlockHash::parse(text).map_err(|_| corrupt("blocks.hash", &Value::Text(text.to_owned())))
}

fn applied(result: Result<Vec<crate::Row>, DatabaseError>) -> Result<Applied, StoreError> {
    match result {
        Ok(_) => Ok(Applied::Done),
        // A block's height is the ledger's already: the same, said by a constraint.
        Err(error) if error.violates("ledger_moved") || error.violates("blocks.height") => {
            Ok(Applied::LedgerMoved)
        }
        Err(error) => Err(error.into()),
    }
}

impl<D: Database> Store<D> {
    /// The ledger's place in the chain.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn chain_state(&self) -> Result<ChainState, StoreError> {
        let row = self
            .first(&format!("SELECT {STATE} FROM chain_state"), Vec::new())
            .await?
            .ok_or_else(|| DatabaseError("chain_state has no row".into()))?;
        read_state(row)
    }

    /// Makes the caller the tracker until `until` and gives the lease's name; none while another
    /// one is. A lease that ends a minute later than any could was given before the clock was set back.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_tracker_lease(
        &self,
        at: Timestamp,
        until: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        self.first(
            "UPDATE chain_state SET lease_holder = lower(hex(randomblob(16))), lease_until = ?1
             WHERE lease_until <= ?2 OR lease_until > ?1 + 60 RETURNING lease_holder",
            vec![until.unix_seconds().into(), at.unix_seconds().into()],
        )
        .await?
        .map(|row| Columns::of(row).text("chain_state.lease_holder"))
        .transpose()
    }

    /// Keeps the lease for longer; false when another tracker has taken over.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prolong_tracker_lease(
        &self,
        lease: &str,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        self.changed(
            "UPDATE chain_state SET lease_until = ? WHERE lease_holder = ? RETURNING id",
            vec![until.unix_seconds().into(), lease.into()],
        )
        .await
    }

    /// Lets the next tracker begin.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn release_tracker_lease(&self, lease: &str) -> Result<(), StoreError> {
        self.changed(
            "UPDATE chain_state SET lease_holder = NULL, lease_until = 0 WHERE lease_holder = ? RETURNING id",
            vec![lease.into()],
        )
        .await
        .map(|_| ())
    }

    /// Where the ledger begins on a chain it has not seen: the day of the first address, none
    /// without addresses.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn first_address_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = self
            .first("SELECT MIN(created_at) FROM addresses", Vec::new())
            .await?;
        row.map_or(Ok(None), |row| {
            Columns::of(row).optional_time("addresses.created_at")
        })
    }

    /// The ledger's blocks from `height` downwards, highest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn blocks_down_from(
        &self,
        height: u32,
        limit: u32,
    ) -> Result<Vec<LedgerBlock>, StoreError> {
        self.database
            .query(
                "SELECT height, hash, time FROM blocks WHERE height <= ? ORDER BY height DESC LIMIT ?",
                vec![height.into(), limit.into()],
            )
            .await?
            .into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(LedgerBlock {
                    height: columns.small("blocks.height")?,
                    hash: block_hash(&columns.text("blocks.hash")?)?,
                    time: columns.time("blocks.time")?,
                })
            })
            .collect()
    }

    /// Which of these addresses are ours.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn own_addresses(&self, addresses: &[&str]) -> Result<Vec<String>, StoreError> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        self.database
            .query(
                "SELECT a.address FROM json_each(?) AS asked JOIN addresses AS a ON a.address = asked.value",
                vec![json(&addresses)],
            )
            .await?
            .into_iter()
            .map(|row| Columns::of(row).text("addresses.address"))
            .collect()
    }

    /// Which of these outpoints are coins of our wallets, or taken by our payments.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn own_outpoints(&self, outpoints: &[OutPoint]) -> Result<Vec<OutPoint>, StoreError> {
        if outpoints.is_empty() {
            return Ok(Vec::new());
        }
        self.database
            .query(
                "SELECT o.txid, o.vout FROM json_each(?1) AS asked
                 JOIN outputs AS o ON o.txid = asked.value ->> 0 AND o.vout = asked.value ->> 1
                 UNION SELECT i.txid, i.vout FROM json_each(?1) AS asked
                 JOIN payment_inputs AS i ON i.txid = asked.value ->> 0 AND i.vout = asked.value ->> 1",
                vec![pairs(outpoints)],
            )
            .await?
            .into_iter()
            .map(|row| Columns::of(row).outpoint("outputs.txid, vout"))
            .collect()
    }

    /// Signed payments that one of these transactions could be: by id, or by a coin they take.
    /// Those that have not failed come first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn payments_like(
        &self,
        txids: &[&str],
        outpoints: &[OutPoint],
    ) -> Result<Vec<Payment>, StoreError> {
        let sql = format!(
            "SELECT {} FROM payments WHERE txid IS NOT NULL AND id IN (
                SELECT p.id FROM json_each(?1) AS asked JOIN payments AS p ON p.txid = asked.value
                UNION SELECT i.payment_id FROM json_each(?2) AS asked
                JOIN payment_inputs AS i ON i.txid = asked.value ->> 0 AND i.vout = asked.value ->> 1
             ) ORDER BY state = 'failed', id DESC",
            payments::COLUMNS
        );
        self.database
            .query(&sql, vec![json(&txids), pairs(outpoints)])
            .await?
            .into_iter()
            .map(payments::read)
            .collect()
    }

    /// Appends blocks that follow `base`, and settles what has become deep enough.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn apply_blocks(
        &self,
        base: Option<&BlockHash>,
        blocks: &[SeenBlock],
        depths: Depths,
        at: Timestamp,
    ) -> Result<Applied, StoreError> {
        let places: Vec<WireBlock<'_>> = blocks
            .iter()
            .map(|seen| WireBlock {
                height: seen.block.height,
                hash: seen.block.hash.as_str(),
                time: seen.block.time.unix_seconds(),
            })
            .collect();
        let mut wire = Wire::default();
        for seen in blocks {
            wire.add(&seen.transactions, Some(&seen.block));
        }
        let [payments, outputs, inputs] = wire.parameters();
        applied(
            self.database
                .query(
                    "INSERT INTO apply_blocks (base_hash, blocks, payments, outputs, inputs, required, maturity, at)
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    vec![
                        base.map(BlockHash::as_str).into(),
                        json(&places),
                        payments,
                        outputs,
                        inputs,
                        depths.required.into(),
                        depths.maturity.into(),
                        at.unix_seconds().into(),
                    ],
                )
                .await,
        )
    }

    /// Takes back every block above `to`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn roll_back(
        &self,
        base: &BlockHash,
        to: &LedgerBlock,
        at: Timestamp,
    ) -> Result<Applied, StoreError> {
        applied(
            self.database
                .query(
                    "INSERT INTO roll_back (base_hash, height, hash, at) VALUES (?, ?, ?, ?)",
                    vec![
                        base.as_str().into(),
                        to.height.into(),
                        to.hash.as_str().into(),
                        at.unix_seconds().into(),
                    ],
                )
                .await,
        )
    }

    /// Which of the mempool's transactions were not looked at yet, at most `limit`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn unknown_in_mempool(
        &self,
        txids: &[Txid],
        limit: u32,
    ) -> Result<Vec<Txid>, StoreError> {
        if txids.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<&str> = txids.iter().map(Txid::as_str).collect();
        self.database
            .query(
                "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT txid FROM mempool) LIMIT ?",
                vec![json(&asked), limit.into()],
            )
            .await?
            .into_iter()
            .map(|row| Columns::of(row).txid("mempool.txid"))
            .collect()
    }

    /// Brings what is unconfirmed up to the mempool on block `base`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn apply_mempool(
        &self,
        base: Option<&BlockHash>,
        mempool: &[Txid],
        looked_at: &[Txid],
        transactions: &[SeenTransaction],
        at: Timestamp,
    ) -> Result<Applied, StoreError> {
        let ids = |txids: &[Txid]| {
            let list: Vec<&str> = txids.iter().map(Txid::as_str).collect();
            json(&list)
        };
        let mut wire = Wire::default();
        wire.add(transactions, None);
        let [payments, outputs, inputs] = wire.parameters();
        applied(
            self.database
                .query(
                    "INSERT INTO apply_mempool (base_hash, txids, looked_at, payments, outputs, inputs, at)
                     VALUES (?, ?, ?, ?, ?, ?, ?)",
                    vec![
                        base.map(BlockHash::as_str).into(),
                        ids(mempool),
                        ids(looked_at),
                        payments,
                        outputs,
                        inputs,
                        at.unix_seconds().into(),
                    ],
                )
                .await,
        )
    }

    /// Notes what the chain node said of itself, and, with `level`, that the ledger is level with
    /// it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn note_node(
        &self,
        network: Network,
        tip_height: u32,
        fee_rate: u64,
        level_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.changed(
            "UPDATE chain_state SET network = ?, tip_height = ?, fee_rate = ?, synced_at = COALESCE(?, synced_at)
             RETURNING id",
            vec![
                network.name().into(),
                tip_height.into(),
                i64::try_from(fee_rate).unwrap_or(i64::MAX).into(),
                level_at.map(|at| at.unix_seconds()).into(),
            ],
        )
        .await
        .map(|_| ())
    }

    /// Transactions of missing outputs that were not asked for since `before`, at most `limit`;
    /// they count as asked for at `at` from now on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn missing_transactions(
        &self,
        before: Timestamp,
        at: Timestamp,
        limit: u32,
    ) -> Result<Vec<Txid>, StoreError> {
        self.database
            .query(
                "UPDATE outputs SET asked_at = ?2 WHERE state = 'missing' AND txid IN (
                    SELECT txid FROM outputs WHERE state = 'missing' AND asked_at <= ?1
                    ORDER BY asked_at LIMIT ?3
                 ) RETURNING txid",
                vec![
                    before.unix_seconds().into(),
                    at.unix_seconds().into(),
                    limit.into(),
                ],
            )
            .await?
            .into_iter()
            .map(|row| Columns::of(row).txid("outputs.txid"))
            .collect()
    }

    /// A missing transaction will not come back: a conflicting one is deep enough.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn mark_outputs_dead(&self, txid: &Txid, at: Timestamp) -> Result<(), StoreError> {
        self.changed(
            "UPDATE outputs SET state = 'dead', cause = 'dropped', changed_at = ?
             WHERE txid = ? AND state = 'missing' RETURNING vout",
            vec![at.unix_seconds().into(), txid.as_str().into()],
        )
        .await
        .map(|_| ())
    }

    /// Notes that the chain node's wallet was backed up.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn note_backup(&self, at: Timestamp) -> Result<(), StoreError> {
        self.changed(
            "UPDATE chain_state SET backup_at = ? RETURNING id",
            vec![at.unix_seconds().into()],
        )
        .await
        .map(|_| ())
    }

    /// Whether every wallet's balance is what its outputs and its movements add up to; the wallets
    /// for which it is not. For tests and operators: it reads the whole ledger.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn recount(&self) -> Result<Vec<i64>, StoreError> {
        self.database
            .query(
                "SELECT w.id FROM wallets AS w
                 LEFT JOIN (
                    SELECT wallet_id, SUM(held) AS held, SUM(spendable) AS spendable, SUM(awaited) AS awaited,
                        SUM(held * settled) AS settled, SUM(held * (reserved_by IS NOT NULL)) AS reserved
                    FROM outputs GROUP BY wallet_id
                 ) AS o ON o.wallet_id = w.id
                 LEFT JOIN (SELECT wallet_id, SUM(amount) AS held FROM movements GROUP BY wallet_id) AS m
                    ON m.wallet_id = w.id
                 WHERE w.balance <> COALESCE(o.spendable, 0) OR w.pending <> COALESCE(o.awaited, 0)
                    OR w.confirmed <> COALESCE(o.settled, 0) OR w.reserved <> COALESCE(o.reserved, 0)
                    OR w.balance + w.pending + w.reserved <> COALESCE(o.held, 0)
                    OR COALESCE(m.held, 0) <> COALESCE(o.held, 0)",
                Vec::new(),
            )
            .await?
            .into_iter()
            .map(|row| Columns::of(row).integer("wallets.id"))
            .collect()
    }

    /// Adds what one page of the watchdog's round found; with `end` the round is over.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn note_watchdog(
        &self,
        cursor: i64,
        drift: Amount,
        end: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.changed(
            "UPDATE chain_state SET
                watchdog_drift = CASE WHEN ?3 IS NULL THEN watchdog_drift ELSE watchdog_sum + ?2 END,
                watchdog_at = COALESCE(?3, watchdog_at),
                watchdog_cursor = CASE WHEN ?3 IS NULL THEN ?1 ELSE 0 END,
                watchdog_sum = CASE WHEN ?3 IS NULL THEN watchdog_sum + ?2 ELSE 0 END
             RETURNING id",
            vec![
                cursor.into(),
                florins(drift),
                end.map(|at| at.unix_seconds()).into(),
            ],
        )
        .await
        .map(|_| ())
    }

    /// Refuses payments from now on; a reason that stands already stays.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn stop_sends(&self, reason: &str, at: Timestamp) -> Result<(), StoreError> {
        self.changed(
            "UPDATE chain_state SET sends_stopped_at = ?, sends_stopped_reason = ?
             WHERE sends_stopped_at IS NULL RETURNING id",
            vec![at.unix_seconds().into(), reason.into()],
        )
        .await
        .map(|_| ())
    }

    /// Takes payments again, and begins a new round of the watchdog; false when they were not
    /// stopped.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn resume_sends(&self) -> Result<bool, StoreError> {
        self.changed(
            "UPDATE chain_state SET sends_stopped_at = NULL, sends_stopped_reason = NULL,
                watchdog_cursor = 0, watchdog_sum = 0, watchdog_drift = NULL, watchdog_at = NULL
             WHERE sends_stopped_at IS NOT NULL RETURNING id",
            Vec::new(),
        )
        .await
    }

    /// A page of all addresses, by row: the rows' numbers and the addresses.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn address_page(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        self.database
            .query(
                "SELECT id, address FROM addresses WHERE id > ? ORDER BY id LIMIT ?",
                vec![after.into(), limit.into()],
            )
            .await?
            .into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok((
                    columns.integer("addresses.id")?,
                    columns.text("addresses.address")?,
                ))
            })
            .collect()
    }

    /// The confirmed coins at these addresses that the ledger holds unspent.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn confirmed_coins_at(
        &self,
        addresses: &[&str],
    ) -> Result<Vec<LedgerCoin>, StoreError> {
        self.database
            .query(
                "SELECT o.txid, o.vout, o.value,
                    o.reserved_by IS NOT NULL OR o.spent_by IS NOT NULL OR (o.is_coinbase = 1 AND o.settled = 0)
                 FROM json_each(?) AS asked JOIN outputs AS o ON o.address = asked.value
                 WHERE o.state = 'confirmed' AND o.spent_height IS NULL",
                vec![json(&addresses)],
            )
            .await?
            .into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(LedgerCoin {
                    outpoint: columns.outpoint("outputs.txid, vout")?,
                    value: columns.amount("outputs.value")?,
                    is_taken: columns.integer("is_taken")? != 0,
                })
            })
            .collect()
    }
}

/// A confirmed coin of the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerCoin {
    /// Which.
    pub outpoint: OutPoint,
    /// What it is worth.
    pub value: Amount,
    /// A payment has taken it, or it is an immature coinbase: the chain node may list it or not.
    pub is_taken: bool,
}
