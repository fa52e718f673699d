//! The node: chain, memory pool, wallet and faucet, and the changes that keep them in step.

use std::collections::{BTreeSet, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::secp256k1::{All, Secp256k1, SecretKey, rand};
use bitcoin::{
    Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, absolute, consensus, transaction,
};

use crate::amount::Florins;
use crate::chain::Chain;
use crate::codec;
use crate::event::Event;
use crate::faucet::Faucet;
use crate::mempool::Mempool;
use crate::network::{self, BITS, BLOCK_VERSION};
use crate::validation::{self, Refusal};
use crate::wallet::keys::KeyError;
use crate::wallet::view::View;
use crate::wallet::{Encryption, LEAST_FEE_RATE, Lock, Wallet, fee_for};

/// Most bytes of transactions in a block (`-blockmaxsize`).
const BLOCK_MAX_BYTES: usize = 750_000;
/// The commitment that Core adds to every coinbase, SegWit or not; this is the one for no witness.
const COMMITMENT: &str =
    "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9";
/// Blocks that a new devnet starts with.
const FIRST_BLOCKS: u32 = 30;
/// Splitting transactions that a new devnet starts with.
const FIRST_SPLITS: usize = 6;

/// A change could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The journal or the code is wrong about what fits where.
    #[error("the state does not fit: {0}")]
    Misfit(String),
    /// The wallet's hierarchy is used up or was never good.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Who gets what a block creates.
#[derive(Clone, Debug)]
pub enum Payee {
    /// The faucet.
    Faucet,
    /// This script.
    Script(ScriptBuf),
}

/// The whole state of a devnet.
#[derive(Debug)]
pub struct Node {
    /// Signs and verifies.
    pub secp: Secp256k1<All>,
    /// Blocks and coins.
    pub chain: Chain,
    /// What waits.
    pub mempool: Mempool,
    /// The node's wallet.
    pub wallet: Wallet,
    /// The foreign wallet.
    pub faucet: Faucet,
    /// Seconds by which block times stay behind the clock, so that many first blocks are not ahead of it.
    behind: i64,
    pending: Vec<Event>,
}

/// The time of day, unix seconds.
#[must_use]
pub fn now() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

/// 32 random bytes.
#[must_use]
pub fn random_bytes() -> [u8; 32] {
    rand::random()
}

impl Node {
    /// A new devnet with a funded faucet.
    ///
    /// # Errors
    /// [`NodeError`], in theory.
    pub fn create() -> Result<Node, NodeError> {
        let time = now();
        let faucet_key = SecretKey::new(&mut rand::thread_rng());
        let created = Event::Created {
            wallet_seed: random_bytes().to_lower_hex_string(),
            faucet_key: faucet_key.secret_bytes().to_lower_hex_string(),
            time,
        };
        let mut node = Node::from_first(&created)?;
        node.pending.push(created);
        node.behind = i64::from(FIRST_BLOCKS);
        node.mine(FIRST_BLOCKS, &Payee::Faucet)?;
        node.behind = 0;
        for _ in 0..FIRST_SPLITS {
            node.split_faucet()?;
        }
        node.mine(1, &Payee::Faucet)?;
        Ok(node)
    }

    /// The state that the first event of a journal makes.
    ///
    /// # Errors
    /// [`NodeError::Misfit`] if it is another event.
    pub fn from_first(event: &Event) -> Result<Node, NodeError> {
        let Event::Created {
            wallet_seed,
            faucet_key,
            time,
        } = event
        else {
            return Err(NodeError::Misfit(
                "the journal does not start with its making".into(),
            ));
        };
        let secp = Secp256k1::new();
        let key = SecretKey::from_slice(&bytes32(faucet_key)?).map_err(misfit)?;
        let genesis = network::genesis().map_err(misfit)?;
        Ok(Node {
            chain: Chain::new(genesis),
            mempool: Mempool::default(),
            wallet: Wallet::new(&secp, bytes32(wallet_seed)?, *time)?,
            faucet: Faucet::new(&secp, key),
            secp,
            behind: 0,
            pending: Vec::new(),
        })
    }

    /// The wallet with what it needs to answer questions.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View {
            chain: &self.chain,
            mempool: &self.mempool,
            wallet: &self.wallet,
        }
    }

    /// The changes since the last call, for the journal.
    pub fn take_pending(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.pending)
    }

    /// Makes a change and keeps it for the journal.
    ///
    /// # Errors
    /// [`NodeError`] if it does not fit; the state is then as before, but for a bug.
    pub fn commit(&mut self, event: Event) -> Result<(), NodeError> {
        self.apply(&event)?;
        self.pending.push(event);
        Ok(())
    }

    /// Makes a change, new or from the journal.
    ///
    /// # Errors
    /// [`NodeError`] if it does not fit.
    pub fn apply(&mut self, event: &Event) -> Result<(), NodeError> {
        match event {
            Event::Created { .. } => return Err(NodeError::Misfit("made twice".into())),
            Event::Connected { block, time } => {
                let block: Block = consensus::encode::deserialize_hex(block).map_err(misfit)?;
                self.connect(block, *time)?;
            }
            Event::Reconnected { hash, time } => {
                let hash: BlockHash = hash.parse().map_err(misfit)?;
                let block = self.chain.block(&hash).map(|stored| stored.block.clone());
                self.connect(block.ok_or_else(|| misfit("unknown block"))?, *time)?;
            }
            Event::Disconnected => {
                if let Some(gone) = self.chain.disconnect() {
                    self.faucet.disconnect(&gone);
                }
            }
            Event::Marked { hash, invalid } => self
                .chain
                .set_invalid(&hash.parse().map_err(misfit)?, *invalid),
            Event::Accepted {
                transaction,
                fee,
                time,
            } => {
                let transaction = decode(transaction)?;
                self.wallet.observe(&transaction, *time, None);
                self.mempool
                    .insert(transaction, Florins::new(*fee), *time, self.chain.height());
            }
            Event::Evicted { txids } => {
                for txid in txids {
                    self.mempool.remove(&txid.parse().map_err(misfit)?);
                }
            }
            Event::Stuck { transaction, time } => {
                self.wallet.observe(&decode(transaction)?, *time, None)
            }
            Event::Noted { txid, comment, to } => {
                let txid: Txid = txid.parse().map_err(misfit)?;
                if let Some(known) = self.wallet.transactions.get_mut(&txid) {
                    known.comment.clone_from(comment);
                    known.to.clone_from(to);
                }
            }
            Event::Named { account, time } => {
                let address = self.wallet.keys.take(&self.secp, *time)?.address();
                self.wallet.book.insert(address, account.clone());
            }
            Event::Taken { time } => {
                self.wallet.keys.take(&self.secp, *time)?;
            }
            Event::FeeRate { florins } => self.wallet.fee_rate = Florins::new(*florins),
            Event::Encrypted {
                salt,
                digest,
                wallet_seed,
                time,
            } => {
                self.wallet
                    .keys
                    .rotate(&self.secp, bytes32(wallet_seed)?, *time)?;
                self.wallet.encryption = Some(Encryption {
                    salt: salt.clone(),
                    digest: digest.clone(),
                    lock: Lock::Locked,
                });
            }
        }
        Ok(())
    }

    fn connect(&mut self, block: Block, time: i64) -> Result<(), NodeError> {
        let transactions = block.txdata.clone();
        let block_time = i64::from(block.header.time);
        self.chain.connect(block).map_err(misfit)?;
        let height = self.chain.height();
        for transaction in &transactions {
            self.mempool.remove_confirmed(transaction);
            self.wallet.observe(transaction, time, Some(block_time));
            self.faucet.connect(transaction, height);
        }
        Ok(())
    }

    /// Checks a transaction and takes it into the memory pool.
    ///
    /// # Errors
    /// `Ok(Err(refusal))` if it may not come in.
    pub fn accept(
        &mut self,
        transaction: &Transaction,
        fee_cap: Option<Florins>,
    ) -> Result<Result<(), Refusal>, NodeError> {
        let accepted = match validation::check(self, transaction, fee_cap) {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !accepted.replaces.is_empty() {
            self.commit(Event::Evicted {
                txids: accepted.replaces.iter().map(Txid::to_string).collect(),
            })?;
        }
        let transaction = codec::encode_hex(transaction);
        self.commit(Event::Accepted {
            transaction,
            fee: accepted.fee.florins(),
            time: now(),
        })?;
        Ok(Ok(()))
    }

    /// Mines blocks from the memory pool.
    ///
    /// # Errors
    /// [`NodeError`], in theory.
    pub fn mine(&mut self, blocks: u32, payee: &Payee) -> Result<Vec<BlockHash>, NodeError> {
        (0..blocks)
            .map(|_| self.mine_one(&self.candidates(), payee))
            .collect()
    }

    /// Mines one block of these transactions.
    ///
    /// # Errors
    /// [`NodeError::Misfit`] if they do not fit on the tip.
    pub fn mine_one(
        &mut self,
        transactions: &[(Transaction, Florins)],
        payee: &Payee,
    ) -> Result<BlockHash, NodeError> {
        let height = self.chain.height() + 1;
        let fees: Florins = transactions.iter().map(|(_, fee)| *fee).sum();
        let script = match payee {
            Payee::Faucet => self.faucet.script().clone(),
            Payee::Script(script) => script.clone(),
        };
        let mut all = vec![self.coinbase(height, network::subsidy(height).plus(fees), script)?];
        all.extend(
            transactions
                .iter()
                .map(|(transaction, _)| transaction.clone()),
        );
        let tip = self.chain.tip();
        let time = u32::try_from(now() - self.behind)
            .unwrap_or(u32::MAX)
            .max(self.chain.median_time(&tip).saturating_add(1));
        let mut block = Block {
            header: Header {
                version: Version::from_consensus(BLOCK_VERSION),
                prev_blockhash: tip,
                merkle_root: TxMerkleNode::all_zeros(),
                time,
                bits: CompactTarget::from_consensus(BITS),
                nonce: 0,
            },
            txdata: all,
        };
        block.header.merkle_root = block
            .compute_merkle_root()
            .ok_or_else(|| misfit("a block without transactions"))?;
        let hash = block.block_hash();
        self.commit(Event::Connected {
            block: consensus::encode::serialize_hex(&block),
            time: now(),
        })?;
        Ok(hash)
    }

    /// What pays the miner. The count of known blocks makes it, and so the block, unlike every other.
    fn coinbase(
        &self,
        height: u32,
        value: Florins,
        script: ScriptBuf,
    ) -> Result<Transaction, NodeError> {
        let arrival = i64::try_from(self.chain.known()).unwrap_or(i64::MAX);
        let unlocking = ScriptBuf::builder()
            .push_int(i64::from(height))
            .push_int(arrival.saturating_add(1000))
            .into_script();
        let commitment = ScriptBuf::from_hex(COMMITMENT).map_err(misfit)?;
        Ok(Transaction {
            version: transaction::Version::ONE,
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig: unlocking,
                sequence: Sequence::MAX,
                ..TxIn::default()
            }],
            output: vec![
                TxOut {
                    value: value
                        .to_output_value()
                        .ok_or_else(|| misfit("a negative reward"))?,
                    script_pubkey: script,
                },
                TxOut {
                    value: bitcoin::Amount::ZERO,
                    script_pubkey: commitment,
                },
            ],
        })
    }

    /// What the next block holds: whatever pays, with what it builds on, the least rate that Core's miner asks.
    fn candidates(&self) -> Vec<(Transaction, Florins)> {
        let mut chosen = Vec::new();
        let mut included: BTreeSet<Txid> = BTreeSet::new();
        let mut bytes = 0;
        for (txid, waiting) in self.mempool.by_arrival() {
            if included.contains(&txid) || !self.view().is_final(&waiting.transaction) {
                continue;
            }
            let mut package = self.mempool.ancestors(&waiting.transaction);
            package.insert(txid);
            let mut members: Vec<_> = package
                .iter()
                .filter(|txid| !included.contains(*txid))
                .filter_map(|txid| self.mempool.get(txid).map(|waiting| (*txid, waiting)))
                .collect();
            members.sort_unstable_by_key(|(_, waiting)| waiting.arrival);
            let size: usize = members.iter().map(|(_, waiting)| waiting.size).sum();
            let fee: Florins = members.iter().map(|(_, waiting)| waiting.fee).sum();
            if fee < fee_for(LEAST_FEE_RATE, size) || bytes + size > BLOCK_MAX_BYTES {
                continue;
            }
            bytes += size;
            for (txid, waiting) in members {
                included.insert(txid);
                chosen.push((waiting.transaction.clone(), waiting.fee));
            }
        }
        chosen
    }

    /// Gives the faucet more small coins if it has few.
    ///
    /// # Errors
    /// [`NodeError`], in theory.
    pub fn split_faucet(&mut self) -> Result<(), NodeError> {
        if let Some(split) = self.faucet.split(&self.secp, &self.chain, &self.mempool)
            && let Err(refusal) = self.accept(&split, None)?
        {
            tracing::warn!(%refusal, "the faucet cannot split its coins");
        }
        Ok(())
    }

    /// Takes blocks off until the tip is at `height` and returns their transactions, oldest first.
    ///
    /// # Errors
    /// [`NodeError`], in theory.
    pub fn rewind(&mut self, height: u32) -> Result<Vec<Transaction>, NodeError> {
        let mut blocks = Vec::new();
        while self.chain.height() > height {
            if let Some(stored) = self.chain.block(&self.chain.tip()) {
                let spends = stored
                    .block
                    .txdata
                    .iter()
                    .filter(|transaction| !transaction.is_coinbase());
                blocks.push(spends.cloned().collect::<Vec<_>>());
            }
            self.commit(Event::Disconnected)?;
        }
        blocks.reverse();
        Ok(blocks.concat())
    }

    /// Checks the whole memory pool again after the branch changed, with the transactions of
    /// disconnected blocks in front. Those in `drop` do not come back.
    ///
    /// # Errors
    /// [`NodeError`], in theory.
    pub fn refill(
        &mut self,
        disconnected: Vec<Transaction>,
        drop: &HashSet<Txid>,
    ) -> Result<(), NodeError> {
        let waiting: Vec<(Txid, Transaction, i64)> = self
            .mempool
            .by_arrival()
            .into_iter()
            .map(|(txid, waiting)| (txid, waiting.transaction.clone(), waiting.time))
            .collect();
        if !waiting.is_empty() {
            self.commit(Event::Evicted {
                txids: waiting.iter().map(|(txid, ..)| txid.to_string()).collect(),
            })?;
        }
        let returning = disconnected
            .into_iter()
            .map(|transaction| (transaction, now()));
        let waiting = waiting
            .into_iter()
            .map(|(_, transaction, time)| (transaction, time));
        for (transaction, time) in returning.chain(waiting) {
            let txid = transaction.compute_txid();
            if drop.contains(&txid) || self.mempool.contains(&txid) {
                continue;
            }
            if let Ok(accepted) = validation::check(self, &transaction, None) {
                let transaction = codec::encode_hex(&transaction);
                self.commit(Event::Accepted {
                    transaction,
                    fee: accepted.fee.florins(),
                    time,
                })?;
            }
        }
        Ok(())
    }

    /// Offers the wallet's unconfirmed transactions to the memory pool again, as Core does when it starts.
    ///
    /// # Errors
    /// [`NodeError`], in theory.
    pub fn reaccept(&mut self) -> Result<(), NodeError> {
        let view = self.view();
        let unconfirmed = self.wallet.transactions.iter().filter(|(txid, known)| {
            !known.transaction.is_coinbase()
                && !self.mempool.contains(txid)
                && view.depth(txid) == 0
        });
        let mut waiting: Vec<(u64, Transaction)> = unconfirmed
            .map(|(_, known)| (known.order, known.transaction.clone()))
            .collect();
        waiting.sort_unstable_by_key(|(order, _)| *order);
        for (_, transaction) in waiting {
            if let Err(refusal) = self.accept(&transaction, None)? {
                tracing::debug!(txid = %transaction.compute_txid(), %refusal, "still not in the memory pool");
            }
        }
        Ok(())
    }

    /// Refuses a block and all that build on it.
    ///
    /// # Errors
    /// [`NodeError`], in theory.
    pub fn invalidate(&mut self, hash: &BlockHash) -> Result<(), NodeError> {
        self.commit(Event::Marked {
            hash: hash.to_string(),
            invalid: true,
        })?;
        let mut disconnected = Vec::new();
        if self.chain.is_active(hash)
            && let Some(stored) = self.chain.block(hash)
        {
            disconnected = self.rewind(stored.height.saturating_sub(1))?;
        }
        self.activate_best(disconnected)
    }

    /// No longer refuses a block.
    ///
    /// # Errors
    /// [`NodeError`], in theory.
    pub fn reconsider(&mut self, hash: &BlockHash) -> Result<(), NodeError> {
        self.commit(Event::Marked {
            hash: hash.to_string(),
            invalid: false,
        })?;
        self.activate_best(Vec::new())
    }

    fn activate_best(&mut self, mut disconnected: Vec<Transaction>) -> Result<(), NodeError> {
        let best = self.chain.best();
        if let Some(fork) = self.chain.fork_height(&best)
            && best != self.chain.tip()
        {
            let branch = self.chain.branch(&best);
            let mut newer = self.rewind(fork)?;
            newer.append(&mut disconnected);
            disconnected = newer;
            for hash in branch {
                self.commit(Event::Reconnected {
                    hash: hash.to_string(),
                    time: now(),
                })?;
            }
        }
        self.refill(disconnected, &HashSet::new())
    }
}

fn bytes32(text: &str) -> Result<[u8; 32], NodeError> {
    <[u8; 32]>::from_hex(text).map_err(misfit)
}

fn decode(text: &str) -> Result<Transaction, NodeError> {
    codec::decode_hex(text).ok_or_else(|| misfit("a damaged transaction"))
}

/// An error about the state.
pub fn misfit(reason: impl std::fmt::Display) -> NodeError {
    NodeError::Misfit(reason.to_string())
}
