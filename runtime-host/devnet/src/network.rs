//! What is fixed for Flopcoin's regtest network (Flopcoin Core 2.0.0, `src/chainparams.cpp`).

use bitcoin::hashes::Hash;
use bitcoin::{Block, BlockHash, PubkeyHash, ScriptBuf, ScriptHash};

use crate::amount::Florins;
use crate::codec;

/// `getblockchaininfo.chain`.
pub const CHAIN: &str = "regtest";
/// The port Core listens on for JSON-RPC on this network.
pub const RPC_PORT: u16 = 18332;
/// First byte of a pay-to-public-key-hash address.
const P2PKH_VERSION: u8 = 111;
/// First byte of a pay-to-script-hash address.
const P2SH_VERSION: u8 = 196;
/// The easiest target, which regtest never leaves.
pub const BITS: u32 = 0x207f_ffff;
/// Block version: chain id 0x62 for merged mining, version 4.
pub const BLOCK_VERSION: i32 = 0x0062_0004;
/// Difficulty at [`BITS`], in Core's notation.
pub const DIFFICULTY: &str = "4.656542373906925e-10";
/// Confirmations after which a spend of a coinbase may enter a block.
pub const COINBASE_MATURITY: u32 = 6;
/// Blocks between halvings of the subsidy.
const HALVING_INTERVAL: u32 = 150;
/// The subsidy never falls below this.
const LEAST_SUBSIDY: Florins = Florins::flop(10_000);
/// Height from which the subsidy is [`LEAST_SUBSIDY`].
const LEAST_SUBSIDY_HEIGHT: u32 = 6 * HALVING_INTERVAL;

/// The genesis block as Core serves it.
const GENESIS: &str = "0100000000000000000000000000000000000000000000000000000000000000000000006159e26e\
6bcfbb78b4308944c811ef090579427d0fc0a3788a70e241974546d6cde15167ffff7f200300000001010000000100000000000000\
00000000000000000000000000000000000000000000000000ffffffff2604ffff001d01041e30352f31322f32303234202d205468\
697320697320466c6f70636f696e2effffffff010058850c02000000434104a5c56a22caf4b1c8917f8a261a83efe5885526d05ad0\
cb7e9fc7d000d04085e225e578d8f899d3d9811f39f2e7c2c7322c8a070fd757e0c935dd6c35fc8c66ccac00000000";

/// The first block of the chain.
///
/// # Errors
/// Never on a correct build; a damaged constant would be reported.
pub fn genesis() -> Result<Block, bitcoin::consensus::encode::FromHexError> {
    bitcoin::consensus::encode::deserialize_hex(GENESIS)
}

/// What the miner of the block at `height` may create.
#[must_use]
pub fn subsidy(height: u32) -> Florins {
    if height >= LEAST_SUBSIDY_HEIGHT {
        return LEAST_SUBSIDY;
    }
    Florins::new(Florins::flop(500_000).florins() >> (height / HALVING_INTERVAL))
}

/// Where an output of a usual kind pays to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// The hash of a public key.
    Key(PubkeyHash),
    /// The hash of a script.
    Script(ScriptHash),
}

impl Address {
    /// Reads an address the way Core does: white space around it and whatever follows a NUL do not
    /// count; nothing but base58check with one of this network's two version bytes does.
    #[must_use]
    pub fn parse(text: &str) -> Option<Address> {
        let text = text.split('\0').next().unwrap_or_default();
        let text = text.trim_matches(|character: char| matches!(character, ' ' | '\t'..='\r'));
        // base58 work grows with the square of the length; no address is near this long.
        if text.len() > 128 {
            return None;
        }
        let bytes = bitcoin::base58::decode_check(text).ok()?;
        let (version, payload) = bytes.split_first()?;
        let payload: [u8; 20] = payload.try_into().ok()?;
        match *version {
            P2PKH_VERSION => Some(Address::Key(PubkeyHash::from_byte_array(payload))),
            P2SH_VERSION => Some(Address::Script(ScriptHash::from_byte_array(payload))),
            _ => None,
        }
    }

    /// The address an output script pays to, if it is of a kind that has one.
    #[must_use]
    pub fn of_script(script: &bitcoin::Script) -> Option<Address> {
        let bytes = script.as_bytes();
        if script.is_p2pkh() {
            let hash = bytes.get(3..23)?.try_into().ok()?;
            Some(Address::Key(PubkeyHash::from_byte_array(hash)))
        } else if script.is_p2sh() {
            let hash = bytes.get(2..22)?.try_into().ok()?;
            Some(Address::Script(ScriptHash::from_byte_array(hash)))
        } else {
            script
                .p2pk_public_key()
                .map(|key| Address::Key(key.pubkey_hash()))
        }
    }

    /// The script that pays to this address.
    #[must_use]
    pub fn script(&self) -> ScriptBuf {
        match self {
            Address::Key(hash) => ScriptBuf::new_p2pkh(hash),
            Address::Script(hash) => ScriptBuf::new_p2sh(hash),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (version, payload) = match self {
            Address::Key(hash) => (P2PKH_VERSION, hash.to_byte_array()),
            Address::Script(hash) => (P2SH_VERSION, hash.to_byte_array()),
        };
        let mut bytes = vec![version];
        bytes.extend_from_slice(&payload);
        formatter.write_str(&bitcoin::base58::encode_check(&bytes))
    }
}

/// Reads a hash the way most of Core's methods do (`uint256S`): blanks and `0x` in front are
/// skipped, reading stops at the first character that is not hexadecimal, upper case is fine.
#[must_use]
pub fn lenient_hash(text: &str) -> [u8; 32] {
    let text = text.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let text = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    let digits: Vec<u8> = text
        .chars()
        .map_while(|digit| digit.to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    // Texts are big-endian, the least significant digit last; bytes are kept the other way round.
    let mut bytes = [0_u8; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.rchunks(2)) {
        *byte = match pair {
            [high, low] => high << 4 | low,
            [low] => *low,
            _ => 0,
        };
    }
    bytes
}

/// [`lenient_hash`] as a block hash.
#[must_use]
pub fn lenient_block_hash(text: &str) -> BlockHash {
    BlockHash::from_byte_array(lenient_hash(text))
}

/// [`lenient_hash`] as a transaction id.
#[must_use]
pub fn lenient_txid(text: &str) -> bitcoin::Txid {
    bitcoin::Txid::from_byte_array(lenient_hash(text))
}

/// The size in bytes of a block as it travels.
#[must_use]
pub fn block_size(block: &Block) -> usize {
    let transactions: usize = block.txdata.iter().map(codec::size).sum();
    80 + bitcoin::VarInt::from(block.txdata.len()).size() + transactions
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn genesis_is_the_real_one() {
        let block = genesis().unwrap();
        assert_eq!(
            block.block_hash().to_string(),
            "e0950eaa6e8ee8c50f8291b47d83aa59763936adc96ec60bdfb72d513bd4f1d4"
        );
        assert_eq!(block_size(&block), 246);
    }

    #[test]
    fn subsidies_seen_on_the_real_chain() {
        for (height, flop) in [
            (1, 500_000),
            (149, 500_000),
            (150, 250_000),
            (300, 125_000),
            (450, 62_500),
            (600, 31_250),
            (900, 10_000),
        ] {
            assert_eq!(subsidy(height), Florins::flop(flop), "height {height}");
        }
    }

    #[test]
    fn addresses_read_as_leniently_as_core_reads_them() {
        let plain = "miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE";
        for text in [
            plain,
            " miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE\n",
            "miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE\0junk",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), plain);
        }
        let script = "2MxD8fvqTdvVhUipeb3pn8iJtvfZ5NXesRn";
        assert_eq!(Address::parse(script).unwrap().to_string(), script);
        for text in [
            "",
            "garbage",
            "miNiR47hEGLJ19YydJMnRTrTgTbcwfRis1",
            "miNiR 47hEGLJ19YydJMnRTrTgTbcwfRisE",
            "FLDe9sDaU63Y6GALoSAJfTJ8NtkR9goLok",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn hashes_read_leniently() {
        let hash = "3f59f3618c9f0403d59157d182bd6bbe474ebb7a5c6bd0ba5f6fb9e78fb87348";
        for text in [
            hash.to_owned(),
            hash.to_uppercase(),
            format!("0x{hash}"),
            format!("{hash}zz"),
        ] {
            assert_eq!(lenient_txid(&text).to_string(), hash);
        }
        assert_eq!(lenient_hash("zz"), [0; 32]);
    }
}
