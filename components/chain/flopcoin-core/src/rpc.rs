//! JSON-RPC as Core speaks it over HTTP, and what its failures mean (FACTS 5, 6, 15).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Why a call gave no result: the four kinds of wit/chain `chain-error`, and one that stays in
/// this crate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Core said no.
    Rejected {
        /// Core's code.
        code: i32,
        /// Core's words.
        message: String,
    },
    /// Certainly not executed.
    Unreachable(String),
    /// Sent, no answer.
    OutcomeUnknown(String),
    /// An answer that breaks the contract.
    BadResponse(String),
    /// An answer above this many bytes; a smaller question may do. Whoever asked no divisible
    /// question has a `BadResponse`.
    TooLarge(usize),
}

/// Largest answer that is read, bytes.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// An HTTP answer, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Carries one HTTP POST to the node.
pub trait Transport {
    /// Sends a body and gives the whole answer, or `TooLarge` when that has more than `max_bytes`.
    /// Must tell `Unreachable` from `OutcomeUnknown`.
    fn exchange(
        &self,
        body: Vec<u8>,
        max_bytes: usize,
    ) -> impl Future<Output = Result<HttpAnswer, Failure>>;
    /// Waits before a refused call is tried again; false when the deadline has come.
    fn wait_for_a_free_worker(&self) -> impl Future<Output = bool>;
}

/// One call.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    method: &'static str,
    parameters: Vec<Value>,
}

impl Call {
    /// A method and its positional parameters.
    #[must_use]
    pub fn new(method: &'static str, parameters: Vec<Value>) -> Self {
        Call { method, parameters }
    }
}

#[derive(Serialize)]
struct Request<'a> {
    jsonrpc: &'static str,
    id: usize,
    method: &'static str,
    params: &'a [Value],
}

/// A reply's `result` with its numbers as Core wrote them.
pub type RawResult = Box<RawValue>;

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    result: Option<RawResult>,
    error: Option<ReplyError>,
    id: Option<usize>,
}

#[derive(Deserialize)]
struct ReplyError {
    code: i32,
    message: String,
}

/// Core while it starts: nothing is executed (FACTS 5).
const WARMING_UP: i32 = -28;
/// The text of a full work queue: HTTP 500, no JSON, not executed (FACTS 5).
const QUEUE_FULL: &[u8] = b"Work queue depth exceeded";

/// Makes one call.
///
/// # Errors
/// See [`Failure`].
pub async fn call(transport: &impl Transport, call: Call) -> Result<RawResult, Failure> {
    let request = encode(0, &call);
    let body = serde_json::to_vec(&request).unwrap_or_default();
    let answer = exchange(transport, body, MAX_ANSWER_BYTES).await?;
    let reply: Reply = decode(&answer)?;
    take(reply, 0)
}

/// Makes several calls in one round trip. Core runs them in order; each has a result of its own.
///
/// # Errors
/// A failure of the round trip; failures of single calls are in the list.
pub async fn batch<const N: usize>(
    transport: &impl Transport,
    calls: [Call; N],
) -> Result<[Result<RawResult, Failure>; N], Failure> {
    let results = batch_of(transport, &calls).await?;
    results
        .try_into()
        .map_err(|_| bad("a batch of another length"))
}

/// As [`batch`], for a number of calls that is not known beforehand; none is no round trip.
///
/// # Errors
/// A failure of the round trip.
pub async fn batch_of(
    transport: &impl Transport,
    calls: &[Call],
) -> Result<Vec<Result<RawResult, Failure>>, Failure> {
    batch_within(transport, calls, MAX_ANSWER_BYTES).await
}

/// As [`batch_of`], with a bound of its own.
///
/// # Errors
/// A failure of the round trip; [`Failure::TooLarge`] for an answer above `max_bytes`.
pub async fn batch_within(
    transport: &impl Transport,
    calls: &[Call],
    max_bytes: usize,
) -> Result<Vec<Result<RawResult, Failure>>, Failure> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let requests: Vec<Request<'_>> = calls
        .iter()
        .enumerate()
        .map(|(id, call)| encode(id, call))
        .collect();
    let body = serde_json::to_vec(&requests).unwrap_or_default();
    let answer = exchange(transport, body, max_bytes).await?;
    let replies: Vec<Reply> = decode(&answer)?;
    drop(answer);
    if replies.len() != calls.len() {
        return Err(bad("a batch of another length"));
    }
    let results: Vec<_> = replies
        .into_iter()
        .enumerate()
        .map(|(id, reply)| take(reply, id))
        .collect();
    // Warm-up says for each call what it says for all.
    match results.iter().find_map(|result| result.as_ref().err()) {
        Some(
            failure @ (Failure::Unreachable(_) | Failure::BadResponse(_) | Failure::TooLarge(_)),
        ) => Err(failure.clone()),
        Some(Failure::Rejected { .. } | Failure::OutcomeUnknown(_)) | None => Ok(results),
    }
}

fn encode(id: usize, call: &Call) -> Request<'_> {
    Request {
        jsonrpc: "1.0",
        id,
        method: call.method,
        params: &call.parameters,
    }
}

async fn exchange(
    transport: &impl Transport,
    body: Vec<u8>,
    max_bytes: usize,
) -> Result<HttpAnswer, Failure> {
    loop {
        let answer = transport.exchange(body.clone(), max_bytes).await?;
        if answer.status == 500 && answer.body.starts_with(QUEUE_FULL) {
            if transport.wait_for_a_free_worker().await {
                continue;
            }
            return Err(Failure::Unreachable("work queue full".into()));
        }
        return Ok(answer);
    }
}

/// What the statuses without a JSON body mean: refused before anything ran (FACTS 5, 15).
fn decode<'a, T: Deserialize<'a>>(answer: &'a HttpAnswer) -> Result<T, Failure> {
    let refused = |what: &str| {
        Err(Failure::Unreachable(format!(
            "HTTP {}: {what}",
            answer.status
        )))
    };
    match answer.status {
        401 => refused("RPC user or password refused"),
        403 => refused("this address may not use the RPC"),
        405 | 413 | 503 => refused("the RPC server does not take the call"),
        400 | 404 if answer.body.first() != Some(&b'{') => refused("no JSON-RPC there"),
        _ => serde_json::from_slice(&answer.body).map_err(|e| {
            bad(&format!(
                "HTTP {}, {} bytes, {e}",
                answer.status,
                answer.body.len()
            ))
        }),
    }
}

fn take(reply: Reply, id: usize) -> Result<RawResult, Failure> {
    if let Some(ReplyError { code, message }) = reply.error {
        return Err(if code == WARMING_UP {
            Failure::Unreachable(format!("starting: {message}"))
        } else {
            Failure::Rejected { code, message }
        });
    }
    if reply.id != Some(id) {
        return Err(bad("a reply to another call"));
    }
    Ok(reply.result.unwrap_or_else(|| RawValue::NULL.to_owned()))
}

/// A [`Failure::BadResponse`] with its cause.
pub(crate) fn bad(what: &str) -> Failure {
    Failure::BadResponse(what.to_owned())
}
