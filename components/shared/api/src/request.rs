//! What clients may send. Every field is checked here; what is unknown is refused, so that a
//! misspelt `idempotency_key` is an error and not a second payment.

use crate::json::{self, Object};
use crate::problem::{Code, Problem};
use crate::signing::{PublicKey, sha256_hex};
use crate::{DEFAULT_PAGE_ENTRIES, MAX_PAGE_ENTRIES, cursor, jcs};
use duxnet_units::{Amount, Capability, IdempotencyKey, NodeId, Timestamp, WalletName};
use serde_json::Value;

/// The member that carries a signature inside a body.
pub const AUTH_DATA: &str = "auth_data";
/// Most capabilities a node may name.
const MAX_CAPABILITIES: usize = 32;
/// Longest network address of a node, in bytes.
const MAX_NODE_ADDRESS_BYTES: usize = 256;

/// A signature inside a body, as the specification has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthData {
    /// Hex or base64url.
    pub signature: String,
    /// Unix seconds.
    pub timestamp: i64,
    /// Absent is allowed here; the empty text is then signed.
    pub nonce: Option<String>,
}

/// A body's members, read one by one.
#[derive(Debug)]
pub struct Fields(Object);

impl Fields {
    /// Reads a JSON object with no members but `allowed` and `auth_data`. An empty body counts as
    /// an empty object.
    ///
    /// # Errors
    /// 400 that names what is wrong.
    pub fn parse(body: &[u8], allowed: &[&str]) -> Result<Self, Problem> {
        let object = if body.is_empty() {
            Object::new()
        } else {
            json::parse_object(body)?
        };
        for key in object.keys() {
            if key != AUTH_DATA && !allowed.contains(&key.as_str()) {
                return Err(Problem::invalid_request(format!(
                    "unknown field {key:?}; allowed: {}, {AUTH_DATA}",
                    allowed.join(", ")
                )));
            }
        }
        Ok(Fields(object))
    }

    /// The members, for the canonical form.
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.0
    }

    /// The signature inside the body, if there is one. A malformed one is not taken for none.
    ///
    /// # Errors
    /// 401: it stands where a signature must, and is none.
    pub fn auth_data(&self) -> Result<Option<AuthData>, Problem> {
        let Some(value) = self.0.get(AUTH_DATA) else {
            return Ok(None);
        };
        let wrong = |what: &str| Problem::authentication(format!("auth_data{what}"));
        let object = value
            .as_object()
            .ok_or_else(|| wrong(" must be an object"))?;
        if let Some(key) = object
            .keys()
            .find(|key| !["signature", "timestamp", "nonce"].contains(&key.as_str()))
        {
            return Err(wrong(&format!(" has an unknown field {key:?}")));
        }
        let text = |key: &str| match object.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong(&format!(".{key} must be a string"))),
        };
        Ok(Some(AuthData {
            signature: text("signature")?.ok_or_else(|| wrong(".signature is missing"))?,
            timestamp: object
                .get("timestamp")
                .and_then(Value::as_i64)
                .ok_or_else(|| wrong(".timestamp must be whole unix seconds"))?,
            nonce: text("nonce")?,
        }))
    }

    fn text(&self, key: &str) -> Result<Option<&str>, Problem> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Problem::invalid_request(format!("{key} must be a string"))),
        }
    }

    fn required<'a>(&'a self, key: &str) -> Result<&'a str, Problem> {
        self.text(key)?
            .ok_or_else(|| Problem::invalid_request(format!("{key} is missing")))
    }

    fn node_id(&self) -> Result<Option<NodeId>, Problem> {
        self.text("node_id")?.map(parse_node_id).transpose()
    }

    /// The body's node id where the path has one already: absent, or the same.
    fn agrees_with_path(&self, path: &NodeId) -> Result<(), Problem> {
        match self.node_id()? {
            Some(node) if node != *path => Err(Problem::invalid_request(format!(
                "node_id {node} in the body is not the path's {path}"
            ))),
            _ => Ok(()),
        }
    }

    fn idempotency_key(&self, header: Option<&str>) -> Result<Option<IdempotencyKey>, Problem> {
        let parse = |text: &str| {
            IdempotencyKey::parse(text)
                .map_err(|e| Problem::invalid_request(format!("idempotency key {e}")))
        };
        match (
            header.map(parse).transpose()?,
            self.text("idempotency_key")?.map(parse).transpose()?,
        ) {
            (Some(header), Some(body)) if header != body => Err(Problem::invalid_request(
                "Idempotency-Key header and idempotency_key field differ",
            )),
            (header, body) => Ok(header.or(body)),
        }
    }
}

/// Reads a node id from a path or body.
///
/// # Errors
/// 422 that says what is allowed.
pub fn parse_node_id(text: &str) -> Result<NodeId, Problem> {
    NodeId::parse(text).map_err(|e| Problem::invalid_value(format!("node_id {e}")))
}

/// `POST /wallet/create`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateWallet {
    /// Whose wallet.
    pub node_id: NodeId,
    /// Its display name.
    pub wallet_name: WalletName,
    /// What makes a repeat the same request.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl CreateWallet {
    /// The members of the body.
    pub const FIELDS: [&'static str; 3] = ["node_id", "wallet_name", "idempotency_key"];

    /// Reads the fields.
    ///
    /// # Errors
    /// 400 or 422 that names the field.
    pub fn parse(fields: &Fields, idempotency_header: Option<&str>) -> Result<Self, Problem> {
        let node_id = parse_node_id(fields.required("node_id")?)?;
        let wallet_name = WalletName::parse(fields.required("wallet_name")?)
            .map_err(|e| Problem::invalid_value(format!("wallet_name {e}")))?;
        Ok(CreateWallet {
            node_id,
            wallet_name,
            idempotency_key: fields.idempotency_key(idempotency_header)?,
        })
    }

    /// What a repeat must agree on.
    #[must_use]
    pub fn hash(&self) -> String {
        sha256_hex(self.wallet_name.as_str().as_bytes())
    }
}

/// `POST /wallet/{node_id}/send`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Send {
    /// Text; the network decides whether it is an address.
    pub recipient_address: String,
    /// How much the recipient gets; the fee comes on top. Never zero.
    pub amount: Amount,
    /// What makes a repeat the same request.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl Send {
    /// The members of the body.
    pub const FIELDS: [&'static str; 4] =
        ["node_id", "recipient_address", "amount", "idempotency_key"];

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
        Ok(Send {
            recipient_address: fields.required("recipient_address")?.to_owned(),
            amount: amount(fields)?,
            idempotency_key: fields.idempotency_key(idempotency_header)?,
        })
    }

    /// What a repeat must agree on.
    #[must_use]
    pub fn hash(&self) -> String {
        sha256_hex(format!("{}\n{}", self.recipient_address, self.amount.florins()).as_bytes())
    }
}

fn amount(fields: &Fields) -> Result<Amount, Problem> {
    let invalid = |why: String| Problem::new(Code::InvalidAmount).detail(format!("amount: {why}"));
    let (literal, is_number) = match fields.0.get("amount") {
        None => return Err(Problem::invalid_request("amount is missing")),
        Some(Value::Number(number)) => (number.to_string(), true),
        Some(Value::String(text)) => (text.clone(), false),
        Some(_) => return Err(invalid("must be a number or a string with a number".into())),
    };
    let amount = Amount::from_flop_literal(&literal).map_err(|e| invalid(e.to_string()))?;
    if amount.is_zero() {
        return Err(invalid("must be above zero".into()));
    }
    // A signature inside the body covers numbers as doubles; two amounts must not share one.
    if is_number && fields.0.contains_key(AUTH_DATA) {
        let signed = jcs::number_text(&literal).ok();
        if signed.and_then(|text| Amount::from_flop_literal(&text).ok()) != Some(amount) {
            return Err(invalid(
                "too precise for a signed JSON number; send it as a string".into(),
            ));
        }
    }
    Ok(amount)
}

/// `POST /wallet/{node_id}/new-address`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAddress {
    /// What makes a repeat the same request.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl NewAddress {
    /// The members of the body.
    pub const FIELDS: [&'static str; 2] = ["node_id", "idempotency_key"];

    /// Reads the fields; the body may be empty.
    ///
    /// # Errors
    /// 400 or 422 that names the field.
    pub fn parse(
        fields: &Fields,
        path: &NodeId,
        idempotency_header: Option<&str>,
    ) -> Result<Self, Problem> {
        fields.agrees_with_path(path)?;
        Ok(NewAddress {
            idempotency_key: fields.idempotency_key(idempotency_header)?,
        })
    }
}

/// `POST /nodes/register`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisterNode {
    /// Who registers.
    pub node_id: NodeId,
    /// The key of all later signatures. Absent only where requests are not signed.
    pub public_key: Option<PublicKey>,
    /// Where the node listens, for other nodes: `host:port` or a URL.
    pub address: Option<String>,
    /// What the node can do; none leaves what is known.
    pub capabilities: Option<Vec<Capability>>,
    /// The old key's signature when the key changes (see [`crate::signing::rotation_string`]).
    pub rotation_signature: Option<String>,
}

impl RegisterNode {
    /// The members of the body.
    pub const FIELDS: [&'static str; 5] = [
        "node_id",
        "public_key",
        "address",
        "capabilities",
        "rotation_signature",
    ];

    /// Reads the fields.
    ///
    /// # Errors
    /// 400 or 422 that names the field.
    pub fn parse(fields: &Fields) -> Result<Self, Problem> {
        let public_key = fields
            .text("public_key")?
            .map(PublicKey::parse)
            .transpose()
            .map_err(|e| Problem::invalid_value(format!("public_key {e}")))?;
        let address = fields.text("address")?.map(node_address).transpose()?;
        Ok(RegisterNode {
            node_id: parse_node_id(fields.required("node_id")?)?,
            public_key,
            address,
            capabilities: capabilities(fields)?,
            rotation_signature: fields.text("rotation_signature")?.map(str::to_owned),
        })
    }
}

fn node_address(text: &str) -> Result<String, Problem> {
    if text.is_empty()
        || text.len() > MAX_NODE_ADDRESS_BYTES
        || !text.bytes().all(|b| b.is_ascii_graphic())
    {
        return Err(Problem::invalid_value(format!(
            "address must be 1 to {MAX_NODE_ADDRESS_BYTES} visible ASCII characters"
        )));
    }
    Ok(text.to_owned())
}

fn capabilities(fields: &Fields) -> Result<Option<Vec<Capability>>, Problem> {
    let items = match fields.0.get("capabilities") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) if items.len() <= MAX_CAPABILITIES => items,
        Some(_) => {
            return Err(Problem::invalid_request(format!(
                "capabilities must be a list of at most {MAX_CAPABILITIES} strings"
            )));
        }
    };
    let mut capabilities = Vec::with_capacity(items.len());
    for item in items {
        let text = item
            .as_str()
            .ok_or_else(|| Problem::invalid_request("capabilities must be a list of strings"))?;
        let capability = Capability::parse(text)
            .map_err(|e| Problem::invalid_value(format!("capability {text:?} {e}")))?;
        // The service alone says who has a wallet.
        if text == Capability::WALLET {
            return Err(Problem::invalid_value(
                "capability \"wallet\" comes with a wallet, not by registration",
            ));
        }
        if !capabilities.contains(&capability) {
            capabilities.push(capability);
        }
    }
    Ok(Some(capabilities))
}

/// A list's page: `?limit=` and `?cursor=`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// 1 to [`MAX_PAGE_ENTRIES`].
    pub limit: u32,
    /// Rows after (that is, older than) this id.
    pub after: Option<i64>,
}

/// `GET /wallet/{node_id}/transactions`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryQuery {
    /// Which page.
    pub page: Page,
    /// Only `send` or `receive`.
    pub transaction_type: Option<String>,
    /// Only `pending`, `confirmed` or `failed`.
    pub status: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// Values of `?type=`.
pub const TRANSACTION_TYPES: [&str; 2] = ["send", "receive"];
/// Values of `?status=`.
pub const TRANSACTION_STATUSES: [&str; 3] = ["pending", "confirmed", "failed"];

impl HistoryQuery {
    /// Reads the query string.
    ///
    /// # Errors
    /// 400 that names the parameter and what is allowed.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let parameters = parameters(
            query,
            &["limit", "cursor", "type", "status", "since", "until"],
        )?;
        let one_of = |name: &str, allowed: &[&str]| match parameters.get(name) {
            Some(value) if !allowed.contains(&value) => Err(Problem::invalid_request(format!(
                "{name} must be one of: {}",
                allowed.join(", ")
            ))),
            value => Ok(value.map(str::to_owned)),
        };
        let time = |name: &str| match parameters.get(name) {
            None => Ok(None),
            Some(text) => text
                .parse()
                .map_or_else(
                    |_| Timestamp::parse_rfc3339(text),
                    Timestamp::from_unix_seconds,
                )
                .map(Some)
                .map_err(|e| Problem::invalid_request(format!("{name} is {e}"))),
        };
        Ok(HistoryQuery {
            page: parameters.page()?,
            transaction_type: one_of("type", &TRANSACTION_TYPES)?,
            status: one_of("status", &TRANSACTION_STATUSES)?,
            since: time("since")?,
            until: time("until")?,
        })
    }
}

/// A txid (64 lower-case hexadecimal digits) or a payment's id (32).
///
/// # Errors
/// 422 with what is allowed.
pub fn parse_transaction_id(text: &str) -> Result<String, Problem> {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if matches!(text.len(), 32 | 64) && text.bytes().all(is_hex) {
        Ok(text.to_owned())
    } else {
        Err(Problem::invalid_value(
            "transaction must be a txid (64 lower-case hexadecimal digits) or a payment_id (32)",
        ))
    }
}

/// `GET /nodes`.
///
/// # Errors
/// 400 that names the parameter.
pub fn parse_directory_query(query: &str) -> Result<(Page, Option<Capability>), Problem> {
    let parameters = parameters(query, &["limit", "cursor", "capability"])?;
    let capability = parameters
        .get("capability")
        .map(Capability::parse)
        .transpose()
        .map_err(|e| Problem::invalid_request(format!("capability {e}")))?;
    Ok((parameters.page()?, capability))
}

/// Checks that a route without parameters gets none.
///
/// # Errors
/// 400 that names the parameter.
pub fn expect_no_query(query: &str) -> Result<(), Problem> {
    parameters(query, &[]).map(|_| ())
}

pub(crate) struct Parameters(Vec<(String, String)>);

pub(crate) fn parameters(query: &str, allowed: &[&str]) -> Result<Parameters, Problem> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if !allowed.contains(&key.as_ref()) {
            let list = if allowed.is_empty() {
                "none".to_owned()
            } else {
                allowed.join(", ")
            };
            return Err(Problem::invalid_request(format!(
                "unknown query parameter {key:?}; allowed: {list}"
            )));
        }
        if pairs.iter().any(|(known, _)| *known == key) {
            return Err(Problem::invalid_request(format!(
                "query parameter {key:?} stands twice"
            )));
        }
        pairs.push((key.into_owned(), value.into_owned()));
    }
    Ok(Parameters(pairs))
}

impl Parameters {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn page(&self) -> Result<Page, Problem> {
        let limit = match self.get("limit") {
            None => DEFAULT_PAGE_ENTRIES,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_PAGE_ENTRIES).contains(limit))
                .ok_or_else(|| {
                    Problem::invalid_request(format!("limit must be 1 to {MAX_PAGE_ENTRIES}"))
                })?,
        };
        let after = match self.get("cursor") {
            None => None,
            Some(text) => Some(cursor::decode(text).ok_or_else(|| {
                Problem::invalid_request("cursor is none that this service gave")
            })?),
        };
        Ok(Page { limit, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeId {
        NodeId::parse("node_001").unwrap()
    }

    fn send(body: &str) -> Result<Send, Problem> {
        Send::parse(
            &Fields::parse(body.as_bytes(), &Send::FIELDS)?,
            &node(),
            None,
        )
    }

    #[test]
    fn the_specifications_send_body_is_read() {
        let send = send(
            r#"{"node_id":"node_001","recipient_address":"FLOP987654321fedcba","amount":50.0,
                "auth_data":{"signature":"abc123...","timestamp":1640995200}}"#,
        )
        .unwrap();
        assert_eq!(send.amount.florins(), 5_000_000_000);
        assert_eq!(send.recipient_address, "FLOP987654321fedcba");
    }

    #[test]
    fn every_bad_amount_is_an_invalid_amount() {
        for amount in [
            "0",
            "-1",
            "\"\"",
            "\"NaN\"",
            "1e-9",
            "10000000000",
            "true",
            "[1]",
            "{}",
            "null",
            "\" 1\"",
        ] {
            let problem =
                send(&format!(r#"{{"recipient_address":"x","amount":{amount}}}"#)).unwrap_err();
            assert_eq!(
                (problem.code, problem.message.as_str()),
                (Code::InvalidAmount, "Invalid amount"),
                "{amount}"
            );
        }
        let missing = send(r#"{"recipient_address":"x"}"#).unwrap_err();
        assert_eq!(missing.detail.unwrap(), "amount is missing");
    }

    #[test]
    fn a_signed_amount_must_survive_as_a_double() {
        let auth = r#""auth_data":{"signature":"x","timestamp":1}"#;
        let number = send(&format!(
            r#"{{"recipient_address":"x","amount":90071992.54740993,{auth}}}"#
        ));
        assert_eq!(number.unwrap_err().code, Code::InvalidAmount);
        let text = send(&format!(
            r#"{{"recipient_address":"x","amount":"90071992.54740993",{auth}}}"#
        ));
        assert_eq!(text.unwrap().amount.florins(), 9_007_199_254_740_993);
    }

    #[test]
    fn unknown_fields_and_contradictions_are_refused() {
        let unknown =
            send(r#"{"recipient_address":"x","amount":1,"idempotencykey":"k"}"#).unwrap_err();
        assert!(
            unknown
                .detail
                .unwrap()
                .contains("unknown field \"idempotencykey\"")
        );
        let other =
            send(r#"{"node_id":"node_002","recipient_address":"x","amount":1}"#).unwrap_err();
        assert_eq!(other.code, Code::InvalidRequest);
        let fields = Fields::parse(br#"{"idempotency_key":"a"}"#, &NewAddress::FIELDS).unwrap();
        assert!(NewAddress::parse(&fields, &node(), Some("b")).is_err());
        assert!(NewAddress::parse(&fields, &node(), Some("a")).is_ok());
    }

    #[test]
    fn malformed_auth_data_is_an_authentication_failure_and_not_none() {
        for auth in [
            "null",
            "1",
            "{}",
            r#"{"signature":1,"timestamp":1}"#,
            r#"{"signature":"x","timestamp":1.5}"#,
        ] {
            let fields =
                Fields::parse(format!(r#"{{"auth_data":{auth}}}"#).as_bytes(), &[]).unwrap();
            assert_eq!(
                fields.auth_data().unwrap_err().code,
                Code::AuthenticationFailed,
                "{auth}"
            );
        }
    }

    #[test]
    fn history_queries_are_checked() {
        let query = HistoryQuery::parse("limit=50&type=send&since=2024-01-01T00:00:00Z").unwrap();
        assert_eq!(query.page.limit, 50);
        assert_eq!(query.since.unwrap().unix_seconds(), 1_704_067_200);
        for bad in [
            "limit=0",
            "limit=101",
            "limit=x",
            "cursor=zzz",
            "type=gift",
            "x=1",
            "limit=1&limit=2",
            "since=now",
        ] {
            assert_eq!(
                HistoryQuery::parse(bad).unwrap_err().code,
                Code::InvalidRequest,
                "{bad}"
            );
        }
    }

    #[test]
    fn the_wallet_capability_cannot_be_claimed() {
        let fields = Fields::parse(
            br#"{"node_id":"n","capabilities":["wallet"]}"#,
            &RegisterNode::FIELDS,
        )
        .unwrap();
        assert_eq!(
            RegisterNode::parse(&fields).unwrap_err().code,
            Code::InvalidValue
        );
    }
}
