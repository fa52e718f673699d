//! JSON as Core reads and writes it.
//!
//! Three of its habits are visible to clients and none is serde_json's: number tokens come back as
//! they were sent, members keep their order and may repeat (the first one counts), and control
//! characters are escaped its own way. So values are kept in an own type; the text is still read
//! by serde_json, one level at a time.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::amount::Florins;

/// Deepest nesting that a request may have (UniValue's limit).
const MAX_DEPTH: usize = 512;

/// A JSON value that keeps number tokens and repeated members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The token of a number, as it was or will be written.
    Number(String),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<Json>),
    /// Members in order, repeated ones included.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole text; `None` when it is not strict JSON or too deeply nested.
    #[must_use]
    pub fn parse(text: &str) -> Option<Json> {
        let raw: &RawValue = serde_json::from_str(text).ok()?;
        parse_level(raw.get(), 0)
    }

    /// A whole number.
    pub fn int(number: impl Into<i128>) -> Json {
        Json::Number(number.into().to_string())
    }

    /// A size or a count.
    #[must_use]
    pub fn size(number: usize) -> Json {
        Json::Number(number.to_string())
    }

    /// An amount in FLOP with eight decimals.
    #[must_use]
    pub fn amount(amount: Florins) -> Json {
        Json::Number(amount.to_string())
    }

    /// A text.
    pub fn text(text: impl fmt::Display) -> Json {
        Json::String(text.to_string())
    }

    /// The first member of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Json::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// Core's word for the type of this value.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "bool",
            Json::Number(_) => "number",
            Json::String(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(true) => out.push_str("true"),
            Json::Bool(false) => out.push_str("false"),
            Json::Number(token) => out.push_str(token),
            Json::String(text) => write_string(text, out),
            Json::Array(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    element.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        formatter.write_str(&out)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Json {
        Json::String(text)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Json {
        Json::Bool(value)
    }
}

impl From<Florins> for Json {
    fn from(amount: Florins) -> Json {
        Json::amount(amount)
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Json {
        Json::Object(object.0)
    }
}

/// Builds an object member by member, in order.
#[derive(Clone, Debug, Default)]
pub struct Object(Vec<(String, Json)>);

impl Object {
    /// An object without members.
    #[must_use]
    pub fn new() -> Self {
        Object::default()
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.push(name, value);
        self
    }

    /// With one more member, if there is a value for it.
    #[must_use]
    pub fn with_some(mut self, name: &str, value: Option<impl Into<Json>>) -> Self {
        if let Some(value) = value {
            self.push(name, value);
        }
        self
    }

    /// Appends a member.
    pub fn push(&mut self, name: &str, value: impl Into<Json>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Appends all members of another object.
    pub fn extend(&mut self, other: Object) {
        self.0.extend(other.0);
    }
}

fn parse_level(text: &str, depth: usize) -> Option<Json> {
    if depth > MAX_DEPTH {
        return None;
    }
    match text.as_bytes().first()? {
        b'n' => Some(Json::Null),
        b't' => Some(Json::Bool(true)),
        b'f' => Some(Json::Bool(false)),
        b'"' => serde_json::from_str(text).ok().map(Json::String),
        b'[' => {
            let elements: Elements<'_> = serde_json::from_str(text).ok()?;
            let values = elements
                .0
                .into_iter()
                .map(|raw| parse_level(raw.get(), depth + 1));
            values.collect::<Option<Vec<_>>>().map(Json::Array)
        }
        b'{' => {
            let members: Members<'_> = serde_json::from_str(text).ok()?;
            let values = members
                .0
                .into_iter()
                .map(|(name, raw)| parse_level(raw.get(), depth + 1).map(|value| (name, value)));
            values.collect::<Option<Vec<_>>>().map(Json::Object)
        }
        _ => Some(Json::Number(text.to_owned())),
    }
}

/// The elements of one list, unread.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Elements<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

/// The members of one object, unread, repeated ones included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '\u{7f}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keeps_number_tokens_and_repeated_members() {
        let text = r#"{"a":1.50,"a":123456789012345678901234567890,"b":[1e400,-0,{"c":null}]}"#;
        let value = Json::parse(text).unwrap();
        assert_eq!(value.to_string(), text);
        assert_eq!(value.get("a"), Some(&Json::Number("1.50".into())));
    }

    #[test]
    fn refuses_what_core_refuses() {
        for text in [
            "",
            "{",
            "hello",
            "{\"a\":1,}",
            "{'a':1}",
            "{/**/}",
            "\u{feff}{}",
            "[01]",
            "[.5]",
            "[1.]",
            "[+1]",
            "[NaN]",
            "{} x",
            "[\"bad\\ud800\"]",
            "[\"\u{1}\"]",
        ] {
            assert_eq!(Json::parse(text), None, "{text:?}");
        }
        assert!(Json::parse(&format!("{}{}", "[".repeat(600), "]".repeat(600))).is_none());
        assert!(Json::parse(&format!("{}{}", "[".repeat(500), "]".repeat(500))).is_some());
    }

    #[test]
    fn escapes_like_core() {
        let value =
            Json::parse(r#""q\"b\\n\nt\td\u007f/\u0000 \u00e9\u20ac\ud83d\ude00""#).unwrap();
        assert_eq!(
            value.to_string(),
            "\"q\\\"b\\\\n\\nt\\td\\u007f/\\u0000 é€😀\""
        );
    }
}
