//! Transaction ids, block hashes, outpoints.

use std::fmt;

/// Why a text is no hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not 64 lower-case hexadecimal digits")]
pub struct HashError;

fn check(text: &str) -> Result<String, HashError> {
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() == 64 && text.bytes().all(lower_hex) {
        Ok(text.to_owned())
    } else {
        Err(HashError)
    }
}

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(String);

        impl $name {
            /// Reads 64 lower-case hexadecimal digits. Core reads far laxer forms as the same
            /// hash (FACTS 10); one text per hash keeps comparisons honest.
            ///
            /// # Errors
            /// [`HashError`] for anything else.
            pub fn parse(text: &str) -> Result<Self, HashError> {
                check(text).map(Self)
            }

            /// From the hash's bytes in the order of the wire format, which is the reverse of
            /// the text's.
            #[must_use]
            pub fn from_wire_bytes(mut bytes: [u8; 32]) -> Self {
                bytes.reverse();
                Self(hex::encode(bytes))
            }

            /// The hexadecimal text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

hash_type!(
    /// A transaction's id in display order.
    Txid
);
hash_type!(
    /// A block's hash in display order.
    BlockHash
);

/// One output of one transaction.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OutPoint {
    /// The transaction.
    pub txid: Txid,
    /// The output's index.
    pub vout: u32,
}

impl fmt::Display for OutPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.txid, self.vout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_canonical_text_is_a_hash() {
        let good = "1f".repeat(32);
        assert_eq!(Txid::parse(&good).unwrap().as_str(), good);
        for bad in [
            good.to_uppercase(),
            format!("0x{good}"),
            good[1..].to_owned(),
            format!("{good}0"),
        ] {
            assert_eq!(BlockHash::parse(&bad), Err(HashError), "{bad}");
        }
    }
}
