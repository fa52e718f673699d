//! The development chain's JSON-RPC.

use crate::client::{self, Answer, Fault};
use crate::context::is_loopback;
use crate::failure::{Exit, Failure};
use crate::output::printable;
use crate::view::View;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::time::Duration;
use ureq::http::{Request, Uri};

/// JSON-RPC's code for a method that there is not.
const METHOD_NOT_FOUND: &str = "-32601";

/// A devnet's JSON-RPC. It shows no password.
pub struct Rpc {
    url: String,
    authorization: String,
    agent: ureq::Agent,
}

impl Rpc {
    /// Reads `http://user:password@host:port`.
    ///
    /// # Errors
    /// What is wrong with it, without the password.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, Failure> {
        let wrong =
            || Failure::usage("--rpc-url must be like http://devnet:devnet@127.0.0.1:18332");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let scheme = uri.scheme_str().unwrap_or_default();
        let authority = uri.authority().ok_or_else(wrong)?.as_str();
        let (user, host) = authority.rsplit_once('@').ok_or_else(wrong)?;
        if !["http", "https"].contains(&scheme) || host.is_empty() || !user.contains(':') {
            return Err(wrong());
        }
        let credentials: Vec<u8> = percent_decode_str(user).collect();
        Ok(Rpc {
            url: format!("{scheme}://{host}{}", uri.path()),
            authorization: format!("Basic {}", STANDARD.encode(credentials)),
            agent: client::agent(timeout, is_loopback(uri.host().unwrap_or_default())),
        })
    }

    /// Calls a method, once: money from nowhere needs no idempotency.
    ///
    /// # Errors
    /// The devnet's error, or no answer.
    pub fn call(&self, method: &str, params: &Value) -> Result<Answer, Failure> {
        let body = json!({"jsonrpc": "1.0", "id": "duxwallet", "method": method, "params": params});
        let request = Request::post(&self.url)
            .header("Authorization", &self.authorization)
            .header("Content-Type", "application/json")
            .body(body.to_string())
            .map_err(|_| Failure::usage("--rpc-url cannot be used"))?;
        let answer = client::read(self.agent.run(request)).map_err(|fault| match fault {
            Fault::NotSent(cause) => Failure::new(
                Exit::Unreachable,
                format!("cannot reach the devnet at {}: {cause}", self.url),
            )
            .hint("start one with `runtime-host up --devnet`, or see --rpc-url"),
            Fault::Unanswered(cause) => Failure::new(
                Exit::Unknown,
                format!("no answer from the devnet at {}: {cause}", self.url),
            ),
        })?;
        if answer.status == 401 || answer.status == 403 {
            return Err(Failure::new(
                Exit::Refused,
                "the devnet refuses the user or password of --rpc-url",
            ));
        }
        let view = View::parse(&answer.body);
        let code = view.text("/error/code");
        if code != "-" {
            let message = format!("{} [{}]", view.text("/error/message"), printable(&code));
            let failure = Failure::new(Exit::Refused, message).body(&answer.body);
            return Err(if code == METHOD_NOT_FOUND {
                failure.hint("this node is no devnet")
            } else {
                failure
            });
        }
        if !answer.is_success() {
            let message = format!("the devnet answered HTTP {}", answer.status);
            return Err(Failure::new(Exit::Refused, message).body(&answer.body));
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_taken_apart() {
        let rpc = Rpc::new("http://us:p%40ss@127.0.0.1:1/", Duration::from_secs(1)).unwrap();
        assert_eq!(rpc.url, "http://127.0.0.1:1/");
        assert_eq!(
            rpc.authorization,
            format!("Basic {}", STANDARD.encode("us:p@ss"))
        );
        for bad in [
            "",
            "127.0.0.1:1",
            "http://127.0.0.1:1",
            "http://u@h",
            "ftp://u:secret@h",
        ] {
            let failure = Rpc::new(bad, Duration::from_secs(1)).err().unwrap();
            assert!(!failure.message.contains("secret"));
        }
    }
}
