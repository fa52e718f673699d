//! The wallet seen against chain and memory pool: depths, coins, balances, list entries.

use std::collections::BTreeSet;

use bitcoin::{OutPoint, Transaction, TxOut, Txid};

use super::{Wallet, WalletTx};
use crate::amount::Florins;
use crate::chain::Chain;
use crate::codec;
use crate::json::{Json, Object};
use crate::mempool::Mempool;
use crate::network::{Address, COINBASE_MATURITY};
use crate::script;

/// Inputs above this sequence number do not ask for replacement (BIP 125).
const REPLACEABLE_BELOW: u32 = 0xffff_fffe;

/// Everything a question about the wallet needs.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The chain.
    pub chain: &'a Chain,
    /// The memory pool.
    pub mempool: &'a Mempool,
    /// The wallet.
    pub wallet: &'a Wallet,
}

/// An output of the wallet that it can spend.
#[derive(Clone, Debug)]
pub struct WalletCoin {
    /// Which.
    pub outpoint: OutPoint,
    /// Amount and script.
    pub output: TxOut,
    /// Its confirmations.
    pub depth: i64,
    /// Whether the wallet made the transaction itself.
    pub from_me: bool,
    /// Whether the wallet counts it as its own money already.
    pub trusted: bool,
}

/// One output of a wallet transaction, as lists show it.
struct Part<'a> {
    vout: usize,
    output: &'a TxOut,
    address: Option<Address>,
}

/// What a wallet transaction moves.
struct Parts<'a> {
    sent: Vec<Part<'a>>,
    received: Vec<Part<'a>>,
    fee: Florins,
}

impl<'a> View<'a> {
    /// Confirmations; below zero for a transaction whose inputs another one spends in the chain.
    #[must_use]
    pub fn depth(&self, txid: &Txid) -> i64 {
        if let Some((height, _)) = self.chain.place(txid) {
            return self.chain.confirmations_at(height);
        }
        self.conflict_depth(txid, &mut BTreeSet::new())
    }

    /// The depth, negated, of the deepest block that conflicts with a transaction or with one of
    /// the wallet's that it builds on; zero if none does.
    fn conflict_depth(&self, txid: &Txid, seen: &mut BTreeSet<Txid>) -> i64 {
        let Some(known) = self.wallet.transactions.get(txid) else {
            return 0;
        };
        if !seen.insert(*txid)
            || self.chain.place(txid).is_some()
            || known.transaction.is_coinbase()
        {
            return 0;
        }
        let inputs = known
            .transaction
            .input
            .iter()
            .map(|input| input.previous_output);
        let depths = inputs.map(|outpoint| match self.chain.spender(&outpoint) {
            Some((rival, height)) if rival != *txid => -self.chain.confirmations_at(height),
            _ => self.conflict_depth(&outpoint.txid, seen),
        });
        depths.min().unwrap_or(0).min(0)
    }

    /// Blocks still missing until a coinbase can be spent; zero for other transactions.
    #[must_use]
    pub fn blocks_to_maturity(&self, known: &WalletTx, depth: i64) -> i64 {
        if known.transaction.is_coinbase() {
            (i64::from(COINBASE_MATURITY) + 1 - depth).max(0)
        } else {
            0
        }
    }

    /// What of a transaction's inputs is the wallet's.
    #[must_use]
    pub fn debit(&self, transaction: &Transaction) -> Florins {
        transaction
            .input
            .iter()
            .filter_map(|input| self.wallet.own_output(&input.previous_output))
            .sum()
    }

    /// What of a transaction's outputs is the wallet's; nothing while it is an immature coinbase.
    #[must_use]
    pub fn credit(&self, known: &WalletTx, depth: i64) -> Florins {
        if self.blocks_to_maturity(known, depth) > 0 {
            return Florins::ZERO;
        }
        self.own_outputs(known)
    }

    /// What of a transaction's outputs is the wallet's.
    #[must_use]
    pub fn own_outputs(&self, known: &WalletTx) -> Florins {
        let outputs = known.transaction.output.iter();
        outputs
            .filter(|output| self.wallet.is_mine(&output.script_pubkey))
            .map(Florins::of_output)
            .sum()
    }

    /// Whether the next block could hold a transaction, by its lock time.
    #[must_use]
    pub fn is_final(&self, transaction: &Transaction) -> bool {
        is_final(self.chain, transaction)
    }

    /// Whether the wallet relies on a transaction: confirmed, or its own and waiting.
    #[must_use]
    pub fn is_trusted(&self, txid: &Txid, known: &WalletTx) -> bool {
        if !self.is_final(&known.transaction) {
            return false;
        }
        let depth = self.depth(txid);
        if depth != 0 {
            return depth > 0;
        }
        self.debit(&known.transaction) > Florins::ZERO
            && self.mempool.contains(txid)
            && known
                .transaction
                .input
                .iter()
                .all(|input| self.wallet.own_output(&input.previous_output).is_some())
    }

    /// Whether a transaction of the wallet, in the chain or not conflicted with it, spends an output.
    #[must_use]
    pub fn is_spent(&self, outpoint: &OutPoint) -> bool {
        let spenders = self.wallet.spends.get(outpoint);
        spenders.is_some_and(|spenders| spenders.iter().any(|txid| self.depth(txid) >= 0))
    }

    /// The coins that can be spent, in the order of `listunspent`: by the bytes of their txid.
    #[must_use]
    pub fn coins(&self) -> Vec<WalletCoin> {
        let mut coins = Vec::new();
        for (txid, known) in &self.wallet.transactions {
            if !self.is_final(&known.transaction) {
                continue;
            }
            let depth = self.depth(txid);
            if depth < 0
                || self.blocks_to_maturity(known, depth) > 0
                || (depth == 0 && !self.mempool.contains(txid))
            {
                continue;
            }
            let from_me = self.debit(&known.transaction) > Florins::ZERO;
            let trusted = self.is_trusted(txid, known);
            for (vout, output) in (0..).zip(&known.transaction.output) {
                let outpoint = OutPoint::new(*txid, vout);
                if self.wallet.is_mine(&output.script_pubkey) && !self.is_spent(&outpoint) {
                    coins.push(WalletCoin {
                        outpoint,
                        output: output.clone(),
                        depth,
                        from_me,
                        trusted,
                    });
                }
            }
        }
        coins
    }

    /// `getbalance` without an account: what can be spent and is relied on.
    #[must_use]
    pub fn balance(&self) -> Florins {
        self.coins()
            .iter()
            .filter(|coin| coin.trusted)
            .map(|coin| Florins::of_output(&coin.output))
            .sum()
    }

    /// `getunconfirmedbalance`: waiting, and not relied on.
    #[must_use]
    pub fn unconfirmed_balance(&self) -> Florins {
        let coins = self.coins();
        coins
            .iter()
            .filter(|coin| coin.depth == 0 && !coin.trusted)
            .map(|coin| Florins::of_output(&coin.output))
            .sum()
    }

    /// Mined, but not yet old enough.
    #[must_use]
    pub fn immature_balance(&self) -> Florins {
        let transactions = self.wallet.transactions.iter();
        transactions
            .filter(|(txid, known)| {
                let depth = self.depth(txid);
                depth > 0 && self.blocks_to_maturity(known, depth) > 0
            })
            .map(|(_, known)| self.own_outputs(known))
            .sum()
    }

    /// `getbalance` of one account (`None`: of all), from entries rather than coins.
    /// Sends count at once, receipts from `least_depth` confirmations.
    #[must_use]
    pub fn account_balance(&self, account: Option<&str>, least_depth: i64) -> Florins {
        let mut balance = Florins::ZERO;
        for (txid, known) in &self.wallet.transactions {
            let depth = self.depth(txid);
            if !self.is_final(&known.transaction)
                || depth < 0
                || self.blocks_to_maturity(known, depth) > 0
            {
                continue;
            }
            let parts = self.parts(&known.transaction);
            if account.is_none_or(str::is_empty) {
                let sent = parts
                    .sent
                    .iter()
                    .map(|part| Florins::of_output(part.output))
                    .sum();
                balance = balance.minus(sent).minus(parts.fee);
            }
            if depth >= least_depth {
                for part in &parts.received {
                    if account.is_none_or(|account| self.account_of(part.address) == account) {
                        balance = balance.plus(Florins::of_output(part.output));
                    }
                }
            }
        }
        balance
    }

    /// The account of an address; addresses without a name belong to the default account.
    fn account_of(&self, address: Option<Address>) -> &'a str {
        address
            .and_then(|address| self.wallet.book.get(&address))
            .map_or("", String::as_str)
    }

    /// The other transactions of the wallet that spend an output which this one spends.
    #[must_use]
    pub fn conflicts(&self, txid: &Txid, transaction: &Transaction) -> BTreeSet<Txid> {
        let spenders = transaction
            .input
            .iter()
            .filter_map(|input| self.wallet.spends.get(&input.previous_output));
        spenders
            .flatten()
            .filter(|other| *other != txid)
            .copied()
            .collect()
    }

    fn parts(&self, transaction: &'a Transaction) -> Parts<'a> {
        let debit = self.debit(transaction);
        let from_me = debit > Florins::ZERO;
        let mut parts = Parts {
            sent: Vec::new(),
            received: Vec::new(),
            fee: Florins::ZERO,
        };
        if from_me {
            parts.fee = debit.minus(transaction.output.iter().map(Florins::of_output).sum());
        }
        for (vout, output) in transaction.output.iter().enumerate() {
            let mine = self.wallet.is_mine(&output.script_pubkey);
            let address = Address::of_script(&output.script_pubkey);
            let named = address.is_some_and(|address| self.wallet.book.contains_key(&address));
            let change = mine && !named;
            if from_me && !change {
                parts.sent.push(Part {
                    vout,
                    output,
                    address,
                });
            }
            if mine && !(from_me && change) {
                parts.received.push(Part {
                    vout,
                    output,
                    address,
                });
            }
        }
        parts
    }

    /// The entries of one transaction for `account` (`None`: for all), sends first. `long` adds what
    /// lists show beside each entry.
    #[must_use]
    pub fn entries(
        &self,
        txid: &Txid,
        known: &'a WalletTx,
        account: Option<&str>,
        long: bool,
    ) -> Vec<Json> {
        let depth = self.depth(txid);
        let parts = self.parts(&known.transaction);
        let mut entries = Vec::new();
        if account.is_none_or(str::is_empty) {
            for part in &parts.sent {
                let mut entry =
                    self.entry_head("", part, "send", Florins::of_output(part.output).negated());
                entry.push("fee", parts.fee.negated());
                if long {
                    entry.extend(self.common(txid, known));
                }
                entry.push("abandoned", false);
                entries.push(entry.into());
            }
        }
        if depth < 0 {
            return entries;
        }
        for part in &parts.received {
            let owner = self.account_of(part.address);
            if account.is_some_and(|account| account != owner) {
                continue;
            }
            let category = if !known.transaction.is_coinbase() {
                "receive"
            } else if depth < 1 {
                "orphan"
            } else if self.blocks_to_maturity(known, depth) > 0 {
                "immature"
            } else {
                "generate"
            };
            let mut entry = self.entry_head(owner, part, category, Florins::of_output(part.output));
            if long {
                entry.extend(self.common(txid, known));
            }
            entries.push(entry.into());
        }
        entries
    }

    fn entry_head(
        &self,
        account: &str,
        part: &Part<'_>,
        category: &str,
        amount: Florins,
    ) -> Object {
        let label = part
            .address
            .and_then(|address| self.wallet.book.get(&address));
        Object::new()
            .with("account", account)
            .with_some("address", part.address.map(Json::text))
            .with("category", category)
            .with("amount", amount)
            .with_some("label", label.map(String::as_str))
            .with("vout", Json::size(part.vout))
    }

    /// What every view of a wallet transaction shows.
    #[must_use]
    pub fn common(&self, txid: &Txid, known: &WalletTx) -> Object {
        let depth = self.depth(txid);
        let mut common = Object::new().with("confirmations", Json::int(depth));
        if known.transaction.is_coinbase() {
            common.push("generated", true);
        }
        let block = self.chain.place(txid).and_then(|(height, place)| {
            let hash = self.chain.at(height)?;
            Some((hash, place, self.chain.block(&hash)?.block.header.time))
        });
        match block {
            Some((hash, place, time)) => {
                common.push("blockhash", Json::text(hash));
                common.push("blockindex", Json::int(place));
                common.push("blocktime", Json::int(time));
            }
            None => common.push("trusted", self.is_trusted(txid, known)),
        }
        let conflicts = self
            .conflicts(txid, &known.transaction)
            .into_iter()
            .map(Json::text)
            .collect();
        common
            .with("txid", Json::text(txid))
            .with("walletconflicts", Json::Array(conflicts))
            .with("time", Json::int(known.time))
            .with("timereceived", Json::int(known.received))
            .with(
                "bip125-replaceable",
                self.replaceable(txid, &known.transaction, depth),
            )
            .with_some(
                "comment",
                Some(known.comment.as_str()).filter(|text| !text.is_empty()),
            )
            .with_some(
                "to",
                Some(known.to.as_str()).filter(|text| !text.is_empty()),
            )
    }

    fn replaceable(&self, txid: &Txid, transaction: &Transaction, depth: i64) -> &'static str {
        if depth > 0 {
            return "no";
        }
        if signals_replacement(transaction) {
            return "yes";
        }
        if !self.mempool.contains(txid) {
            return "unknown";
        }
        let ancestors = self.mempool.ancestors(transaction);
        let mut waiting = ancestors.iter().filter_map(|txid| self.mempool.get(txid));
        if waiting.any(|waiting| signals_replacement(&waiting.transaction)) {
            "yes"
        } else {
            "no"
        }
    }

    /// `gettransaction`.
    #[must_use]
    pub fn describe(&self, txid: &Txid, known: &'a WalletTx) -> Object {
        let depth = self.depth(txid);
        let debit = self.debit(&known.transaction);
        let net = self.credit(known, depth).minus(debit);
        let paid: Florins = known
            .transaction
            .output
            .iter()
            .map(Florins::of_output)
            .sum();
        let fee = (debit > Florins::ZERO).then(|| paid.minus(debit));
        let mut description = Object::new()
            .with("amount", net.minus(fee.unwrap_or(Florins::ZERO)))
            .with_some("fee", fee);
        description.extend(self.common(txid, known));
        description
            .with(
                "details",
                Json::Array(self.entries(txid, known, None, false)),
            )
            .with("hex", codec::encode_hex(&known.transaction))
    }

    /// An entry of `listunspent`.
    #[must_use]
    pub fn describe_coin(&self, coin: &WalletCoin) -> Object {
        let address = Address::of_script(&coin.output.script_pubkey);
        let account = address.and_then(|address| self.wallet.book.get(&address));
        Object::new()
            .with("txid", Json::text(coin.outpoint.txid))
            .with("vout", Json::int(coin.outpoint.vout))
            .with_some("address", address.map(Json::text))
            .with_some("account", account.map(String::as_str))
            .with("scriptPubKey", coin.output.script_pubkey.to_hex_string())
            .with("amount", Florins::of_output(&coin.output))
            .with("confirmations", Json::int(coin.depth))
            .with("spendable", true)
            .with("solvable", true)
    }
}

/// Whether a transaction allows itself to be replaced (BIP 125).
#[must_use]
pub fn signals_replacement(transaction: &Transaction) -> bool {
    transaction
        .input
        .iter()
        .any(|input| input.sequence.to_consensus_u32() < REPLACEABLE_BELOW)
}

/// Whether the next block could hold a transaction, by its lock time.
#[must_use]
pub fn is_final(chain: &Chain, transaction: &Transaction) -> bool {
    const THRESHOLD: u32 = 500_000_000;
    let lock = transaction.lock_time.to_consensus_u32();
    let limit = if lock < THRESHOLD {
        chain.height() + 1
    } else {
        chain.median_time(&chain.tip())
    };
    lock == 0
        || lock < limit
        || transaction
            .input
            .iter()
            .all(|input| input.sequence.is_final())
}

/// A transaction as `decoderawtransaction` shows it.
#[must_use]
pub fn describe_transaction(transaction: &Transaction) -> Object {
    let txid = transaction.compute_txid();
    let size = codec::size(transaction);
    let inputs = transaction.input.iter().map(|input| {
        let sequence = Json::int(input.sequence.to_consensus_u32());
        if transaction.is_coinbase() {
            return Object::new()
                .with("coinbase", input.script_sig.to_hex_string())
                .with("sequence", sequence)
                .into();
        }
        let unlocking = Object::new()
            .with("asm", script::asm(&input.script_sig, true))
            .with("hex", input.script_sig.to_hex_string());
        Object::new()
            .with("txid", Json::text(input.previous_output.txid))
            .with("vout", Json::int(input.previous_output.vout))
            .with("scriptSig", unlocking)
            .with("sequence", sequence)
            .into()
    });
    let outputs = transaction.output.iter().enumerate().map(|(vout, output)| {
        Object::new()
            .with("value", Florins::of_output(output))
            .with("n", Json::size(vout))
            .with("scriptPubKey", script::describe(&output.script_pubkey))
            .into()
    });
    Object::new()
        .with("txid", Json::text(txid))
        .with("hash", Json::text(txid))
        .with("size", Json::size(size))
        .with("vsize", Json::size(size))
        .with("version", Json::int(transaction.version.0))
        .with(
            "locktime",
            Json::int(transaction.lock_time.to_consensus_u32()),
        )
        .with("vin", Json::Array(inputs.collect()))
        .with("vout", Json::Array(outputs.collect()))
}
