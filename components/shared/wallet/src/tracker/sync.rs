//! Bringing the ledger level with the chain: new blocks, a reorganisation, the mempool.
//!
//! It reads whole blocks and not the node's list of wallet transactions: blocks say which coin was
//! spent by what, and their cost does not grow with the node's wallet.

use super::LEASE_SECONDS;
use crate::chain::{Block, ChainError, ChainTransaction, Reader, Snapshot};
use crate::{Clock, Service, WalletError};
use duxnet_store::{
    Applied, ChainState, Database, Depths, LedgerBlock, POOL_MAX_AGE_SECONDS, SeenBlock,
    SeenTransaction,
};
use duxnet_units::{Network, Timestamp, Txid};

/// Blocks of one page; the gateway gives fewer when they are large.
const PAGE_BLOCKS: u32 = 64;
/// Mempool transactions of one page.
const PAGE_TRANSACTIONS: u32 = 100;
/// Outputs and inputs of ours that one statement puts into the ledger: a second's work, while nobody
/// else can write.
const STATEMENT_ROWS: usize = 5_000;
/// Blocks that one statement takes back.
const ROLL_BACK_BLOCKS: u32 = 200;
/// Blocks compared at once to find where a reorganisation begins.
const FORK_BLOCKS: u32 = 100;
/// How far below the tip the ledger begins on a chain that concerns none of its wallets yet, so
/// that a reorganisation finds a block in common.
const BLOCKS_BELOW_TIP: u32 = 100;
/// Blocks' times may be wrong by two hours (Core's MAX_FUTURE_BLOCK_TIME), addresses' by the clock.
const START_MARGIN_SECONDS: i64 = 4 * 3600;

/// How far a run came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Level {
    /// Whether the ledger has the node's last block and its mempool.
    pub is_level: bool,
    /// Blocks that came into the ledger.
    pub blocks: u32,
}

/// Confirmations that a coinbase needs until the node's wallet spends it (FACTS 4).
const fn coinbase_maturity(network: Network) -> u32 {
    match network {
        Network::Main => 241,
        Network::Test => 31,
        Network::Regtest => 7,
    }
}

/// How much of a statement a transaction takes.
fn rows_of(transaction: &SeenTransaction) -> usize {
    transaction.outputs.len() + transaction.inputs.len()
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// Brings the ledger level, page by page, until `deadline`.
    ///
    /// # Errors
    /// Chain and database trouble; what was applied stays.
    pub async fn sync(
        &self,
        chain: &impl Reader,
        lease: &str,
        deadline: Timestamp,
    ) -> Result<Level, WalletError> {
        let mut level = Level::default();
        let oldest = self.after(-POOL_MAX_AGE_SECONDS);
        if self.store.chain_state().await?.synced_at < Some(oldest) {
            self.store.empty_pool().await?;
        }
        loop {
            let snapshot = chain.snapshot().await?;
            if snapshot.network != self.policy.network {
                return Err(WalletError::WrongNetwork {
                    expected: self.policy.network,
                    found: snapshot.network,
                });
            }
            let state = self.store.chain_state().await?;
            let is_at_tip = state
                .block
                .as_ref()
                .is_some_and(|block| block.hash == snapshot.hash);
            if is_at_tip {
                level.is_level = self.take_in_mempool(chain, &state, &snapshot).await?;
            } else {
                level.blocks += self.take_in_blocks(chain, &state, &snapshot).await?;
            }
            let at = level.is_level.then(|| self.clock.now());
            self.store
                .note_node(snapshot.network, snapshot.height, snapshot.fee_rate, at)
                .await?;
            let until = self.after(LEASE_SECONDS);
            if level.is_level
                || self.clock.now() >= deadline
                || !self.store.prolong_tracker_lease(lease, until).await?
            {
                return Ok(level);
            }
        }
    }

    /// The next page of blocks, or the way back to where a reorganisation began.
    async fn take_in_blocks(
        &self,
        chain: &impl Reader,
        state: &ChainState,
        snapshot: &Snapshot,
    ) -> Result<u32, WalletError> {
        let first = match &state.block {
            Some(block) => block.height.saturating_add(1),
            None => self.first_height(chain, snapshot.height).await?,
        };
        let blocks = match chain.blocks(first, PAGE_BLOCKS).await {
            // So many may take the node longer than one call may: one at a time always gets on.
            Err(ChainError::OutcomeUnknown(_)) => chain.blocks(first, 1).await?,
            blocks => blocks?,
        };
        let follows = match (&state.block, blocks.first()) {
            (None, _) => true,
            (Some(last), Some(next)) => next.previous.as_ref() == Some(&last.hash),
            (Some(_), None) => false,
        };
        if !follows {
            self.roll_back(chain, state).await?;
            return Ok(0);
        }
        let mut seen = self.seen_blocks(blocks).await?;
        let mut rows = 0;
        let fits = seen
            .iter()
            .take_while(|block| {
                rows += block.transactions.iter().map(rows_of).sum::<usize>();
                rows <= STATEMENT_ROWS
            })
            .count();
        seen.truncate(fits.max(1));
        let base = state.block.as_ref().map(|block| &block.hash);
        let depths = Depths {
            required: self.policy.confirmations_required,
            maturity: coinbase_maturity(self.policy.network),
        };
        let now = self.clock.now();
        Ok(
            match self.store.apply_blocks(base, &seen, depths, now).await? {
                Applied::Done => u32::try_from(seen.len()).unwrap_or(u32::MAX),
                Applied::LedgerMoved => 0,
            },
        )
    }

    async fn seen_blocks(&self, blocks: Vec<Block>) -> Result<Vec<SeenBlock>, WalletError> {
        let all: Vec<&ChainTransaction> = blocks.iter().flat_map(|b| &b.transactions).collect();
        let mut ours = self.recognise(&all).await?;
        Ok(blocks
            .into_iter()
            .map(|block| SeenBlock {
                transactions: block
                    .transactions
                    .iter()
                    .filter_map(|transaction| ours.remove(&transaction.txid))
                    .collect(),
                block: block.block,
            })
            .collect())
    }

    /// Takes back the blocks that the best chain no longer has.
    async fn roll_back(&self, chain: &impl Reader, state: &ChainState) -> Result<(), WalletError> {
        let Some(last) = &state.block else {
            return Ok(());
        };
        let mut from = last.height;
        loop {
            let ours = self.store.blocks_down_from(from, FORK_BLOCKS).await?;
            let heights: Vec<u32> = ours.iter().map(|block| block.height).collect();
            let theirs = chain.headers(&heights).await?;
            let common = ours.iter().zip(theirs).find(|(ours, theirs)| {
                theirs
                    .as_ref()
                    .is_some_and(|theirs| theirs.hash == ours.hash)
            });
            if let Some((block, _)) = common {
                return self.roll_back_towards(last, block).await;
            }
            match ours.last().and_then(|lowest| lowest.height.checked_sub(1)) {
                Some(below) if ours.len() == FORK_BLOCKS as usize => from = below,
                _ => {
                    return Err(WalletError::AnotherChain {
                        lowest: heights.last().copied().unwrap_or(last.height),
                    });
                }
            }
        }
    }

    /// One step of the way back; the next look at the chain takes the next.
    async fn roll_back_towards(
        &self,
        last: &LedgerBlock,
        common: &LedgerBlock,
    ) -> Result<(), WalletError> {
        let step = last.height.saturating_sub(ROLL_BACK_BLOCKS);
        let nearer = if common.height < step {
            self.store
                .blocks_down_from(step, 1)
                .await?
                .into_iter()
                .next()
        } else {
            None
        };
        let to = nearer.as_ref().unwrap_or(common);
        if to.hash != last.hash {
            self.store
                .roll_back(&last.hash, to, self.clock.now())
                .await?;
        }
        Ok(())
    }

    /// Where a ledger without blocks begins: before the first of its addresses was made.
    async fn first_height(&self, chain: &impl Reader, tip: u32) -> Result<u32, WalletError> {
        let near_tip = tip.saturating_sub(BLOCKS_BELOW_TIP);
        let Some(born) = self.store.first_address_at().await? else {
            return Ok(near_tip);
        };
        let born = born.unix_seconds().saturating_sub(START_MARGIN_SECONDS);
        // The first block that is not older than the address.
        let (mut low, mut high) = (0, near_tip);
        while low < high {
            let middle = low + (high - low) / 2;
            let header: Option<LedgerBlock> =
                chain.headers(&[middle]).await?.into_iter().next().flatten();
            let header =
                header.ok_or_else(|| ChainError::BadResponse("no block below the tip".into()))?;
            if header.time.unix_seconds() < born {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.saturating_sub(1))
    }

    /// The mempool on the ledger's last block; false when there is more to look at.
    async fn take_in_mempool(
        &self,
        chain: &impl Reader,
        state: &ChainState,
        snapshot: &Snapshot,
    ) -> Result<bool, WalletError> {
        let unknown = self
            .store
            .unknown_in_mempool(&snapshot.mempool, PAGE_TRANSACTIONS)
            .await?;
        let mut found: Vec<ChainTransaction> = Vec::new();
        if !unknown.is_empty() {
            found = chain
                .mempool_transactions(&unknown)
                .await?
                .into_iter()
                .flatten()
                .collect();
        }
        let mut ours = self.recognise(&found.iter().collect::<Vec<_>>()).await?;
        // In the order of the mempool: parents come before the children that spend them.
        let (mut looked_at, mut transactions): (Vec<Txid>, Vec<SeenTransaction>) =
            Default::default();
        let mut rows = 0;
        for txid in found.into_iter().map(|transaction| transaction.txid) {
            let seen = ours.remove(&txid);
            rows += seen.as_ref().map_or(0, rows_of);
            if rows > STATEMENT_ROWS && !looked_at.is_empty() {
                break;
            }
            looked_at.push(txid);
            transactions.extend(seen);
        }
        let is_all = rows <= STATEMENT_ROWS && unknown.len() < PAGE_TRANSACTIONS as usize;
        let base = state.block.as_ref().map(|block| &block.hash);
        let applied = self
            .store
            .apply_mempool(
                base,
                &snapshot.mempool,
                &looked_at,
                &transactions,
                self.clock.now(),
            )
            .await?;
        // One that left between the two questions is no reason to look again.
        Ok(applied == Applied::Done && is_all)
    }
}
