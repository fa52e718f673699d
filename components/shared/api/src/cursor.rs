//! Opaque page cursors.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A cursor that stands after the row of this id.
#[must_use]
pub fn encode(id: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("v1:{id}"))
}

/// The row id that a cursor stands after; none for a text that was never a cursor.
#[must_use]
pub fn decode(cursor: &str) -> Option<i64> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let id: i64 = std::str::from_utf8(&bytes)
        .ok()?
        .strip_prefix("v1:")?
        .parse()
        .ok()?;
    (id > 0).then_some(id)
}

/// A cursor that stands after a name.
#[must_use]
pub fn encode_name(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("n1:{name}"))
}

/// The name that a cursor stands after; none for a text that was never a cursor.
#[must_use]
pub fn decode_name(cursor: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let name = std::str::from_utf8(&bytes).ok()?.strip_prefix("n1:")?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_a_forged_one_does_not() {
        assert_eq!(decode(&encode(42)), Some(42));
        for bad in ["", "42", "djE6LTE", "****"] {
            assert_eq!(decode(bad), None, "{bad}");
            assert_eq!(decode_name(bad), None, "{bad}");
        }
        assert_eq!(decode_name(&encode_name("gpu")).as_deref(), Some("gpu"));
        assert_eq!(
            (decode(&encode_name("gpu")), decode_name(&encode(42))),
            (None, None)
        );
    }
}
