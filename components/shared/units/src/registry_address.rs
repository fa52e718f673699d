//! Where another registry can be reached.

use crate::net::{Reach, Target};
use std::net::Ipv6Addr;

/// Longest address, bytes.
const MAX_ADDRESS_BYTES: usize = 256;

/// Whether this is the address of a registry: `http://` or `https://`, a host, perhaps a port, and
/// nothing else.
#[must_use]
pub fn is_registry_address(text: &str) -> bool {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    text.len() <= MAX_ADDRESS_BYTES && rest.is_some_and(is_authority)
}

fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => (host, port),
            _ => return false,
        },
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let is_port = |digits: &str| {
        digits.bytes().all(|b| b.is_ascii_digit())
            && digits.parse::<u16>().is_ok_and(|port| port != 0)
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_:".contains(&b);
    !host.is_empty()
        && host.bytes().all(allowed)
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// Whether the address of a registry is on the public internet. Registries sign what they say, so
/// unlike a webhook it may be plain http.
#[must_use]
pub fn is_public_registry(address: &str) -> bool {
    let secure = address.replacen("http://", "https://", 1);
    is_registry_address(address) && Target::parse(&secure, Reach::Public).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_scheme_host_and_port_and_nothing_else() {
        for good in [
            "https://a.example:8443",
            "http://127.0.0.1",
            "http://[::1]:9",
        ] {
            assert!(is_registry_address(good), "{good}");
        }
        for bad in [
            "",
            "a.example",
            "ftp://a.example",
            "http://",
            "http://a/",
            "http://a?x",
            "http://u@a",
            "http://a:0",
            "http://a:99999",
            "http://a:",
            "http://a:+1",
            "http://a b",
            "http://[::1",
            "http://[a]",
        ] {
            assert!(!is_registry_address(bad), "{bad}");
        }
        assert!(!is_registry_address(&format!("http://{}", "a".repeat(250))));
    }

    #[test]
    fn private_hosts_are_not_public_in_either_scheme() {
        for host in [
            "localhost",
            "db.internal",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "10.0.0.1",
            "169.254.169.254",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "[fe80::1]",
        ] {
            for scheme in ["http", "https"] {
                let address = format!("{scheme}://{host}:80");
                assert!(!is_public_registry(&address), "{address}");
            }
        }
        for public in [
            "http://a.example",
            "https://8.8.8.8:9",
            "http://[2606:4700::1111]",
        ] {
            assert!(is_public_registry(public), "{public}");
        }
        assert!(!is_public_registry("http://a.example/path"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = (is_registry_address(&text), is_public_registry(&text));
        }
    }
}
