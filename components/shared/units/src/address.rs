//! Addresses: base58check text of one network (FACTS 1).

use sha2::{Digest as _, Sha256};
use std::fmt;

/// Which Flopcoin network an address or a signature is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Network {
    /// Real money.
    Main,
    /// The public test network.
    Test,
    /// A private chain, the devnet's.
    Regtest,
}

impl Network {
    /// The name Core gives it in `getblockchaininfo.chain`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Network::Main => "main",
            Network::Test => "test",
            Network::Regtest => "regtest",
        }
    }

    /// From Core's name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Network::Main, Network::Test, Network::Regtest]
            .into_iter()
            .find(|network| network.name() == name)
    }

    /// The audience of signatures for this network (DESIGN 7).
    #[must_use]
    pub const fn audience(self) -> &'static str {
        match self {
            Network::Main => "flopcoin-main",
            Network::Test => "flopcoin-test",
            Network::Regtest => "flopcoin-regtest",
        }
    }

    const fn version_bytes(self) -> VersionBytes {
        let (public_key_hash, script_hash) = match self {
            Network::Main => (35, 22),
            Network::Test => (56, 76),
            Network::Regtest => (111, 196),
        };
        VersionBytes {
            public_key_hash,
            script_hash,
        }
    }
}

struct VersionBytes {
    public_key_hash: u8,
    script_hash: u8,
}

/// What an output to the address is locked with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    PublicKeyHash,
    ScriptHash,
}

/// A checked address in its canonical text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Address {
    text: String,
    kind: Kind,
    hash: [u8; 20],
}

/// Why a text is no address of the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// Not base58check with a right checksum, or the wrong length.
    #[error("not a base58check address with a right checksum")]
    Malformed,
    /// An address of another network or coin.
    #[error("an address of another network")]
    OtherNetwork,
}

impl Address {
    /// Reads an address of `network`. Core itself lets blanks around it and anything after a NUL
    /// pass (FACTS 1); this does not.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn parse(text: &str, network: Network) -> Result<Self, AddressError> {
        let bytes = bs58::decode(text)
            .into_vec()
            .map_err(|_| AddressError::Malformed)?;
        // Base58Check: the last four bytes are the start of the double SHA-256 of the rest. Done here
        // because bs58's own check brings a second version of sha2 into every component.
        let (payload, checksum) = bytes
            .split_last_chunk::<4>()
            .ok_or(AddressError::Malformed)?;
        if !Sha256::digest(Sha256::digest(payload)).starts_with(checksum) {
            return Err(AddressError::Malformed);
        }
        let (version, hash) = payload.split_first().ok_or(AddressError::Malformed)?;
        let hash: [u8; 20] = hash.try_into().map_err(|_| AddressError::Malformed)?;
        let known = network.version_bytes();
        let kind = match *version {
            v if v == known.public_key_hash => Kind::PublicKeyHash,
            v if v == known.script_hash => Kind::ScriptHash,
            _ => return Err(AddressError::OtherNetwork),
        };
        Ok(Address {
            text: text.to_owned(),
            kind,
            hash,
        })
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The output script that pays this address: P2PKH or P2SH.
    #[must_use]
    pub fn script_pubkey(&self) -> Vec<u8> {
        // OP_DUP OP_HASH160 <20> ... OP_EQUALVERIFY OP_CHECKSIG, or OP_HASH160 <20> ... OP_EQUAL.
        let (head, tail): (&[u8], &[u8]) = match self.kind {
            Kind::PublicKeyHash => (&[0x76, 0xa9, 0x14], &[0x88, 0xac]),
            Kind::ScriptHash => (&[0xa9, 0x14], &[0x87]),
        };
        [head, &self.hash, tail].concat()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made by Flopcoin Core 2.0.0 (FACTS 1).
    const VALID: [(Network, &str, usize); 6] = [
        (Network::Main, "F8VkJuyUpyobPHaakwtcqJFYTUmUfxeWUZ", 25),
        (Network::Main, "A7SaHVEwk1AiUMrqBNQiMvoyMvg89gm2ae", 23),
        (Network::Test, "PsY2Q22xuFey1bueASLDUCrdjYM85yYMDr", 25),
        (Network::Test, "XsYPMRiMv71GcQ62uPLzcy1uz8XWiqhsdY", 23),
        (Network::Regtest, "miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE", 25),
        (Network::Regtest, "2MxD8fvqTdvVhUipeb3pn8iJtvfZ5NXesRn", 23),
    ];

    #[test]
    fn cores_own_addresses_are_valid_on_their_network_only() {
        for (network, text, script_bytes) in VALID {
            for asked in [Network::Main, Network::Test, Network::Regtest] {
                let parsed = Address::parse(text, asked);
                if asked == network {
                    assert_eq!(parsed.unwrap().script_pubkey().len(), script_bytes);
                } else {
                    assert_eq!(parsed, Err(AddressError::OtherNetwork), "{text}");
                }
            }
        }
    }

    #[test]
    fn text_that_core_would_let_pass_is_refused() {
        let good = VALID[4].1;
        for bad in [
            format!(" {good}"),
            format!("{good}\n"),
            format!("{good}\0junk"),
            good.replace('m', "n"),
            "FLOP987654321fedcba".to_owned(),
            String::new(),
        ] {
            assert_eq!(
                Address::parse(&bad, Network::Regtest),
                Err(AddressError::Malformed),
                "{bad:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_accepted_is_kept(text in ".{0,60}") {
            if let Ok(address) = Address::parse(&text, Network::Regtest) {
                prop_assert_eq!(address.as_str(), text);
            }
        }
    }
}
