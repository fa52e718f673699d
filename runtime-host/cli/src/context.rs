//! What a command works with: the global options, checked.

use crate::cli::Global;
use crate::client::Client;
use crate::failure::Failure;
use crate::key_file::{self, NodeKey};
use crate::output::Output;
use duxnet_units::Network;
use std::path::PathBuf;
use std::time::Duration;
use ureq::http::Uri;

/// The checked global options.
#[derive(Debug)]
pub struct Context {
    /// The service, without a slash at the end.
    pub url: String,
    /// What signatures name.
    pub network: Network,
    /// Where results go.
    pub output: Output,
    /// The longest wait for one answer.
    pub timeout: Duration,
    retries: u32,
    key: Option<PathBuf>,
    is_local: bool,
}

impl Context {
    /// Checks the options.
    ///
    /// # Errors
    /// A URL that is none.
    pub fn new(global: &Global) -> Result<Self, Failure> {
        let service = Service::parse(&global.url)?;
        let network = match global.network {
            Some(name) => name.into(),
            None if service.is_local => Network::Regtest,
            None => Network::Main,
        };
        Ok(Context {
            url: service.url,
            network,
            output: Output { json: global.json },
            timeout: Duration::from_secs(global.timeout.into()),
            retries: global.retries.into(),
            key: global.key.clone(),
            is_local: service.is_local,
        })
    }

    /// Where the key is, or is to be.
    ///
    /// # Errors
    /// Without a home folder.
    pub fn key_path(&self) -> Result<PathBuf, Failure> {
        self.key.clone().map_or_else(key_file::default_path, Ok)
    }

    /// The node's key.
    ///
    /// # Errors
    /// See [`NodeKey::load`].
    pub fn node_key(&self) -> Result<NodeKey, Failure> {
        NodeKey::load(&self.key_path()?)
    }

    /// A client of the service.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(
            self.url.clone(),
            self.network,
            self.timeout,
            self.retries,
            self.is_local,
        )
    }
}

struct Service {
    url: String,
    is_local: bool,
}

impl Service {
    /// Scheme, host and port only: a path before the service's own would not be what the service
    /// sees and checks signatures with.
    fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |what: &str| Failure::usage(format!("--url {text:?} {what}"));
        let uri: Uri = text
            .parse()
            .map_err(|_| wrong("is no URL; write it like http://127.0.0.1:8000"))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if !["http", "https"].contains(&scheme) {
            return Err(wrong("must start with http:// or https://"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(Failure::usage("--url must not contain a user or password"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("must end after host and port"));
        }
        Ok(Service {
            url: format!("{scheme}://{authority}"),
            is_local: is_loopback(authority.host()),
        })
    }
}

/// Whether a host is this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_scheme_host_and_port() {
        let url = |text: &str| Service::parse(text).map(|service| service.url).ok();
        assert_eq!(url("http://a:1/").as_deref(), Some("http://a:1"));
        assert_eq!(
            url("https://[::1]:8000").as_deref(),
            Some("https://[::1]:8000")
        );
        for bad in [
            "",
            "127.0.0.1:8000",
            "ftp://a",
            "http://",
            "http://a/b",
            "http://a/?x",
            "http://u:p@a",
        ] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }

    #[test]
    fn this_machine_is_known_by_all_its_names() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["example.org", "10.0.0.1", "127.0.0.1.example.org", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
