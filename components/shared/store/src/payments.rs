//! Payments: one row each, from the reservation to the end. The states and their order are in
//! `docs/payments.md`; triggers refuse every other order.

use crate::row::{Columns, corrupt, florins};
use crate::signatures::columns;
use crate::{Database, DatabaseError, Row, SignatureUse, Store, StoreError, Value};
use duxnet_units::{Address, Amount, IdempotencyKey, NodeId, OutPoint, Timestamp, Txid};
use serde::Serialize;

/// Where a payment stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PaymentState {
    /// Coins and quota are taken, nothing is signed.
    Reserved,
    /// The same, and it waits for an operator.
    Held,
    /// The same, and an operator let it go.
    Released,
    /// The bytes are stored and may have reached the chain node.
    Signed,
    /// The chain node has them.
    Broadcast,
    /// In a block, deep enough.
    Confirmed,
    /// Provably never to confirm.
    Failed,
}

impl PaymentState {
    const ALL: [PaymentState; 7] = [
        PaymentState::Reserved,
        PaymentState::Held,
        PaymentState::Released,
        PaymentState::Signed,
        PaymentState::Broadcast,
        PaymentState::Confirmed,
        PaymentState::Failed,
    ];

    /// As stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PaymentState::Reserved => "reserved",
            PaymentState::Held => "held",
            PaymentState::Released => "released",
            PaymentState::Signed => "signed",
            PaymentState::Broadcast => "broadcast",
            PaymentState::Confirmed => "confirmed",
            PaymentState::Failed => "failed",
        }
    }

    /// From its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// How long the mempool has to show a payment that was just sent to it.
pub const FIRST_PAUSE_SECONDS: i64 = 5;

/// A coin that a payment spends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Input {
    /// Which.
    pub outpoint: OutPoint,
    /// What it is worth.
    pub value: Amount,
}

#[derive(Serialize)]
struct StoredInput {
    txid: String,
    vout: u32,
    value: u64,
}

/// A payment to be reserved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewPayment {
    /// Who pays.
    pub node_id: NodeId,
    /// From which wallet.
    pub wallet_id: i64,
    /// The request's idempotency key.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The hash of the request's content.
    pub request_hash: String,
    /// Who is paid.
    pub recipient: Address,
    /// How much.
    pub amount: Amount,
    /// For the miner.
    pub fee: Amount,
    /// Back to the wallet; zero for no such output.
    pub change: Amount,
    /// Where the change goes.
    pub change_address: Address,
    /// What is spent; its sum is amount, fee and change.
    pub inputs: Vec<Input>,
    /// Now.
    pub at: Timestamp,
    /// Until then this request works on it.
    pub lease_until: Timestamp,
    /// The limit, seconds.
    pub window_seconds: u32,
    /// The limit, payments.
    pub window_payments: u32,
    /// The request's signature.
    pub signature: Option<SignatureUse>,
}

/// A payment as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    /// The row.
    pub id: i64,
    /// What clients know it by.
    pub payment_id: String,
    /// Who pays.
    pub node_id: NodeId,
    /// From which wallet.
    pub wallet_id: i64,
    /// The hash of the request's content.
    pub request_hash: String,
    /// Who is paid.
    pub recipient: String,
    /// How much.
    pub amount: Amount,
    /// For the miner.
    pub fee: Amount,
    /// Back to the wallet.
    pub change: Amount,
    /// Where the change goes.
    pub change_address: String,
    /// What is spent.
    pub inputs: Vec<Input>,
    /// Where it stands.
    pub state: PaymentState,
    /// Once signed.
    pub txid: Option<Txid>,
    /// Once signed, hex.
    pub raw_transaction: Option<String>,
    /// Counted before each attempt.
    pub broadcast_attempts: u32,
    /// Until then another request works on it.
    pub lease_until: Timestamp,
    /// Why it failed, a problem's code.
    pub failure: Option<String>,
    /// When it was reserved.
    pub created_at: Timestamp,
    /// When it was signed; before that, when it was reserved.
    pub signed_at: Timestamp,
}

/// Why the wallet may not pay, or not this recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// An operator, or the watchdog, has stopped all payments.
    SendsStopped,
    /// An operator has frozen the wallet.
    WalletFrozen,
    /// The wallet's own rules exclude the recipient.
    RecipientNotAllowed,
    /// Its node is deregistered.
    WalletInactive,
}

impl Refusal {
    /// By the name that the trigger raises.
    fn of(error: &DatabaseError) -> Option<Self> {
        [
            ("sends_stopped", Refusal::SendsStopped),
            ("wallet_frozen", Refusal::WalletFrozen),
            ("recipient_not_allowed", Refusal::RecipientNotAllowed),
            ("wallet_inactive", Refusal::WalletInactive),
        ]
        .into_iter()
        .find_map(|(name, refusal)| error.violates(name).then_some(refusal))
    }
}

/// What came of storing the signed bytes. They may be sent only when they are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signing {
    /// They are the payment's.
    Stored,
    /// The payment has moved on without them.
    Overtaken,
    /// The payment may not be made any more.
    Refused(Refusal),
}

/// What came of a reservation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reservation {
    /// Coins and quota are this payment's; a rule may hold it.
    Reserved(Box<Payment>),
    /// The idempotency key is a payment's already.
    KeyTaken,
    /// Another payment has taken a coin since it was selected.
    CoinTaken,
    /// The window is full.
    RateLimited,
    /// It may not be made.
    Refused(Refusal),
}

/// How much of the window is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Payments in the window that have not failed.
    pub used: u32,
    /// When the oldest of them was made.
    pub oldest: Option<Timestamp>,
}

/// A wallet's payments that are not yet with the chain node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UnderWay {
    /// What they will give back.
    pub change: Amount,
    /// Differs when one of them went on.
    pub progress: (i64, i64),
}

/// Reads the wallet `?1`'s [`UnderWay`]; a payment that is held gives nothing back soon. The second
/// list of states is the index's: without it the wallet's whole past would be read.
pub(crate) const UNDER_WAY: &str =
    "SELECT COALESCE(SUM(change_amount), 0), COALESCE(MAX(id), 0), COUNT(*)
    FROM payments WHERE wallet_id = ?1 AND state IN ('reserved', 'signed')
        AND state IN ('reserved', 'signed', 'broadcast') AND review <> 'held'";

impl UnderWay {
    pub(crate) fn read(columns: &mut Columns) -> Result<Self, StoreError> {
        Ok(UnderWay {
            change: columns.amount("change_amount")?,
            progress: (columns.integer("id")?, columns.integer("count")?),
        })
    }
}

pub(crate) const COLUMNS: &str = "id, payment_id, node_id, wallet_id, request_hash, recipient_address, amount, fee, change_amount,
    change_address, inputs, stage, txid, raw_transaction, broadcast_attempts, lease_until, failure, created_at,
    COALESCE(signed_at, created_at)";

pub(crate) fn read(row: Row) -> Result<Payment, StoreError> {
    let mut columns = Columns::of(row);
    Ok(Payment {
        id: columns.integer("payments.id")?,
        payment_id: columns.text("payments.payment_id")?,
        node_id: columns.node_id("payments.node_id")?,
        wallet_id: columns.integer("payments.wallet_id")?,
        request_hash: columns.text("payments.request_hash")?,
        recipient: columns.text("payments.recipient_address")?,
        amount: columns.amount("payments.amount")?,
        fee: columns.amount("payments.fee")?,
        change: columns.amount("payments.change_amount")?,
        change_address: columns.text("payments.change_address")?,
        inputs: read_inputs(&columns.text("payments.inputs")?)?,
        state: {
            let name = columns.text("payments.stage")?;
            PaymentState::from_name(&name)
                .ok_or_else(|| corrupt("payments.stage", &Value::Text(name)))?
        },
        txid: columns.optional_txid("payments.txid")?,
        raw_transaction: columns.optional_text("payments.raw_transaction")?,
        broadcast_attempts: columns.small("payments.broadcast_attempts")?,
        lease_until: columns.time("payments.lease_until")?,
        failure: columns.optional_text("payments.failure")?,
        created_at: columns.time("payments.created_at")?,
        signed_at: columns.time("payments.signed_at")?,
    })
}

/// Read as plain values: a derived reader of numbers brings serde_json's parser of floats into every
/// component that can pay.
fn read_inputs(json: &str) -> Result<Vec<Input>, StoreError> {
    let input = |stored: &serde_json::Value| {
        Some(Input {
            outpoint: OutPoint {
                txid: Txid::parse(stored.get("txid")?.as_str()?).ok()?,
                vout: u32::try_from(stored.get("vout")?.as_u64()?).ok()?,
            },
            value: Amount::from_florins(stored.get("value")?.as_u64()?).ok()?,
        })
    };
    serde_json::from_str(json)
        .ok()
        .and_then(|list: serde_json::Value| list.as_array()?.iter().map(input).collect())
        .ok_or_else(|| corrupt("payments.inputs", &Value::Text(json.to_owned())))
}

fn write_inputs(inputs: &[Input]) -> String {
    let stored: Vec<StoredInput> = inputs
        .iter()
        .map(|input| StoredInput {
            txid: input.outpoint.txid.to_string(),
            vout: input.outpoint.vout,
            value: input.value.florins(),
        })
        .collect();
    serde_json::to_string(&stored).unwrap_or_default()
}

impl<D: Database> Store<D> {
    /// The payment that an idempotency key made.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn payment_by_key(
        &self,
        node_id: &NodeId,
        key: &IdempotencyKey,
    ) -> Result<Option<Payment>, StoreError> {
        self.first(
            &format!("SELECT {COLUMNS} FROM payments WHERE node_id = ? AND idempotency_key = ?"),
            vec![node_id.as_str().into(), key.as_str().into()],
        )
        .await?
        .map(read)
        .transpose()
    }

    /// One payment as it is now.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn payment(&self, id: i64) -> Result<Option<Payment>, StoreError> {
        self.first(
            &format!("SELECT {COLUMNS} FROM payments WHERE id = ?"),
            vec![id.into()],
        )
        .await?
        .map(read)
        .transpose()
    }

    /// How much of a wallet's window is used.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn quota(
        &self,
        wallet_id: i64,
        window_seconds: u32,
        at: Timestamp,
    ) -> Result<Quota, StoreError> {
        let row = self
            .first(
                "SELECT COUNT(*), MIN(created_at) FROM payments
                 WHERE wallet_id = ? AND state <> 'failed' AND created_at > ? - ?",
                vec![
                    wallet_id.into(),
                    at.unix_seconds().into(),
                    window_seconds.into(),
                ],
            )
            .await?;
        let Some(row) = row else {
            return Ok(Quota {
                used: 0,
                oldest: None,
            });
        };
        let mut columns = Columns::of(row);
        Ok(Quota {
            used: columns.small("count")?,
            oldest: columns.optional_time("created_at")?,
        })
    }

    /// Takes coins, quota, idempotency key and signature at once, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Replayed`] and others.
    pub async fn reserve(&self, payment: &NewPayment) -> Result<Reservation, StoreError> {
        let [hash, expires_at] = columns(payment.signature.as_ref());
        let at = Value::from(payment.at.unix_seconds());
        let sql = "INSERT INTO payments (node_id, wallet_id, idempotency_key, request_hash, recipient_address, amount, fee,
                change_amount, change_address, inputs, lease_until, created_at, updated_at, window_seconds,
                window_payments, signature_hash, signature_expires_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id";
        let parameters = vec![
            payment.node_id.as_str().into(),
            payment.wallet_id.into(),
            payment
                .idempotency_key
                .as_ref()
                .map(IdempotencyKey::as_str)
                .into(),
            payment.request_hash.as_str().into(),
            payment.recipient.as_str().into(),
            florins(payment.amount),
            florins(payment.fee),
            florins(payment.change),
            payment.change_address.as_str().into(),
            write_inputs(&payment.inputs).into(),
            payment.lease_until.unix_seconds().into(),
            at.clone(),
            at,
            payment.window_seconds.into(),
            payment.window_payments.into(),
            hash,
            expires_at,
        ];
        match self.first(sql, parameters).await {
            // RETURNING does not see what triggers did to the row, and one may have held it.
            Ok(row) => {
                let id = row.map(|row| Columns::of(row).integer("payments.id"));
                let payment = self.payment(id.transpose()?.unwrap_or_default()).await?;
                payment
                    .map(|payment| Reservation::Reserved(Box::new(payment)))
                    .ok_or_else(|| DatabaseError("a reservation returned no row".into()).into())
            }
            Err(StoreError::Database(error)) => match Refusal::of(&error) {
                Some(refusal) => Ok(Reservation::Refused(refusal)),
                None if error.violates("payments.idempotency_key") => Ok(Reservation::KeyTaken),
                None if error.violates("payment_inputs.txid")
                    || error.violates("coin_not_spendable") =>
                {
                    Ok(Reservation::CoinTaken)
                }
                None if error.violates("rate_limit_exceeded") => Ok(Reservation::RateLimited),
                None => Err(StoreError::from_signed(error)),
            },
            Err(error) => Err(error),
        }
    }

    /// Stores the signed bytes and counts the first attempt to broadcast them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn store_signed(
        &self,
        id: i64,
        txid: &Txid,
        raw: &str,
        at: Timestamp,
    ) -> Result<Signing, StoreError> {
        let stored = self
            .changed(
                "UPDATE payments SET state = 'signed', txid = ?1, raw_transaction = ?2, broadcast_attempts = 1,
                    signed_at = ?3, updated_at = ?3
                 WHERE id = ?4 AND stage IN ('reserved', 'released') RETURNING id",
                vec![txid.as_str().into(), raw.into(), at.unix_seconds().into(), id.into()],
            )
            .await;
        match stored {
            Ok(true) => Ok(Signing::Stored),
            Ok(false) => Ok(Signing::Overtaken),
            Err(StoreError::Database(error)) => Refusal::of(&error)
                .map(Signing::Refused)
                .ok_or(StoreError::Database(error)),
            Err(error) => Err(error),
        }
    }

    /// Takes over a payment that is not held and whose lease has run out, and counts another attempt
    /// if it is signed; false when another request was faster.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_over(
        &self,
        id: i64,
        at: Timestamp,
        lease_until: Timestamp,
    ) -> Result<bool, StoreError> {
        self.changed(
            "UPDATE payments SET lease_until = ?1, updated_at = ?2,
                broadcast_attempts = broadcast_attempts + (state = 'signed')
             WHERE id = ?3 AND stage IN ('reserved', 'released', 'signed') AND lease_until <= ?2 RETURNING id",
            vec![
                lease_until.unix_seconds().into(),
                at.unix_seconds().into(),
                id.into(),
            ],
        )
        .await
    }

    /// Ends the work on a signed payment whose outcome is unknown, so that a repeat need not wait
    /// for the lease.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn release_lease(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        self.changed(
            "UPDATE payments SET lease_until = ?1, updated_at = ?1
             WHERE id = ?2 AND state IN ('signed', 'broadcast') RETURNING id",
            vec![at.unix_seconds().into(), id.into()],
        )
        .await
        .map(|_| ())
    }

    /// The chain node has the bytes: the coins are spent, the change is there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn mark_broadcast(&self, id: i64, at: Timestamp) -> Result<bool, StoreError> {
        self.changed(
            "UPDATE payments SET state = 'broadcast', updated_at = ?1, lease_until = ?1, next_broadcast_at = ?1 + ?3
             WHERE id = ?2 AND state = 'signed' RETURNING id",
            vec![
                at.unix_seconds().into(),
                id.into(),
                FIRST_PAUSE_SECONDS.into(),
            ],
        )
        .await
    }

    /// A payment whose bytes may be out, and that is provably never to confirm. Its coins and its
    /// quota come back; its idempotency key does not, because the request was answered with success.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn mark_dead(
        &self,
        id: i64,
        failure: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.changed(
            "UPDATE payments SET state = 'failed', failure = ?, updated_at = ?
             WHERE id = ? AND state IN ('signed', 'broadcast') AND block_height IS NULL RETURNING id",
            vec![failure.into(), at.unix_seconds().into(), id.into()],
        )
        .await
    }

    /// Payments whose bytes are in neither block nor mempool, that nobody works on, and that are
    /// due to be sent again, oldest first. One due in more than an hour was put off before the clock
    /// was set back.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn due_for_broadcast(
        &self,
        at: Timestamp,
        limit: u32,
    ) -> Result<Vec<Payment>, StoreError> {
        self.database
            .query(
                &format!(
                    "SELECT {COLUMNS} FROM payments
                     WHERE state IN ('signed', 'broadcast') AND (next_broadcast_at <= ?1 OR next_broadcast_at > ?1 + 3600)
                        AND block_height IS NULL
                        AND lease_until <= ?1 AND NOT EXISTS (SELECT 1 FROM mempool AS m WHERE m.txid = payments.txid)
                     ORDER BY id LIMIT ?2"
                ),
                vec![at.unix_seconds().into(), limit.into()],
            )
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    /// Makes this tracker the one that sends the payment's bytes again, and counts the attempt;
    /// false when someone else was faster.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_for_broadcast(
        &self,
        id: i64,
        at: Timestamp,
        lease_until: Timestamp,
        next: Timestamp,
    ) -> Result<bool, StoreError> {
        self.changed(
            "UPDATE payments SET lease_until = ?1, next_broadcast_at = ?2, updated_at = ?3,
                broadcast_attempts = broadcast_attempts + 1
             WHERE id = ?4 AND state IN ('signed', 'broadcast') AND lease_until <= ?3
                AND (next_broadcast_at <= ?3 OR next_broadcast_at > ?3 + 3600)
             RETURNING id",
            vec![
                lease_until.unix_seconds().into(),
                next.unix_seconds().into(),
                at.unix_seconds().into(),
                id.into(),
            ],
        )
        .await
    }

    /// Fails a payment that is still in `state`; its coins, its quota and its idempotency key come
    /// back, because nothing was paid and nothing will be. False when the payment has moved on, or
    /// when another request has taken it over and may have sent its bytes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn mark_failed(
        &self,
        id: i64,
        state: PaymentState,
        failure: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.changed(
            "UPDATE payments SET state = 'failed', failure = ?, idempotency_key = NULL, updated_at = ?
             WHERE id = ? AND stage = ? AND broadcast_attempts <= 1 RETURNING id",
            vec![
                failure.into(),
                at.unix_seconds().into(),
                id.into(),
                state.name().into(),
            ],
        )
        .await
    }

    /// Fails every payment of a wallet, or of all, that was reserved, never signed, and whose lease has run
    /// out: the request that made it is gone, and if it is not, it finds the state changed before
    /// it sends anything.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn fail_abandoned(
        &self,
        wallet_id: Option<i64>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.changed(
            "UPDATE payments SET state = 'failed', failure = 'abandoned', idempotency_key = NULL, updated_at = ?1
             WHERE wallet_id = COALESCE(?2, wallet_id) AND state = 'reserved' AND review = '' AND lease_until <= ?1
             RETURNING id",
            vec![at.unix_seconds().into(), wallet_id.into()],
        )
        .await
        .map(|_| ())
    }

    /// A wallet's payment, by the id that clients know.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn payment_of_wallet(
        &self,
        wallet_id: i64,
        payment_id: &str,
    ) -> Result<Option<Payment>, StoreError> {
        self.first(
            &format!("SELECT {COLUMNS} FROM payments WHERE payment_id = ? AND wallet_id = ?"),
            vec![payment_id.into(), wallet_id.into()],
        )
        .await?
        .map(read)
        .transpose()
    }

    /// What payments that are not yet with the chain node will give back, and how far they are.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn under_way(&self, wallet_id: i64) -> Result<UnderWay, StoreError> {
        let row = self
            .first(UNDER_WAY, vec![wallet_id.into()])
            .await?
            .ok_or_else(|| DatabaseError("an aggregate returned no row".into()))?;
        UnderWay::read(&mut Columns::of(row))
    }
}
