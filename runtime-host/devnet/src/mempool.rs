//! Transactions that wait for a block.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bitcoin::{OutPoint, Transaction, TxOut, Txid};

use crate::amount::Florins;
use crate::codec;

/// Most transactions in one unconfirmed chain, the newest included (`-limitancestorcount`,
/// `-limitdescendantcount`).
pub const CHAIN_LIMIT: usize = 25;
/// Most bytes in one unconfirmed chain (`-limitancestorsize`, `-limitdescendantsize`).
pub const CHAIN_LIMIT_BYTES: usize = 101_000;

/// A waiting transaction.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The transaction.
    pub transaction: Transaction,
    /// What it pays the miner.
    pub fee: Florins,
    /// Its bytes.
    pub size: usize,
    /// When it came, unix seconds.
    pub time: i64,
    /// The height of the tip when it came.
    pub height: u32,
    /// Place in order of arrival.
    pub arrival: u64,
}

/// The memory pool.
#[derive(Debug, Default)]
pub struct Mempool {
    waiting: BTreeMap<Txid, Waiting>,
    spends: HashMap<OutPoint, Txid>,
    arrivals: u64,
}

impl Mempool {
    /// Adds a checked transaction.
    pub fn insert(&mut self, transaction: Transaction, fee: Florins, time: i64, height: u32) {
        let txid = transaction.compute_txid();
        for input in &transaction.input {
            self.spends.insert(input.previous_output, txid);
        }
        self.arrivals += 1;
        let size = codec::size(&transaction);
        self.waiting.insert(
            txid,
            Waiting {
                transaction,
                fee,
                size,
                time,
                height,
                arrival: self.arrivals,
            },
        );
    }

    /// Takes one transaction out; its descendants stay.
    pub fn remove(&mut self, txid: &Txid) -> Option<Waiting> {
        let removed = self.waiting.remove(txid)?;
        for input in &removed.transaction.input {
            self.spends.remove(&input.previous_output);
        }
        Some(removed)
    }

    /// Takes everything out that can no longer be mined beside this block's transaction:
    /// itself, and whatever spends the same outputs, with all that builds on it.
    pub fn remove_confirmed(&mut self, transaction: &Transaction) {
        self.remove(&transaction.compute_txid());
        for input in &transaction.input {
            if let Some(rival) = self.spender(&input.previous_output) {
                for txid in self.with_descendants(&rival) {
                    self.remove(&txid);
                }
            }
        }
    }

    /// A waiting transaction.
    #[must_use]
    pub fn get(&self, txid: &Txid) -> Option<&Waiting> {
        self.waiting.get(txid)
    }

    /// Whether a transaction waits here.
    #[must_use]
    pub fn contains(&self, txid: &Txid) -> bool {
        self.waiting.contains_key(txid)
    }

    /// The waiting transaction that spends an output.
    #[must_use]
    pub fn spender(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.spends.get(outpoint).copied()
    }

    /// An output of a waiting transaction, spent or not.
    #[must_use]
    pub fn output(&self, outpoint: &OutPoint) -> Option<&TxOut> {
        self.waiting
            .get(&outpoint.txid)?
            .transaction
            .output
            .get(usize::try_from(outpoint.vout).ok()?)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The bytes of all.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.waiting.values().map(|waiting| waiting.size).sum()
    }

    /// All in order of arrival, so parents before children.
    #[must_use]
    pub fn by_arrival(&self) -> Vec<(Txid, &Waiting)> {
        let mut all: Vec<_> = self
            .waiting
            .iter()
            .map(|(txid, waiting)| (*txid, waiting))
            .collect();
        all.sort_unstable_by_key(|(_, waiting)| waiting.arrival);
        all
    }

    /// All in the order of `getrawmempool`: fewer ancestors first, then better paid.
    #[must_use]
    pub fn by_depth_and_fee(&self) -> Vec<Txid> {
        let mut all: Vec<(usize, Txid, &Waiting)> = self
            .waiting
            .iter()
            .map(|(txid, waiting)| (self.ancestors(&waiting.transaction).len(), *txid, waiting))
            .collect();
        all.sort_by(
            |(left_depth, left_id, left), (right_depth, right_id, right)| {
                left_depth
                    .cmp(right_depth)
                    .then_with(|| rate_product(right, left).cmp(&rate_product(left, right)))
                    .then_with(|| right_id.cmp(left_id))
            },
        );
        all.into_iter().map(|(_, txid, _)| txid).collect()
    }

    /// The waiting parents of a transaction.
    #[must_use]
    pub fn parents(&self, transaction: &Transaction) -> BTreeSet<Txid> {
        let parents = transaction
            .input
            .iter()
            .map(|input| input.previous_output.txid);
        parents.filter(|txid| self.contains(txid)).collect()
    }

    /// All waiting transactions that this one builds on, itself not counted.
    #[must_use]
    pub fn ancestors(&self, transaction: &Transaction) -> BTreeSet<Txid> {
        let mut found = BTreeSet::new();
        let mut open: Vec<Txid> = self.parents(transaction).into_iter().collect();
        while let Some(txid) = open.pop() {
            if found.insert(txid)
                && let Some(waiting) = self.waiting.get(&txid)
            {
                open.extend(self.parents(&waiting.transaction));
            }
        }
        found
    }

    /// A waiting transaction and all that build on it, itself first.
    #[must_use]
    pub fn with_descendants(&self, txid: &Txid) -> Vec<Txid> {
        let mut found = vec![*txid];
        let mut next = 0;
        while let Some(current) = found.get(next).copied() {
            next += 1;
            let Some(waiting) = self.waiting.get(&current) else {
                continue;
            };
            for vout in 0..u32::try_from(waiting.transaction.output.len()).unwrap_or(u32::MAX) {
                if let Some(child) = self.spender(&OutPoint::new(current, vout))
                    && !found.contains(&child)
                {
                    found.push(child);
                }
            }
        }
        found
    }

    /// Whether one more transaction would make an unconfirmed chain too long.
    #[must_use]
    pub fn chain_too_long(&self, transaction: &Transaction) -> bool {
        let size = codec::size(transaction);
        let ancestors = self.ancestors(transaction);
        if ancestors.len() + 1 > CHAIN_LIMIT || self.size_of(&ancestors) + size > CHAIN_LIMIT_BYTES
        {
            return true;
        }
        ancestors.iter().any(|ancestor| {
            let family = self.with_descendants(ancestor);
            family.len() + 1 > CHAIN_LIMIT || self.size_of(&family) + size > CHAIN_LIMIT_BYTES
        })
    }

    fn size_of<'a>(&self, txids: impl IntoIterator<Item = &'a Txid>) -> usize {
        txids
            .into_iter()
            .filter_map(|txid| self.waiting.get(txid))
            .map(|waiting| waiting.size)
            .sum()
    }
}

/// Compares fee rates without dividing.
fn rate_product(fee_of: &Waiting, size_of: &Waiting) -> i128 {
    i128::from(fee_of.fee.florins()) * i128::try_from(size_of.size).unwrap_or(i128::MAX)
}
