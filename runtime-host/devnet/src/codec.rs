//! Transactions to bytes and back, without SegWit.
//!
//! SegWit is not active on Flopcoin, and rust-bitcoin writes a transaction without inputs in the
//! SegWit form, which Core's `createrawtransaction` does not.

use bitcoin::consensus::{Decodable, Encodable};
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::{Transaction, TxIn, TxOut};

/// The bytes of a transaction.
#[must_use]
pub fn encode(transaction: &Transaction) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = transaction.version.consensus_encode(&mut bytes);
    let _ = transaction.input.consensus_encode(&mut bytes);
    let _ = transaction.output.consensus_encode(&mut bytes);
    let _ = transaction.lock_time.consensus_encode(&mut bytes);
    bytes
}

/// The bytes of a transaction in hexadecimal.
#[must_use]
pub fn encode_hex(transaction: &Transaction) -> String {
    encode(transaction).to_lower_hex_string()
}

/// The number of bytes of a transaction.
#[must_use]
pub fn size(transaction: &Transaction) -> usize {
    transaction.base_size()
}

/// Reads one transaction from the front of `bytes`; what follows stays.
#[must_use]
pub fn decode_prefix(bytes: &mut &[u8]) -> Option<Transaction> {
    Some(Transaction {
        version: Decodable::consensus_decode(bytes).ok()?,
        input: Vec::<TxIn>::consensus_decode(bytes).ok()?,
        output: Vec::<TxOut>::consensus_decode(bytes).ok()?,
        lock_time: Decodable::consensus_decode(bytes).ok()?,
    })
}

/// Reads a text that is exactly one transaction.
#[must_use]
pub fn decode_hex(text: &str) -> Option<Transaction> {
    let bytes = Vec::<u8>::from_hex(text).ok()?;
    let mut rest = bytes.as_slice();
    let transaction = decode_prefix(&mut rest)?;
    rest.is_empty().then_some(transaction)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_transaction_without_inputs_survives() {
        for text in [
            "01000000000000000000",
            "01000000000100e1f505000000001976a9143e53c4db611b8ae007168b27443d94020cb7e5ce88ac00000000",
        ] {
            assert_eq!(encode_hex(&decode_hex(text).unwrap()), text);
        }
        assert!(decode_hex("0100000000000000000000").is_none());
        assert!(decode_hex("").is_none());
        assert!(decode_hex("zz").is_none());
    }
}
