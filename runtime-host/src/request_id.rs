//! What names a request: in the log, in the answer to it, and for the component.

use std::fmt::{self, Write as _};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// The header that carries it, in both directions.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest that is taken from a client.
const MAX_BYTES: usize = 64;

/// A request's id: the client's, or one that no other request has, of this
/// process or, most likely, of an earlier one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    text: [u8; MAX_BYTES],
    length: u8,
}

impl RequestId {
    /// A new one.
    pub fn next() -> Self {
        static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = START.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        let mut id = Self {
            text: [0; MAX_BYTES],
            length: 0,
        };
        // It has 16 digits, for which there is room.
        let _ = write!(id, "{number:016x}");
        id
    }

    /// The one that a request with `headers` brings, if it is the only one, not
    /// too long, and of letters, digits and `-_.:/+=` alone; else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(HEADER).iter();
        match (given.next(), given.next()) {
            (Some(id), None) => Self::parse(id.as_bytes()).unwrap_or_else(Self::next),
            _ => Self::next(),
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
        let mut text = [0; MAX_BYTES];
        text.get_mut(..bytes.len())?.copy_from_slice(bytes);
        (!bytes.is_empty() && bytes.iter().all(plain)).then_some(Self {
            text,
            length: u8::try_from(bytes.len()).ok()?,
        })
    }

    /// Puts it among `headers`, in the place of any other.
    pub fn put(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(self.as_str()) {
            headers.insert(HEADER, value);
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let text = self.text.get(..usize::from(self.length));
        std::str::from_utf8(text.unwrap_or_default()).unwrap_or_default()
    }
}

impl fmt::Write for RequestId {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = usize::from(self.length) + text.len();
        let room = self.text.get_mut(usize::from(self.length)..end);
        room.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = u8::try_from(end).map_err(|_| fmt::Error)?;
        Ok(())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &[&str]) -> RequestId {
        let mut headers = HeaderMap::new();
        for id in ids {
            headers.append(HEADER, HeaderValue::from_str(id).unwrap());
        }
        RequestId::of(&headers)
    }

    #[test]
    fn a_client_s_id_is_kept_if_it_is_plain() {
        let longest = "a".repeat(MAX_BYTES);
        for id in ["x", "4bf92f35-77b3_4d.a:6/+=", &longest] {
            assert_eq!(of(&[id]).as_str(), id);
        }
        let too_long = "a".repeat(MAX_BYTES + 1);
        for bad in [
            &[][..],
            &[""],
            &["a b"],
            &["a\"b"],
            &["a", "a"],
            &[&too_long],
        ] {
            let id = of(bad).to_string();
            assert_eq!(id.len(), 16, "{bad:?}");
            assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
    }

    #[test]
    fn no_two_are_the_same() {
        assert_ne!(RequestId::next(), RequestId::next());
    }
}
