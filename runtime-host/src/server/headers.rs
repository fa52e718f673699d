//! What a component learns of its request beyond what the client sent.

use std::net::SocketAddr;

use http::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Uri, request};
use serde::Deserialize;

use crate::server::routes::Found;

/// A header in which Spin tells a component of its request. Only the host sets
/// them; what a client sends under these names is taken away. Those of path
/// parameters are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpinHeader {
    /// With scheme, host and query.
    FullUrl,
    /// What of the path comes after the route.
    PathInfo,
    /// The route with the base path.
    MatchedRoute,
    /// Always `/`.
    BasePath,
    /// The route.
    RawComponentRoute,
    /// The route without `/...` at its end.
    ComponentRoute,
    /// Address and port of the client.
    ClientAddr,
}

impl SpinHeader {
    /// All of Spin's.
    pub const ALL: [Self; 7] = [
        Self::FullUrl,
        Self::PathInfo,
        Self::MatchedRoute,
        Self::BasePath,
        Self::RawComponentRoute,
        Self::ComponentRoute,
        Self::ClientAddr,
    ];

    const fn name(self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::FullUrl => "spin-full-url",
            Self::PathInfo => "spin-path-info",
            Self::MatchedRoute => "spin-matched-route",
            Self::BasePath => "spin-base-path",
            Self::RawComponentRoute => "spin-raw-component-route",
            Self::ComponentRoute => "spin-component-route",
            Self::ClientAddr => "spin-client-addr",
        })
    }
}

const PATH_MATCH_PREFIX: &str = "spin-path-match-";

/// Completes the head of a request, which came from `client` by `scheme`, for
/// the component that `found` names, with the headers that are `wanted`.
///
/// # Errors
///
/// What is wrong with the request, for its client.
pub fn prepare(
    head: &mut request::Parts,
    found: &Found<'_>,
    wanted: &[SpinHeader],
    client: SocketAddr,
    scheme: Scheme,
) -> Result<(), &'static str> {
    let authority = authority(head)?;
    let path = head
        .uri
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    head.uri = Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(|_| "The request target is invalid")?;
    head.headers.remove(CONNECTION);
    strip(&mut head.headers);
    let entry = &*found.entry;
    let (uri, headers) = (&head.uri, &mut head.headers);
    let mut set = |name: HeaderName, value: &str| {
        // What cannot be a header value cannot have been in a request line.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    for header in wanted {
        let name = header.name();
        match header {
            SpinHeader::FullUrl => set(name, &uri.to_string()),
            SpinHeader::PathInfo => set(name, found.rest.as_deref().unwrap_or_default()),
            SpinHeader::MatchedRoute => set(name, &entry.based),
            SpinHeader::BasePath => set(name, "/"),
            SpinHeader::RawComponentRoute => set(name, &entry.raw),
            SpinHeader::ComponentRoute => {
                set(name, entry.raw.strip_suffix("/...").unwrap_or(&entry.raw));
            }
            SpinHeader::ClientAddr => set(name, &client.to_string()),
        }
    }
    for (name, value) in &found.named {
        let name = format!(
            "{PATH_MATCH_PREFIX}{}",
            name.to_ascii_lowercase().replace('_', "-")
        );
        if let Ok(name) = HeaderName::try_from(name) {
            set(name, value);
        }
    }
    Ok(())
}

fn strip(headers: &mut HeaderMap) {
    let ours: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_ours(name))
        .cloned()
        .collect();
    for name in ours {
        headers.remove(name);
    }
}

fn is_ours(name: &HeaderName) -> bool {
    let is_spins = |name: &HeaderName| SpinHeader::ALL.iter().any(|own| own.name() == *name);
    name.as_str().starts_with("spin-")
        && (is_spins(name) || name.as_str().starts_with(PATH_MATCH_PREFIX))
}

/// The host that the client asked, told by its target or its Host header, which
/// must not contradict each other.
fn authority(head: &request::Parts) -> Result<Authority, &'static str> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (None, _) => None,
        (Some(host), None) => Some(
            host.to_str()
                .ok()
                .and_then(|host| host.parse::<Authority>().ok())
                .ok_or("The Host header is invalid")?,
        ),
        (Some(_), Some(_)) => return Err("There is more than one Host header"),
    };
    match (header, head.uri.authority()) {
        (None, None) => Err("The Host header is missing"),
        (Some(header), None) => Ok(header),
        (None, Some(target)) => Ok(target.clone()),
        (Some(header), Some(target)) if header == *target => Ok(header),
        (Some(_), Some(_)) => Err("The Host header contradicts the request target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Route, Trigger};
    use crate::server::routes::Routes;

    fn prepared(
        route: &str,
        build: http::request::Builder,
    ) -> Result<request::Parts, &'static str> {
        prepared_with(&SpinHeader::ALL, route, build)
    }

    fn prepared_with(
        wanted: &[SpinHeader],
        route: &str,
        build: http::request::Builder,
    ) -> Result<request::Parts, &'static str> {
        let (routes, _) = Routes::new(&[Trigger {
            route: Route::Pattern(route.to_owned()),
            component: "c".to_owned(),
        }])
        .unwrap();
        let (mut head, ()) = build.body(()).unwrap().into_parts();
        let path = head.uri.path().to_owned();
        let found = routes.find(&path).unwrap();
        prepare(
            &mut head,
            &found,
            wanted,
            "127.0.0.1:8777".parse().unwrap(),
            Scheme::HTTP,
        )?;
        Ok(head)
    }

    fn header<'a>(head: &'a request::Parts, name: &str) -> &'a str {
        head.headers[name].to_str().unwrap()
    }

    #[test]
    fn the_headers_are_those_of_spin() {
        let request = http::Request::get("/foo/42/bar/?k=1")
            .header("host", "example.org:81")
            .header("connection", "close");
        let head = prepared("/foo/:user_id/...", request).unwrap();
        for (name, value) in [
            ("spin-full-url", "http://example.org:81/foo/42/bar/?k=1"),
            ("spin-path-info", "/bar/"),
            ("spin-matched-route", "/foo/:user_id/..."),
            ("spin-base-path", "/"),
            ("spin-raw-component-route", "/foo/:user_id/..."),
            ("spin-component-route", "/foo/:user_id"),
            ("spin-client-addr", "127.0.0.1:8777"),
            ("spin-path-match-user-id", "42"),
        ] {
            assert_eq!(header(&head, name), value, "{name}");
        }
        assert!(!head.headers.contains_key("connection"));
        assert_eq!(head.uri, "http://example.org:81/foo/42/bar/?k=1");
    }

    #[test]
    fn what_is_not_wanted_is_not_told_nor_taken_from_clients() {
        let request = http::Request::get("/foo/42")
            .header("host", "h")
            .header("spin-client-addr", "10.0.0.1:1");
        let wanted = [SpinHeader::MatchedRoute];
        let head = prepared_with(&wanted, "/foo/:user_id", request).unwrap();
        let mut names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let expected = ["host", "spin-matched-route", "spin-path-match-user-id"];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_client_cannot_set_them() {
        let request = http::Request::get("/a")
            .header("host", "h")
            .header("spin-client-addr", "10.0.0.1:1")
            .header("spin-client-addr", "10.0.0.2:1")
            .header("Spin-Path-Match-Node-Id", "other")
            .header("spin-mine", "kept");
        let head = prepared("/a", request).unwrap();
        assert_eq!(head.headers.get_all("spin-client-addr").iter().count(), 1);
        assert_eq!(header(&head, "spin-client-addr"), "127.0.0.1:8777");
        assert!(!head.headers.contains_key("spin-path-match-node-id"));
        assert_eq!(header(&head, "spin-mine"), "kept");
    }

    #[test]
    fn an_unclear_host_is_refused() {
        let get = || http::Request::get("/a");
        assert!(prepared("/a", get()).is_err());
        assert!(prepared("/a", get().header("host", "a b")).is_err());
        assert!(prepared("/a", get().header("host", "a").header("host", "b")).is_err());
        let absolute = http::Request::get("http://a/a").header("host", "b");
        assert!(prepared("/a", absolute).is_err());
        let absolute = http::Request::get("http://a/a").header("host", "a");
        assert!(prepared("/a", absolute).is_ok());
    }
}
