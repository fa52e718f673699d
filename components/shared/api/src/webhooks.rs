//! Webhooks and events: what clients send, and what they get.

use crate::problem::Problem;
use crate::request::{Fields, Page, parameters};
use crate::response::Time;
use crate::signing::sha256_hex;
use crate::{DEFAULT_PAGE_ENTRIES, MAX_PAGE_ENTRIES};
use duxnet_units::net::{Reach, Target};
use duxnet_units::{IdempotencyKey, NodeId};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Most entries of a filter.
const MAX_EVENT_TYPES: usize = 20;
/// Longest entry of a filter, bytes.
const MAX_EVENT_TYPE_BYTES: usize = 64;
/// Longest wait for an event, seconds; below the host's deadline for a request.
pub const MAX_WAIT_SECONDS: u32 = 20;
/// Filter that lets everything through.
const ALL_TYPES: &str = "*";

/// `POST /wallet/{node_id}/webhooks`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateWebhook {
    /// Where to.
    pub url: Target,
    /// Exact types, `payment.*`, or `*`; sorted.
    pub event_types: Vec<String>,
    /// What makes a repeat the same request.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl CreateWebhook {
    /// The members of the body.
    pub const FIELDS: [&'static str; 4] = ["node_id", "url", "event_types", "idempotency_key"];

    /// Reads the fields; without `event_types`, everything.
    ///
    /// # Errors
    /// 400 or 422 that names the field.
    pub fn parse(
        fields: &Fields,
        path: &NodeId,
        idempotency_header: Option<&str>,
        reach: Reach,
    ) -> Result<Self, Problem> {
        fields.agrees_with_path(path)?;
        Ok(CreateWebhook {
            url: target(fields.required("url")?, reach)?,
            event_types: event_types(fields)?.unwrap_or_else(|| vec![ALL_TYPES.to_owned()]),
            idempotency_key: fields.idempotency_key(idempotency_header)?,
        })
    }

    /// What a repeat must agree on.
    #[must_use]
    pub fn hash(&self) -> String {
        sha256_hex(format!("{}\n{}", self.url, self.event_types.join(" ")).as_bytes())
    }
}

/// `PATCH /wallet/{node_id}/webhooks/{id}`; none leaves what is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateWebhook {
    /// Where to.
    pub url: Option<Target>,
    /// As when it is made.
    pub event_types: Option<Vec<String>>,
    /// False pauses it, true resumes it.
    pub enabled: Option<bool>,
}

impl UpdateWebhook {
    /// The members of the body.
    pub const FIELDS: [&'static str; 4] = ["node_id", "url", "event_types", "enabled"];

    /// Reads the fields.
    ///
    /// # Errors
    /// 400 or 422 that names the field.
    pub fn parse(fields: &Fields, path: &NodeId, reach: Reach) -> Result<Self, Problem> {
        fields.agrees_with_path(path)?;
        let enabled = match fields.object().get("enabled") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(enabled)) => Some(*enabled),
            Some(_) => return Err(Problem::invalid_request("enabled must be true or false")),
        };
        let url = fields.text("url")?.map(|text| target(text, reach));
        let wanted = UpdateWebhook {
            url: url.transpose()?,
            event_types: event_types(fields)?,
            enabled,
        };
        if wanted.url.is_none() && wanted.event_types.is_none() && enabled.is_none() {
            return Err(Problem::invalid_request(
                "nothing to change; allowed: url, event_types, enabled",
            ));
        }
        Ok(wanted)
    }
}

/// `POST /wallet/{node_id}/webhooks/{id}/replay`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplayWebhook {
    /// The first event, 1 or more.
    pub from_sequence: i64,
}

impl ReplayWebhook {
    /// The members of the body.
    pub const FIELDS: [&'static str; 2] = ["node_id", "from_sequence"];

    /// Reads the fields.
    ///
    /// # Errors
    /// 400 or 422 that names the field.
    pub fn parse(fields: &Fields, path: &NodeId) -> Result<Self, Problem> {
        fields.agrees_with_path(path)?;
        let value = fields.object().get("from_sequence");
        let value = value.ok_or_else(|| Problem::invalid_request("from_sequence is missing"))?;
        let from_sequence = value.as_i64().filter(|sequence| *sequence >= 1);
        Ok(ReplayWebhook {
            from_sequence: from_sequence.ok_or_else(|| {
                Problem::invalid_value("from_sequence must be a whole number of 1 or more")
            })?,
        })
    }
}

/// `POST .../test` and `POST .../rotate`: nothing, or what makes a repeat the same request.
///
/// # Errors
/// 400 that names the field.
pub fn parse_webhook_action(
    fields: &Fields,
    path: &NodeId,
    idempotency_header: Option<&str>,
) -> Result<Option<IdempotencyKey>, Problem> {
    fields.agrees_with_path(path)?;
    fields.idempotency_key(idempotency_header)
}

/// The members of such a body.
pub const WEBHOOK_ACTION_FIELDS: [&str; 2] = ["node_id", "idempotency_key"];

/// `GET .../deliveries`.
///
/// # Errors
/// 400 that names the parameter.
pub fn parse_deliveries_query(query: &str) -> Result<Page, Problem> {
    parameters(query, &["limit", "cursor"])?.page()
}

/// `GET /wallet/{node_id}/events`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventsQuery {
    /// Only events of higher sequence numbers.
    pub after: i64,
    /// Seconds to wait for one.
    pub wait_seconds: u32,
    /// Most events of one answer.
    pub limit: u32,
}

impl EventsQuery {
    /// Reads the query string and the `Last-Event-ID` header, which counts more: a client that
    /// reconnects asks for the address that it began with.
    ///
    /// # Errors
    /// 400 that names the parameter and what is allowed.
    pub fn parse(query: &str, last_event_id: Option<&str>) -> Result<Self, Problem> {
        let parameters = parameters(query, &["after", "wait", "limit"])?;
        let number = |name: &str, text: Option<&str>, default: i64, least: i64, most: i64| {
            let Some(text) = text else {
                return Ok(default);
            };
            Some(text)
                .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .filter(|value| (least..=most).contains(value))
                .ok_or_else(|| {
                    Problem::invalid_request(format!("{name} must be {least} to {most}"))
                })
        };
        let small = |value: i64| u32::try_from(value).unwrap_or(0);
        let after = number("after", parameters.get("after"), 0, 0, i64::MAX)?;
        Ok(EventsQuery {
            after: number("Last-Event-ID", last_event_id, after, 0, i64::MAX)?,
            wait_seconds: small(number(
                "wait",
                parameters.get("wait"),
                0,
                0,
                MAX_WAIT_SECONDS.into(),
            )?),
            limit: small(number(
                "limit",
                parameters.get("limit"),
                DEFAULT_PAGE_ENTRIES.into(),
                1,
                MAX_PAGE_ENTRIES.into(),
            )?),
        })
    }
}

fn target(text: &str, reach: Reach) -> Result<Target, Problem> {
    Target::parse(text, reach).map_err(|e| Problem::invalid_value(format!("url {e}")))
}

fn event_types(fields: &Fields) -> Result<Option<Vec<String>>, Problem> {
    let items = match fields.object().get("event_types") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) if (1..=MAX_EVENT_TYPES).contains(&items.len()) => items,
        Some(_) => {
            return Err(Problem::invalid_request(format!(
                "event_types must be a list of 1 to {MAX_EVENT_TYPES} strings"
            )));
        }
    };
    let mut types = Vec::with_capacity(items.len());
    for item in items {
        let text = item.as_str().filter(|text| is_event_filter(text));
        let text = text.ok_or_else(|| {
            Problem::invalid_value(format!(
                "event_types: {item} is none; a type is words of a-z and _ with dots between, \
                 such as payment.sent, and payment.* and * stand for several"
            ))
        })?;
        types.push(text.to_owned());
    }
    types.sort();
    types.dedup();
    Ok(Some(types))
}

fn is_event_filter(text: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let words = text.strip_suffix(".*").unwrap_or(text);
    text == ALL_TYPES || (text.len() <= MAX_EVENT_TYPE_BYTES && words.split('.').all(is_word))
}

/// An endpoint.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "docs/notifications.md has every field")]
pub struct Webhook {
    pub id: String,
    pub url: String,
    pub event_types: Box<RawValue>,
    pub enabled: bool,
    pub disabled_reason: Option<String>,
    pub disabled_at: Option<Time>,
    pub public_key: String,
    pub key_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_key_until: Option<Time>,
    pub failing_since: Option<Time>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Answer about one endpoint.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct OneWebhook {
    pub success: bool,
    pub node_id: String,
    pub webhook: Webhook,
}

/// Answer of `GET /wallet/{node_id}/webhooks`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct WebhookList {
    pub success: bool,
    pub node_id: String,
    pub webhooks: Vec<Webhook>,
}

/// Answer of `DELETE /wallet/{node_id}/webhooks/{id}`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct WebhookDeleted {
    pub success: bool,
    pub node_id: String,
    pub id: String,
}

/// A message to an endpoint.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "docs/notifications.md has every field")]
pub struct Delivery {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub sequence: Option<i64>,
    pub status: String,
    pub attempts: u32,
    pub next_attempt_at: Option<Time>,
    pub last_attempt_at: Option<Time>,
    pub last_status: Option<u32>,
    pub last_error: Option<String>,
    pub created_at: Time,
}

/// Answer of `GET .../deliveries`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Deliveries {
    pub success: bool,
    pub node_id: String,
    pub webhook_id: String,
    pub deliveries: Vec<Delivery>,
    pub next_cursor: Option<String>,
}

/// Answer of `POST .../test`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct WebhookTested {
    pub success: bool,
    pub node_id: String,
    pub webhook_id: String,
    pub delivery: Delivery,
}

/// Answer of `POST .../replay`.
#[derive(Clone, Debug, Serialize)]
pub struct WebhookReplayed {
    /// Always.
    pub success: bool,
    /// Whose.
    pub node_id: String,
    /// Which.
    pub webhook_id: String,
    /// Messages that are pending now.
    pub replayed: usize,
    /// Where another replay goes on; null when this one took up everything.
    pub next_sequence: Option<i64>,
}

/// Answer of `GET /wallet/{node_id}/events`.
#[derive(Clone, Debug, Serialize)]
pub struct Events {
    /// Always.
    pub success: bool,
    /// Whose.
    pub node_id: String,
    /// Each as a webhook's body has it.
    pub events: Vec<Box<RawValue>>,
    /// What to ask for next (`?after=`).
    pub next_after: i64,
}

/// What one run of the outbox did.
#[derive(Clone, Debug, Serialize)]
pub struct OutboxRun {
    /// Always.
    pub success: bool,
    /// Messages that endpoints took.
    pub delivered: u32,
    /// Attempts that failed.
    pub failed: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        let mut allowed = CreateWebhook::FIELDS.to_vec();
        allowed.extend(["enabled", "from_sequence"]);
        Fields::parse(body.as_bytes(), &allowed).unwrap()
    }

    fn node() -> NodeId {
        NodeId::parse("node_001").unwrap()
    }

    #[test]
    fn a_filter_is_types_prefixes_or_everything() {
        let parsed = |types: &str| {
            let body = format!(r#"{{"url":"https://example.com/","event_types":{types}}}"#);
            CreateWebhook::parse(&fields(&body), &node(), None, Reach::Public)
                .map(|wanted| wanted.event_types)
        };
        assert_eq!(parsed("null").unwrap(), ["*"]);
        assert_eq!(
            parsed(r#"["receive.seen","payment.*","payment.*"]"#).unwrap(),
            ["payment.*", "receive.seen"]
        );
        for bad in [
            "[]",
            "{}",
            r#"["payment"#,
            r#"[1]"#,
            r#"[""]"#,
            r#"["."]"#,
            r#"["payment."]"#,
            r#"["pay*"]"#,
            r#"["*.sent"]"#,
            r#"["payment.[a-z]"]"#,
            r#"["payment.?"]"#,
            r#"["Payment.sent"]"#,
            r#"["**"]"#,
            r#"["'; --"]"#,
        ] {
            let body = format!(r#"{{"url":"https://example.com/","event_types":{bad}}}"#);
            let read = Fields::parse(body.as_bytes(), &CreateWebhook::FIELDS)
                .and_then(|f| CreateWebhook::parse(&f, &node(), None, Reach::Public));
            assert!(read.is_err(), "{bad}");
        }
        let many = vec!["a"; MAX_EVENT_TYPES + 1];
        assert!(parsed(&serde_json::to_string(&many).unwrap()).is_err());
    }

    #[test]
    fn a_repeat_agrees_on_url_and_filter() {
        let hash = |body: &str| {
            CreateWebhook::parse(&fields(body), &node(), None, Reach::Public)
                .unwrap()
                .hash()
        };
        let one = hash(r#"{"url":"https://a.example/","event_types":["b","a"]}"#);
        assert_eq!(
            one,
            hash(r#"{"url":"https://a.example/","event_types":["a","b"]}"#)
        );
        assert_ne!(
            one,
            hash(r#"{"url":"https://a.example/","event_types":["a"]}"#)
        );
        assert_ne!(
            one,
            hash(r#"{"url":"https://b.example/","event_types":["a","b"]}"#)
        );
    }

    #[test]
    fn a_change_changes_something() {
        let parsed = |body: &str| UpdateWebhook::parse(&fields(body), &node(), Reach::Public);
        assert_eq!(parsed(r#"{"enabled":false}"#).unwrap().enabled, Some(false));
        for bad in [
            "{}",
            r#"{"enabled":"no"}"#,
            r#"{"url":"http://a.example/"}"#,
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn events_are_asked_for_by_number() {
        let parsed = |query: &str, last| EventsQuery::parse(query, last);
        assert_eq!(parsed("", None).unwrap().after, 0);
        assert_eq!(parsed("after=5&wait=20&limit=100", None).unwrap().after, 5);
        assert_eq!(parsed("after=5", Some("9")).unwrap().after, 9);
        for bad in [
            "after=-1",
            "after=+1",
            "after=x",
            "wait=21",
            "limit=0",
            "limit=101",
            "from=1",
        ] {
            assert!(parsed(bad, None).is_err(), "{bad}");
        }
        for bad in ["", "x", "-1", "9223372036854775808"] {
            assert!(parsed("", Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_replay_begins_at_an_event() {
        let parsed = |body: &str| ReplayWebhook::parse(&fields(body), &node());
        assert_eq!(parsed(r#"{"from_sequence":7}"#).unwrap().from_sequence, 7);
        for bad in [
            "{}",
            r#"{"from_sequence":0}"#,
            r#"{"from_sequence":"7"}"#,
            r#"{"from_sequence":1.5}"#,
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
