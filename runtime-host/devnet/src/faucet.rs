//! A wallet that is not the node's: it mines the automatic blocks and pays out of them.

use std::collections::BTreeMap;

use bitcoin::secp256k1::rand::{self, Rng};
use bitcoin::secp256k1::{All, Secp256k1, SecretKey};
use bitcoin::sighash::EcdsaSighashType;
use bitcoin::{
    OutPoint, PublicKey, ScriptBuf, Sequence, Transaction, TxIn, TxOut, absolute::LockTime,
    transaction::Version,
};

use crate::amount::Florins;
use crate::chain::{Chain, Coin, Disconnected};
use crate::mempool::Mempool;
use crate::network::COINBASE_MATURITY;
use crate::script;
use crate::wallet::{LEAST_FEE_RATE, fee_for};

/// Outputs that one splitting transaction makes.
pub const SPLIT_OUTPUTS: usize = 250;
/// Split again when fewer small coins than this are left.
pub const FEW_COINS: usize = 500;
/// Bytes of a transaction without its inputs and outputs, of an input and of an output, as Core estimates them.
const OVERHEAD: usize = 10;
const INPUT: usize = 148;
const OUTPUT: usize = 34;

/// The faucet. It has one key.
#[derive(Debug)]
pub struct Faucet {
    key: SecretKey,
    script: ScriptBuf,
    coins: BTreeMap<OutPoint, Coin>,
}

impl Faucet {
    /// A faucet with this key and no coins.
    #[must_use]
    pub fn new(secp: &Secp256k1<All>, key: SecretKey) -> Self {
        let public = PublicKey::new(key.public_key(secp));
        Faucet {
            key,
            script: ScriptBuf::new_p2pkh(&public.pubkey_hash()),
            coins: BTreeMap::new(),
        }
    }

    /// Where mined coins go.
    #[must_use]
    pub fn script(&self) -> &ScriptBuf {
        &self.script
    }

    /// The key for outputs with [`Faucet::script`].
    #[must_use]
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Takes note of a transaction that was confirmed at `height`.
    pub fn connect(&mut self, transaction: &Transaction, height: u32) {
        for input in &transaction.input {
            self.coins.remove(&input.previous_output);
        }
        let txid = transaction.compute_txid();
        for (vout, output) in (0..).zip(&transaction.output) {
            if output.script_pubkey == self.script {
                let coin = Coin {
                    output: output.clone(),
                    height,
                    coinbase: transaction.is_coinbase(),
                };
                self.coins.insert(OutPoint::new(txid, vout), coin);
            }
        }
    }

    /// Takes note that a block's transactions are no longer confirmed.
    pub fn disconnect(&mut self, gone: &Disconnected) {
        for (outpoint, coin) in &gone.spent {
            if coin.output.script_pubkey == self.script {
                self.coins.insert(*outpoint, coin.clone());
            }
        }
        for transaction in &gone.transactions {
            let txid = transaction.compute_txid();
            for (vout, _) in (0..).zip(&transaction.output) {
                self.coins.remove(&OutPoint::new(txid, vout));
            }
        }
    }

    /// Confirmed coins that nothing waiting spends, smallest first.
    fn available(&self, chain: &Chain, mempool: &Mempool) -> Vec<(OutPoint, Coin)> {
        let mut coins: Vec<(OutPoint, Coin)> = self
            .coins
            .iter()
            .filter(|(outpoint, coin)| {
                let depth = chain.confirmations_at(coin.height);
                (!coin.coinbase || depth > i64::from(COINBASE_MATURITY))
                    && mempool.spender(outpoint).is_none()
            })
            .map(|(outpoint, coin)| (*outpoint, coin.clone()))
            .collect();
        coins.sort_by_key(|(outpoint, coin)| (coin.output.value, *outpoint));
        coins
    }

    /// A signed payment of `amount`, or `None` if the faucet's confirmed coins do not suffice.
    #[must_use]
    pub fn pay(
        &self,
        secp: &Secp256k1<All>,
        chain: &Chain,
        mempool: &Mempool,
        script: &ScriptBuf,
        amount: Florins,
    ) -> Option<Transaction> {
        let coins = self.available(chain, mempool);
        let fee = |inputs: usize| fee_for(LEAST_FEE_RATE, OVERHEAD + INPUT * inputs + OUTPUT * 2);
        let enough_alone = coins
            .iter()
            .find(|(_, coin)| Florins::of_output(&coin.output) >= amount.plus(fee(1)));
        let chosen: Vec<(OutPoint, Coin)> = match enough_alone {
            Some(coin) => vec![coin.clone()],
            None => {
                let mut chosen = Vec::new();
                let mut total = Florins::ZERO;
                for coin in coins.into_iter().rev() {
                    total = total.plus(Florins::of_output(&coin.1.output));
                    chosen.push(coin);
                    if total >= amount.plus(fee(chosen.len())) {
                        break;
                    }
                }
                if total < amount.plus(fee(chosen.len())) {
                    return None;
                }
                chosen
            }
        };
        let total: Florins = chosen
            .iter()
            .map(|(_, coin)| Florins::of_output(&coin.output))
            .sum();
        let change = total.minus(amount).minus(fee(chosen.len()));
        let mut outputs = vec![TxOut {
            value: amount.to_output_value()?,
            script_pubkey: script.clone(),
        }];
        if change >= LEAST_FEE_RATE {
            let output = TxOut {
                value: change.to_output_value()?,
                script_pubkey: self.script.clone(),
            };
            // At a random place, as Core does it: nobody may rely on the first output.
            outputs.insert(rand::thread_rng().gen_range(0..=1), output);
        }
        self.signed(secp, &chosen, outputs)
    }

    /// A transaction that turns one big coin into many, when few small ones are left.
    #[must_use]
    pub fn split(
        &self,
        secp: &Secp256k1<All>,
        chain: &Chain,
        mempool: &Mempool,
    ) -> Option<Transaction> {
        let coins = self.available(chain, mempool);
        let (big, small): (Vec<_>, Vec<_>) = coins.into_iter().partition(|(_, coin)| coin.coinbase);
        if small.len() >= FEW_COINS {
            return None;
        }
        let (outpoint, coin) = big.into_iter().next()?;
        let fee = fee_for(LEAST_FEE_RATE, OVERHEAD + INPUT + OUTPUT * SPLIT_OUTPUTS);
        let total = Florins::of_output(&coin.output).minus(fee);
        let each = Florins::new(total.florins() / i64::try_from(SPLIT_OUTPUTS).ok()?);
        let output = TxOut {
            value: each.to_output_value()?,
            script_pubkey: self.script.clone(),
        };
        self.signed(secp, &[(outpoint, coin)], vec![output; SPLIT_OUTPUTS])
    }

    fn signed(
        &self,
        secp: &Secp256k1<All>,
        coins: &[(OutPoint, Coin)],
        outputs: Vec<TxOut>,
    ) -> Option<Transaction> {
        let mut transaction = unsigned(coins.iter().map(|(outpoint, _)| *outpoint), outputs);
        let unlocking: Option<Vec<ScriptBuf>> = coins
            .iter()
            .enumerate()
            .map(|(index, (_, coin))| {
                let script = &coin.output.script_pubkey;
                script::sign_input(
                    secp,
                    &transaction,
                    index,
                    script,
                    &self.key,
                    EcdsaSighashType::All,
                )
            })
            .collect();
        for (input, script) in transaction.input.iter_mut().zip(unlocking?) {
            input.script_sig = script;
        }
        Some(transaction)
    }
}

/// A version 1 transaction that is final and not replaceable.
pub fn unsigned(inputs: impl Iterator<Item = OutPoint>, outputs: Vec<TxOut>) -> Transaction {
    let input = |previous_output| TxIn {
        previous_output,
        sequence: Sequence::ENABLE_LOCKTIME_NO_RBF,
        ..TxIn::default()
    };
    Transaction {
        version: Version::ONE,
        lock_time: LockTime::ZERO,
        input: inputs.map(input).collect(),
        output: outputs,
    }
}
