//! A chain node in memory: blocks, a mempool, a wallet that signs everything.

use super::Steps;
use duxnet_store::{LedgerBlock, SeenOutput};
use duxnet_units::transaction::{Output, Transaction, encode_unsigned};
use duxnet_units::{Address, Amount, BlockHash, Network, OutPoint, Timestamp, Txid};
use duxnet_wallet::chain::{
    Admin, Block, ChainError, ChainTransaction, Coin, Keys, Reader, Relay, Signed, Signer,
    Snapshot, Standing, Unspent,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub fn address(text: &str) -> Address {
    Address::parse(text, Network::Regtest).unwrap()
}

pub fn florins(value: u64) -> Amount {
    Amount::from_florins(value).unwrap()
}

/// What the node does with a call to broadcast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    None,
    Unreachable,
    Refused,
    LostBefore,
    LostAfter,
    GarbageAfter,
}

#[derive(Clone)]
struct FakeBlock {
    hash: BlockHash,
    transactions: Vec<ChainTransaction>,
}

#[derive(Clone)]
pub struct FakeNode {
    blocks: Vec<FakeBlock>,
    mempool: Vec<ChainTransaction>,
    /// What it was asked to broadcast and took.
    sent: BTreeSet<Txid>,
    /// Every transaction it ever saw, as its wallet would remember.
    known: BTreeMap<Txid, ChainTransaction>,
    /// Scripts of addresses it was told of.
    addresses: BTreeMap<Vec<u8>, String>,
    pub trouble: Trouble,
    pub is_down: bool,
    pub backups: Vec<String>,
    /// Florins that its wallet reports too few.
    pub hides: u64,
    counter: u64,
}

fn hash_of(counter: u64) -> [u8; 32] {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&counter.to_be_bytes());
    bytes
}

impl FakeNode {
    pub fn new() -> Self {
        let mut node = FakeNode {
            blocks: Vec::new(),
            mempool: Vec::new(),
            sent: BTreeSet::new(),
            known: BTreeMap::new(),
            addresses: BTreeMap::new(),
            trouble: Trouble::None,
            is_down: false,
            backups: Vec::new(),
            hides: 0,
            counter: 0,
        };
        for _ in 0..3 {
            node.mine();
        }
        node
    }

    fn next(&mut self) -> [u8; 32] {
        self.counter += 1;
        hash_of(self.counter)
    }

    pub fn new_address(&mut self) -> String {
        let bytes = self.next();
        let text = bs58::encode(&bytes[..20])
            .with_check_version(111)
            .into_string();
        self.knows(&text);
        text
    }

    fn knows(&mut self, text: &str) {
        self.addresses
            .insert(address(text).script_pubkey(), text.to_owned());
    }

    pub fn height(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap() - 1
    }

    pub fn sent(&self) -> impl Iterator<Item = &Txid> {
        let here: BTreeSet<&Txid> = self
            .blocks
            .iter()
            .flat_map(|block| &block.transactions)
            .chain(&self.mempool)
            .map(|transaction| &transaction.txid)
            .collect();
        self.sent.iter().filter(move |txid| here.contains(txid))
    }

    /// Money from a stranger, into the mempool.
    pub fn deposit(&mut self, to: &str, value: u64) -> Txid {
        let inputs = vec![OutPoint {
            txid: Txid::from_wire_bytes(self.next()),
            vout: 0,
        }];
        self.transaction(inputs, &[(to, value)])
    }

    /// Any transaction, into the mempool; whatever of the mempool spends the same coins is replaced.
    pub fn transaction(&mut self, inputs: Vec<OutPoint>, outputs: &[(&str, u64)]) -> Txid {
        let txid = Txid::from_wire_bytes(self.next());
        self.mempool
            .retain(|other| !other.inputs.iter().any(|input| inputs.contains(input)));
        self.take_in(ChainTransaction {
            txid: txid.clone(),
            is_coinbase: false,
            inputs,
            outputs: (0..)
                .zip(outputs)
                .map(|(vout, (address, value))| SeenOutput {
                    vout,
                    address: (*address).to_owned(),
                    value: florins(*value),
                })
                .collect(),
        });
        txid
    }

    fn take_in(&mut self, transaction: ChainTransaction) {
        self.known
            .insert(transaction.txid.clone(), transaction.clone());
        self.mempool.push(transaction);
    }

    /// A transaction that it saw once.
    pub fn known(&self, txid: &str) -> ChainTransaction {
        self.known[&Txid::parse(txid).unwrap()].clone()
    }

    /// Into the mempool again.
    pub fn put_back(&mut self, transaction: ChainTransaction) {
        self.mempool.push(transaction);
    }

    /// The transaction of the mempool or chain with this id.
    pub fn find(&self, txid: &str) -> ChainTransaction {
        self.blocks
            .iter()
            .flat_map(|block| &block.transactions)
            .chain(&self.mempool)
            .find(|transaction| transaction.txid.as_str() == txid)
            .cloned()
            .unwrap()
    }

    /// The same transaction under another id, in the first one's place.
    pub fn malleate(&mut self, txid: &str) -> Txid {
        let new = Txid::from_wire_bytes(self.next());
        for transaction in &mut self.mempool {
            if transaction.txid.as_str() == txid {
                transaction.txid = new.clone();
            }
        }
        new
    }

    /// A block with the whole mempool.
    pub fn mine(&mut self) {
        let transactions = std::mem::take(&mut self.mempool);
        let hash = BlockHash::from_wire_bytes(self.next());
        self.blocks.push(FakeBlock { hash, transactions });
    }

    /// A block that pays its coinbase here.
    pub fn mine_to(&mut self, to: &str, value: u64) {
        let txid = Txid::from_wire_bytes(self.next());
        self.mine();
        let block = self.blocks.last_mut().unwrap();
        block.transactions.push(ChainTransaction {
            txid,
            is_coinbase: true,
            inputs: Vec::new(),
            outputs: vec![SeenOutput {
                vout: 0,
                address: to.to_owned(),
                value: florins(value),
            }],
        });
    }

    pub fn mine_empty(&mut self, count: u32) {
        let kept = std::mem::take(&mut self.mempool);
        for _ in 0..count {
            self.mine();
        }
        self.mempool = kept;
    }

    /// Takes back the last blocks; what was in them is in the mempool again.
    pub fn undo(&mut self, depth: usize) {
        let keep = self.blocks.len() - depth;
        let undone = self.blocks.split_off(keep);
        let back = undone.into_iter().flat_map(|block| block.transactions);
        let mut mempool: Vec<_> = back.filter(|t| !t.is_coinbase).collect();
        mempool.append(&mut self.mempool);
        self.mempool = mempool;
    }

    /// Forgets one transaction of the mempool.
    pub fn forget(&mut self, txid: &str) {
        self.mempool.retain(|t| t.txid.as_str() != txid);
    }

    /// Forgets the mempool, as a restart does.
    pub fn forget_mempool(&mut self) {
        self.mempool.clear();
    }

    /// Florins that reached an address.
    pub fn paid_to(&self, to: &str) -> u64 {
        self.blocks
            .iter()
            .flat_map(|block| &block.transactions)
            .chain(&self.mempool)
            .flat_map(|transaction| &transaction.outputs)
            .filter(|output| output.address == to)
            .map(|output| output.value.florins())
            .sum()
    }

    fn spent_in_chain(&self, coin: &OutPoint) -> Option<(&Txid, u32)> {
        (0u32..).zip(&self.blocks).find_map(|(height, block)| {
            let spender = block
                .transactions
                .iter()
                .find(|transaction| transaction.inputs.contains(coin))?;
            Some((&spender.txid, self.height() - height + 1))
        })
    }

    fn accept(&mut self, signed: &Signed) -> Result<(), ChainError> {
        let transaction = Transaction::decode(&hex::decode(&signed.hex).unwrap()).unwrap();
        let known = |t: &ChainTransaction| t.txid == transaction.txid;
        if self.mempool.iter().any(known)
            || self.blocks.iter().any(|b| b.transactions.iter().any(known))
        {
            return Ok(());
        }
        let exists = |coin: &OutPoint| {
            let makes = |t: &ChainTransaction| {
                t.txid == coin.txid && t.outputs.iter().any(|output| output.vout == coin.vout)
            };
            let taken = |t: &ChainTransaction| t.inputs.contains(coin);
            (self.mempool.iter().any(makes)
                || self.blocks.iter().any(|b| b.transactions.iter().any(makes)))
                && !self.mempool.iter().any(taken)
                && self.spent_in_chain(coin).is_none()
        };
        if !transaction.inputs.iter().all(exists) {
            return Err(ChainError::Rejected {
                code: -25,
                message: "Missing inputs".into(),
            });
        }
        let outputs = (0..)
            .zip(&transaction.outputs)
            .map(|(vout, output)| SeenOutput {
                vout,
                address: self.addresses.get(&output.script_pubkey).unwrap().clone(),
                value: output.value,
            })
            .collect();
        self.sent.insert(transaction.txid.clone());
        self.take_in(ChainTransaction {
            txid: transaction.txid,
            is_coinbase: false,
            inputs: transaction.inputs,
            outputs,
        });
        Ok(())
    }

    fn standing(&self, txid: &Txid) -> Standing {
        let known = |t: &ChainTransaction| t.txid == *txid;
        if self.mempool.iter().any(known) {
            return Standing::Mempool;
        }
        if self.blocks.iter().any(|b| b.transactions.iter().any(known)) {
            return Standing::Confirmed;
        }
        let Some(known) = self.known.get(txid) else {
            return Standing::Absent;
        };
        let conflict = known.inputs.iter().find_map(|i| self.spent_in_chain(i));
        conflict.map_or(Standing::NotInMempool, |(_, depth)| {
            Standing::Conflicted(depth)
        })
    }

    fn ledger_block(&self, height: u32) -> Option<LedgerBlock> {
        let block = self.blocks.get(height as usize)?;
        Some(LedgerBlock {
            height,
            hash: block.hash.clone(),
            time: Timestamp::from_unix_seconds(super::START + i64::from(height)).unwrap(),
        })
    }
}

#[derive(Clone)]
pub struct FakeChain {
    node: Rc<RefCell<FakeNode>>,
    steps: Steps,
}

impl FakeChain {
    pub fn new(node: &Rc<RefCell<FakeNode>>, steps: &Steps) -> Self {
        FakeChain {
            node: Rc::clone(node),
            steps: steps.clone(),
        }
    }

    /// One call: a step before, a step after.
    async fn call<T>(
        &self,
        answer: impl FnOnce(&mut FakeNode) -> Result<T, ChainError>,
    ) -> Result<T, ChainError> {
        self.steps.pass().await;
        let result = {
            let mut node = self.node.borrow_mut();
            if node.is_down {
                Err(ChainError::Unreachable("down".into()))
            } else {
                answer(&mut node)
            }
        };
        self.steps.pass().await;
        result
    }
}

impl Reader for FakeChain {
    async fn snapshot(&self) -> Result<Snapshot, ChainError> {
        self.call(|node| {
            Ok(Snapshot {
                network: Network::Regtest,
                height: node.height(),
                hash: node.blocks.last().unwrap().hash.clone(),
                fee_rate: 1_000_000,
                mempool: node.mempool.iter().map(|t| t.txid.clone()).collect(),
            })
        })
        .await
    }

    async fn headers(&self, heights: &[u32]) -> Result<Vec<Option<LedgerBlock>>, ChainError> {
        self.call(|node| Ok(heights.iter().map(|h| node.ledger_block(*h)).collect()))
            .await
    }

    async fn blocks(&self, first: u32, count: u32) -> Result<Vec<Block>, ChainError> {
        self.call(|node| {
            Ok((first..=node.height())
                .take(count as usize)
                .map(|height| Block {
                    block: node.ledger_block(height).unwrap(),
                    previous: height
                        .checked_sub(1)
                        .and_then(|below| node.ledger_block(below))
                        .map(|block| block.hash),
                    transactions: node.blocks[height as usize].transactions.clone(),
                })
                .collect())
        })
        .await
    }

    async fn mempool_transactions(
        &self,
        txids: &[Txid],
    ) -> Result<Vec<Option<ChainTransaction>>, ChainError> {
        self.call(|node| {
            let find = |txid: &Txid| node.mempool.iter().find(|t| t.txid == *txid).cloned();
            Ok(txids.iter().map(find).collect())
        })
        .await
    }

    async fn list_unspent(&self, addresses: &[&str]) -> Result<Unspent, ChainError> {
        self.call(|node| {
            let spent: BTreeSet<&OutPoint> = node
                .blocks
                .iter()
                .flat_map(|block| &block.transactions)
                .chain(&node.mempool)
                .flat_map(|transaction| &transaction.inputs)
                .collect();
            let mut coins: Vec<Coin> = node
                .blocks
                .iter()
                .flat_map(|block| &block.transactions)
                // As Core does, nothing of an immature coinbase: here, of any.
                .filter(|transaction| !transaction.is_coinbase)
                .flat_map(|t| t.outputs.iter().map(move |output| (t, output)))
                .filter(|(_, output)| addresses.contains(&output.address.as_str()))
                .map(|(transaction, output)| Coin {
                    outpoint: OutPoint {
                        txid: transaction.txid.clone(),
                        vout: output.vout,
                    },
                    value: output.value,
                })
                .filter(|coin| !spent.contains(&coin.outpoint))
                .collect();
            coins.retain(|coin| coin.value.florins() != node.hides);
            Ok(Unspent {
                tip: node.blocks.last().unwrap().hash.clone(),
                coins,
            })
        })
        .await
    }

    async fn standings(&self, txids: &[&Txid]) -> Result<Vec<Standing>, ChainError> {
        self.call(|node| Ok(txids.iter().map(|txid| node.standing(txid)).collect()))
            .await
    }
}

impl Keys for FakeChain {
    async fn new_address(&self, _label: &str) -> Result<String, ChainError> {
        self.call(|node| Ok(node.new_address())).await
    }

    async fn new_addresses(&self, count: u32) -> Result<Vec<String>, ChainError> {
        self.call(|node| Ok((0..count).map(|_| node.new_address()).collect()))
            .await
    }
}

/// A transaction with a script in each input, so that it counts as signed.
fn with_scripts(inputs: &[OutPoint], outputs: &[Output]) -> Vec<u8> {
    let unsigned = encode_unsigned(inputs, outputs);
    let mut bytes = unsigned[..5].to_vec();
    for index in 0..inputs.len() {
        let at = 5 + index * 41;
        bytes.extend(&unsigned[at..at + 36]);
        bytes.extend([1, 0x51]);
        bytes.extend(&unsigned[at + 37..at + 41]);
    }
    bytes.extend(&unsigned[5 + inputs.len() * 41..]);
    bytes
}

impl Signer for FakeChain {
    async fn sign_payment(
        &self,
        inputs: &[OutPoint],
        outputs: &[(&Address, Amount)],
    ) -> Result<Signed, ChainError> {
        self.call(|node| {
            for (address, _) in outputs {
                node.knows(address.as_str());
            }
            let outputs: Vec<Output> = outputs
                .iter()
                .map(|(address, value)| Output::to(address, *value))
                .collect();
            let bytes = with_scripts(inputs, &outputs);
            Ok(Signed {
                txid: Transaction::decode(&bytes).unwrap().txid,
                hex: hex::encode(bytes),
            })
        })
        .await
    }
}

impl Relay for FakeChain {
    async fn broadcast(&self, signed: &Signed) -> Result<(), ChainError> {
        let unknown = |text: &str| Err(ChainError::OutcomeUnknown(text.into()));
        self.call(|node| match node.trouble {
            Trouble::None => node.accept(signed),
            Trouble::Unreachable => Err(ChainError::Unreachable("refused".into())),
            Trouble::Refused => Err(ChainError::Rejected {
                code: -26,
                message: "66: fee".into(),
            }),
            Trouble::LostBefore => unknown("lost before"),
            Trouble::LostAfter => node.accept(signed).and_then(|()| unknown("lost after")),
            Trouble::GarbageAfter => node
                .accept(signed)
                .and_then(|()| Err(ChainError::BadResponse("garbage".into()))),
        })
        .await
    }
}

impl Admin for FakeChain {
    async fn backup(&self, name: &str) -> Result<(), ChainError> {
        self.call(|node| {
            node.backups.push(name.to_owned());
            Ok(())
        })
        .await
    }
}
