//! Replay protection.

use crate::{Database, Store, StoreError, Value};

/// An accepted signature, to be stored with the effect it authorised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignatureUse {
    /// Hash of the signing string.
    pub hash: String,
    /// When its time window ends, unix seconds.
    pub expires_at: i64,
}

/// The two columns that every signed INSERT carries.
pub(crate) fn columns(signature: Option<&SignatureUse>) -> [Value; 2] {
    [
        signature.map(|s| s.hash.clone()).into(),
        signature.map(|s| s.expires_at).into(),
    ]
}

impl<D: Database> Store<D> {
    /// Stores a signature on its own, where a request has no effect to store it with.
    ///
    /// # Errors
    /// [`StoreError::Replayed`] on its second use.
    pub async fn use_signature(&self, signature: &SignatureUse) -> Result<(), StoreError> {
        self.database
            .query(
                "INSERT INTO used_signatures (hash, expires_at) VALUES (?, ?)",
                columns(Some(signature)).to_vec(),
            )
            .await
            .map_err(StoreError::from_signed)?;
        Ok(())
    }
}
