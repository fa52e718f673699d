//! The database: the only place with SQL.
//!
//! Rules that two requests at once could break are constraints and triggers of
//! `migrations/*.sql`; the functions here each run one statement, so they are atomic on any
//! connection, shared or not, on a local file as on a libSQL server.

mod addresses;
mod assessments;
mod capabilities;
mod coins;
mod database;
mod deliveries;
mod deregistration;
mod directory;
mod events;
mod heartbeats;
mod ledger;
mod metrics;
mod migrate;
mod monitor;
#[cfg(feature = "native")]
pub mod native;
mod nodes;
mod payments;
mod peer_outbox;
mod peers;
mod pool;
mod recipients;
mod reputation;
mod review;
mod row;
mod signatures;
mod transactions;
mod wallets;
mod webhooks;

pub use addresses::{NewAddress, StoredAddress};
pub use assessments::{HealthFacts, HealthWindow, ServiceFacts, WalletFacts};
pub use capabilities::{CapabilityChange, CapabilityCount};
pub use coins::{SpendableCoin, SpendableCoins};
pub use database::{Database, DatabaseError, Row, StoreError, Value};
pub use deliveries::{Attempted, Delivery, DueDelivery};
pub use deregistration::Deregistration;
pub use directory::DirectoryFilter;
pub use events::StoredEvent;
pub use heartbeats::Heartbeat;
pub use ledger::{
    Applied, ChainState, Depths, LedgerBlock, LedgerCoin, SeenBlock, SeenOutput, SeenTransaction,
};
pub use metrics::Sample;
pub use migrate::{SCHEMA_VERSION, migrate};
pub use monitor::{Alert, AlertFilter, Rule};
pub use nodes::{Node, NodeChange};
pub use payments::{
    FIRST_PAUSE_SECONDS, Input, NewPayment, Payment, PaymentState, Quota, Refusal, Reservation,
    Signing, UnderWay,
};
pub use peer_outbox::{News, PeerTurn, Publication, Queued, Retry};
pub use peers::{KnownPeer, PeerMessage, PeerRow, PeerWord, Reported, Welcome, Welcomed};
pub use pool::POOL_MAX_AGE_SECONDS;
pub use recipients::{Recipient, RecipientChange, RecipientList, RecipientPolicy};
pub use reputation::{Judgement, PaymentPoints, ReputationEvent};
pub use review::{Action, Decided, Decision, NewDecision, ReviewedPayment};
pub use signatures::SignatureUse;
pub use transactions::{HistoryFilter, StoredTransaction};
pub use wallets::{Balance, NewWallet, Wallet};
pub use webhooks::{NewWebhook, Webhook, WebhookChange};

/// All queries, over whatever runs them.
#[derive(Clone, Debug)]
pub struct Store<D> {
    database: D,
}

impl<D: Database> Store<D> {
    /// Over an open database whose schema is current (see [`migrate`]).
    pub const fn new(database: D) -> Self {
        Store { database }
    }

    /// Asks the database for nothing, to see that it answers.
    ///
    /// # Errors
    /// Whatever keeps it from answering.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.database
            .query("SELECT COUNT(*) FROM schema_migrations", Vec::new())
            .await?;
        Ok(())
    }

    async fn first(&self, sql: &str, parameters: Vec<Value>) -> Result<Option<Row>, StoreError> {
        Ok(self
            .database
            .query(sql, parameters)
            .await?
            .into_iter()
            .next())
    }

    /// Whether a statement that ends with RETURNING changed anything.
    async fn changed(&self, sql: &str, parameters: Vec<Value>) -> Result<bool, StoreError> {
        Ok(!self.database.query(sql, parameters).await?.is_empty())
    }
}
