//! The wire format of transactions without witnesses (Bitcoin Core 0.14, which Flopcoin keeps).

use crate::{Address, Amount, OutPoint, Txid};
use sha2::{Digest as _, Sha256};

/// Most inputs or outputs that are read; more than fit into a standard transaction of 100 kB.
const MAX_ITEMS: u64 = 1_000;
/// Inputs that no later replacement is announced for, and no lock time.
const SEQUENCE_FINAL: u32 = 0xffff_ffff;

/// An output: an amount and the script that locks it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// How much.
    pub value: Amount,
    /// The locking script.
    pub script_pubkey: Vec<u8>,
}

impl Output {
    /// Pays an address.
    #[must_use]
    pub fn to(address: &Address, value: Amount) -> Self {
        Output {
            value,
            script_pubkey: address.script_pubkey(),
        }
    }
}

/// What a signed transaction spends and pays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// Its id, computed from the bytes.
    pub txid: Txid,
    /// What it spends, in order.
    pub inputs: Vec<OutPoint>,
    /// What it pays, in order.
    pub outputs: Vec<Output>,
    /// Whether every input carries a script, as a signed one does.
    pub is_signed: bool,
}

/// Why bytes are no transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a transaction")]
pub struct TransactionError;

/// Writes an unsigned transaction: version 1, final, no lock time. The inputs' txids must be hex,
/// which [`Txid`] is.
#[must_use]
pub fn encode_unsigned(inputs: &[OutPoint], outputs: &[Output]) -> Vec<u8> {
    let mut bytes = 1u32.to_le_bytes().to_vec();
    put_count(&mut bytes, inputs.len());
    for input in inputs {
        let mut txid = hex::decode(input.txid.as_str()).unwrap_or_default();
        txid.reverse();
        bytes.extend(txid);
        bytes.extend(input.vout.to_le_bytes());
        put_count(&mut bytes, 0);
        bytes.extend(SEQUENCE_FINAL.to_le_bytes());
    }
    put_count(&mut bytes, outputs.len());
    for output in outputs {
        bytes.extend(output.value.florins().to_le_bytes());
        put_count(&mut bytes, output.script_pubkey.len());
        bytes.extend(&output.script_pubkey);
    }
    bytes.extend(0u32.to_le_bytes());
    bytes
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    match u8::try_from(count) {
        Ok(count) if count < 0xfd => bytes.push(count),
        _ => {
            bytes.push(0xfd);
            bytes.extend(u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
        }
    }
}

impl Transaction {
    /// Reads a whole transaction; nothing may follow it.
    ///
    /// # Errors
    /// [`TransactionError`] for anything else, an amount above the limit too.
    pub fn decode(bytes: &[u8]) -> Result<Self, TransactionError> {
        let mut reader = Reader(bytes);
        reader.take(4)?;
        let mut is_signed = true;
        let mut inputs = Vec::new();
        for _ in 0..reader.items()? {
            let txid = Txid::from_wire_bytes(reader.array()?);
            let vout = u32::from_le_bytes(reader.array()?);
            let script = reader.count()?;
            is_signed &= script > 0;
            reader.take(usize::try_from(script).map_err(|_| TransactionError)?)?;
            reader.take(4)?;
            inputs.push(OutPoint { txid, vout });
        }
        let mut outputs = Vec::new();
        for _ in 0..reader.items()? {
            let value = u64::from_le_bytes(reader.array()?);
            let script = reader.count()?;
            let script_pubkey =
                reader.take(usize::try_from(script).map_err(|_| TransactionError)?)?;
            outputs.push(Output {
                value: Amount::from_florins(value).map_err(|_| TransactionError)?,
                script_pubkey: script_pubkey.to_vec(),
            });
        }
        reader.take(4)?;
        if !reader.0.is_empty() || inputs.is_empty() {
            return Err(TransactionError);
        }
        let txid = Txid::from_wire_bytes(Sha256::digest(Sha256::digest(bytes)).into());
        Ok(Transaction {
            txid,
            inputs,
            outputs,
            is_signed,
        })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], TransactionError> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(TransactionError)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TransactionError> {
        self.take(N)?.try_into().map_err(|_| TransactionError)
    }

    fn count(&mut self) -> Result<u64, TransactionError> {
        Ok(match self.array::<1>()?[0] {
            0xfd => u16::from_le_bytes(self.array()?).into(),
            0xfe => u32::from_le_bytes(self.array()?).into(),
            0xff => u64::from_le_bytes(self.array()?),
            small => small.into(),
        })
    }

    fn items(&mut self) -> Result<u64, TransactionError> {
        self.count().and_then(|count| {
            if count <= MAX_ITEMS {
                Ok(count)
            } else {
                Err(TransactionError)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;
    use proptest::prelude::*;

    fn outpoint(byte: u8, vout: u32) -> OutPoint {
        OutPoint {
            txid: Txid::from_wire_bytes([byte; 32]),
            vout,
        }
    }

    fn outputs(values: &[u64]) -> Vec<Output> {
        let address =
            Address::parse("miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE", Network::Regtest).unwrap();
        values
            .iter()
            .map(|v| Output::to(&address, Amount::from_florins(*v).unwrap()))
            .collect()
    }

    #[test]
    fn the_genesis_coinbase_has_its_known_id() {
        // Bitcoin's genesis coinbase: the format is the same, and its id is public knowledge.
        let hex = "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000";
        let transaction = Transaction::decode(&hex::decode(hex).unwrap()).unwrap();
        assert_eq!(
            transaction.txid.as_str(),
            "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
        );
        assert_eq!(transaction.outputs[0].value.florins(), 5_000_000_000);
        assert!(transaction.is_signed);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(inputs in proptest::collection::vec((any::<u8>(), any::<u32>()), 1..300),
                                      values in proptest::collection::vec(0u64..1_000_000_000_000, 0..3)) {
            let inputs: Vec<_> = inputs.into_iter().map(|(byte, vout)| outpoint(byte, vout)).collect();
            let outputs = outputs(&values);
            let decoded = Transaction::decode(&encode_unsigned(&inputs, &outputs)).unwrap();
            prop_assert_eq!(decoded.inputs, inputs);
            prop_assert_eq!(decoded.outputs, outputs);
            prop_assert!(!decoded.is_signed);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Transaction::decode(&bytes);
        }
    }
}
