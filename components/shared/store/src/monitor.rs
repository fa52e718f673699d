//! Suspicious activity: the rules, and what they found. They are applied by triggers.

use crate::row::Columns;
use crate::{Database, Row, Store, StoreError, Value};
use duxnet_units::{Amount, NodeId, Timestamp};

/// Wrong signatures in one node's name that are counted in a minute. More of them say nothing new,
/// and a flood of them must not become a flood of writes.
const MOST_FAILURES_A_MINUTE: i64 = 100;

/// One rule; its thresholds are those of its kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Which.
    pub name: String,
    /// What it looks at: `burst_of_sends`, `drain`, `first_recipient`, `failed_signatures`,
    /// `balance_jump`.
    pub kind: String,
    /// Whether it is applied.
    pub enabled: bool,
    /// `low`, `medium` or `high`.
    pub severity: String,
    /// `note`, `alert` or `hold`.
    pub action: String,
    /// What of the past counts, seconds.
    pub window_seconds: u32,
    /// Payments, or failed signatures.
    pub threshold_count: Option<u32>,
    /// Per mille of the balance.
    pub threshold_share: Option<u32>,
    /// Amount.
    pub threshold_amount: Option<Amount>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What a rule found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alert {
    /// The row, for cursors, and what operators know it by.
    pub id: i64,
    /// Which rule.
    pub rule: String,
    /// The rule's then.
    pub severity: String,
    /// The rule's then.
    pub action: String,
    /// Whom it is about.
    pub node_id: String,
    /// The payment that was the cause.
    pub payment_id: Option<String>,
    /// A JSON object.
    pub figures: String,
    /// When.
    pub at: Timestamp,
    /// Who has looked at it, what they noted, when.
    pub acknowledged: Option<(String, Option<String>, Timestamp)>,
}

/// Which alerts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AlertFilter {
    /// Rows before (that is, older than) this id.
    pub before: Option<i64>,
    /// Only this one.
    pub id: Option<i64>,
    /// Only of this rule.
    pub rule: Option<String>,
    /// Only of this severity.
    pub severity: Option<String>,
    /// Only of this action.
    pub action: Option<String>,
    /// Only about this node.
    pub node_id: Option<NodeId>,
    /// Only what still wants (or, if false, no longer wants) an acknowledgement.
    pub open: Option<bool>,
}

impl Rule {
    /// As a decision records it, and as the trigger reads it.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "kind": self.kind,
            "enabled": u8::from(self.enabled),
            "severity": self.severity,
            "action": self.action,
            "window_seconds": self.window_seconds,
            "threshold_count": self.threshold_count,
            "threshold_share": self.threshold_share,
            "threshold_amount": self.threshold_amount.map(Amount::florins),
        })
        .to_string()
    }
}

fn read_rule(row: Row) -> Result<Rule, StoreError> {
    let mut columns = Columns::of(row);
    Ok(Rule {
        name: columns.text("monitor_rules.name")?,
        kind: columns.text("monitor_rules.kind")?,
        enabled: columns.integer("monitor_rules.enabled")? != 0,
        severity: columns.text("monitor_rules.severity")?,
        action: columns.text("monitor_rules.action")?,
        window_seconds: columns.small("monitor_rules.window_seconds")?,
        threshold_count: columns.optional_small("monitor_rules.threshold_count")?,
        threshold_share: columns.optional_small("monitor_rules.threshold_share")?,
        threshold_amount: columns.optional_amount("monitor_rules.threshold_amount")?,
        updated_at: columns.time("monitor_rules.updated_at")?,
    })
}

fn read_alert(row: Row) -> Result<Alert, StoreError> {
    let mut columns = Columns::of(row);
    Ok(Alert {
        id: columns.integer("alerts.id")?,
        rule: columns.text("alerts.rule")?,
        severity: columns.text("alerts.severity")?,
        action: columns.text("alerts.action")?,
        node_id: columns.text("alerts.node_id")?,
        payment_id: columns.optional_text("alerts.payment_id")?,
        figures: columns.text("alerts.figures")?,
        at: columns.time("alerts.created_at")?,
        acknowledged: {
            let operator = columns.optional_text("decisions.operator")?;
            let note = columns.optional_text("decisions.reason")?;
            let at = columns.optional_time("decisions.created_at")?;
            operator.zip(at).map(|(operator, at)| (operator, note, at))
        },
    })
}

impl<D: Database> Store<D> {
    /// Every rule, by name.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn monitor_rules(&self) -> Result<Vec<Rule>, StoreError> {
        self.database
            .query(
                "SELECT name, kind, enabled, severity, action, window_seconds, threshold_count, threshold_share,
                    threshold_amount, updated_at FROM monitor_rules ORDER BY name",
                Vec::new(),
            )
            .await?
            .into_iter()
            .map(read_rule)
            .collect()
    }

    /// Alerts, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn alerts(&self, filter: &AlertFilter, limit: u32) -> Result<Vec<Alert>, StoreError> {
        self.database
            .query(
                "SELECT a.id, a.rule, a.severity, a.action, a.node_id, a.payment_id, a.figures, a.created_at,
                    d.operator, d.reason, d.created_at
                 FROM alerts AS a LEFT JOIN decisions AS d ON d.alert_id = a.id
                 WHERE a.id < COALESCE(?1, 9223372036854775807) AND (?2 IS NULL OR a.id = ?2)
                    AND (?3 IS NULL OR a.rule = ?3) AND (?4 IS NULL OR a.severity = ?4)
                    AND (?5 IS NULL OR a.action = ?5) AND (?6 IS NULL OR a.node_id = ?6)
                    AND (?7 IS NULL OR (a.action <> 'note' AND d.id IS NULL) = ?7)
                 ORDER BY a.id DESC LIMIT ?8",
                vec![
                    filter.before.into(),
                    filter.id.into(),
                    filter.rule.clone().into(),
                    filter.severity.clone().into(),
                    filter.action.clone().into(),
                    filter.node_id.as_ref().map(NodeId::as_str).into(),
                    filter.open.map(i64::from).into(),
                    limit.into(),
                ],
            )
            .await?
            .into_iter()
            .map(read_alert)
            .collect()
    }

    /// Counts a wrong signature in a node's name, or in a name that is no node's.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn count_failed_signature(
        &self,
        node_id: Option<&NodeId>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let name = Value::from(node_id.map_or("", NodeId::as_str));
        let at = Value::from(at.unix_seconds());
        // Asked first: a write waits for the database's other writers, even one that changes nothing.
        let counted = self
            .first(
                "SELECT failures FROM signature_failures WHERE node_id = ? AND minute = ? / 60",
                vec![name.clone(), at.clone()],
            )
            .await?
            .map_or(Ok(0), |row| {
                Columns::of(row).integer("signature_failures.failures")
            })?;
        if counted < MOST_FAILURES_A_MINUTE {
            self.database
                .query(
                    "INSERT INTO count_failure (node_id, at) VALUES (?, ?)",
                    vec![name, at],
                )
                .await?;
        }
        Ok(())
    }

    /// Applies the rules to at most so many events that were not looked at yet.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn watch_events(&self, most: u32, at: Timestamp) -> Result<(), StoreError> {
        let any = self
            .first(
                "SELECT 1 FROM events WHERE id > (SELECT event_cursor FROM monitor_state) LIMIT 1",
                Vec::new(),
            )
            .await?;
        if any.is_some() {
            self.database
                .query(
                    "INSERT INTO watch_events (most, at) VALUES (?, ?)",
                    vec![most.into(), at.unix_seconds().into()],
                )
                .await?;
        }
        Ok(())
    }
}
