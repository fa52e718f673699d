//! Where the service may send a request that a stranger asked for (server-side request forgery).
//!
//! A URL is read by the parser that later sends the request, so that both see the same host. What a
//! name resolves to only the host knows: `private_networks` of runtime-host, and Spin's
//! `block_networks`, judge the addresses again.

use http::Uri;
use public_address::is_public;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest URL, bytes.
pub const MAX_URL_BYTES: usize = 512;
/// Longest name (RFC 1035), bytes.
const MAX_NAME_BYTES: usize = 253;
/// Longest part of a name, bytes.
const MAX_LABEL_BYTES: usize = 63;
/// Names that are not of the public DNS: RFC 6761, 6762, 8375, 9476, ICANN's `internal`, and what
/// Spin gives to components.
const PRIVATE_SUFFIXES: [&str; 12] = [
    "localhost",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "localdomain",
    "home.arpa",
    "alt",
    "onion",
];

/// Whether requests may go into private networks, and be plain http there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Public addresses, https.
    Public,
    /// Anywhere, https or http.
    Anywhere,
}

/// Why a URL is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TargetError {
    /// No URL, or one that is too long.
    #[error("must be an absolute URL of at most {MAX_URL_BYTES} visible ASCII characters")]
    Malformed,
    /// Another scheme.
    #[error("must begin with https://")]
    Scheme,
    /// User or password in it.
    #[error("must not have a user or password")]
    UserInfo,
    /// `#...`
    #[error("must not have a fragment")]
    Fragment,
    /// Port 0.
    #[error("has a port that is none")]
    Port,
    /// Neither an address as it is usually written nor a name.
    #[error("has a host that is neither a name nor an address in its usual form")]
    Host,
    /// A name or an address that is not public.
    #[error("must lead to a public host")]
    Private,
}

/// A URL that requests may be sent to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target(String);

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn parse(text: &str, reach: Reach) -> Result<Self, TargetError> {
        if text.len() > MAX_URL_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TargetError::Malformed);
        }
        if text.contains('#') {
            return Err(TargetError::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| TargetError::Malformed)?;
        let authority = uri.authority().ok_or(TargetError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(TargetError::UserInfo);
        }
        match (uri.scheme_str(), reach) {
            (Some("https"), _) | (Some("http"), Reach::Anywhere) => {}
            _ => return Err(TargetError::Scheme),
        }
        let has_port = authority.as_str().len() > authority.host().len();
        if has_port && matches!(authority.port_u16(), None | Some(0)) {
            return Err(TargetError::Port);
        }
        match (Host::parse(authority.host())?.is_public(), reach) {
            (true, _) | (false, Reach::Anywhere) => Ok(Target(text.to_owned())),
            (false, Reach::Public) => Err(TargetError::Private),
        }
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

enum Host<'a> {
    Address(IpAddr),
    Name(&'a str),
}

impl<'a> Host<'a> {
    /// Addresses only as they are usually written: what some resolver would read as another one
    /// (`0x7f.1`, `2130706433`, `127.1`) is refused.
    fn parse(text: &'a str) -> Result<Self, TargetError> {
        if let Some(inside) = text.strip_prefix('[') {
            let inside = inside.strip_suffix(']').ok_or(TargetError::Host)?;
            let address: Ipv6Addr = inside.parse().map_err(|_| TargetError::Host)?;
            return Ok(Host::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Host::Address(address.into()));
        }
        let is_label = |label: &str| {
            (1..=MAX_LABEL_BYTES).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // No top-level domain begins with a digit; what does is an address in disguise.
        let top = text.rsplit('.').next().unwrap_or_default();
        if text.len() > MAX_NAME_BYTES
            || !text.split('.').all(is_label)
            || top.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(TargetError::Host);
        }
        Ok(Host::Name(text))
    }

    fn is_public(&self) -> bool {
        match self {
            Host::Address(address) => is_public(*address),
            Host::Name(name) => is_public_name(name),
        }
    }
}

fn is_public_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_under = |suffix: &&str| {
        name.strip_suffix(*suffix)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    name.contains('.') && !PRIVATE_SUFFIXES.iter().any(is_under)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn public(url: &str) -> Result<Target, TargetError> {
        Target::parse(url, Reach::Public)
    }

    #[test]
    fn public_https_urls_are_taken_as_they_are() {
        for url in [
            "https://example.com",
            "https://example.com/hook?x=1",
            "https://EXAMPLE.com:8443/hook",
            "https://xn--bcher-kva.example.org/",
            "https://a_b.example.com/",
            "https://93.184.216.34/hook",
            "https://[2606:4700::1111]:443/hook",
        ] {
            assert_eq!(public(url).map(|target| target.to_string()), Ok(url.into()));
        }
    }

    #[test]
    fn what_is_no_plain_url_is_refused() {
        for (url, why) in [
            ("", TargetError::Malformed),
            ("example.com", TargetError::Scheme),
            ("/hook", TargetError::Malformed),
            ("https:///hook", TargetError::Malformed),
            ("https://exämple.com/", TargetError::Malformed),
            ("https://example.com/a b", TargetError::Malformed),
            ("https://example.com/\r\nx: y", TargetError::Malformed),
            ("http://example.com/", TargetError::Scheme),
            ("ftp://example.com/", TargetError::Scheme),
            ("file://example.com/etc/passwd", TargetError::Scheme),
            ("https://me@example.com/", TargetError::UserInfo),
            ("https://example.com@127.0.0.1/", TargetError::UserInfo),
            ("https://example.com/#top", TargetError::Fragment),
            ("https://example.com:0/", TargetError::Port),
            ("https://example.com:/", TargetError::Port),
            ("https://example..com/", TargetError::Host),
            ("https://example.com./", TargetError::Host),
            ("https://-a.example.com/", TargetError::Host),
        ] {
            assert_eq!(public(url), Err(why), "{url}");
        }
        let long = format!("https://example.com/{}", "x".repeat(MAX_URL_BYTES));
        assert_eq!(public(&long), Err(TargetError::Malformed));
    }

    #[test]
    fn addresses_in_disguise_are_none() {
        for host in [
            "2130706433",
            "0x7f000001",
            "017700000001",
            "127.1",
            "127.0.0.0x1",
            "0177.0.0.1",
            "0127.0.0.1",
            "127.0.0.1.",
            "example.1",
        ] {
            let found = public(&format!("https://{host}/"));
            assert_eq!(found, Err(TargetError::Host), "{host}");
        }
    }

    #[test]
    fn private_hosts_are_refused_unless_they_are_allowed() {
        for host in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "intranet",
            "printer.local",
            "metadata.google.internal",
            "settings.spin.internal",
            "router.home.arpa",
            "self.alt",
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.9",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:93.184.216.34]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::1]",
            "[100::1]",
            "[2001::1]",
            "[2001:10::1]",
            "[2001:db8::1]",
            "[2002:7f00:1::1]",
            "[3fff::1]",
            "[5f00::1]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[ff0e::1]",
        ] {
            let url = format!("https://{host}/hook");
            assert_eq!(public(&url), Err(TargetError::Private), "{host}");
            assert!(Target::parse(&url, Reach::Anywhere).is_ok(), "{host}");
        }
        assert!(Target::parse("http://127.0.0.1:8080/", Reach::Anywhere).is_ok());
        assert_eq!(
            Target::parse("ftp://127.0.0.1/", Reach::Anywhere),
            Err(TargetError::Scheme)
        );
        assert_eq!(
            Target::parse("http://2130706433/", Reach::Anywhere),
            Err(TargetError::Host)
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", tail in "[a-z0-9.:@/#\\[\\]%-]*") {
            let _ = Target::parse(&text, Reach::Public);
            let _ = Target::parse(&format!("https://{tail}"), Reach::Public);
        }

        #[test]
        fn an_address_is_judged_the_same_inside_a_url(bits in any::<u32>()) {
            let address = Ipv4Addr::from_bits(bits);
            let url = format!("https://{address}/");
            prop_assert_eq!(public(&url).is_ok(), is_public(address.into()));
        }
    }
}
