//! Blocks, the active branch and the unspent outputs.

use std::collections::{BTreeMap, HashMap, HashSet};

use bitcoin::{Block, BlockHash, OutPoint, Transaction, TxOut, Txid};

/// Blocks over which the median time is taken.
const MEDIAN_SPAN: usize = 11;

/// A block of any branch.
#[derive(Debug)]
pub struct StoredBlock {
    /// The block itself.
    pub block: Block,
    /// Its distance from the genesis block.
    pub height: u32,
    /// The place among all blocks in order of arrival; of two branches of one length the earlier stays.
    pub arrival: u64,
    /// Refused by `invalidateblock`.
    pub invalid: bool,
}

/// An unspent output.
#[derive(Clone, Debug)]
pub struct Coin {
    /// Amount and script.
    pub output: TxOut,
    /// The height of the block that made it.
    pub height: u32,
    /// Whether it was mined.
    pub coinbase: bool,
}

/// What is unspent of one transaction. Core 0.14 keeps coins by transaction and answers
/// differently about a transaction with something left and one with nothing left.
#[derive(Clone, Debug, Default)]
struct Unspent {
    coinbase: bool,
    height: u32,
    outputs: BTreeMap<u32, TxOut>,
}

/// All blocks, and the state at the tip of the active branch.
#[derive(Debug)]
pub struct Chain {
    blocks: HashMap<BlockHash, StoredBlock>,
    active: Vec<BlockHash>,
    coins: HashMap<Txid, Unspent>,
    undo: HashMap<BlockHash, Vec<(OutPoint, Coin)>>,
    places: HashMap<Txid, (u32, u32)>,
    spends: HashMap<OutPoint, (Txid, u32)>,
}

/// What a block leaves behind that was taken off.
#[derive(Clone, Debug)]
pub struct Disconnected {
    /// Its transactions.
    pub transactions: Vec<Transaction>,
    /// The coins they had spent.
    pub spent: Vec<(OutPoint, Coin)>,
}

/// A block does not fit on the tip.
#[derive(Debug, thiserror::Error)]
#[error("block {0} does not fit on the tip")]
pub struct Misfit(pub BlockHash);

impl Chain {
    /// A chain of just this block. As in Core, its coinbase can never be spent.
    #[must_use]
    pub fn new(genesis: Block) -> Self {
        let hash = genesis.block_hash();
        let stored = StoredBlock {
            block: genesis,
            height: 0,
            arrival: 0,
            invalid: false,
        };
        Chain {
            blocks: HashMap::from([(hash, stored)]),
            active: vec![hash],
            coins: HashMap::new(),
            undo: HashMap::new(),
            places: HashMap::new(),
            spends: HashMap::new(),
        }
    }

    /// The height of the tip.
    #[must_use]
    pub fn height(&self) -> u32 {
        u32::try_from(self.active.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The hash of the tip.
    #[must_use]
    pub fn tip(&self) -> BlockHash {
        self.active
            .last()
            .copied()
            .unwrap_or_else(bitcoin::hashes::Hash::all_zeros)
    }

    /// The hash of the active block at a height.
    #[must_use]
    pub fn at(&self, height: u32) -> Option<BlockHash> {
        self.active.get(usize::try_from(height).ok()?).copied()
    }

    /// A block of any branch.
    #[must_use]
    pub fn block(&self, hash: &BlockHash) -> Option<&StoredBlock> {
        self.blocks.get(hash)
    }

    /// How many blocks are known, which is also the place of the next one in order of arrival.
    #[must_use]
    pub fn known(&self) -> u64 {
        u64::try_from(self.blocks.len()).unwrap_or(u64::MAX)
    }

    /// Whether a block is part of the active branch.
    #[must_use]
    pub fn is_active(&self, hash: &BlockHash) -> bool {
        self.blocks
            .get(hash)
            .is_some_and(|stored| self.at(stored.height) == Some(*hash))
    }

    /// The number of blocks from this one to the tip, both counted; `-1` off the active branch.
    #[must_use]
    pub fn block_confirmations(&self, hash: &BlockHash) -> i64 {
        match self.blocks.get(hash) {
            Some(stored) if self.is_active(hash) => self.confirmations_at(stored.height),
            _ => -1,
        }
    }

    /// Confirmations of whatever stands in the active block at `height`.
    #[must_use]
    pub fn confirmations_at(&self, height: u32) -> i64 {
        i64::from(self.height()) - i64::from(height) + 1
    }

    /// Height and place in the block of a transaction of the active branch.
    #[must_use]
    pub fn place(&self, txid: &Txid) -> Option<(u32, u32)> {
        self.places.get(txid).copied()
    }

    /// Who spends an output in the active branch, and at which height.
    #[must_use]
    pub fn spender(&self, outpoint: &OutPoint) -> Option<(Txid, u32)> {
        self.spends.get(outpoint).copied()
    }

    /// An unspent output.
    #[must_use]
    pub fn coin(&self, outpoint: &OutPoint) -> Option<Coin> {
        let unspent = self.coins.get(&outpoint.txid)?;
        let output = unspent.outputs.get(&outpoint.vout)?.clone();
        Some(Coin {
            output,
            height: unspent.height,
            coinbase: unspent.coinbase,
        })
    }

    /// Whether anything of a confirmed transaction is unspent.
    #[must_use]
    pub fn has_unspent(&self, txid: &Txid) -> bool {
        self.coins.contains_key(txid)
    }

    /// A transaction of the active branch.
    #[must_use]
    pub fn transaction(&self, txid: &Txid) -> Option<&Transaction> {
        let (height, place) = self.place(txid)?;
        let stored = self.blocks.get(&self.at(height)?)?;
        stored.block.txdata.get(usize::try_from(place).ok()?)
    }

    /// The median time of the blocks up to this one.
    #[must_use]
    pub fn median_time(&self, hash: &BlockHash) -> u32 {
        let mut times = Vec::with_capacity(MEDIAN_SPAN);
        let mut cursor = *hash;
        while times.len() < MEDIAN_SPAN {
            let Some(stored) = self.blocks.get(&cursor) else {
                break;
            };
            times.push(stored.block.header.time);
            cursor = stored.block.header.prev_blockhash;
        }
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    /// Puts a block, new or known, on the tip. The caller answers for its transactions.
    ///
    /// # Errors
    /// [`Misfit`] if its predecessor is not the tip or an input is not unspent.
    pub fn connect(&mut self, block: Block) -> Result<(), Misfit> {
        let hash = block.block_hash();
        if block.header.prev_blockhash != self.tip() {
            return Err(Misfit(hash));
        }
        let height = self.height() + 1;
        let mut spent = Vec::new();
        for (place, transaction) in block.txdata.iter().enumerate() {
            let txid = transaction.compute_txid();
            let coinbase = transaction.is_coinbase();
            if !coinbase {
                for input in &transaction.input {
                    let coin = self.take(&input.previous_output).ok_or(Misfit(hash))?;
                    spent.push((input.previous_output, coin));
                    self.spends.insert(input.previous_output, (txid, height));
                }
            }
            self.places.insert(
                txid,
                (height, u32::try_from(place).map_err(|_| Misfit(hash))?),
            );
            let outputs: BTreeMap<u32, TxOut> = (0..)
                .zip(&transaction.output)
                .filter(|(_, output)| !output.script_pubkey.is_op_return())
                .map(|(vout, output)| (vout, output.clone()))
                .collect();
            if !outputs.is_empty() {
                self.coins.insert(
                    txid,
                    Unspent {
                        coinbase,
                        height,
                        outputs,
                    },
                );
            }
        }
        self.undo.insert(hash, spent);
        self.active.push(hash);
        let arrival = self.known();
        self.blocks.entry(hash).or_insert(StoredBlock {
            block,
            height,
            arrival,
            invalid: false,
        });
        Ok(())
    }

    /// Takes the tip off and returns its transactions and the coins they had spent.
    /// The genesis block stays.
    pub fn disconnect(&mut self) -> Option<Disconnected> {
        if self.active.len() < 2 {
            return None;
        }
        let hash = self.active.pop()?;
        let transactions = self.blocks.get(&hash)?.block.txdata.clone();
        for transaction in &transactions {
            let txid = transaction.compute_txid();
            self.coins.remove(&txid);
            self.places.remove(&txid);
            for input in &transaction.input {
                self.spends.remove(&input.previous_output);
            }
        }
        let made: HashSet<Txid> = transactions.iter().map(Transaction::compute_txid).collect();
        let spent = self.undo.remove(&hash).unwrap_or_default();
        for (outpoint, coin) in &spent {
            if !made.contains(&outpoint.txid) {
                let unspent = self.coins.entry(outpoint.txid).or_default();
                unspent.coinbase = coin.coinbase;
                unspent.height = coin.height;
                unspent.outputs.insert(outpoint.vout, coin.output.clone());
            }
        }
        Some(Disconnected {
            transactions,
            spent,
        })
    }

    /// Marks or unmarks a block as refused. Unmarking reaches its ancestors and descendants too.
    pub fn set_invalid(&mut self, hash: &BlockHash, invalid: bool) {
        if invalid {
            if let Some(stored) = self.blocks.get_mut(hash) {
                stored.invalid = true;
            }
            return;
        }
        let related: Vec<BlockHash> = self
            .blocks
            .keys()
            .filter(|other| self.descends_from(other, hash) || self.descends_from(hash, other))
            .copied()
            .collect();
        for other in related {
            if let Some(stored) = self.blocks.get_mut(&other) {
                stored.invalid = false;
            }
        }
    }

    /// The tip that should be active: the end of the longest branch without a refused block, on a
    /// tie the one that came first.
    #[must_use]
    pub fn best(&self) -> BlockHash {
        let refused: Vec<BlockHash> = self
            .blocks
            .iter()
            .filter(|(_, stored)| stored.invalid)
            .map(|(hash, _)| *hash)
            .collect();
        let current = self.blocks.get(&self.tip()).map(|stored| stored.height);
        self.blocks
            .iter()
            .filter(|(hash, stored)| {
                (Some(stored.height) > current || **hash == self.tip())
                    && !refused.iter().any(|bad| self.descends_from(hash, bad))
            })
            .max_by_key(|(_, stored)| (stored.height, std::cmp::Reverse(stored.arrival)))
            .map_or_else(|| self.tip(), |(hash, _)| *hash)
    }

    /// The blocks from the active branch (excluded) up to `hash`, lowest first.
    #[must_use]
    pub fn branch(&self, hash: &BlockHash) -> Vec<BlockHash> {
        let mut branch = Vec::new();
        let mut cursor = *hash;
        while !self.is_active(&cursor) {
            let Some(stored) = self.blocks.get(&cursor) else {
                break;
            };
            branch.push(cursor);
            cursor = stored.block.header.prev_blockhash;
        }
        branch.reverse();
        branch
    }

    /// The height of the last block of the active branch that `hash` builds on.
    #[must_use]
    pub fn fork_height(&self, hash: &BlockHash) -> Option<u32> {
        let mut cursor = *hash;
        loop {
            let stored = self.blocks.get(&cursor)?;
            if self.is_active(&cursor) {
                return Some(stored.height);
            }
            cursor = stored.block.header.prev_blockhash;
        }
    }

    /// The ends of all branches, highest first.
    #[must_use]
    pub fn tips(&self) -> Vec<BlockHash> {
        let inner: HashSet<BlockHash> = self
            .blocks
            .values()
            .map(|stored| stored.block.header.prev_blockhash)
            .collect();
        let mut tips: Vec<(u32, BlockHash)> = self
            .blocks
            .iter()
            .filter(|(hash, _)| !inner.contains(*hash) || **hash == self.tip())
            .map(|(hash, stored)| (stored.height, *hash))
            .collect();
        tips.sort_unstable_by(|left, right| right.cmp(left));
        tips.into_iter().map(|(_, hash)| hash).collect()
    }

    /// Whether `hash` is `ancestor` or builds on it.
    #[must_use]
    pub fn descends_from(&self, hash: &BlockHash, ancestor: &BlockHash) -> bool {
        let Some(floor) = self.blocks.get(ancestor).map(|stored| stored.height) else {
            return false;
        };
        let mut cursor = *hash;
        while let Some(stored) = self.blocks.get(&cursor) {
            if cursor == *ancestor {
                return true;
            }
            if stored.height <= floor {
                return false;
            }
            cursor = stored.block.header.prev_blockhash;
        }
        false
    }

    fn take(&mut self, outpoint: &OutPoint) -> Option<Coin> {
        let unspent = self.coins.get_mut(&outpoint.txid)?;
        let output = unspent.outputs.remove(&outpoint.vout)?;
        let coin = Coin {
            output,
            height: unspent.height,
            coinbase: unspent.coinbase,
        };
        if unspent.outputs.is_empty() {
            self.coins.remove(&outpoint.txid);
        }
        Some(coin)
    }
}
