//! What operators decide (table `decisions`): adding the row carries it out, in one step.

use crate::payments::{COLUMNS as PAYMENT_COLUMNS, read as read_payment};
use crate::row::{Columns, corrupt};
use crate::{Database, Payment, PaymentState, Row, Store, StoreError, Value};
use duxnet_units::Timestamp;

/// What an operator can decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// A held payment is made.
    Release,
    /// A held payment, or a released one that is not yet signed, is not.
    Refuse,
    /// A wallet pays nobody.
    Freeze,
    /// A wallet pays again.
    Unfreeze,
    /// An alert was looked at.
    Acknowledge,
    /// A rule is changed, or added.
    SetRule,
}

impl Action {
    const ALL: [Action; 6] = [
        Action::Release,
        Action::Refuse,
        Action::Freeze,
        Action::Unfreeze,
        Action::Acknowledge,
        Action::SetRule,
    ];

    /// As stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Action::Release => "release",
            Action::Refuse => "refuse",
            Action::Freeze => "freeze",
            Action::Unfreeze => "unfreeze",
            Action::Acknowledge => "acknowledge",
            Action::SetRule => "set_rule",
        }
    }
}

/// A decision to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewDecision<'a> {
    /// What.
    pub action: Action,
    /// Who.
    pub operator: &'a str,
    /// Why.
    pub reason: Option<&'a str>,
    /// Whose wallet.
    pub wallet_id: Option<i64>,
    /// Which payment (its row).
    pub payment: Option<i64>,
    /// Which alert.
    pub alert: Option<i64>,
    /// Which rule.
    pub rule: Option<&'a str>,
    /// The rule from now on, JSON.
    pub data: Option<String>,
    /// Now.
    pub at: Timestamp,
}

/// A decision as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The row, for cursors.
    pub id: i64,
    /// What.
    pub action: Action,
    /// Who.
    pub operator: String,
    /// Why.
    pub reason: Option<String>,
    /// Whose wallet, by node.
    pub node_id: Option<String>,
    /// Which payment, as clients know it.
    pub payment_id: Option<String>,
    /// Which alert.
    pub alert: Option<i64>,
    /// Which rule.
    pub rule: Option<String>,
    /// The rule from then on, JSON.
    pub data: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What came of a decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decided {
    /// It is carried out.
    Done,
    /// The same was decided before; nothing changes.
    Already,
    /// What it is about does not stand so that it could be.
    Impossible,
    /// There are as many rules as there may be.
    TooMany,
}

/// A payment that was held, and all that is known of why and of what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReviewedPayment {
    /// As it is now.
    pub payment: Payment,
    /// What the rules found, newest first; a JSON list.
    pub alerts: String,
    /// What operators decided, newest first; a JSON list.
    pub decisions: String,
}

const TIME: &str = "strftime('%Y-%m-%dT%H:%M:%SZ', created_at, 'unixepoch')";

fn read_reviewed(row: Row) -> Result<ReviewedPayment, StoreError> {
    let mut columns = row.0;
    let (decisions, alerts) = (columns.pop(), columns.pop());
    let text = |value: Option<Value>, column| match value {
        Some(Value::Text(text)) => Ok(text),
        other => Err(corrupt(column, &other.unwrap_or(Value::Null))),
    };
    Ok(ReviewedPayment {
        payment: read_payment(Row(columns))?,
        alerts: text(alerts, "alerts")?,
        decisions: text(decisions, "decisions")?,
    })
}

fn reviewed(condition: &str) -> String {
    format!(
        "SELECT {PAYMENT_COLUMNS}, (
            SELECT json_group_array(json_object('id', id, 'rule', rule, 'severity', severity, 'action', action,
                'figures', json(figures), 'created_at', {TIME}))
            FROM (SELECT * FROM alerts AS a WHERE a.payment_id = payments.payment_id ORDER BY id DESC)
         ), (
            SELECT json_group_array(json_object('action', action, 'operator', operator, 'reason', reason,
                'created_at', {TIME}))
            FROM (SELECT * FROM decisions AS d WHERE d.payment_id = payments.id ORDER BY id DESC)
         ) FROM payments WHERE review <> '' AND {condition}"
    )
}

impl<D: Database> Store<D> {
    /// Decides, and carries it out.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn decide(&self, decision: &NewDecision<'_>) -> Result<Decided, StoreError> {
        let done = self
            .database
            .query(
                "INSERT INTO decisions (action, operator, reason, wallet_id, payment_id, alert_id, rule, data, created_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                vec![
                    decision.action.name().into(),
                    decision.operator.into(),
                    decision.reason.into(),
                    decision.wallet_id.into(),
                    decision.payment.into(),
                    decision.alert.into(),
                    decision.rule.into(),
                    decision.data.clone().into(),
                    decision.at.unix_seconds().into(),
                ],
            )
            .await;
        match done {
            Ok(_) => Ok(Decided::Done),
            Err(error)
                if [
                    "decisions.payment_id",
                    "decisions.alert_id",
                    "wallet_is_so_already",
                ]
                .iter()
                .any(|name| error.violates(name)) =>
            {
                Ok(Decided::Already)
            }
            Err(error)
                if error.violates("payment_not_held") || error.violates("rule_of_another_kind") =>
            {
                Ok(Decided::Impossible)
            }
            Err(error) if error.violates("rule_limit_reached") => Ok(Decided::TooMany),
            Err(error) => Err(error.into()),
        }
    }

    /// Decisions before a row id, newest first; of one node's wallet and its payments if asked.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn decisions(
        &self,
        before: Option<i64>,
        node_id: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Decision>, StoreError> {
        self.database
            .query(
                "SELECT d.id, d.action, d.operator, d.reason, w.node_id, p.payment_id, d.alert_id, d.rule, d.data,
                    d.created_at
                 FROM decisions AS d LEFT JOIN payments AS p ON p.id = d.payment_id
                 LEFT JOIN wallets AS w ON w.id = d.wallet_id
                 WHERE d.id < COALESCE(?1, 9223372036854775807) AND (?2 IS NULL OR w.node_id = ?2)
                 ORDER BY d.id DESC LIMIT ?3",
                vec![before.into(), node_id.into(), limit.into()],
            )
            .await?
            .into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(Decision {
                    id: columns.integer("decisions.id")?,
                    action: {
                        let name = columns.text("decisions.action")?;
                        Action::ALL
                            .into_iter()
                            .find(|action| action.name() == name)
                            .ok_or_else(|| corrupt("decisions.action", &Value::Text(name)))?
                    },
                    operator: columns.text("decisions.operator")?,
                    reason: columns.optional_text("decisions.reason")?,
                    node_id: columns.optional_text("wallets.node_id")?,
                    payment_id: columns.optional_text("payments.payment_id")?,
                    alert: columns.optional_integer("decisions.alert_id")?,
                    rule: columns.optional_text("decisions.rule")?,
                    data: columns.optional_text("decisions.data")?,
                    at: columns.time("decisions.created_at")?,
                })
            })
            .collect()
    }

    /// Payments that were ever held, before a row id, newest first; in one state, of one node, if asked.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn reviewed_payments(
        &self,
        before: Option<i64>,
        state: Option<PaymentState>,
        node_id: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ReviewedPayment>, StoreError> {
        self.database
            .query(
                &format!(
                    "{} ORDER BY id DESC LIMIT ?4",
                    reviewed(
                        "id < COALESCE(?1, 9223372036854775807) AND (?2 IS NULL OR stage = ?2)
                            AND (?3 IS NULL OR node_id = ?3)"
                    )
                ),
                vec![
                    before.into(),
                    state.map(PaymentState::name).into(),
                    node_id.into(),
                    limit.into(),
                ],
            )
            .await?
            .into_iter()
            .map(read_reviewed)
            .collect()
    }

    /// One payment that was ever held.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn reviewed_payment(
        &self,
        payment_id: &str,
    ) -> Result<Option<ReviewedPayment>, StoreError> {
        self.first(&reviewed("payment_id = ?"), vec![payment_id.into()])
            .await?
            .map(read_reviewed)
            .transpose()
    }

    /// Why an operator refused a payment.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn refusal_reason(&self, payment: i64) -> Result<Option<String>, StoreError> {
        self.first(
            "SELECT reason FROM decisions WHERE payment_id = ? AND action = 'refuse'",
            vec![payment.into()],
        )
        .await?
        .map_or(Ok(None), |row| {
            Columns::of(row).optional_text("decisions.reason")
        })
    }

    /// Released payments that nobody works on, oldest first; none of a frozen wallet, and none while
    /// payments are stopped.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn released_payments(
        &self,
        at: Timestamp,
        limit: u32,
    ) -> Result<Vec<Payment>, StoreError> {
        self.database
            .query(
                &format!(
                    "SELECT {PAYMENT_COLUMNS} FROM payments
                     WHERE state = 'reserved' AND review = 'released' AND lease_until <= ?
                        AND NOT EXISTS (SELECT 1 FROM wallets AS w WHERE w.id = wallet_id AND w.frozen_at IS NOT NULL)
                        AND NOT EXISTS (SELECT 1 FROM chain_state WHERE sends_stopped_at IS NOT NULL)
                     ORDER BY lease_until, id LIMIT ?"
                ),
                vec![at.unix_seconds().into(), limit.into()],
            )
            .await?
            .into_iter()
            .map(read_payment)
            .collect()
    }

    /// Lets a released payment wait for its next try.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn put_off(&self, id: i64, until: Timestamp) -> Result<(), StoreError> {
        self.changed(
            "UPDATE payments SET lease_until = ? WHERE id = ? AND stage = 'released' RETURNING id",
            vec![until.unix_seconds().into(), id.into()],
        )
        .await
        .map(|_| ())
    }
}
