//! Request bodies, read strictly: UTF-8, one object, no key twice, bounded depth.

use crate::{MAX_JSON_DEPTH, problem::Problem};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// A request body's top-level members. Numbers keep the text they were written with.
pub type Object = Map<String, Value>;

/// Reads a body that must be one JSON object.
///
/// # Errors
/// 400 that says what is wrong and where.
pub fn parse_object(body: &[u8]) -> Result<Object, Problem> {
    let text = std::str::from_utf8(body).map_err(|e| {
        Problem::invalid_request(format!("body is not UTF-8 at byte {}", e.valid_up_to()))
    })?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|e| Problem::invalid_request(format!("body is not valid JSON: {e}")))?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Problem::invalid_request("body must be a JSON object")),
    }
}

/// Builds a [`Value`] and refuses what `serde_json` itself lets pass: a key twice (readers disagree
/// on which one counts) and deep nesting.
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(&self) -> Result<Strict, E> {
        if self.depth == MAX_JSON_DEPTH {
            return Err(E::custom(format_args!(
                "nested deeper than {MAX_JSON_DEPTH} levels"
            )));
        }
        Ok(Strict {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// serde_json hands over a number of arbitrary precision as a map with this one key.
const NUMBER_TOKEN: &str = "$serde_json::private::Number";

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.deeper()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == NUMBER_TOKEN {
                let literal: String = map.next_value()?;
                let number = literal.parse::<Number>().map_err(de::Error::custom)?;
                return Ok(Value::Number(number));
            }
            let value = map.next_value_seed(self.deeper()?)?;
            if object.contains_key(&key) {
                return Err(de::Error::custom(format_args!("key {key:?} stands twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn detail(body: &[u8]) -> String {
        parse_object(body).unwrap_err().detail.unwrap()
    }

    #[test]
    fn a_number_keeps_its_text() {
        let object = parse_object(br#"{"amount": 95749968.49424000}"#).unwrap();
        assert_eq!(object["amount"].to_string(), "95749968.49424000");
    }

    #[test]
    fn what_readers_disagree_on_is_refused() {
        assert!(detail(br#"{"a":1,"a":2}"#).contains("\"a\" stands twice"));
        assert!(detail(br#"{"a":{"b":1,"b":1}}"#).contains("\"b\" stands twice"));
        assert!(detail(b"\xff").contains("not UTF-8 at byte 0"));
        assert!(detail(b"[]").contains("must be a JSON object"));
        assert!(detail(b"").contains("not valid JSON"));
        assert!(detail(br#"{} {}"#).contains("not valid JSON"));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        assert!(detail(deep.as_bytes()).contains("nested deeper than 8 levels"));
    }

    #[test]
    fn a_forged_number_token_is_no_way_around() {
        assert!(parse_object(br#"{"amount":{"$serde_json::private::Number":"x"}}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_object(&bytes);
        }
    }
}
