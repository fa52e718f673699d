//! Monitoring: what operators ask and get, and a wallet's own rules about whom it may pay.

use crate::json::Object;
use crate::problem::Problem;
use crate::request::{Fields, Page, parameters, parse_node_id};
use crate::response::{Flop, Florins, Payment, Time};
use duxnet_units::{Amount, NodeId};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Longest reason or note, characters.
const MAX_REASON_CHARACTERS: usize = 500;
/// Longest name of a rule, bytes.
const MAX_RULE_NAME_BYTES: usize = 64;
/// Most addresses in one list of one request.
const MAX_ADDRESSES: usize = 200;
/// Longest window of a rule, seconds: a week.
const MAX_WINDOW_SECONDS: u32 = 604_800;
/// What a rule can look at.
pub const RULE_KINDS: [&str; 5] = [
    "burst_of_sends",
    "drain",
    "first_recipient",
    "failed_signatures",
    "balance_jump",
];
/// How bad it is.
pub const SEVERITIES: [&str; 3] = ["low", "medium", "high"];
/// What a rule does.
pub const ACTIONS: [&str; 3] = ["note", "alert", "hold"];
/// Where a payment that was held can stand.
pub const PAYMENT_STATES: [&str; 6] = [
    "held",
    "released",
    "signed",
    "broadcast",
    "confirmed",
    "failed",
];

fn one_of(name: &str, text: &str, allowed: &[&str]) -> Result<String, Problem> {
    if allowed.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(Problem::invalid_value(format!(
            "{name} must be one of: {}",
            allowed.join(", ")
        )))
    }
}

/// `POST /operator/...`: why. `note` of an acknowledgement may be left out, every other reason not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason(pub Option<String>);

impl Reason {
    /// The members of a decision's body.
    pub const FIELDS: [&'static str; 2] = ["reason", "note"];

    /// Reads the fields.
    ///
    /// # Errors
    /// 400 or 422 that names the field.
    pub fn parse(fields: &Fields, name: &'static str, is_required: bool) -> Result<Self, Problem> {
        let other = Self::FIELDS.into_iter().find(|field| *field != name);
        if other.is_some_and(|other| fields.object().contains_key(other)) {
            return Err(Problem::invalid_request(format!("say why in {name:?}")));
        }
        let text = fields.text(name)?.map(str::trim).unwrap_or_default();
        if text.is_empty() {
            return if is_required {
                Err(Problem::invalid_request(format!("{name} is missing")))
            } else {
                Ok(Reason(None))
            };
        }
        if text.chars().count() > MAX_REASON_CHARACTERS || text.chars().any(char::is_control) {
            return Err(Problem::invalid_value(format!(
                "{name} must be 1 to {MAX_REASON_CHARACTERS} characters without control characters"
            )));
        }
        Ok(Reason(Some(text.to_owned())))
    }
}

/// `PUT /operator/rules/{rule}`: the rule, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetRule {
    /// One of [`RULE_KINDS`].
    pub kind: String,
    /// Whether it is applied.
    pub enabled: bool,
    /// One of [`SEVERITIES`].
    pub severity: String,
    /// One of [`ACTIONS`].
    pub action: String,
    /// Seconds of the past that count.
    pub window_seconds: u32,
    /// Payments, or failed signatures.
    pub threshold_count: Option<u32>,
    /// Per mille of the balance.
    pub threshold_share: Option<u32>,
    /// Amount.
    pub threshold_amount: Option<Amount>,
    /// Why it is changed.
    pub reason: Option<String>,
}

impl SetRule {
    /// The members of the body.
    pub const FIELDS: [&'static str; 9] = [
        "kind",
        "enabled",
        "severity",
        "action",
        "window_seconds",
        "threshold_count",
        "threshold_share",
        "threshold_amount",
        "reason",
    ];

    /// Reads the fields; the thresholds must be exactly those of the kind.
    ///
    /// # Errors
    /// 400 or 422 that names the field.
    pub fn parse(fields: &Fields) -> Result<Self, Problem> {
        let kind = one_of("kind", fields.required("kind")?, &RULE_KINDS)?;
        let action = one_of("action", fields.required("action")?, &ACTIONS)?;
        if kind == "balance_jump" && action == "hold" {
            return Err(Problem::invalid_value(
                "action: a balance that has changed cannot be held",
            ));
        }
        let object = fields.object();
        let has = |name: &str, kinds: &[&str]| -> Result<bool, Problem> {
            let is_there = object.get(name).is_some_and(|value| !value.is_null());
            let belongs = kinds.contains(&kind.as_str());
            match (is_there, belongs) {
                (true, false) => Err(Problem::invalid_value(format!("{name}: {kind} has none"))),
                (false, true) => Err(Problem::invalid_request(format!("{name} is missing"))),
                _ => Ok(belongs),
            }
        };
        let count = has("threshold_count", &["burst_of_sends", "failed_signatures"])?;
        let share = has("threshold_share", &["drain", "balance_jump"])?;
        let amount = has(
            "threshold_amount",
            &["drain", "first_recipient", "balance_jump"],
        )?;
        Ok(SetRule {
            enabled: boolean(object, "enabled")?
                .ok_or_else(|| Problem::invalid_request("enabled is missing"))?,
            severity: one_of("severity", fields.required("severity")?, &SEVERITIES)?,
            window_seconds: whole(object, "window_seconds", MAX_WINDOW_SECONDS)?,
            threshold_count: count
                .then(|| whole(object, "threshold_count", 1_000_000))
                .transpose()?,
            threshold_share: share
                .then(|| whole(object, "threshold_share", 1000))
                .transpose()?,
            threshold_amount: amount
                .then(|| flop(object, "threshold_amount"))
                .transpose()?,
            reason: Reason::parse(fields, "reason", false)?.0,
            kind,
            action,
        })
    }
}

fn boolean(object: &Object, name: &str) -> Result<Option<bool>, Problem> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(Problem::invalid_request(format!(
            "{name} must be true or false"
        ))),
    }
}

fn whole(object: &Object, name: &str, most: u32) -> Result<u32, Problem> {
    object
        .get(name)
        .and_then(Value::as_u64)
        .and_then(|value| u32::try_from(value).ok())
        .filter(|value| (1..=most).contains(value))
        .ok_or_else(|| {
            Problem::invalid_value(format!("{name} must be a whole number, 1 to {most}"))
        })
}

fn flop(object: &Object, name: &str) -> Result<Amount, Problem> {
    let literal = match object.get(name) {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    };
    Amount::from_flop_literal(&literal)
        .map_err(|e| Problem::invalid_value(format!("{name} must be an amount of FLOP: {e}")))
}

/// The name of a rule, from a path.
///
/// # Errors
/// 422 with what is allowed.
pub fn parse_rule_name(text: &str) -> Result<String, Problem> {
    let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if (1..=MAX_RULE_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_part) {
        Ok(text.to_owned())
    } else {
        Err(Problem::invalid_value(format!(
            "rule must be 1 to {MAX_RULE_NAME_BYTES} of a-z 0-9 _"
        )))
    }
}

/// The id of an alert, from a path.
///
/// # Errors
/// 422 with what is allowed.
pub fn parse_alert_id(text: &str) -> Result<i64, Problem> {
    text.parse()
        .ok()
        .filter(|id| *id > 0)
        .ok_or_else(|| Problem::invalid_value("alert must be the id of an alert"))
}

/// `GET /operator/alerts`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertsQuery {
    /// Which page.
    pub page: Page,
    /// Only of this rule.
    pub rule: Option<String>,
    /// Only of this severity.
    pub severity: Option<String>,
    /// Only of this action.
    pub action: Option<String>,
    /// Only about this node.
    pub node_id: Option<NodeId>,
    /// Only what wants, or no longer wants, an acknowledgement.
    pub open: Option<bool>,
}

impl AlertsQuery {
    /// Reads the query string.
    ///
    /// # Errors
    /// 400 or 422 that names the parameter and what is allowed.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let names = [
            "limit", "cursor", "rule", "severity", "action", "node_id", "open",
        ];
        let parameters = parameters(query, &names)?;
        let known = |name: &str, allowed: &[&str]| {
            parameters
                .get(name)
                .map(|text| one_of(name, text, allowed))
                .transpose()
        };
        Ok(AlertsQuery {
            page: parameters.page()?,
            rule: parameters.get("rule").map(parse_rule_name).transpose()?,
            severity: known("severity", &SEVERITIES)?,
            action: known("action", &ACTIONS)?,
            node_id: parameters.get("node_id").map(parse_node_id).transpose()?,
            open: known("open", &["true", "false"])?.map(|text| text == "true"),
        })
    }
}

/// `GET /operator/payments` and `GET /operator/decisions`, which knows no `state`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReviewQuery {
    /// Which page.
    pub page: Page,
    /// Only in this state, one of [`PAYMENT_STATES`].
    pub state: Option<String>,
    /// Only of this node.
    pub node_id: Option<NodeId>,
}

impl ReviewQuery {
    /// Reads the query string.
    ///
    /// # Errors
    /// 400 or 422 that names the parameter and what is allowed.
    pub fn parse(query: &str, has_state: bool) -> Result<Self, Problem> {
        let names = ["limit", "cursor", "node_id", "state"];
        let parameters = parameters(query, &names[..if has_state { 4 } else { 3 }])?;
        let state = parameters.get("state");
        Ok(ReviewQuery {
            page: parameters.page()?,
            state: state
                .map(|text| one_of("state", text, &PAYMENT_STATES))
                .transpose()?,
            node_id: parameters.get("node_id").map(parse_node_id).transpose()?,
        })
    }
}

/// `POST /wallet/{node_id}/recipients`. To repeat it changes nothing, so it needs no idempotency key;
/// one is accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeRecipients {
    /// Texts; the network decides whether they are addresses.
    pub allow: Vec<String>,
    /// The same.
    pub deny: Vec<String>,
    /// The same.
    pub remove: Vec<String>,
    /// None leaves it.
    pub whitelist_only: Option<bool>,
}

impl ChangeRecipients {
    /// The members of the body.
    pub const FIELDS: [&'static str; 6] = [
        "node_id",
        "allow",
        "deny",
        "remove",
        "whitelist_only",
        "idempotency_key",
    ];

    /// Reads the fields. An address stands in one list only: the order of changes says nothing.
    ///
    /// # Errors
    /// 400 or 422 that names the field.
    pub fn parse(
        fields: &Fields,
        path: &NodeId,
        idempotency_header: Option<&str>,
    ) -> Result<Self, Problem> {
        fields.agrees_with_path(path)?;
        fields.idempotency_key(idempotency_header)?;
        let object = fields.object();
        let change = ChangeRecipients {
            allow: texts(object, "allow")?,
            deny: texts(object, "deny")?,
            remove: texts(object, "remove")?,
            whitelist_only: boolean(object, "whitelist_only")?,
        };
        let mut all: Vec<&String> = [&change.allow, &change.deny, &change.remove]
            .into_iter()
            .flatten()
            .collect();
        if all.is_empty() && change.whitelist_only.is_none() {
            return Err(Problem::invalid_request(
                "nothing to change: give allow, deny, remove or whitelist_only",
            ));
        }
        all.sort();
        if let Some(twice) = all.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Problem::invalid_value(format!(
                "the address {:?} stands twice",
                twice[0]
            )));
        }
        Ok(change)
    }
}

fn texts(object: &Object, name: &str) -> Result<Vec<String>, Problem> {
    let wrong = || {
        Problem::invalid_request(format!(
            "{name} must be a list of at most {MAX_ADDRESSES} addresses"
        ))
    };
    match object.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() <= MAX_ADDRESSES => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect(),
        Some(_) => Err(wrong()),
    }
}

/// Something that the database wrote as JSON.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// None for a text that is no JSON.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        RawValue::from_string(text.to_owned()).ok().map(Json)
    }
}

/// Who has looked at an alert.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Acknowledged {
    pub operator: String,
    pub note: Option<String>,
    pub at: Time,
}

/// What a rule found.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Alert {
    pub id: i64,
    pub rule: String,
    pub severity: String,
    pub action: String,
    pub node_id: String,
    pub payment_id: Option<String>,
    pub figures: Option<Json>,
    pub created_at: Time,
    pub acknowledged: Option<Acknowledged>,
}

/// Answer of `GET /operator/alerts`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Alerts {
    pub success: bool,
    pub alerts: Vec<Alert>,
    pub next_cursor: Option<String>,
}

/// Answer of `POST /operator/alerts/{alert}/acknowledge`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct OneAlert {
    pub success: bool,
    pub alert: Alert,
}

/// A payment that was held: itself, what the rules found, what operators decided.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Reviewed {
    pub node_id: String,
    #[serde(flatten)]
    pub payment: Payment,
    pub alerts: Option<Json>,
    pub decisions: Option<Json>,
}

/// Answer of `GET /operator/payments`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct ReviewedPayments {
    pub success: bool,
    pub payments: Vec<Reviewed>,
    pub next_cursor: Option<String>,
}

/// Answer of `POST /operator/payments/{payment}/release` and `.../refuse`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct OneReviewed {
    pub success: bool,
    pub payment: Reviewed,
}

/// Answer of `POST /operator/wallets/{node_id}/freeze` and `.../unfreeze`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Frozen {
    pub success: bool,
    pub node_id: String,
    pub frozen: bool,
    pub reason: Option<String>,
}

/// What an operator decided.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Decision {
    pub id: i64,
    pub action: &'static str,
    pub operator: String,
    pub reason: Option<String>,
    pub node_id: Option<String>,
    pub payment_id: Option<String>,
    pub alert: Option<i64>,
    pub rule: Option<String>,
    pub data: Option<Json>,
    pub created_at: Time,
}

/// Answer of `GET /operator/decisions`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Decisions {
    pub success: bool,
    pub decisions: Vec<Decision>,
    pub next_cursor: Option<String>,
}

/// A rule.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Rule {
    pub name: String,
    pub kind: String,
    pub enabled: bool,
    pub severity: String,
    pub action: String,
    pub window_seconds: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_share: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_amount: Option<Flop>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_amount_florins: Option<Florins>,
    /// Null: as installed.
    pub updated_at: Option<Time>,
}

/// Answer of `GET /operator/rules`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Rules {
    pub success: bool,
    pub rules: Vec<Rule>,
}

/// Answer of `PUT /operator/rules/{rule}`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct OneRule {
    pub success: bool,
    pub rule: Rule,
}

/// What will loosen, and when.
#[derive(Clone, Debug, Serialize)]
pub struct Loosening {
    /// `allow`, `end_of_deny` or `end_of_whitelist_only`.
    pub change: &'static str,
    /// Whose; none for the whitelist as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// From when it holds, unless it is cancelled.
    pub at: Time,
}

/// Answer of `GET` and `POST /wallet/{node_id}/recipients`.
#[derive(Clone, Debug, Serialize)]
pub struct Recipients {
    /// Always true.
    pub success: bool,
    /// Whose.
    pub node_id: String,
    /// Whether only `allow` may be paid now.
    pub whitelist_only: bool,
    /// Who may be paid now while only listed recipients may.
    pub allow: Vec<String>,
    /// Who may not be paid now.
    pub deny: Vec<String>,
    /// What was asked for and waits.
    pub pending: Vec<Loosening>,
    /// How long what loosens waits.
    pub delay_seconds: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str, allowed: &[&str]) -> Fields {
        Fields::parse(body.as_bytes(), allowed).unwrap()
    }

    fn rule(body: &str) -> Result<SetRule, Problem> {
        SetRule::parse(&fields(body, &SetRule::FIELDS))
    }

    #[test]
    fn a_rule_has_exactly_the_thresholds_of_its_kind() {
        let read = rule(
            r#"{"kind":"drain","enabled":true,"severity":"high","action":"hold","window_seconds":60,
                "threshold_share":500,"threshold_amount":0.5,"reason":" since Monday "}"#,
        )
        .unwrap();
        assert_eq!(read.threshold_share, Some(500));
        assert_eq!(read.threshold_amount.unwrap().florins(), 50_000_000);
        assert_eq!(read.threshold_count, None);
        assert_eq!(read.reason.as_deref(), Some("since Monday"));
        let head = r#""enabled":true,"severity":"high","action":"note","window_seconds":60"#;
        for (kind, more, names) in [
            ("drain", "", "threshold_share"),
            ("drain", r#","threshold_share":500"#, "threshold_amount"),
            (
                "drain",
                r#","threshold_share":1001,"threshold_amount":1"#,
                "threshold_share",
            ),
            (
                "drain",
                r#","threshold_share":1,"threshold_amount":"x""#,
                "threshold_amount",
            ),
            (
                "burst_of_sends",
                r#","threshold_count":0"#,
                "threshold_count",
            ),
            (
                "burst_of_sends",
                r#","threshold_count":2,"threshold_share":5"#,
                "threshold_share",
            ),
            (
                "burst_of_sends",
                r#","threshold_count":1.5"#,
                "threshold_count",
            ),
            ("other", "", "kind"),
        ] {
            let problem = rule(&format!(r#"{{"kind":"{kind}",{head}{more}}}"#)).unwrap_err();
            assert!(problem.detail.unwrap().contains(names), "{kind} {more}");
        }
    }

    #[test]
    fn a_balance_cannot_be_held() {
        let problem = rule(
            r#"{"kind":"balance_jump","enabled":true,"severity":"low","action":"hold","window_seconds":1,
                "threshold_share":1,"threshold_amount":1}"#,
        )
        .unwrap_err();
        assert_eq!(problem.code.name(), "invalid_value");
    }

    #[test]
    fn a_decision_says_why_in_its_own_member_and_within_bounds() {
        let reason = |body: &str, name, required| {
            Reason::parse(&fields(body, &Reason::FIELDS), name, required).map(|reason| reason.0)
        };
        assert_eq!(
            reason(r#"{"reason":"known"}"#, "reason", true).unwrap(),
            Some("known".to_owned())
        );
        assert_eq!(reason("", "note", false).unwrap(), None);
        let long = format!(
            r#"{{"reason":"{}"}}"#,
            "x".repeat(MAX_REASON_CHARACTERS + 1)
        );
        for bad in [
            "",
            r#"{"reason":"  "}"#,
            r#"{"note":"known"}"#,
            r#"{"reason":"a\nb"}"#,
            r#"{"reason":7}"#,
            &long,
        ] {
            assert!(reason(bad, "reason", true).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_change_of_recipients_names_each_address_once_and_something_at_all() {
        let node = NodeId::parse("n").unwrap();
        let change = |body: &str| {
            ChangeRecipients::parse(&fields(body, &ChangeRecipients::FIELDS), &node, None)
        };
        let read = change(r#"{"allow":["a"],"deny":["b"],"whitelist_only":true}"#).unwrap();
        assert_eq!((read.allow.len(), read.deny.len()), (1, 1));
        for bad in [
            "{}",
            r#"{"allow":[]}"#,
            r#"{"allow":["a","a"]}"#,
            r#"{"allow":["a"],"remove":["a"]}"#,
            r#"{"allow":"a"}"#,
            r#"{"deny":[1]}"#,
            r#"{"whitelist_only":"yes"}"#,
            r#"{"node_id":"other","whitelist_only":true}"#,
        ] {
            assert!(change(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn queries_name_what_is_allowed() {
        let query = AlertsQuery::parse("open=true&severity=high&rule=drain&limit=5").unwrap();
        assert_eq!(query.open, Some(true));
        assert!(AlertsQuery::parse("open=maybe").is_err());
        assert!(AlertsQuery::parse("rule=Drain").is_err());
        assert!(ReviewQuery::parse("state=held", true).is_ok());
        assert!(ReviewQuery::parse("state=reserved", true).is_err());
        assert!(ReviewQuery::parse("state=held", false).is_err());
        for (id, ok) in [("7", true), ("0", false), ("-1", false), ("x", false)] {
            assert_eq!(parse_alert_id(id).is_ok(), ok, "{id}");
        }
    }
}
