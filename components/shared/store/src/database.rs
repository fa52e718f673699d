//! What the queries need of a database, and how it fails.

/// A parameter or a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// UTF-8 text.
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Integer(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Integer(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// One row, columns in the order of the statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row(pub Vec<Value>);

/// Runs single statements.
pub trait Database {
    /// Runs one statement to its end and gives all its rows.
    ///
    /// # Errors
    /// The database's own text; constraint and trigger names are found in it.
    fn query(
        &self,
        sql: &str,
        parameters: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<Row>, DatabaseError>>;
}

/// What the database said. The text is for logs and for recognising constraints.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("database: {0}")]
pub struct DatabaseError(pub String);

impl DatabaseError {
    /// Whether the statement failed because this was violated: `table.column`, or what a trigger
    /// raises.
    #[must_use]
    pub fn violates(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// Whether the statement was refused by a rule of the schema: the connection is as good as
    /// before.
    #[must_use]
    pub fn is_constraint(&self) -> bool {
        self.violates("constraint failed")
            || self.violates("rate_limit_exceeded")
            || self.violates("address_limit_reached")
            || self.violates("coin_not_spendable")
            || self.violates("sends_stopped")
            || self.violates("ledger_moved")
            || self.violates("wallet_inactive")
            || self.violates("wallet_not_empty")
            || self.violates("node_deregistered")
            || self.violates("too_many_capabilities")
            || self.violates("wallet_frozen")
            || self.violates("recipient_not_allowed")
            || self.violates("recipient_limit_reached")
            || self.violates("payment_not_held")
            || self.violates("wallet_is_so_already")
            || self.violates("rule_of_another_kind")
            || self.violates("rule_limit_reached")
            || self.violates("peer_limit_reached")
            || self.violates("peer_invite_invalid")
            || self.violates("peer_subject_moved")
    }

    /// Whether another connection's lock was in the way; a repeat may pass.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let text = self.0.to_ascii_lowercase();
        text.contains("locked") || text.contains("busy")
    }
}

/// Why a query gave no result.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A stored value is none that this version writes.
    #[error("stored {column} is not valid: {value}")]
    Corrupt {
        /// Which column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// The database was written by a newer version of the service.
    #[error(
        "the database has schema version {found}, this service knows up to {known}: run the newer service"
    )]
    SchemaTooNew {
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The signature was used before.
    #[error("signature replayed")]
    Replayed,
    /// No address is left in the pool.
    #[error("the pool of addresses is empty")]
    PoolEmpty,
    /// The node has left.
    #[error("the node is deregistered")]
    NodeDeregistered,
    /// A node's list of capabilities would be longer than one may be.
    #[error("too many capabilities")]
    TooManyCapabilities,
}

impl StoreError {
    /// Tells a replay apart from other failures of a statement that also stores a signature.
    pub(crate) fn from_signed(error: DatabaseError) -> Self {
        if error.violates("used_signatures.hash") {
            StoreError::Replayed
        } else if error.violates("node_deregistered") {
            StoreError::NodeDeregistered
        } else if error.violates("too_many_capabilities") {
            StoreError::TooManyCapabilities
        } else {
            StoreError::Database(error)
        }
    }
}
