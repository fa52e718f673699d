//! Requests to the service.

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::key_file::NodeKey;
use crate::output::{self, printable};
use crate::random;
use crate::retry::{self, Budget, Outcome, Standing};
use crate::sign::Signable;
use duxnet_api::problem::Code;
use duxnet_units::Network;
use serde::Deserialize;
use std::io::ErrorKind;
use std::time::Duration;
use ureq::http::{Request, Response};
use ureq::{Agent, Body, Timeout};

/// No answer of the service is longer, in bytes.
const MAX_ANSWER_BYTES: u64 = 4 * 1024 * 1024;
/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A difference of clocks, in seconds, that is worth a word.
const CLOCK_DIFFERENCE_SECONDS: u64 = 5;
/// What the requests call themselves.
pub const USER_AGENT: &str = concat!("duxwallet/", env!("CARGO_PKG_VERSION"));

/// An answer, read whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body as it came.
    pub body: Vec<u8>,
    /// When the service wants to be asked again.
    pub retry_after: Option<Duration>,
    /// Whether this is the answer to a repeat.
    pub is_replayed: bool,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The request has certainly not reached the service.
    NotSent(String),
    /// It may have.
    Unanswered(String),
}

/// The service's problem body, as far as the client reads it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Problem {
    message: String,
    /// What a program goes by.
    pub code: String,
    detail: Option<String>,
    /// Whether the same request may pass later.
    #[serde(default)]
    pub retryable: bool,
    server_time: Option<i64>,
}

impl Answer {
    /// Whether the service did what was asked.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The problem in the body, if it is one.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The refusal as a failure.
    #[must_use]
    pub fn refusal(&self) -> Failure {
        let Some(problem) = self.problem() else {
            let message = format!("the service answered HTTP {} without a reason", self.status);
            return Failure::new(Exit::Refused, message)
                .hint("is this the wallet service? see --url")
                .body(&self.body);
        };
        let detail = problem
            .detail
            .map(|detail| format!(" ({})", printable(&detail)))
            .unwrap_or_default();
        let mut failure = Failure::new(
            Exit::Refused,
            format!(
                "{}{detail} [{}]",
                printable(&problem.message),
                printable(&problem.code)
            ),
        )
        .body(&self.body);
        failure.is_repeatable = problem.retryable;
        if problem.code == Code::AuthenticationFailed.name() {
            failure = failure.hint(
                "is the node registered (duxwallet node register) with this --key, and --network the service's?",
            );
        }
        if let Some(seconds) = self.retry_after.map(|after| after.as_secs()) {
            failure = failure.hint(format!("may pass in {seconds} s"));
        }
        if let Some(server_time) = problem.server_time {
            let difference = clock::unix_seconds().abs_diff(server_time);
            if difference > CLOCK_DIFFERENCE_SECONDS {
                failure = failure.hint(format!(
                    "this machine's clock and the service's differ by {difference} s"
                ));
            }
        }
        failure
    }
}

/// A request that changes something.
pub struct Post<'a> {
    /// The path.
    pub target: &'a str,
    /// Who signs.
    pub key: &'a NodeKey,
    /// What makes a repeat the same request.
    pub idempotency_key: &'a str,
    /// The body for a signature's time.
    pub body: &'a dyn Fn(i64) -> String,
}

/// Asks one service.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    url: String,
    network: Network,
    retries: u32,
}

impl Client {
    /// A client of the service at `url`.
    #[must_use]
    pub fn new(
        url: String,
        network: Network,
        timeout: Duration,
        retries: u32,
        is_local: bool,
    ) -> Self {
        Client {
            agent: agent(timeout, is_local),
            url,
            network,
            retries,
        }
    }

    /// Looks something up. `key` signs, where there is one.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub fn get(&self, target: &str, key: Option<&NodeKey>) -> Result<Answer, Failure> {
        let answer = self.get_any(target, key)?;
        if answer.is_success() {
            Ok(answer)
        } else {
            Err(answer.refusal())
        }
    }

    /// As [`Client::get`], whatever the status.
    ///
    /// # Errors
    /// No answer.
    pub fn get_any(&self, target: &str, key: Option<&NodeKey>) -> Result<Answer, Failure> {
        let mut request = self.request("GET", target);
        if let Some(key) = key {
            let headers = self.signable("GET", target, b"").sign(key)?;
            for (name, value) in headers.0 {
                request = request.header(name, value);
            }
        }
        let request = request.body(()).map_err(|e| unusable(&e))?;
        read(self.agent.run(request)).map_err(|fault| self.unreachable(&fault))
    }

    /// Has something done, again after a failure that may pass: with the same idempotency key, and
    /// signed anew.
    ///
    /// # Errors
    /// A refusal, no answer, or an outcome that is not known.
    pub fn post(&self, post: &Post<'_>) -> Result<Answer, Failure> {
        self.change("POST", post)
    }

    /// As [`Client::post`], by another method.
    ///
    /// # Errors
    /// As there.
    pub fn change(&self, method: &str, post: &Post<'_>) -> Result<Answer, Failure> {
        let mut budget = Budget::new(self.retries);
        let mut is_uncertain = false;
        loop {
            let outcome = self.change_once(method, post)?;
            is_uncertain |= retry::standing(&outcome) == Standing::Uncertain;
            let Some(pause) = budget.next_pause(&outcome) else {
                return self.conclude(outcome, is_uncertain);
            };
            output::note(&format!(
                "{}; trying again in {} ms, with the same idempotency key",
                reason(&outcome),
                pause.as_millis()
            ));
            std::thread::sleep(pause);
        }
    }

    fn change_once(&self, method: &str, post: &Post<'_>) -> Result<Outcome, Failure> {
        let timestamp = clock::unix_seconds();
        let body = (post.body)(timestamp).into_bytes();
        let headers = self.signable(method, post.target, &body).sign_at(
            post.key,
            timestamp,
            &random::token()?,
        );
        let mut request = self
            .request(method, post.target)
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", post.idempotency_key);
        for (name, value) in headers.0 {
            request = request.header(name, value);
        }
        let request = request.body(body).map_err(|e| unusable(&e))?;
        Ok(read(self.agent.run(request)))
    }

    fn conclude(&self, outcome: Outcome, is_uncertain: bool) -> Result<Answer, Failure> {
        let mut failure = match outcome {
            Ok(answer) if answer.status == 202 => outstanding(&answer),
            Ok(answer) if answer.is_success() => return Ok(answer),
            Ok(answer) => {
                let mut failure = answer.refusal();
                if is_uncertain && !retry::settles(answer.status) {
                    failure.exit = Exit::Unknown;
                }
                failure
            }
            Err(fault) => {
                let mut failure = self.unreachable(&fault);
                if is_uncertain {
                    failure.exit = Exit::Unknown;
                }
                failure
            }
        };
        if failure.exit == Exit::Unknown {
            failure.is_repeatable = true;
            failure.hints.insert(
                0,
                "the outcome is not known: the request may have been carried out".to_owned(),
            );
        }
        Err(failure)
    }

    fn request(&self, method: &str, target: &str) -> ureq::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.url))
            .header("Accept", "application/json")
    }

    fn signable<'a>(&self, method: &'a str, target: &'a str, body: &'a [u8]) -> Signable<'a> {
        Signable {
            network: self.network,
            method,
            target,
            body,
        }
    }

    fn unreachable(&self, fault: &Fault) -> Failure {
        let message = match fault {
            Fault::NotSent(cause) => format!("cannot reach {}: {cause}", self.url),
            Fault::Unanswered(cause) => format!("no answer from {}: {cause}", self.url),
        };
        Failure::new(Exit::Unreachable, message)
    }
}

/// The HTTP settings of all requests: no redirects, since a signature holds for one target; every
/// wait bounded; no proxy towards this machine; a new connection for each request, so that none
/// is lost on one that the other side has just closed.
#[must_use]
pub fn agent(timeout: Duration, is_local: bool) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .user_agent(USER_AGENT)
        .timeout_global(Some(timeout))
        .timeout_connect(Some((timeout / 2).min(CONNECT_TIMEOUT)));
    if is_local {
        config.proxy(None).build().new_agent()
    } else {
        config.build().new_agent()
    }
}

/// Reads an answer whole.
///
/// # Errors
/// See [`Fault`].
pub fn read(result: Result<Response<Body>, ureq::Error>) -> Outcome {
    let response = result.map_err(|error| fault(&error))?;
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let retry_after = header("retry-after")
        .and_then(|text| text.parse().ok())
        .map(Duration::from_secs);
    let is_replayed = header("idempotency-replayed") == Some("true");
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .with_config()
        .limit(MAX_ANSWER_BYTES)
        .read_to_vec()
        .map_err(|error| Fault::Unanswered(cause(&error)))?;
    Ok(Answer {
        status,
        body,
        retry_after,
        is_replayed,
    })
}

fn fault(error: &ureq::Error) -> Fault {
    let is_before_sending = match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::ConnectProxyFailed(_)
        | ureq::Error::InvalidProxyUrl
        | ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
        ureq::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::AddrNotAvailable
        ),
        _ => false,
    };
    if is_before_sending {
        Fault::NotSent(cause(error))
    } else {
        Fault::Unanswered(cause(error))
    }
}

fn cause(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        ureq::Error::HostNotFound => "host not found".to_owned(),
        ureq::Error::Timeout(_) => "timed out".to_owned(),
        other => other.to_string(),
    }
}

fn unusable(error: &ureq::http::Error) -> Failure {
    Failure::usage(format!("the request cannot be written: {error}"))
}

fn reason(outcome: &Outcome) -> String {
    match outcome {
        Err(Fault::NotSent(cause)) => format!("cannot reach the service: {cause}"),
        Err(Fault::Unanswered(cause)) => format!("no answer: {cause}"),
        Ok(answer) if answer.status == 202 => "the outcome is not yet known".to_owned(),
        Ok(answer) => answer.problem().map_or_else(
            || format!("HTTP {}", answer.status),
            |problem| printable(&problem.message),
        ),
    }
}

/// A payment that is made, and of which the chain node has not yet been heard.
fn outstanding(answer: &Answer) -> Failure {
    let view = crate::view::View::parse(&answer.body);
    Failure::new(
        Exit::Unknown,
        format!(
            "the payment is made and its outcome not yet known (payment {}, txid {}) [{}]",
            view.text("/payment_id"),
            view.text("/txid"),
            view.text("/state")
        ),
    )
    .body(&answer.body)
}
