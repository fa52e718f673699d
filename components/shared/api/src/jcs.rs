//! RFC 8785 (JCS): the one text of a JSON value, for signatures inside a body.

use crate::json::Object;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// Why a body has no canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JcsError {
    /// A number beyond the range of an IEEE double.
    #[error("a number is out of range")]
    NumberRange,
}

/// The canonical bytes of an object without its top-level member `without`.
///
/// Numbers become IEEE doubles here, as the RFC says; an amount that a double cannot hold must be
/// sent as a string, see [`number_text`].
///
/// # Errors
/// [`JcsError::NumberRange`].
pub fn canonical_object(object: &Object, without: &str) -> Result<Vec<u8>, JcsError> {
    let members = Members { object, without };
    serde_json_canonicalizer::to_vec(&members).map_err(|_| JcsError::NumberRange)
}

/// The text that a number literal has in canonical form.
///
/// # Errors
/// [`JcsError::NumberRange`].
pub fn number_text(literal: &str) -> Result<String, JcsError> {
    let value = double(literal).ok_or(JcsError::NumberRange)?;
    serde_json_canonicalizer::to_string(&value).map_err(|_| JcsError::NumberRange)
}

fn double(literal: &str) -> Option<f64> {
    literal.parse().ok().filter(|value: &f64| value.is_finite())
}

struct Members<'a> {
    object: &'a Object,
    without: &'a str,
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.object.iter().filter(|(key, _)| *key != self.without) {
            map.serialize_entry(key, &Canonical(value))?;
        }
        map.end()
    }
}

struct Canonical<'a>(&'a Value);

impl Serialize for Canonical<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(number) => match double(&number.to_string()) {
                Some(value) => serializer.serialize_f64(value),
                None => Err(serde::ser::Error::custom(JcsError::NumberRange)),
            },
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Canonical)),
            Value::Object(object) => Members {
                object,
                without: "",
            }
            .serialize_nested(serializer),
        }
    }
}

impl Members<'_> {
    /// A nested object keeps every member, one with an empty name too.
    fn serialize_nested<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.object
                .iter()
                .map(|(key, value)| (key, Canonical(value))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_object;

    fn canonical(text: &str) -> String {
        let object = parse_object(text.as_bytes()).unwrap();
        String::from_utf8(canonical_object(&object, "auth_data").unwrap()).unwrap()
    }

    #[test]
    fn the_rfcs_example_comes_out_as_printed() {
        // RFC 8785 section 3.2.2 and 3.2.3.
        let text =
            "{\"numbers\": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",
            \"literals\": [null, true, false]}";
        assert_eq!(
            canonical(text),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
    }

    #[test]
    fn keys_sort_by_utf_16_and_only_the_top_levels_auth_data_is_left_out() {
        assert_eq!(
            canonical(
                r#"{"b":1.0,"a":{"auth_data":1,"":2},"auth_data":{"x":1},"😀":1,"\ufb33":2}"#
            ),
            "{\"a\":{\"\":2,\"auth_data\":1},\"b\":1,\"😀\":1,\"\u{fb33}\":2}"
        );
    }

    #[test]
    fn a_number_that_no_double_holds_is_told() {
        let object = parse_object(br#"{"a":1e400}"#).unwrap();
        assert_eq!(canonical_object(&object, ""), Err(JcsError::NumberRange));
        assert_eq!(
            number_text("22517998.13685249").unwrap(),
            "22517998.13685249"
        );
        assert_eq!(
            number_text("90071992.54740993").unwrap(),
            "90071992.54740994"
        );
        assert_eq!(number_text("50.0").unwrap(), "50");
    }
}
