//! The service's JSON, as people read it. Numbers keep the text that they came with.

use crate::output::printable;
use serde_json::Value;

/// What stands where there is nothing.
const NOTHING: &str = "-";

/// A JSON value to look things up in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View(Value);

impl View {
    /// Reads a body; one that is no JSON holds nothing.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        View(serde_json::from_slice(body).unwrap_or_default())
    }

    /// The text at a JSON pointer, fit for a terminal; `-` for none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> String {
        self.0
            .pointer(pointer)
            .map_or_else(|| NOTHING.to_owned(), text_of)
    }

    /// The string at a JSON pointer as it came.
    #[must_use]
    pub fn string(&self, pointer: &str) -> Option<String> {
        self.0.pointer(pointer)?.as_str().map(str::to_owned)
    }

    /// The whole number at a JSON pointer.
    #[must_use]
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.0.pointer(pointer)?.as_u64()
    }

    /// The exact amount at a JSON pointer, with its currency.
    #[must_use]
    pub fn flop(&self, pointer: &str) -> String {
        match self.0.pointer(pointer) {
            Some(Value::Number(number)) => format!("{number} {}", duxnet_api::response::CURRENCY),
            _ => NOTHING.to_owned(),
        }
    }

    /// The entries of the list at a JSON pointer.
    #[must_use]
    pub fn list(&self, pointer: &str) -> Vec<View> {
        self.0
            .pointer(pointer)
            .and_then(Value::as_array)
            .map(|items| items.iter().cloned().map(View).collect())
            .unwrap_or_default()
    }

    /// The value as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.0.to_string()
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) => printable(text),
        Value::Array(items) if items.is_empty() => NOTHING.to_owned(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => printable(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_their_text() {
        let view = View::parse(br#"{"balance":90071992.54740993,"small":1e-8,"none":null}"#);
        assert_eq!(view.flop("/balance"), "90071992.54740993 FLOP");
        assert_eq!(view.text("/balance"), "90071992.54740993");
        assert_eq!(view.flop("/none"), "-");
        assert_eq!(view.text("/missing"), "-");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        let view = View::parse(br#"{"a":"x\u001b[31m\ny","b":["p","q"],"c":[]}"#);
        assert_eq!(view.text("/a"), "x\\u{1b}[31m\\ny");
        assert_eq!(view.text("/b"), "p, q");
        assert_eq!(view.text("/c"), "-");
    }
}
