//! What names a request: in the log, in the answer, to the component, and where
//! the client says so, in what went before.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The header that names a request, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const MAX_BYTES: usize = 64;

/// The name of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    bytes: [u8; MAX_BYTES],
    length: u8,
}

impl RequestId {
    /// An id that no other request has, of this process or, most likely, of an
    /// earlier one.
    pub fn next() -> Self {
        static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = START.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        let mut bytes = [0; MAX_BYTES];
        for (place, digit) in bytes.iter_mut().zip((0..16).rev()) {
            let nibble = (number >> (4 * digit)) & 0xf;
            *place = b"0123456789abcdef"[nibble as usize];
        }
        Self { bytes, length: 16 }
    }

    /// The one that `headers` tell, if there is exactly one and it is 1 to 64
    /// letters, digits and `-._:/+=`, or another.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(X_REQUEST_ID).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Self::parse(value.as_bytes()).unwrap_or_else(Self::next),
            _ => Self::next(),
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-._:/+=".contains(b);
        let mut bytes = [0; MAX_BYTES];
        let place = bytes.get_mut(..text.len())?;
        if text.is_empty() || !text.iter().all(allowed) {
            return None;
        }
        place.copy_from_slice(text);
        let length = u8::try_from(text.len()).ok()?;
        Some(Self { bytes, length })
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length));
        std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }

    /// As the value of a header.
    pub fn header(&self) -> HeaderValue {
        // All its characters are allowed there.
        HeaderValue::from_str(self.as_str()).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_names_its_request_only_with_harmless_characters() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(X_REQUEST_ID, HeaderValue::from_str(value).unwrap());
            }
            RequestId::of(&headers).to_string()
        };
        let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(of(&[uuid]), uuid);
        assert_eq!(of(&["Root=1-67:a/b+c="]), "Root=1-67:a/b+c=");
        let longest = "x".repeat(64);
        assert_eq!(of(&[&longest]), longest);
        let longer = "x".repeat(65);
        let bad: [&[&str]; 6] = [&[], &[""], &["a b"], &["a\"b"], &[&longer], &["a", "a"]];
        for values in bad {
            let id = of(values);
            assert!(
                id.len() == 16 && !values.contains(&id.as_str()),
                "{values:?}: {id}"
            );
        }
        assert_ne!(RequestId::next(), RequestId::next());
    }
}
