//! Names that clients choose: node ids, wallet names, idempotency keys, capabilities.

use std::fmt;

/// Why a text is no name of its kind. The message says what is allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// A node id with other characters or another length.
    #[error("must be 1 to 64 characters of A-Z a-z 0-9 . _ -")]
    NodeId,
    /// A node id that is part of a route.
    #[error("is reserved")]
    Reserved,
    /// A wallet name that is empty, too long or has control characters.
    #[error("must be 1 to 64 characters, without control characters or blanks at its ends")]
    WalletName,
    /// An idempotency key with other characters or another length.
    #[error("must be 1 to 128 visible ASCII characters")]
    IdempotencyKey,
    /// A capability with other characters or another length.
    #[error(
        "must be 1 to 64 characters of a-z 0-9 . _ : -, each part between . and : beginning with a letter or digit"
    )]
    Capability,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(String);

        impl $name {
            /// The text.
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

name_type!(
    /// A node's id: `[A-Za-z0-9._-]{1,64}`, and no word that routes use (DESIGN 6).
    NodeId
);
name_type!(
    /// A wallet's display name.
    WalletName
);
name_type!(
    /// What makes a repeated request the same request (`Idempotency-Key`).
    IdempotencyKey
);
name_type!(
    /// What a node can do: `wallet`, `gpu`, `gpu:nvidia.a100`. Parts are separated by `.` and `:`.
    Capability
);

impl NodeId {
    /// Words that stand, or may come to stand, where a route has a node id.
    pub const RESERVED: [&'static str; 12] = [
        "create", "health", "register", "metrics", "events", "admin", "internal", "p2p", "nodes",
        "wallet", ".", "..",
    ];

    /// Reads a node id.
    ///
    /// # Errors
    /// [`NameError::NodeId`] or [`NameError::Reserved`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(NameError::NodeId);
        }
        if Self::RESERVED
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word))
        {
            return Err(NameError::Reserved);
        }
        Ok(Self(text.to_owned()))
    }
}

impl WalletName {
    /// Reads a wallet name.
    ///
    /// # Errors
    /// [`NameError::WalletName`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let length = text.chars().count();
        if length == 0 || length > 64 || text.chars().any(char::is_control) || text.trim() != text {
            return Err(NameError::WalletName);
        }
        Ok(Self(text.to_owned()))
    }
}

impl IdempotencyKey {
    /// Reads an idempotency key.
    ///
    /// # Errors
    /// [`NameError::IdempotencyKey`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > 128 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(NameError::IdempotencyKey);
        }
        Ok(Self(text.to_owned()))
    }
}

impl Capability {
    /// What a node has as soon as it has a wallet (specification, "Node Capabilities").
    pub const WALLET: &'static str = "wallet";

    /// Reads a capability.
    ///
    /// # Errors
    /// [`NameError::Capability`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let is_part = |part: &str| {
            part.bytes().next().is_some_and(alphanumeric)
                && part.bytes().all(|b| alphanumeric(b) || b"_-".contains(&b))
        };
        if text.len() > 64 || !text.split(['.', ':']).all(is_part) {
            return Err(NameError::Capability);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn node_ids_are_the_documented_alphabet_without_reserved_words() {
        assert!(NodeId::parse("node_001").is_ok());
        assert!(NodeId::parse("a.b-C").is_ok());
        for reserved in ["create", "Health", "register", "..", "."] {
            assert_eq!(
                NodeId::parse(reserved),
                Err(NameError::Reserved),
                "{reserved}"
            );
        }
        for bad in ["", "a b", "a/b", "ä", "a%2f", &"x".repeat(65)] {
            assert_eq!(NodeId::parse(bad), Err(NameError::NodeId), "{bad}");
        }
    }

    #[test]
    fn wallet_names_are_displayable() {
        assert!(WalletName::parse("my_wallet").is_ok());
        assert!(WalletName::parse("Gerät 1").is_ok());
        for bad in ["", " x", "x ", "a\nb", "a\0", &"x".repeat(65)] {
            assert_eq!(
                WalletName::parse(bad),
                Err(NameError::WalletName),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn capabilities_are_parts_that_begin_with_a_letter_or_digit() {
        for good in ["gpu", "0", "gpu:nvidia.a100", "x-y_z", &"x".repeat(64)] {
            assert!(Capability::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            ":",
            "-x",
            "_x",
            "a..b",
            "a:.b",
            "a:",
            ".a",
            "a.-b",
            "GPU",
            "a b",
            "ä",
            "a/b",
            &"x".repeat(65),
        ] {
            assert_eq!(
                Capability::parse(bad),
                Err(NameError::Capability),
                "{bad:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_name_keeps_its_text(text in ".{0,80}") {
            if let Ok(name) = NodeId::parse(&text) { prop_assert_eq!(name.as_str(), &text); }
            if let Ok(name) = IdempotencyKey::parse(&text) { prop_assert_eq!(name.as_str(), &text); }
            if let Ok(name) = Capability::parse(&text) { prop_assert_eq!(name.as_str(), &text); }
        }
    }
}
