//! Which component answers which path: Spin's route syntax and precedence.
//!
//! `/a` is exact, `:b` captures one segment, `/...` everything that follows. A
//! more specific route beats a less specific one wherever it stands in the
//! manifest; of two equal ones the later counts.

use std::borrow::Cow;

use routefinder::{RouteSpec, Segment};

use crate::fault::{Collector, Result};
use crate::manifest::{Route, Trigger};

/// Paths under this prefix are the host's own, as they are Spin's.
pub const WELL_KNOWN_PREFIX: &str = "/.well-known/spin/";
/// And these are the host's own.
pub const HOST_PREFIX: &str = "/.well-known/runtime-host/";

/// All public routes of an application.
#[derive(Debug)]
pub struct Routes {
    router: routefinder::Router<usize>,
    entries: Vec<Entry>,
}

/// A public route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As written in the manifest.
    pub raw: String,
    /// With a slash at its beginning and none at its end.
    pub based: String,
    /// The component that answers it.
    pub component: String,
}

impl Routes {
    /// Builds the table and tells which triggers can never be reached.
    ///
    /// # Errors
    ///
    /// Every route whose pattern is not one.
    pub fn new(triggers: &[Trigger]) -> Result<(Self, Vec<String>)> {
        let mut faults = Collector::default();
        let mut warnings = Vec::new();
        let mut entries: Vec<Entry> = Vec::new();
        for trigger in triggers {
            let Route::Pattern(raw) = &trigger.route else {
                continue;
            };
            let entry = Entry {
                raw: raw.clone(),
                based: normalised(raw),
                component: trigger.component.clone(),
            };
            let path = format!("{}/", entry.based);
            let taken = [WELL_KNOWN_PREFIX, HOST_PREFIX]
                .into_iter()
                .find(|prefix| path.starts_with(prefix));
            if let Some(prefix) = taken {
                warnings.push(format!(
                    "the route {raw:?} of {} is never reached: {prefix} is the host's",
                    entry.component
                ));
            }
            match entries.iter_mut().find(|old| old.based == entry.based) {
                Some(old) => {
                    warnings.push(format!(
                        "the route {raw:?} of {} is never reached: {} has the same",
                        old.component, entry.component
                    ));
                    *old = entry;
                }
                None => entries.push(entry),
            }
        }
        let mut router = routefinder::Router::new();
        for (index, entry) in entries.iter().enumerate() {
            match spec(&entry.based) {
                Ok(spec) => {
                    if let Err(e) = router.add(spec, index) {
                        faults.push(format!("route {:?}: {e}", entry.raw));
                    }
                }
                Err(e) => faults.push(format!("route {:?} of {}: {e}", entry.raw, entry.component)),
            }
        }
        faults.finish_with((Self { router, entries }, warnings))
    }

    /// The public routes, in the order of the manifest.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The route that fits `path` best.
    pub fn find<'a>(&'a self, path: &'a str) -> Option<Found<'a>> {
        let best = self.router.best_match(path)?;
        let entry = self.entries.get(*best.handler())?;
        let captures = best.captures();
        Some(Found {
            index: *best.handler(),
            entry: Cow::Borrowed(entry),
            rest: captures.wildcard().map(|rest| rest_of(rest, path)),
            named: captures
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })
    }
}

/// A route that fits a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// Its place among the routes; none if it is not one of them.
    pub index: usize,
    /// The route.
    pub entry: Cow<'a, Entry>,
    /// What `/...` stands for, with its slash.
    pub rest: Option<String>,
    /// What each `:name` stands for.
    pub named: Vec<(String, String)>,
}

impl Found<'static> {
    /// As if `component` were asked for `path` by the route `/...`: for calls
    /// which the host itself makes.
    pub fn internal(component: &str, path: &str) -> Self {
        Self {
            index: usize::MAX,
            entry: Cow::Owned(Entry {
                raw: "/...".to_owned(),
                based: "/...".to_owned(),
                component: component.to_owned(),
            }),
            rest: Some(path.to_owned()),
            named: Vec::new(),
        }
    }
}

/// What the trailing wildcard captured, with the slashes Spin keeps.
fn rest_of(rest: &str, path: &str) -> String {
    match (rest.is_empty(), path.ends_with('/')) {
        (true, false) => String::new(),
        (true, true) => "/".to_owned(),
        (false, false) => format!("/{rest}"),
        (false, true) => format!("/{rest}/"),
    }
}

fn normalised(raw: &str) -> String {
    let path = raw.strip_suffix('/').unwrap_or(raw);
    if path.starts_with('/') || path.is_empty() {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

fn spec(based: &str) -> Result<RouteSpec, String> {
    let spec: RouteSpec = match based.strip_suffix("/...") {
        Some(prefix) => format!("{prefix}/*").parse()?,
        None => based.parse()?,
    };
    // The router takes such routes, and panics at the first path.
    match spec.segments() {
        [before @ .., _] if before.contains(&Segment::Wildcard) => {
            Err("a wildcard must be the last segment".to_owned())
        }
        _ => Ok(spec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn routes(patterns: &[&str]) -> Routes {
        let triggers: Vec<Trigger> = patterns
            .iter()
            .map(|pattern| Trigger {
                route: Route::Pattern((*pattern).to_owned()),
                component: (*pattern).to_owned(),
            })
            .collect();
        Routes::new(&triggers).unwrap().0
    }

    fn best(patterns: &[&str], path: &str) -> Option<String> {
        routes(patterns)
            .find(path)
            .map(|f| f.entry.component.clone())
    }

    #[test]
    fn the_more_specific_route_wins_in_any_order() {
        let patterns = [
            "/...",
            "/wallet/:node_id",
            "/wallet/health",
            "/wallet/create",
            "/wallet/:node_id/balance",
            "/wallet/...",
        ];
        for (path, expected) in [
            ("/", "/..."),
            ("/other", "/..."),
            ("/wallet/health", "/wallet/health"),
            ("/wallet/health/", "/wallet/health"),
            ("/wallet/n1", "/wallet/:node_id"),
            ("/wallet/n1/balance", "/wallet/:node_id/balance"),
            ("/wallet/n1/other", "/wallet/..."),
            ("/wallet", "/wallet/..."),
        ] {
            assert_eq!(best(&patterns, path).as_deref(), Some(expected), "{path}");
            let mut reversed = patterns;
            reversed.reverse();
            assert_eq!(best(&reversed, path).as_deref(), Some(expected), "{path}");
        }
        assert_eq!(best(&["/a"], "/b"), None);
        assert_eq!(best(&["/a"], "/a/b"), None);
        assert_eq!(best(&["/"], "/").as_deref(), Some("/"));
    }

    #[test]
    fn captures_are_told() {
        let routes = routes(&["/a/:b/...", "/x/:y"]);
        let found = routes.find("/a/1/2/3/").unwrap();
        assert_eq!(found.rest.as_deref(), Some("/2/3/"));
        assert_eq!(found.named, [("b".to_owned(), "1".to_owned())]);
        let found = routes.find("/a/1").unwrap();
        assert_eq!(found.rest.as_deref(), Some(""));
        assert_eq!(routes.find("/x/z").unwrap().rest, None);
    }

    #[test]
    fn private_routes_are_left_out_and_duplicates_told() {
        let trigger = |route, component: &str| Trigger {
            route,
            component: component.to_owned(),
        };
        let (routes, warnings) = Routes::new(&[
            trigger(Route::Private, "private"),
            trigger(Route::Pattern("/a".into()), "first"),
            trigger(Route::Pattern("a/".into()), "second"),
            trigger(Route::Pattern("/.well-known/spin/x".into()), "third"),
        ])
        .unwrap();
        assert_eq!(routes.find("/a").unwrap().entry.component, "second");
        assert_eq!(routes.entries().len(), 2);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }

    #[test]
    fn bad_patterns_are_told_together() {
        let triggers: Vec<Trigger> = ["/*x", "/:", "/*.0", "/ok"]
            .iter()
            .map(|pattern| Trigger {
                route: Route::Pattern((*pattern).to_owned()),
                component: "c".to_owned(),
            })
            .collect();
        assert_eq!(Routes::new(&triggers).unwrap_err().lines().len(), 3);
    }

    proptest! {
        #[test]
        fn an_exact_route_is_found_and_beats_the_catch_all(
            segments in prop::collection::vec("[a-z0-9_~-]{1,8}", 1..5),
        ) {
            let path = format!("/{}", segments.join("/"));
            prop_assert_eq!(best(&["/...", &path], &path), Some(path.clone()));
            let found = routes(&["/..."]);
            let found = found.find(&path).unwrap();
            prop_assert_eq!(found.rest.as_deref(), Some(path.as_str()));
        }

        #[test]
        fn no_path_makes_the_router_panic(path in "/[ -~]*") {
            let routes = routes(&["/a/:b.json", "/:c", "/x/:y/..."]);
            let _ = routes.find(&path);
        }

        #[test]
        fn no_pattern_makes_the_builder_panic(pattern in "[ -~]{0,20}") {
            let trigger = Trigger {
                route: Route::Pattern(pattern),
                component: "c".to_owned(),
            };
            if let Ok((routes, _)) = Routes::new(&[trigger]) {
                let _ = routes.find("/a/b.c/d");
            }
        }
    }
}
