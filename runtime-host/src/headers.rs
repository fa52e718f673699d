//! What a component learns of its request beyond what the client sent.

use std::net::SocketAddr;

use http::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Uri, request};

use crate::routes::Found;

/// Headers that only the host sets; what a client sends under these names is
/// taken away.
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");
const PATH_MATCH_PREFIX: &str = "spin-path-match-";

/// Completes the head of a request, which came from `client` by `scheme`, for
/// the component that `found` names.
///
/// # Errors
///
/// What is wrong with the request, for its client.
pub fn prepare(
    head: &mut request::Parts,
    found: &Found<'_>,
    client: SocketAddr,
    scheme: Scheme,
) -> Result<(), &'static str> {
    let authority = authority(head)?;
    let path = head
        .uri
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    let full_url = format!("{scheme}://{authority}{path}");
    head.uri = Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(|_| "The request target is invalid")?;
    head.headers.remove(CONNECTION);
    strip(&mut head.headers);
    let mut set = |name: HeaderName, value: &str| {
        // What cannot be a header value cannot have been in a request line.
        if let Ok(value) = HeaderValue::from_str(value) {
            head.headers.insert(name, value);
        }
    };
    let entry = &*found.entry;
    set(FULL_URL, &full_url);
    set(PATH_INFO, found.rest.as_deref().unwrap_or_default());
    set(MATCHED_ROUTE, &entry.based);
    set(BASE_PATH, "/");
    set(RAW_COMPONENT_ROUTE, &entry.raw);
    set(
        COMPONENT_ROUTE,
        entry.raw.strip_suffix("/...").unwrap_or(&entry.raw),
    );
    set(CLIENT_ADDR, &client.to_string());
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
    let names = [
        FULL_URL,
        PATH_INFO,
        MATCHED_ROUTE,
        BASE_PATH,
        RAW_COMPONENT_ROUTE,
        COMPONENT_ROUTE,
        CLIENT_ADDR,
    ];
    names.contains(name) || name.as_str().starts_with(PATH_MATCH_PREFIX)
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
    use crate::routes::Routes;

    fn prepared(
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
