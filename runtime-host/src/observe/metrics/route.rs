//! Requests of clients, by route.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use super::{METRICS, seconds};

/// The methods that are told apart; all others are `other`.
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "other",
];

/// The statuses that are told apart (IANA's), in their order.
const STATUSES: [u16; 58] = [
    200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400,
    401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421,
    422, 423, 424, 425, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510,
    511,
];
/// A component answered with a status that is none of them.
const OTHER: usize = STATUSES.len();
/// The client went away before there was an answer.
const NONE: usize = STATUSES.len() + 1;

/// A method as metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method(usize);

impl Method {
    /// Of `method`.
    pub fn of(method: &http::Method) -> Self {
        let known = METHODS.iter().position(|known| *known == method.as_str());
        Self(known.unwrap_or(METHODS.len() - 1))
    }

    /// Its name, or `other`.
    pub fn name(self) -> &'static str {
        METHODS.get(self.0).copied().unwrap_or("other")
    }
}

/// The requests of one route.
pub struct Route {
    component: Box<str>,
    route: Box<str>,
    duration: Histogram,
    bytes: IntCounter,
    counts: [OnceLock<Counts>; METHODS.len()],
}

/// One counter for each status, made when it is first needed: most routes have
/// few methods, and few statuses.
type Counts = Box<[OnceLock<IntCounter>]>;

impl Route {
    /// Those of `component` at `route`, as the manifest writes it. What no
    /// component answers has no component, and what no route fits no route.
    pub fn new(component: &str, route: &str) -> Self {
        let labels = [component, route];
        Self {
            duration: METRICS.request_seconds.with_label_values(&labels),
            bytes: METRICS.response_bytes.with_label_values(&labels),
            component: component.into(),
            route: route.into(),
            counts: Default::default(),
        }
    }

    /// The component's id, or nothing.
    pub fn component(&self) -> &str {
        &self.component
    }

    /// The route's pattern, or nothing.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// A request has ended.
    pub fn ended(&self, method: Method, status: Option<u16>, time: Duration, bytes: u64) {
        self.duration.observe(seconds(time));
        if bytes > 0 {
            self.bytes.inc_by(bytes);
        }
        let index = match status {
            Some(status) => STATUSES.binary_search(&status).unwrap_or(OTHER),
            None => NONE,
        };
        let counter = self
            .counts
            .get(method.0)
            .map(|counts| counts.get_or_init(|| vec![OnceLock::new(); NONE + 1].into()))
            .and_then(|counts| counts.get(index));
        if let Some(counter) = counter {
            counter.get_or_init(|| self.counter(method, index)).inc();
        }
    }

    fn counter(&self, method: Method, index: usize) -> IntCounter {
        let status = match STATUSES.get(index) {
            Some(status) => status.to_string(),
            None if index == NONE => "none".to_owned(),
            None => "other".to_owned(),
        };
        METRICS.requests.with_label_values(&[
            self.component(),
            self.route(),
            method.name(),
            status.as_str(),
        ])
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("component", &self.component)
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_methods_nor_statuses_make_endless_series() {
        assert!(STATUSES.is_sorted());
        let route = Route::new("cardinality", "/...");
        for method in ["GET", "BREW", "X", "Y"] {
            let method = Method::of(&method.parse().unwrap());
            for status in 100..=999 {
                route.ended(method, Some(status), Duration::from_millis(1), 1);
            }
            route.ended(method, None, Duration::from_millis(1), 0);
        }
        let text = String::from_utf8(super::super::text()).unwrap();
        let series: Vec<&str> = text
            .lines()
            .filter(|l| l.starts_with("runtime_host_http_requests_total{component=\"cardinality\""))
            .collect();
        assert_eq!(series.len(), 2 * (STATUSES.len() + 2), "GET and other");
        let find = |part: &str| series.iter().any(|line| line.contains(part));
        assert!(
            find(r#"method="other",route="/...",status="none"} 3"#),
            "{series:?}"
        );
        assert!(
            find(r#"method="GET",route="/...",status="200"} 1"#),
            "{series:?}"
        );
    }
}
