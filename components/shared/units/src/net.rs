//! Addresses of other services: which are well formed, and which are on the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest address of a registry, bytes.
const MAX_ADDRESS_BYTES: usize = 256;

/// Names that lead to private networks whatever they resolve to.
const PRIVATE_NAMES: [&str; 6] = [
    "localhost",
    "local",
    "internal",
    "lan",
    "home.arpa",
    "intranet",
];

/// The host of a registry's address: `http://` or `https://`, a host, perhaps a port, nothing else.
/// None for any other text.
#[must_use]
pub fn registry_host(address: &str) -> Option<&str> {
    let rest = address
        .strip_prefix("http://")
        .or_else(|| address.strip_prefix("https://"))?;
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, port)
        }
        None => rest.find(':').map_or((rest, ""), |at| rest.split_at(at)),
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.bytes().all(|b| b.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|port| port != 0)
        });
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_:".contains(&b);
    (address.len() <= MAX_ADDRESS_BYTES && !host.is_empty() && host.bytes().all(allowed) && is_port)
        .then_some(host)
}

/// Whether a host, an IP address (without brackets) or a name, may be on the public internet. What a
/// name resolves to is not known here; whoever connects has to look again.
#[must_use]
pub fn is_public_host(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if let Ok(ip) = host.parse::<IpAddr>() {
        return is_public_ip(ip);
    }
    let Some(last) = host.rsplit('.').next().filter(|last| !last.is_empty()) else {
        return false;
    };
    // A last label of digits is an IPv4 address in one of its odd forms: 127.1, 0x7f.1, 2130706433.
    let is_numeric =
        last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") && last.len() > 1;
    let is_private = PRIVATE_NAMES.iter().any(|name| {
        host.strip_suffix(name)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    !is_numeric && !is_private && host.contains('.')
}

/// Whether an IP address is on the public internet.
#[must_use]
pub fn is_public_ip(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        // Shared address space, protocol assignments, benchmarks.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    // What embeds an IPv4 address reaches that one: mapped, compatible, NAT64, 6to4.
    let [.., c, d] = ip.segments();
    let embedded = match ip.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some((c, d)),
        [0x2002, c, d, ..] => Some((c, d)),
        _ => None,
    };
    if let Some((c, d)) = embedded {
        let ([w, x], [y, z]) = (c.to_be_bytes(), d.to_be_bytes());
        return is_public_v4(Ipv4Addr::new(w, x, y, z));
    }
    // Global unicast, but for Teredo and documentation.
    first & 0xe000 == 0x2000 && !(first == 0x2001 && (second == 0 || second == 0xdb8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_scheme_host_and_port_and_nothing_else() {
        assert_eq!(registry_host("https://a.example:8443"), Some("a.example"));
        assert_eq!(registry_host("http://127.0.0.1"), Some("127.0.0.1"));
        assert_eq!(registry_host("http://[::1]:9"), Some("::1"));
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
            assert_eq!(registry_host(bad), None, "{bad}");
        }
    }

    #[test]
    fn private_hosts_in_every_disguise_are_not_public() {
        for private in [
            "localhost",
            "LOCALHOST.",
            "x.localhost",
            "db.internal",
            "printer.local",
            "host",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0x7f000001",
            "10.0.0.1",
            "172.16.5.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "ff02::1",
            "",
            ".",
        ] {
            assert!(!is_public_host(private), "{private}");
        }
        for public in ["a.example", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public_host(public), "{public}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = (registry_host(&text), is_public_host(&text));
        }
    }
}
