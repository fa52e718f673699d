//! Which addresses are of the public internet: one rule for the service, which judges what a stranger
//! writes, and for the host, which judges what a name resolves to.

use ip_network::{Ipv4Network, Ipv6Network};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether this is an address of the public internet, for one machine. Everything that IANA's
/// special-purpose registries set apart is not, and neither is an IPv6 address that stands for an
/// IPv4 one (mapped, translated, 6to4, Teredo).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            Ipv4Network::from(v4).is_global()
                && !v4.is_multicast()
                && !is_within_v4(v4, [192, 0, 0, 0], 24)
                && !is_within_v4(v4, [192, 88, 99, 0], 24)
        }
        IpAddr::V6(v6) => {
            // Only 2000::/3 is given out.
            is_within_v6(v6, 0x2000_0000, 3)
                && Ipv6Network::from(v6).is_global()
                // Protocol assignments, Teredo and ORCHID among them; 6to4; documentation (RFC 9637).
                && !is_within_v6(v6, 0x2001_0000, 23)
                && !is_within_v6(v6, 0x2002_0000, 16)
                && !is_within_v6(v6, 0x3fff_0000, 20)
        }
    }
}

fn is_within_v4(address: Ipv4Addr, network: [u8; 4], bits: u8) -> bool {
    Ipv4Network::new(network.into(), bits).is_ok_and(|network| network.contains(address))
}

/// `network` is the first 32 bits.
fn is_within_v6(address: Ipv6Addr, network: u32, bits: u8) -> bool {
    let first = Ipv6Addr::from_bits(u128::from(network) << 96);
    Ipv6Network::new(first, bits).is_ok_and(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_private_networks_are_public() {
        for text in [
            "9.255.255.255",
            "11.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "169.253.255.255",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2003::1",
            "2a00::1",
            "3ffe::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_set_apart_is_not() {
        for text in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.168.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:93.184.216.34",
            "64:ff9b::7f00:1",
            "2002:7f00:1::1",
            "fd12:3456::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }
}
