//! The wallet's keys: a hierarchy per seed, taken one after the other.

use std::collections::HashMap;

use bitcoin::bip32::{ChildNumber, DerivationPath, Xpriv, Xpub};
use bitcoin::hashes::Hash;
use bitcoin::hex::DisplayHex;
use bitcoin::secp256k1::{All, Secp256k1, SecretKey};
use bitcoin::{NetworkKind, PublicKey, Script, ScriptBuf};

use crate::network::Address;

/// Keys that Core prepares in advance (`-keypool`): a locked wallet hands out that many more addresses.
pub const POOL_SIZE: usize = 100;

/// A key could not be derived.
#[derive(Debug, thiserror::Error)]
#[error("no key can be derived: {0}")]
pub struct KeyError(#[from] bitcoin::bip32::Error);

/// One key of the wallet.
#[derive(Clone, Debug)]
pub struct Key {
    /// The private half.
    pub secret: SecretKey,
    /// The public half, compressed.
    pub public: PublicKey,
    /// When it was taken, unix seconds.
    pub created: i64,
    /// Its place in its hierarchy.
    pub number: u32,
    /// The identifier of its hierarchy, as Core shows it.
    pub master: String,
}

impl Key {
    /// The address of this key.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::Key(self.public.pubkey_hash())
    }

    /// The path as Core shows it; it derives at another, see [`Keys`].
    #[must_use]
    pub fn shown_path(&self) -> String {
        format!("m/0'/3'/{}'", self.number)
    }
}

/// All keys taken so far. Flopcoin Core derives at `m/0'/0'/k'` and shows `m/0'/3'/k'`; so does this.
#[derive(Debug)]
pub struct Keys {
    parent: Xpriv,
    master: String,
    taken: Vec<Key>,
    by_script: HashMap<ScriptBuf, usize>,
    next: u32,
    /// Keys left in the pool; only a locked wallet runs it down.
    pub pool: usize,
    /// When the oldest key of the pool was made.
    pub pool_since: i64,
}

impl Keys {
    /// No key yet, and a hierarchy to take them from.
    ///
    /// # Errors
    /// [`KeyError`] for the rare seed that gives no valid key.
    pub fn new(secp: &Secp256k1<All>, seed: [u8; 32]) -> Result<Self, KeyError> {
        let (parent, master) = hierarchy(secp, seed)?;
        Ok(Keys {
            parent,
            master,
            taken: Vec::new(),
            by_script: HashMap::new(),
            next: 0,
            pool: POOL_SIZE,
            pool_since: 0,
        })
    }

    /// Takes further keys from a new hierarchy; those taken before stay.
    ///
    /// # Errors
    /// [`KeyError`] for the rare seed that gives no valid key.
    pub fn rotate(
        &mut self,
        secp: &Secp256k1<All>,
        seed: [u8; 32],
        time: i64,
    ) -> Result<(), KeyError> {
        (self.parent, self.master) = hierarchy(secp, seed)?;
        self.next = 0;
        self.pool = POOL_SIZE;
        self.pool_since = time;
        Ok(())
    }

    /// The next key.
    ///
    /// # Errors
    /// [`KeyError`] if the hierarchy is used up.
    pub fn take(&mut self, secp: &Secp256k1<All>, time: i64) -> Result<&Key, KeyError> {
        let number = self.next;
        let path = DerivationPath::from(vec![ChildNumber::from_hardened_idx(number)?]);
        let secret = self.parent.derive_priv(secp, &path)?.private_key;
        let public = PublicKey::new(secret.public_key(secp));
        self.next += 1;
        if self.pool_since == 0 {
            self.pool_since = time;
        }
        let place = self.taken.len();
        self.by_script
            .insert(ScriptBuf::new_p2pkh(&public.pubkey_hash()), place);
        self.by_script.insert(ScriptBuf::new_p2pk(&public), place);
        self.taken.push(Key {
            secret,
            public,
            created: time,
            number,
            master: self.master.clone(),
        });
        self.taken
            .last()
            .ok_or(KeyError(bitcoin::bip32::Error::MaximumDepthExceeded))
    }

    /// The key that can spend outputs with this script.
    #[must_use]
    pub fn for_script(&self, script: &Script) -> Option<&Key> {
        self.taken.get(*self.by_script.get(script)?)
    }

    /// The identifier of the current hierarchy, as Core shows it.
    #[must_use]
    pub fn master(&self) -> &str {
        &self.master
    }

    /// All keys, oldest first.
    #[must_use]
    pub fn taken(&self) -> &[Key] {
        &self.taken
    }
}

/// The node below which keys are taken, and the identifier of the master key.
fn hierarchy(secp: &Secp256k1<All>, seed: [u8; 32]) -> Result<(Xpriv, String), KeyError> {
    let master = Xpriv::new_master(NetworkKind::Test, &seed)?;
    let path = DerivationPath::from(vec![
        ChildNumber::from_hardened_idx(0)?,
        ChildNumber::from_hardened_idx(0)?,
    ]);
    let parent = master.derive_priv(secp, &path)?;
    let mut id = Xpub::from_priv(secp, &master).identifier().to_byte_array();
    // Core shows 160-bit identifiers with the last byte first.
    id.reverse();
    Ok((parent, id.to_lower_hex_string()))
}
