//! Whom a wallet may pay, by its own rules. Triggers apply them to every payment.

use crate::row::{Columns, corrupt};
use crate::signatures::columns;
use crate::{Database, SignatureUse, Store, StoreError, Value};
use duxnet_units::{Address, Timestamp};

/// One of a wallet's two lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecipientList {
    /// May be paid while only listed recipients may.
    Allow,
    /// May not be paid.
    Deny,
}

/// An entry of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipient {
    /// Whose address.
    pub address: String,
    /// Which list.
    pub list: RecipientList,
    /// From when an allowed one may be paid.
    pub starts_at: Timestamp,
    /// Until when a denied one may not; none for always.
    pub ends_at: Option<Timestamp>,
}

/// A wallet's rules.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecipientPolicy {
    /// Whether only allowed recipients may be paid.
    pub whitelist_only: bool,
    /// Until when that is so; none for always.
    pub whitelist_ends_at: Option<Timestamp>,
    /// Both lists, by address.
    pub recipients: Vec<Recipient>,
}

/// A change that the node asks for. What tightens is heard at once, what loosens after the delay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecipientChange {
    /// Whose.
    pub wallet_id: i64,
    /// To be added.
    pub allow: Vec<Address>,
    /// To be added.
    pub deny: Vec<Address>,
    /// To be taken off either list.
    pub remove: Vec<Address>,
    /// Whether only allowed recipients may be paid; none leaves it.
    pub whitelist_only: Option<bool>,
    /// Seconds.
    pub delay: u32,
    /// Now.
    pub at: Timestamp,
    /// The request's signature.
    pub signature: Option<SignatureUse>,
}

fn list(addresses: &[Address]) -> Value {
    let texts: Vec<&str> = addresses.iter().map(Address::as_str).collect();
    serde_json::to_string(&texts).unwrap_or_default().into()
}

impl<D: Database> Store<D> {
    /// A wallet's rules, with what no longer holds at this moment left out.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn recipient_policy(
        &self,
        wallet_id: i64,
        at: Timestamp,
    ) -> Result<RecipientPolicy, StoreError> {
        let rows = self
            .database
            .query(
                "SELECT w.whitelist_only AND COALESCE(w.whitelist_ends_at > ?2, 1), w.whitelist_ends_at,
                    r.list, r.address, r.starts_at, r.ends_at
                 FROM wallets AS w LEFT JOIN recipients AS r ON r.wallet_id = w.id AND COALESCE(r.ends_at > ?2, 1)
                 WHERE w.id = ?1 ORDER BY r.address",
                vec![wallet_id.into(), at.unix_seconds().into()],
            )
            .await?;
        let mut policy = RecipientPolicy::default();
        for row in rows {
            let mut columns = Columns::of(row);
            policy.whitelist_only = columns.integer("wallets.whitelist_only")? != 0;
            let ends_at = columns.optional_time("wallets.whitelist_ends_at")?;
            policy.whitelist_ends_at = ends_at.filter(|_| policy.whitelist_only);
            let list = match columns.optional_text("recipients.list")?.as_deref() {
                None => continue,
                Some("allow") => RecipientList::Allow,
                Some("deny") => RecipientList::Deny,
                Some(other) => return Err(corrupt("recipients.list", &other.into())),
            };
            policy.recipients.push(Recipient {
                list,
                address: columns.text("recipients.address")?,
                starts_at: columns.time("recipients.starts_at")?,
                ends_at: columns.optional_time("recipients.ends_at")?,
            });
        }
        Ok(policy)
    }

    /// Changes a wallet's rules, in one step; false when there would be too many entries.
    ///
    /// # Errors
    /// [`StoreError::Replayed`] and others.
    pub async fn change_recipients(&self, change: &RecipientChange) -> Result<bool, StoreError> {
        let [hash, expires_at] = columns(change.signature.as_ref());
        let done = self
            .database
            .query(
                "INSERT INTO change_recipients (wallet_id, allow, deny, remove, whitelist_only, delay, at,
                    signature_hash, signature_expires_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                vec![
                    change.wallet_id.into(),
                    list(&change.allow),
                    list(&change.deny),
                    list(&change.remove),
                    change.whitelist_only.map(i64::from).into(),
                    change.delay.into(),
                    change.at.unix_seconds().into(),
                    hash,
                    expires_at,
                ],
            )
            .await;
        match done {
            Ok(_) => Ok(true),
            Err(error) if error.violates("recipient_limit_reached") => Ok(false),
            Err(error) => Err(StoreError::from_signed(error)),
        }
    }
}
