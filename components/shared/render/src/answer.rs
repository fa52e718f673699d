//! A success, before it is HTTP.

use duxnet_api::response::to_json;

/// A success.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// 2xx.
    pub status: u16,
    /// Of the body.
    pub content_type: &'static str,
    /// Whole.
    pub body: Vec<u8>,
    /// Whether this is the answer to an earlier request with the same idempotency key.
    pub replayed: bool,
}

/// The content type of bodies of the contract.
pub const JSON: &str = "application/json";

impl Answer {
    /// 200 with a body of the contract.
    #[must_use]
    pub fn ok(body: &impl serde::Serialize) -> Self {
        Answer::status(200, body)
    }

    /// Another status with a body of the contract.
    #[must_use]
    pub fn status(status: u16, body: &impl serde::Serialize) -> Self {
        Answer {
            status,
            content_type: JSON,
            body: to_json(body),
            replayed: false,
        }
    }

    /// 200 with a text.
    #[must_use]
    pub fn text(content_type: &'static str, text: String) -> Self {
        Answer {
            status: 200,
            content_type,
            body: text.into_bytes(),
            replayed: false,
        }
    }

    /// Marks the answer to a repeat.
    #[must_use]
    pub fn replayed(mut self, replayed: bool) -> Self {
        self.replayed = replayed;
        self
    }
}
