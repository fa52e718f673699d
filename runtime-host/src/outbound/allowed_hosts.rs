//! `allowed_outbound_hosts`: where a component may connect to, by Spin's rules.
//!
//! An entry is `scheme://host[:port]`. Scheme and port may be `*`; the host may
//! be `*`, `*.domain`, a name, an address, a network in CIDR notation or
//! `self`; the port may be a range `a..b` without its end. Without a port the
//! scheme's usual one is meant. Nothing is allowed unless an entry allows it.

use ip_network::IpNetwork;
use url::Host;

use crate::config::template::Template;
use crate::config::variables::Variables;
use crate::fault::{Collector, Faults, Result};

/// Hosts under this domain are other components of the application in Spin.
const SERVICE_CHAINING_SUFFIX: &str = ".spin.internal";

/// The hosts of one component.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts {
    entries: Vec<Entry>,
    /// How each is written in the manifest.
    written: Vec<String>,
}

/// What a request is about to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host of the URL, with brackets if it is an IPv6 address.
    pub host: &'a str,
    /// The port of the URL, if one is written.
    pub port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    scheme: SchemeRule,
    host: HostRule,
    port: PortRule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum SchemeRule {
    Any,
    Exactly(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostRule {
    Any,
    /// Holds the domain with a dot before it.
    Subdomains(String),
    Exactly(Host),
    Network(IpNetwork),
    ToSelf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PortRule {
    Any,
    Exactly(u16),
    Range(std::ops::Range<u16>),
}

impl AllowedHosts {
    /// Reads the `entries` of a component, resolving templates over `variables`.
    ///
    /// A template that resolves to nothing, or to a scheme alone, allows
    /// nothing: so that an optional endpoint can be left empty.
    ///
    /// # Errors
    ///
    /// Every entry that is not one.
    pub fn parse(entries: &[String], variables: &Variables) -> Result<Self> {
        let mut faults = Collector::default();
        let mut parsed = Self::default();
        for entry in entries {
            let place = format!("allowed_outbound_hosts: {entry:?}: ");
            let one = one_entry(entry, variables).map_err(|f| f.prefixed(place));
            if let Some(one) = faults.keep(one).flatten() {
                parsed.entries.push(one);
                parsed.written.push(entry.clone());
            }
        }
        faults.finish_with(parsed)
    }

    /// The entries, as the manifest writes them.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(String::as_str)
    }

    /// The number of the first entry that allows `destination`.
    pub fn find(&self, destination: Destination<'_>) -> Option<usize> {
        let host = Host::parse(destination.host).ok()?;
        self.entries.iter().position(|entry| {
            entry.scheme.allows(destination.scheme)
                && entry.host.allows(&host)
                && entry.port.allows(destination)
        })
    }

    /// The number of the first entry that allows a component to call its own application.
    pub fn find_self(&self) -> Option<usize> {
        self.entries.iter().position(|entry| {
            (entry.scheme.allows("http") || entry.scheme.allows("https"))
                && matches!(entry.host, HostRule::Any | HostRule::ToSelf)
        })
    }
}

fn one_entry(entry: &str, variables: &Variables) -> Result<Option<Entry>> {
    let template = Template::parse(entry).map_err(Faults::one)?;
    if template.is_literal() {
        return Entry::parse(entry).map(Some).map_err(Faults::one);
    }
    let resolved = template.resolve(|name| variables.get(name))?;
    if matches!(resolved.as_str(), "" | "http://" | "https://") {
        return Ok(None);
    }
    Entry::parse(&resolved)
        .map(Some)
        .map_err(|e| Faults::one(format!("resolved to {resolved:?}: {e}")))
}

impl Entry {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "insecure:allow-all" {
            return Err("not allowed; write '*://*:*' if all outbound traffic is meant".to_owned());
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(
                "there is no scheme; the form is <scheme>://<host>[:<port>], and each may be '*'"
                    .to_owned(),
            );
        };
        let (host, port) = split_port(rest)?;
        Ok(Self {
            port: PortRule::parse(port, scheme)?,
            scheme: SchemeRule::parse(scheme)?,
            host: HostRule::parse(host)?,
        })
    }
}

/// Separates the port from the host. A colon may also be part of an IPv6
/// network.
fn split_port(rest: &str) -> Result<(&str, &str), String> {
    match rest.rsplit_once(':') {
        None => Ok((rest, "")),
        Some((host, "")) => Ok((host, "")),
        Some(_) if HostRule::parse(rest).is_ok() => Ok((rest, "")),
        Some((host, tail)) => match tail.split_once('/') {
            Some((port, "")) => Ok((host, port)),
            Some(_) => Err("a path is not allowed".to_owned()),
            None => Ok((host, tail)),
        },
    }
}

impl SchemeRule {
    fn parse(scheme: &str) -> Result<Self, String> {
        if scheme == "*" {
            return Ok(Self::Any);
        }
        if scheme.starts_with('{') {
            return Err("scheme lists are not supported".to_owned());
        }
        if scheme.is_empty() || !scheme.chars().all(char::is_alphabetic) {
            return Err(format!(
                "invalid scheme {scheme:?}: only alphabetic characters are allowed"
            ));
        }
        Ok(Self::Exactly(scheme.to_owned()))
    }

    fn allows(&self, scheme: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(allowed) => allowed == scheme,
        }
    }
}

impl HostRule {
    fn parse(host: &str) -> Result<Self, String> {
        let host = host.trim();
        if host == "*" {
            return Ok(Self::Any);
        }
        if matches!(host, "self" | "self.alt") {
            return Ok(Self::ToSelf);
        }
        if host.starts_with('{') {
            return Err("host lists are not supported".to_owned());
        }
        if let Ok(network) = IpNetwork::from_str_truncate(host) {
            return Ok(Self::Network(network));
        }
        let host = host.strip_suffix('/').unwrap_or(host);
        if host.contains('/') {
            return Err("a path is not allowed".to_owned());
        }
        if let Some(domain) = host.strip_prefix("*.") {
            if domain.contains('*') {
                return Err("wildcards are allowed only as prefixes".to_owned());
            }
            return match Host::parse(domain) {
                Ok(Host::Domain(domain)) => check_chaining(Self::Subdomains(format!(".{domain}"))),
                Ok(_) => Err("a wildcard suffix must be a domain".to_owned()),
                Err(e) => Err(format!("invalid host {host:?}: {e}")),
            };
        }
        if host.contains('*') {
            return Err("wildcards are allowed only as subdomains".to_owned());
        }
        Host::parse(host)
            .map_err(|e| format!("invalid host {host:?}: {e}"))
            .and_then(|host| check_chaining(Self::Exactly(host)))
    }

    fn allows(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Subdomains(suffix), Host::Domain(domain)) => domain.ends_with(suffix.as_str()),
            (Self::Exactly(allowed), host) => allowed == host,
            (Self::Network(network), Host::Ipv4(ip)) => network.contains(*ip),
            (Self::Network(network), Host::Ipv6(ip)) => network.contains(*ip),
            (Self::Subdomains(_), Host::Ipv4(_) | Host::Ipv6(_))
            | (Self::Network(_), Host::Domain(_))
            | (Self::ToSelf, _) => false,
        }
    }
}

/// This host has no service chaining, so an entry for it would be a promise
/// that is not kept.
fn check_chaining(rule: HostRule) -> Result<HostRule, String> {
    let internal = match &rule {
        HostRule::Subdomains(suffix) => suffix.ends_with(SERVICE_CHAINING_SUFFIX),
        HostRule::Exactly(Host::Domain(domain)) => domain.ends_with(SERVICE_CHAINING_SUFFIX),
        HostRule::Exactly(_) | HostRule::Any | HostRule::Network(_) | HostRule::ToSelf => false,
    };
    if internal {
        Err("service chaining is not supported by this host".to_owned())
    } else {
        Ok(rule)
    }
}

impl PortRule {
    fn parse(port: &str, scheme: &str) -> Result<Self, String> {
        if port.is_empty() {
            return usual_port(scheme).map(Self::Exactly).ok_or_else(|| {
                format!("no port is given and the scheme {scheme:?} has no usual one")
            });
        }
        if port == "*" {
            return Ok(Self::Any);
        }
        if port.starts_with('{') {
            return Err("port lists are not supported".to_owned());
        }
        let number = |text: &str| {
            text.parse::<u16>()
                .map_err(|_| format!("the port {port:?} is not a number"))
        };
        match port.split_once("..") {
            Some((start, end)) => Ok(Self::Range(number(start)?..number(end)?)),
            None => number(port).map(Self::Exactly),
        }
    }

    fn allows(&self, destination: Destination<'_>) -> bool {
        let port = destination.port.or_else(|| usual_port(destination.scheme));
        match (self, port) {
            (Self::Any, _) => true,
            (Self::Exactly(allowed), Some(port)) => *allowed == port,
            (Self::Range(range), Some(port)) => range.contains(&port),
            (Self::Exactly(_) | Self::Range(_), None) => false,
        }
    }
}

/// The port meant by a URL of `scheme` without one.
pub fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "redis" => Some(6379),
        "mqtt" => Some(1883),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::variables::Origin;
    use crate::manifest::Variable;
    use indexmap::IndexMap;
    use proptest::prelude::*;

    fn variables(values: &[(&str, &str)]) -> Variables {
        let declared: IndexMap<String, Variable> = values
            .iter()
            .map(|(name, _)| {
                let variable = Variable {
                    description: None,
                    default: None,
                    secret: false,
                };
                ((*name).to_owned(), variable)
            })
            .collect();
        let mut variables = Variables::new(declared);
        for (name, value) in values {
            variables
                .set(Origin::CommandLine, name, (*value).to_owned())
                .unwrap();
        }
        variables
    }

    fn hosts(entries: &[&str]) -> Result<AllowedHosts> {
        let entries: Vec<String> = entries.iter().map(|e| (*e).to_owned()).collect();
        AllowedHosts::parse(&entries, &variables(&[("h", "1.2.3.4"), ("e", "")]))
    }

    fn allows(entry: &str, url: &str) -> bool {
        let uri: http::Uri = url.parse().unwrap();
        let found = hosts(&[entry]).unwrap().find(Destination {
            scheme: uri.scheme_str().unwrap(),
            host: uri.host().unwrap(),
            port: uri.port_u16(),
        });
        found.is_some()
    }

    #[test]
    fn what_an_entry_allows() {
        for (entry, url) in [
            ("http://example.com", "http://example.com/x"),
            ("http://example.com/", "http://example.com:80"),
            ("https://example.com", "https://EXAMPLE.com:443"),
            ("*://example.com:8080", "https://example.com:8080"),
            ("http://*:*", "http://a.b:9"),
            ("*://*:*", "https://[::1]:1"),
            ("https://*.example.com", "https://a.b.example.com"),
            ("http://127.0.0.1:*", "http://127.0.0.1:5"),
            ("http://10.0.0.0/8", "http://10.1.2.3"),
            ("http://10.0.0.0/8:8080", "http://10.1.2.3:8080"),
            ("http://[::1]:80", "http://[::1]"),
            ("http://a:80..82", "http://a:81"),
            ("http://{{ h }}:7", "http://1.2.3.4:7"),
        ] {
            assert!(allows(entry, url), "{entry} {url}");
        }
        for (entry, url) in [
            ("http://example.com", "https://example.com"),
            ("http://example.com", "http://example.com:81"),
            ("http://example.com", "http://a.example.com"),
            ("http://example.com", "http://example.com.evil.org"),
            ("https://*.example.com", "https://example.com"),
            ("https://*.example.com", "https://badexample.com"),
            ("http://10.0.0.0/8", "http://11.0.0.1"),
            ("http://a:80..82", "http://a:82"),
            ("http://self", "http://self"),
            ("http://127.0.0.1:*", "http://localhost:5"),
            // The URL parser reads these as addresses, and so does this check.
            ("http://localhost", "http://2130706433"),
        ] {
            assert!(!allows(entry, url), "{entry} {url}");
        }
    }

    #[test]
    fn addresses_in_other_notations_are_the_same_address() {
        assert!(allows("http://127.0.0.1", "http://2130706433"));
    }

    #[test]
    fn self_is_allowed_by_name_only() {
        assert!(hosts(&["http://self"]).unwrap().find_self().is_some());
        assert!(hosts(&["http://*"]).unwrap().find_self().is_some());
        assert!(hosts(&["http://a"]).unwrap().find_self().is_none());
        assert!(hosts(&[]).unwrap().find_self().is_none());
    }

    #[test]
    fn an_empty_template_allows_nothing() {
        assert!(!allows("http://{{ e }}", "http://a"));
    }

    #[test]
    fn what_is_not_an_entry_is_told_together() {
        let entries = [
            "example.com",
            "*",
            "http://a/b",
            "http://a:x",
            "foo://a",
            "ht tp://a",
            "http://a*b",
            "http://*.*.b",
            "insecure:allow-all",
            "http://x.spin.internal",
            "http://{{ nope }}",
            "http://{{ h",
        ];
        let faults = hosts(&entries).unwrap_err();
        assert_eq!(faults.lines().len(), entries.len(), "{faults}");
        assert!(faults.lines()[0].starts_with("allowed_outbound_hosts: \"example.com\""));
    }

    proptest! {
        #[test]
        fn no_entry_makes_the_parser_panic(entry in "\\PC*") {
            let _ = hosts(&[&entry]);
        }

        #[test]
        fn a_name_allows_itself_and_no_other(a in "[a-z]{1,8}\\.org", b in "[a-z]{1,8}\\.org") {
            let (a_url, b_url) = (format!("http://{a}"), format!("http://{b}"));
            prop_assert!(allows(&a_url, &a_url));
            prop_assert_eq!(allows(&a_url, &b_url), a == b);
        }
    }
}
