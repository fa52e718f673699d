//! The registry around the wallets: what clients may send, and what they get.

use crate::problem::Problem;
use crate::request::{Fields, MAX_CAPABILITIES, Page, capabilities, declared, parameters};
use crate::response::{Flop, Florins, Node, Time};
use crate::signing::sha256_hex;
use crate::{DEFAULT_PAGE_ENTRIES, MAX_PAGE_ENTRIES, cursor};
use duxnet_units::{Capability, Conduct, IdempotencyKey, Match, NodeId, NodeStatus};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Largest load, thousandths of one busy core.
const MAX_LOAD_PERMILLE: u64 = 1_000_000_000;
/// Largest whole number: readers whose numbers are doubles read it exactly.
const MAX_WHOLE: u64 = 9_007_199_254_740_991;
/// Longest version, in characters.
const MAX_VERSION_CHARACTERS: usize = 64;
/// Longest reason of an operator, in characters.
const MAX_REASON_CHARACTERS: usize = 256;
/// Largest health and reputation.
const MAX_SCORE: u32 = 100;

/// `POST /nodes/{node_id}/heartbeat`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Heartbeat {
    /// Thousandths of one busy core; what was sent beyond is cut off.
    pub load_permille: Option<u32>,
    /// Bytes.
    pub memory_used: Option<u64>,
    /// Bytes.
    pub memory_total: Option<u64>,
    /// Since the node started.
    pub uptime_seconds: Option<u64>,
    /// Of the node's program.
    pub version: Option<String>,
}

impl Heartbeat {
    /// The members of the body.
    pub const FIELDS: [&'static str; 6] = [
        "node_id",
        "load",
        "memory_used_bytes",
        "memory_total_bytes",
        "uptime_seconds",
        "version",
    ];

    /// Reads the fields; the body may be empty.
    ///
    /// # Errors
    /// 400 or 422 that names the field.
    pub fn parse(fields: &Fields, path: &NodeId) -> Result<Self, Problem> {
        fields.agrees_with_path(path)?;
        let memory_used = whole(fields, "memory_used_bytes")?;
        let memory_total = whole(fields, "memory_total_bytes")?;
        if let (Some(used), Some(total)) = (memory_used, memory_total)
            && used > total
        {
            return Err(Problem::invalid_value(
                "memory_used_bytes must be at most memory_total_bytes",
            ));
        }
        Ok(Heartbeat {
            load_permille: load(fields)?,
            memory_used,
            memory_total,
            uptime_seconds: whole(fields, "uptime_seconds")?,
            version: fields
                .text("version")?
                .map(|text| words("version", text, MAX_VERSION_CHARACTERS))
                .transpose()?,
        })
    }
}

fn load(fields: &Fields) -> Result<Option<u32>, Problem> {
    let literal = match fields.object().get("load") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.clone(),
        Some(_) => String::new(),
    };
    permille(&literal).map(Some).ok_or_else(|| {
        Problem::invalid_value(format!(
            "load must be a decimal from 0 to {}",
            MAX_LOAD_PERMILLE / 1_000
        ))
    })
}

/// A decimal, an exponent too, in thousandths; what is smaller is cut off. No binary float is on the
/// way.
fn permille(literal: &str) -> Option<u32> {
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if !is_digits(whole) || !is_digits(fraction) || !is_digits(exponent_digits) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    // Where the thousandths end, counted from the first digit that is not 0.
    let length = i64::try_from(digits.len()).ok()?;
    let beyond = i64::try_from(fraction.len()).ok()?;
    let end = length - beyond + 3 + exponent.parse::<i64>().ok()?.clamp(-20_000, 20_000);
    let kept = match usize::try_from(end) {
        Err(_) => return Some(0),
        Ok(end) if end > 18 => return None,
        Ok(end) => format!("{:0<end$}", digits.get(..end).unwrap_or(digits)),
    };
    let value = if kept.is_empty() {
        0
    } else {
        kept.parse::<u64>().ok()?
    };
    u32::try_from(value)
        .ok()
        .filter(|_| value <= MAX_LOAD_PERMILLE)
}

fn whole(fields: &Fields, key: &str) -> Result<Option<u64>, Problem> {
    match fields.object().get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .filter(|number| *number <= MAX_WHOLE)
            .map(Some)
            .ok_or_else(|| {
                Problem::invalid_value(format!(
                    "{key} must be a whole number from 0 to {MAX_WHOLE}"
                ))
            }),
    }
}

/// A line for people.
fn words(key: &str, text: &str, longest: usize) -> Result<String, Problem> {
    let length = text.chars().count();
    if length == 0 || length > longest || text.chars().any(char::is_control) || text.trim() != text
    {
        return Err(Problem::invalid_value(format!(
            "{key} must be 1 to {longest} characters, without control characters or blanks at its ends"
        )));
    }
    Ok(text.to_owned())
}

/// `POST` and `PUT /nodes/{node_id}/capabilities`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedCapabilities(pub Vec<Capability>);

impl NamedCapabilities {
    /// The members of the body.
    pub const FIELDS: [&'static str; 2] = ["node_id", "capabilities"];

    /// Reads the fields.
    ///
    /// # Errors
    /// 400 or 422 that names the field.
    pub fn parse(fields: &Fields, path: &NodeId) -> Result<Self, Problem> {
        fields.agrees_with_path(path)?;
        capabilities(fields)?
            .map(NamedCapabilities)
            .ok_or_else(|| Problem::invalid_request("capabilities is missing"))
    }

    /// Reads the query of a `DELETE`, which has no body: `capabilities=a,b`.
    ///
    /// # Errors
    /// 400 or 422 that names the parameter.
    pub fn parse_query(query: &str) -> Result<Self, Problem> {
        let parameters = parameters(query, &["capabilities"])?;
        let text = parameters
            .get("capabilities")
            .ok_or_else(|| Problem::invalid_request("query parameter capabilities is missing"))?;
        declared(&split(text)?).map(NamedCapabilities)
    }
}

fn split(text: &str) -> Result<Vec<&str>, Problem> {
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > MAX_CAPABILITIES {
        return Err(Problem::invalid_request(format!(
            "capabilities must be at most {MAX_CAPABILITIES}, separated by commas"
        )));
    }
    Ok(parts)
}

/// `POST /nodes/{node_id}/reputation`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judge {
    /// What the node did.
    pub conduct: Conduct,
    /// Why the operator says so.
    pub reason: String,
    /// What makes a repeat the same request; an operator must give one.
    pub idempotency_key: IdempotencyKey,
}

impl Judge {
    /// The members of the body.
    pub const FIELDS: [&'static str; 4] = ["node_id", "type", "reason", "idempotency_key"];

    /// Reads the fields.
    ///
    /// # Errors
    /// 400 or 422 that names the field.
    pub fn parse(
        fields: &Fields,
        path: &NodeId,
        idempotency_header: Option<&str>,
    ) -> Result<Self, Problem> {
        fields.agrees_with_path(path)?;
        let conduct = Conduct::from_name(fields.required("type")?).ok_or_else(|| {
            let names = Conduct::ALL.map(Conduct::name).join(", ");
            Problem::invalid_value(format!("type must be one of: {names}"))
        })?;
        Ok(Judge {
            conduct,
            reason: words("reason", fields.required("reason")?, MAX_REASON_CHARACTERS)?,
            idempotency_key: fields
                .idempotency_key(idempotency_header)?
                .ok_or_else(|| Problem::invalid_request("Idempotency-Key is missing"))?,
        })
    }

    /// What a repeat must agree on.
    #[must_use]
    pub fn hash(&self, node: &NodeId) -> String {
        sha256_hex(format!("{node}\n{}\n{}", self.conduct.name(), self.reason).as_bytes())
    }
}

/// `POST /nodes/{node_id}/deregister`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deregister {
    /// Where the wallet's money goes; text, the network decides whether it is an address.
    pub send_to: Option<String>,
    /// What makes a repeat the same request.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl Deregister {
    /// The members of the body.
    pub const FIELDS: [&'static str; 3] = ["node_id", "send_to", "idempotency_key"];

    /// Reads the fields; the body may be empty.
    ///
    /// # Errors
    /// 400 that names the field.
    pub fn parse(
        fields: &Fields,
        path: &NodeId,
        idempotency_header: Option<&str>,
    ) -> Result<Self, Problem> {
        fields.agrees_with_path(path)?;
        Ok(Deregister {
            send_to: fields.text("send_to")?.map(str::to_owned),
            idempotency_key: fields.idempotency_key(idempotency_header)?,
        })
    }

    /// What a repeat must agree on; no payment of another kind has the same.
    #[must_use]
    pub fn hash(&self) -> String {
        let send_to = self.send_to.as_deref().unwrap_or_default();
        sha256_hex(format!("deregister\n{send_to}\nall").as_bytes())
    }
}

/// `GET /nodes`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectoryQuery {
    /// Which page.
    pub page: Page,
    /// Only nodes with these, each once.
    pub capabilities: Vec<Capability>,
    /// With how many of them.
    pub matching: Match,
    /// Only of this status; none: all that have not left.
    pub status: Option<NodeStatus>,
    /// Only with at least this health.
    pub min_health: Option<u32>,
    /// Only with at least this reputation.
    pub min_reputation: Option<u32>,
}

impl DirectoryQuery {
    /// Reads the query string.
    ///
    /// # Errors
    /// 400 that names the parameter and what is allowed.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let allowed = [
            "limit",
            "cursor",
            "capability",
            "capabilities",
            "match",
            "status",
            "min_health",
            "min_reputation",
        ];
        let parameters = parameters(query, &allowed)?;
        let named = match (parameters.get("capability"), parameters.get("capabilities")) {
            (None, None) => Vec::new(),
            (Some(one), None) => vec![one],
            (None, Some(list)) => split(list)?,
            (Some(_), Some(_)) => {
                return Err(Problem::invalid_request(
                    "capability and capabilities are both given; use one",
                ));
            }
        };
        let mut capabilities = Vec::new();
        for text in named {
            let capability = Capability::parse(text)
                .map_err(|e| Problem::invalid_request(format!("capability {text:?} {e}")))?;
            if !capabilities.contains(&capability) {
                capabilities.push(capability);
            }
        }
        let matching = match parameters.get("match") {
            None | Some("all") => Match::All,
            Some("any") => Match::Any,
            Some(_) => return Err(Problem::invalid_request("match must be one of: all, any")),
        };
        let status = parameters.get("status").map(|text| {
            NodeStatus::from_name(text).ok_or_else(|| {
                let names = NodeStatus::ALL.map(NodeStatus::name).join(", ");
                Problem::invalid_request(format!("status must be one of: {names}"))
            })
        });
        let score = |name: &str| {
            let number = parameters.get(name).map(|text| {
                let number = text.parse().ok().filter(|score| *score <= MAX_SCORE);
                number.ok_or_else(|| {
                    Problem::invalid_request(format!("{name} must be 0 to {MAX_SCORE}"))
                })
            });
            number.transpose()
        };
        Ok(DirectoryQuery {
            page: parameters.page()?,
            capabilities,
            matching,
            status: status.transpose()?,
            min_health: score("min_health")?,
            min_reputation: score("min_reputation")?,
        })
    }
}

/// `GET /nodes/{node_id}/reputation`: a page of events.
///
/// # Errors
/// 400 that names the parameter.
pub fn parse_page(query: &str) -> Result<Page, Problem> {
    parameters(query, &["limit", "cursor"])?.page()
}

/// `GET /capabilities`: how many, and after which name.
///
/// # Errors
/// 400 that names the parameter.
pub fn parse_statistics_query(query: &str) -> Result<(u32, Option<String>), Problem> {
    let parameters = parameters(query, &["limit", "cursor"])?;
    let limit = match parameters.get("limit") {
        None => DEFAULT_PAGE_ENTRIES,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MAX_PAGE_ENTRIES).contains(limit))
            .ok_or_else(|| {
                Problem::invalid_request(format!("limit must be 1 to {MAX_PAGE_ENTRIES}"))
            })?,
    };
    let after = parameters
        .get("cursor")
        .map(|text| {
            cursor::decode_name(text)
                .ok_or_else(|| Problem::invalid_request("cursor is none that this service gave"))
        })
        .transpose()?;
    Ok((limit, after))
}

/// Thousandths as an exact JSON number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load(pub u32);

impl Serialize for Load {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = format!("{}.{:03}", self.0 / 1_000, self.0 % 1_000);
        RawValue::from_string(text)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

/// What a node last said of itself.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct LastHeartbeat {
    /// When.
    pub at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Answer of `POST /nodes/{node_id}/heartbeat`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct HeartbeatTaken {
    pub success: bool,
    pub node: Node,
    /// Without another one until then the node is stale.
    pub stale_after_seconds: u32,
}

/// One factor of a health score.
#[derive(Clone, Debug, Serialize)]
pub struct HealthFactor {
    /// `heartbeat`, `wallet`, `pending_payments`, `payment_success` or `watchdog`.
    pub factor: &'static str,
    /// Its part of the score; all weights sum to 100.
    pub weight: u32,
    /// 0 to 100.
    pub value: u32,
    /// What was found, in words.
    pub detail: String,
}

/// Answer of `GET /nodes/{node_id}/health`.
#[derive(Clone, Debug, Serialize)]
pub struct NodeHealth {
    /// True.
    pub success: bool,
    /// Whose.
    pub node_id: String,
    /// Where the node stands.
    pub status: &'static str,
    /// The sum of weight times value, over 100, rounded down, at this moment.
    pub health: u32,
    /// What it is made of.
    pub factors: Vec<HealthFactor>,
}

/// Answer of every route of a node's capabilities.
#[derive(Clone, Debug, Serialize)]
pub struct NodeCapabilities {
    /// True.
    pub success: bool,
    /// Whose.
    pub node_id: String,
    /// What it can do, sorted.
    pub capabilities: Vec<String>,
}

/// One line of the statistics.
#[derive(Clone, Debug, Serialize)]
pub struct CapabilityCount {
    /// What.
    pub capability: String,
    /// Nodes that can do it and have not left.
    pub nodes: u32,
    /// Those of them that are online.
    pub online: u32,
}

/// Answer of `GET /capabilities`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Statistics {
    pub success: bool,
    pub capabilities: Vec<CapabilityCount>,
    pub next_cursor: Option<String>,
}

/// Something that changed a node's reputation, or would have.
#[derive(Clone, Debug, Serialize)]
pub struct ReputationEvent {
    /// What.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is worth.
    pub delta: i64,
    /// What it changed: the score stays within 0 and 100, and payments within the day's cap.
    pub applied: i64,
    /// Why.
    pub reason: String,
    /// The operator's name, or `payments`.
    pub actor: String,
    /// When.
    pub created_at: Time,
}

/// Answer of `GET /nodes/{node_id}/reputation`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Reputation {
    pub success: bool,
    pub node_id: String,
    pub reputation: u32,
    pub events: Vec<ReputationEvent>,
    pub next_cursor: Option<String>,
}

/// Answer of `POST /nodes/{node_id}/reputation`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Judged {
    pub success: bool,
    pub node_id: String,
    pub reputation: u32,
    pub event: ReputationEvent,
}

/// What a wallet holds, where a node cannot leave for it.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Holdings {
    pub balance: Flop,
    pub balance_florins: Florins,
    pub pending: Flop,
    pub pending_florins: Florins,
    pub reserved: Flop,
    pub reserved_florins: Florins,
}

/// The payment that empties a wallet.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct PaidOut {
    pub payment_id: String,
    /// Once it is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txid: Option<String>,
    pub state: String,
    pub recipient: String,
    pub amount: Flop,
    pub amount_florins: Florins,
    pub fee: Flop,
    pub fee_florins: Florins,
}

/// Answer of `POST /nodes/{node_id}/deregister`: 200 when the node has left, 202 when the payment
/// is made and the node is still there.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Deregistered {
    pub success: bool,
    pub message: String,
    pub node_id: String,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregistered_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaidOut>,
    pub holds: Holdings,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;
    use proptest::prelude::*;

    fn node() -> NodeId {
        NodeId::parse("node_001").unwrap()
    }

    fn heartbeat(body: &str) -> Result<Heartbeat, Problem> {
        let fields = Fields::parse(body.as_bytes(), &Heartbeat::FIELDS)?;
        Heartbeat::parse(&fields, &node())
    }

    #[test]
    fn a_load_is_read_exactly_and_cut_to_thousandths() {
        for (literal, expected) in [
            ("0", 0),
            ("0.0", 0),
            ("1", 1_000),
            ("0.427", 427),
            ("0.42799999", 427),
            ("0.0009", 0),
            ("1.1", 1_100),
            ("1e-3", 1),
            ("1e-08", 0),
            ("1E+3", 1_000_000),
            ("2.5e1", 25_000),
            ("12.3456e2", 1_234_560),
            ("0.000001e3", 1),
            ("1000000", 1_000_000_000),
            ("0e99999999999999", 0),
        ] {
            assert_eq!(permille(literal), Some(expected), "{literal}");
        }
        for bad in [
            "",
            "-1",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "NaN",
            "inf",
            "1,5",
            "0x1",
            "1000000.001",
            "1e7",
            "1e400",
            "1e99999999999999999999",
            " 1",
            "1 ",
            "1.5.2",
            "1e1e1",
            "١",
        ] {
            assert_eq!(permille(bad), None, "{bad}");
        }
        assert_eq!(crate::response::to_json(&Load(427)), b"0.427");
        assert_eq!(crate::response::to_json(&Load(12_000)), b"12.000");
    }

    #[test]
    fn a_heartbeat_is_bounded_in_each_part_and_may_be_empty() {
        assert_eq!(heartbeat("").unwrap(), Heartbeat::default());
        let whole = heartbeat(
            r#"{"load":"0.5","memory_used_bytes":1,"memory_total_bytes":2,"uptime_seconds":3,"version":"1.0 é"}"#,
        )
        .unwrap();
        assert_eq!(whole.load_permille, Some(500));
        assert_eq!((whole.memory_used, whole.memory_total), (Some(1), Some(2)));
        for bad in [
            r#"{"load":-1}"#,
            r#"{"load":true}"#,
            r#"{"load":{}}"#,
            r#"{"memory_used_bytes":1.5}"#,
            r#"{"memory_used_bytes":"1"}"#,
            r#"{"memory_used_bytes":-1}"#,
            r#"{"memory_total_bytes":9007199254740992}"#,
            r#"{"memory_used_bytes":3,"memory_total_bytes":2}"#,
            r#"{"uptime_seconds":1e3}"#,
            r#"{"version":""}"#,
            r#"{"version":"a\nb"}"#,
        ] {
            assert_eq!(
                heartbeat(bad).unwrap_err().code,
                Code::InvalidValue,
                "{bad}"
            );
        }
        let long = format!(r#"{{"version":"{}"}}"#, "x".repeat(65));
        assert_eq!(heartbeat(&long).unwrap_err().code, Code::InvalidValue);
        for bad in [r#"{"version":1}"#, r#"{"cpu":1}"#, r#"{"node_id":"other"}"#] {
            assert_eq!(
                heartbeat(bad).unwrap_err().code,
                Code::InvalidRequest,
                "{bad}"
            );
        }
    }

    #[test]
    fn directory_queries_are_checked() {
        let query = DirectoryQuery::parse(
            "capabilities=gpu,wallet,gpu&match=any&status=online&min_health=0&min_reputation=100",
        )
        .unwrap();
        assert_eq!((query.capabilities.len(), query.matching), (2, Match::Any));
        assert_eq!(query.status, Some(NodeStatus::Online));
        assert_eq!(
            (query.min_health, query.min_reputation),
            (Some(0), Some(100))
        );
        let many = format!("capabilities={}", ["x"; 33].join(","));
        for bad in [
            "capabilities=",
            "capabilities=a,,b",
            "capability=a&capabilities=b",
            "match=some",
            "status=gone",
            "min_health=101",
            "min_health=-1",
            "min_reputation=x",
            &many,
        ] {
            assert_eq!(
                DirectoryQuery::parse(bad).unwrap_err().code,
                Code::InvalidRequest,
                "{bad}"
            );
        }
    }

    #[test]
    fn an_operator_gives_a_type_a_reason_and_a_key() {
        let judge = |body: &str, key| {
            let fields = Fields::parse(body.as_bytes(), &Judge::FIELDS)?;
            Judge::parse(&fields, &node(), key)
        };
        let good = judge(r#"{"type":"task_success","reason":"did it"}"#, Some("k")).unwrap();
        assert_eq!(good.conduct.points(), 10);
        assert!(judge(r#"{"type":"task_success","reason":"did it"}"#, None).is_err());
        for bad in [
            r#"{"type":"payment_confirmed","reason":"x"}"#.to_owned(),
            r#"{"type":"task_success","reason":""}"#.to_owned(),
            format!(
                r#"{{"type":"task_success","reason":"{}"}}"#,
                "x".repeat(257)
            ),
        ] {
            assert_eq!(
                judge(&bad, Some("k")).unwrap_err().code,
                Code::InvalidValue,
                "{bad}"
            );
        }
        let longest = format!(
            r#"{{"type":"task_success","reason":"{}"}}"#,
            "é".repeat(256)
        );
        assert!(judge(&longest, Some("k")).is_ok());
    }

    #[test]
    fn a_removal_names_what_goes() {
        let named = NamedCapabilities::parse_query("capabilities=gpu,gpu,a.b").unwrap();
        assert_eq!(named.0.len(), 2);
        assert!(NamedCapabilities::parse_query("").is_err());
        let wallet = NamedCapabilities::parse_query("capabilities=wallet").unwrap_err();
        assert_eq!(wallet.code, Code::InvalidValue);
    }

    proptest! {
        #[test]
        fn no_load_panics(text in "[0-9eE.+-]{0,40}|.{0,20}") {
            let _ = permille(&text);
        }

        #[test]
        fn thousandths_come_back(value in 0u32..=1_000_000_000) {
            prop_assert_eq!(permille(&format!("{}.{:03}", value / 1_000, value % 1_000)), Some(value));
        }
    }
}
