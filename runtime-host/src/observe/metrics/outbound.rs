//! Requests that components make.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Histogram, IntCounter};
use wasmtime_wasi_http::Error;

use super::{METRICS, seconds};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome(usize);

const OUTCOMES: [&str; 16] = [
    "1xx",
    "2xx",
    "3xx",
    "4xx",
    "5xx",
    "denied",
    "prohibited",
    "dns",
    "refused",
    "connect_timeout",
    "timeout",
    "tls",
    "terminated",
    "protocol",
    "limit",
    "other",
];

impl Outcome {
    /// An answer with this status.
    pub fn answered(status: http::StatusCode) -> Self {
        Self::named(match status.as_u16() {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            500..=599 => "5xx",
            _ => "other",
        })
    }

    /// No answer, because of `error`.
    pub fn failed(error: &Error) -> Self {
        Self::named(match error {
            Error::HttpRequestDenied => "denied",
            Error::DestinationIpProhibited => "prohibited",
            Error::DnsTimeout | Error::DnsError { .. } | Error::DestinationNotFound => "dns",
            Error::ConnectionRefused => "refused",
            Error::ConnectionTimeout => "connect_timeout",
            Error::ConnectionReadTimeout
            | Error::ConnectionWriteTimeout
            | Error::HttpResponseTimeout => "timeout",
            Error::Tls(_)
            | Error::TlsProtocolError
            | Error::TlsCertificateError
            | Error::TlsAlertReceived { .. } => "tls",
            Error::ConnectionTerminated | Error::HttpResponseIncomplete => "terminated",
            Error::HttpProtocolError => "protocol",
            Error::ConnectionLimitReached | Error::HttpResponseBodySize(_) => "limit",
            // Not our enum, and one without names worth a series.
            _ => "other",
        })
    }

    fn named(name: &str) -> Self {
        let index = OUTCOMES.iter().position(|outcome| *outcome == name);
        Self(index.unwrap_or(OUTCOMES.len() - 1))
    }

    /// `2xx`, `timeout` and so on.
    pub fn name(self) -> &'static str {
        OUTCOMES.get(self.0).copied().unwrap_or("other")
    }
}

/// The requests of one component.
pub struct Outbound {
    component: Box<str>,
    hosts: Vec<Host>,
    denied: Host,
}

struct Host {
    pattern: Box<str>,
    duration: Histogram,
    counts: [OnceLock<IntCounter>; OUTCOMES.len()],
}

impl Host {
    fn new(component: &str, pattern: &str) -> Self {
        Self {
            pattern: pattern.into(),
            duration: METRICS
                .outbound_seconds
                .with_label_values(&[component, pattern]),
            counts: Default::default(),
        }
    }
}

impl Outbound {
    /// Those of `component` to what `patterns` allow.
    pub fn new<'a>(component: &str, patterns: impl Iterator<Item = &'a str>) -> Self {
        Self {
            hosts: patterns
                .map(|pattern| Host::new(component, pattern))
                .collect(),
            denied: Host::new(component, ""),
            component: component.into(),
        }
    }

    fn host(&self, pattern: Option<usize>) -> &Host {
        pattern
            .and_then(|index| self.hosts.get(index))
            .unwrap_or(&self.denied)
    }

    /// A request that the pattern number `pattern` allows, or none does, ended.
    pub fn ended(&self, pattern: Option<usize>, outcome: Outcome, time: Duration) {
        let host = self.host(pattern);
        host.duration.observe(seconds(time));
        if let Some(counter) = host.counts.get(outcome.0) {
            let labels = [&*self.component, &*host.pattern, outcome.name()];
            counter
                .get_or_init(|| METRICS.outbound.with_label_values(&labels))
                .inc();
        }
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_names() {
        let answered = |status| Outcome::answered(http::StatusCode::from_u16(status).unwrap());
        assert_eq!(answered(204).name(), "2xx");
        assert_eq!(answered(503).name(), "5xx");
        assert_eq!(answered(999).name(), "other");
        assert_eq!(Outcome::failed(&Error::HttpRequestDenied).name(), "denied");
        assert_eq!(Outcome::failed(&Error::LoopDetected).name(), "other");
    }
}
