//! One request, read whole and within bounds.

use duxnet_api::access::{self, Identity};
use duxnet_api::problem::{Code, Problem};
use duxnet_api::request::{Fields, parse_node_id, parse_transaction_id};
use duxnet_api::{MAX_BODY_BYTES, signing};
use duxnet_units::NodeId;
use http_body_util::BodyExt as _;
use spin_sdk::http::{HeaderMap, Request};
use std::cell::Cell;

/// What precedes the name of a path's parameter, `_` written `-`, in the header that Spin's router and
/// ours set for it.
const PARAMETER_PREFIX: &str = "spin-path-match-";
const NODE_ID: &str = "node-id";
const PEER_ID: &str = "peer-id";
const TRANSACTION: &str = "transaction";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The route that led here, as in spin.toml; set by the host alone.
const MATCHED_ROUTE: &str = "spin-matched-route";

/// A request.
#[derive(Debug)]
pub struct Call {
    /// Upper case.
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    headers: HeaderMap,
    body: Vec<u8>,
    /// Whom the route admits, by the table of [`access`].
    admits: Identity,
    /// What the request has proved itself to be.
    proved: Cell<Identity>,
}

impl Call {
    /// The path's parameter of this name, where the route has one.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.header(&format!("{PARAMETER_PREFIX}{name}"))
    }

    /// Notes that the request has proved to be this.
    ///
    /// # Errors
    /// 403 where the route admits others.
    pub(crate) fn prove(&self, identity: Identity) -> Result<(), Problem> {
        if self.admits != identity {
            return Err(Problem::new(Code::Forbidden).detail("this route is for others"));
        }
        self.proved.set(identity);
        Ok(())
    }

    /// Whether the request has proved to be what its route admits. Asked before every success: an
    /// endpoint that forgot to authenticate answers nothing.
    pub(crate) fn is_proved(&self) -> bool {
        self.admits == self.proved.get()
    }

    /// Reads the request, its body up to [`MAX_BODY_BYTES`]. The body of a GET is read if its length
    /// is told: otherwise there is none (RFC 9112, 6.3), or one that nothing asks for, and finding out
    /// costs about as much as a query (docs/performance.md).
    ///
    /// # Errors
    /// 404 or 405 for what is not in the table of [`access`], 413, 415, or 400 for a body that breaks
    /// off.
    pub(crate) async fn read(request: Request) -> Result<Self, Problem> {
        let (head, mut body) = request.into_parts();
        let method = head.method.as_str().to_owned();
        let admits = admitted(&method, &head.headers)?;
        let is_read = method != "GET" || head.headers.contains_key("content-length");
        let mut bytes = Vec::new();
        while is_read && let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::invalid_request("body breaks off"))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > MAX_BODY_BYTES {
                return Err(Problem::new(Code::PayloadTooLarge)
                    .detail(format!("a body has at most {MAX_BODY_BYTES} bytes")));
            }
            bytes.extend_from_slice(&data);
        }
        let target = head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned();
        let call = Call {
            method,
            target,
            headers: head.headers,
            body: bytes,
            admits,
            proved: Cell::new(Identity::Anyone),
        };
        call.check_content_type()?;
        Ok(call)
    }

    fn check_content_type(&self) -> Result<(), Problem> {
        let essence = self
            .header("content-type")
            .map(|value| value.split(';').next().unwrap_or("").trim());
        let is_json =
            essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
        if self.body.is_empty() || is_json {
            Ok(())
        } else {
            Err(Problem::new(Code::UnsupportedMediaType)
                .detail("Content-Type must be application/json"))
        }
    }

    /// A header's value, if it is there and text. One that stands twice counts as the two joined,
    /// which no signature header survives.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        match values.next() {
            None => first.to_str().ok(),
            Some(_) => Some(""),
        }
    }

    /// Whether any of the signature's headers is there.
    #[must_use]
    pub(crate) fn has_signature_header(&self) -> bool {
        [
            signing::NODE_ID_HEADER,
            signing::TIMESTAMP_HEADER,
            signing::NONCE_HEADER,
            signing::SIGNATURE_HEADER,
        ]
        .iter()
        .any(|name| self.headers.contains_key(*name))
    }

    /// The raw body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body's members, only the allowed ones, of a request that says nothing in its query.
    ///
    /// # Errors
    /// 400.
    pub fn fields(&self, allowed: &[&str]) -> Result<Fields, Problem> {
        if !self.query().is_empty() {
            return Err(Problem::invalid_request(
                "query parameters are not read here; put them into the body",
            ));
        }
        Fields::parse(&self.body, allowed)
    }

    /// The path's node id.
    ///
    /// # Errors
    /// 422 for none.
    pub fn node_id(&self) -> Result<NodeId, Problem> {
        self.path_parameter()
            .map_or_else(|| Err(Problem::new(Code::NotFound)), parse_node_id)
    }

    /// The route that led here, as in spin.toml.
    #[must_use]
    pub fn route(&self) -> &str {
        self.header(MATCHED_ROUTE).unwrap_or_default()
    }

    /// The path's `:node_id`, where the route has one.
    #[must_use]
    pub fn path_parameter(&self) -> Option<&str> {
        self.parameter(NODE_ID)
    }

    /// The path's `:peer_id`.
    ///
    /// # Errors
    /// 422 for a text that is no registry's id.
    pub fn peer_id(&self) -> Result<NodeId, Problem> {
        self.parameter(PEER_ID)
            .map_or_else(|| Err(Problem::new(Code::NotFound)), parse_node_id)
    }

    /// The path's `:transaction`, where the route has one: a txid or a payment's id.
    ///
    /// # Errors
    /// 422 for a text that is neither.
    pub fn transaction(&self) -> Result<Option<String>, Problem> {
        self.parameter(TRANSACTION)
            .map(parse_transaction_id)
            .transpose()
    }

    /// Whether the request carries this bearer token; compared in constant time.
    pub(crate) fn has_token(&self, token: &str) -> bool {
        let sent = self
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        let differences = sent
            .bytes()
            .zip(token.bytes())
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        sent.len() == token.len() && differences == 0
    }

    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The query without its question mark; empty for none.
    #[must_use]
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The `Idempotency-Key` header.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&str> {
        self.header(IDEMPOTENCY_KEY)
    }

    pub(crate) fn wants_problem_json(headers: &HeaderMap) -> bool {
        headers.get_all("accept").iter().any(|value| {
            value
                .to_str()
                .is_ok_and(|text| text.contains("application/problem+json"))
        })
    }
}

fn admitted(method: &str, headers: &HeaderMap) -> Result<Identity, Problem> {
    let route = headers
        .get(MATCHED_ROUTE)
        .and_then(|route| route.to_str().ok())
        .unwrap_or_default();
    access::admitted(method, route).ok_or_else(|| {
        let methods: Vec<&str> = access::methods(route).collect();
        if methods.is_empty() {
            eprintln!("no access rule for {route}");
            Problem::new(Code::NotFound)
        } else {
            Problem::method_not_allowed(methods.join(", "))
        }
    })
}
