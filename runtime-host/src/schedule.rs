//! The schedule: requests that the host itself makes to components, again and
//! again.
//!
//! Such a request takes the way of one from outside, without a connection. Of
//! one entry never two run at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::task::JoinSet;
use wasmtime_wasi_http::WasiBody;

use crate::app::App;
use crate::config::interval;
use crate::config::template::Template;
use crate::config::variables::Variables;
use crate::fault::{Collector, Faults, Result};
use crate::manifest::{Manifest, ScheduledCall};
use crate::observe::metrics;
use crate::observe::trace::Span;
use crate::observe::trouble::Trouble;
use crate::server;
use crate::server::answers::{Form, Problem};
use crate::server::headers;
use crate::server::request_id::{RequestId, X_REQUEST_ID};
use crate::server::routes::Routes;
use crate::server::shutdown::Shutdown;

/// What `every_seconds` may be.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(86_400);
/// How much of the body of a failed answer is logged.
const EXCERPT_BYTES: usize = 200;
/// How much of it is kept until then: more, so that a secret is found whole.
const KEPT_BYTES: usize = 4096;
/// Shorter ones stand in any text by chance.
const SHORTEST_SECRET: usize = 4;

/// An entry with its values.
pub struct Call {
    component: Arc<str>,
    path: PathAndQuery,
    method: Method,
    headers: HeaderMap,
    every: Duration,
    /// What must not be logged, the longest first.
    secrets: Vec<String>,
}

/// The entries of all components that are not switched off.
///
/// # Errors
///
/// Every template that has no value, interval that is none, and path that leads
/// to another component or nowhere.
pub fn resolve(manifest: &Manifest, variables: &Variables, routes: &Routes) -> Result<Vec<Call>> {
    let mut faults = Collector::default();
    let mut calls = Vec::new();
    for (id, component) in &manifest.components {
        for (place, entry) in &component.schedule {
            let here = |f: Faults| f.prefixed(format!("{place}: "));
            faults.keep(leads_to(entry.path.path(), id, routes).map_err(here));
            let every = interval::resolve(&entry.every_seconds, variables, &INTERVALS)
                .map_err(|f| here(f.prefixed("every_seconds: ")));
            let every = faults.keep(every).flatten();
            let headers = faults.keep(resolve_headers(entry, variables).map_err(here));
            if let (Some(every), Some((headers, secrets))) = (every, headers) {
                calls.push(Call {
                    component: Arc::from(id.as_str()),
                    path: entry.path.clone(),
                    method: entry.method.clone(),
                    headers,
                    every,
                    secrets,
                });
            }
        }
    }
    faults.finish_with(calls)
}

fn leads_to(path: &str, component: &str, routes: &Routes) -> Result<()> {
    match routes.find(path) {
        Some(found) if found.entry.component == component => Ok(()),
        Some(found) => Err(Faults::one(format!(
            "path {path:?} leads to {}, not to {component}",
            found.entry.component
        ))),
        None => Err(Faults::one(format!("no route fits path {path:?}"))),
    }
}

/// The headers of `entry`, and what of them must not be logged.
fn resolve_headers(
    entry: &ScheduledCall,
    variables: &Variables,
) -> Result<(HeaderMap, Vec<String>)> {
    let mut faults = Collector::default();
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    let mut secrets = Vec::new();
    for (name, text) in &entry.headers {
        let place = |f: Faults| f.prefixed(format!("header \"{name}\": "));
        let parsed = Template::parse(text).map_err(Faults::one).map_err(place);
        let Some(template) = faults.keep(parsed) else {
            continue;
        };
        let resolved = template.resolve(|name| variables.get(name)).map_err(place);
        let Some(value) = faults.keep(resolved) else {
            continue;
        };
        match HeaderValue::from_str(&value) {
            Ok(mut header) => {
                header.set_sensitive(true);
                headers.insert(name, header);
            }
            Err(_) => faults.push(format!(
                "header \"{name}\": its value has characters that no header may have"
            )),
        }
        let parts = template.variables().filter_map(|name| {
            let value = variables.get(name).ok()?;
            Some(value.to_owned())
        });
        secrets.extend(parts);
        secrets.push(value);
    }
    secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    faults.finish_with((headers, secrets))
}

/// Makes the calls of `app`'s schedule until `shutdown`, and then waits for
/// those that have begun.
pub async fn run(app: Arc<App>, shutdown: Shutdown) {
    let mut entries = JoinSet::new();
    for index in 0..app.schedule.len() {
        let (app, shutdown) = (Arc::clone(&app), shutdown.clone());
        entries.spawn(async move {
            if let Some(call) = app.schedule.get(index) {
                call.repeat(&app, &shutdown).await;
            }
        });
    }
    while let Some(ended) = entries.join_next().await {
        if let Err(e) = ended {
            tracing::error!("a schedule ended: {e}");
        }
    }
}

impl Call {
    async fn repeat(&self, app: &App, shutdown: &Shutdown) {
        let (component, path) = (&*self.component, self.path.as_str());
        tracing::info!(
            component,
            "{} {path} is called every {:?}",
            self.method,
            self.every
        );
        let mut trouble = Trouble::default();
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = shutdown.requested() => return,
                () = tokio::time::sleep_until(next.into()) => {}
            }
            next = Instant::now() + self.every;
            let called = self.once(app).await;
            metrics::schedule_run(component, path, called.is_ok());
            match called {
                Ok(()) => {
                    if let Some(failures) = trouble.ended() {
                        tracing::info!(
                            component,
                            path,
                            "the scheduled call works again, after {failures} failures"
                        );
                    }
                }
                Err(Failed { id, status, what }) => match trouble.another(Instant::now()) {
                    Some(1) if trouble.is_first() => tracing::warn!(
                        component,
                        path,
                        status = status.as_u16(),
                        request_id = %id,
                        "a scheduled call failed: {what}"
                    ),
                    Some(since) => tracing::warn!(
                        component,
                        path,
                        status = status.as_u16(),
                        request_id = %id,
                        "a scheduled call goes on failing, {since} times since the last such line"
                    ),
                    None => {}
                },
            }
        }
    }

    async fn once(&self, app: &App) -> Result<(), Failed> {
        let id = RequestId::of(&self.headers);
        let method = metrics::Method::of(&self.method);
        let span = Span::of_request(method, self.path.path(), &self.headers);
        let response = self.send(app, id, span.clone()).await;
        let status = response.status();
        let Read { kept, bytes, whole } = read(response.into_body()).await;
        if let Some(span) = span {
            span.answered(&id, Some(status.as_u16()), bytes);
        }
        let broken = whole.err().map(|e| format!(" and broke off: {e}"));
        if broken.is_none() && status.as_u16() < 400 {
            return Ok(());
        }
        let excerpt = self.excerpt(&String::from_utf8_lossy(&kept));
        Err(Failed {
            id,
            status,
            what: format!("it answered {excerpt:?}{}", broken.unwrap_or_default()),
        })
    }

    async fn send(&self, app: &App, id: RequestId, span: Option<Span>) -> http::Response<WasiBody> {
        let found = app.routes.find(self.path.path());
        let runner = app.runner(&self.component);
        let (Some(found), Some(runner)) = (found, runner) else {
            return Problem::NotFound.response(Form::Json);
        };
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = self.method.clone();
        head.uri = self.path.clone().into();
        head.headers = self.headers.clone();
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        if let Err(why) = headers::prepare(&mut head, &found, &app.headers, nobody, Scheme::HTTP) {
            return Problem::BadRequest(why).response(Form::Json);
        }
        head.headers.insert(X_REQUEST_ID, id.header());
        if let Some(span) = &span {
            let method = metrics::Method::of(&self.method);
            let route = &found.entry.raw;
            span.routed(method, route, &self.component, &mut head.headers);
        }
        server::deliver(runner, id, span, head, Bytes::new()).await
    }

    /// The beginning of `body`, without what must not be logged.
    fn excerpt(&self, body: &str) -> String {
        let mut text = body.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret, "[hidden]");
        }
        text.truncate(text.floor_char_boundary(EXCERPT_BYTES));
        text
    }
}

/// A call that failed.
struct Failed {
    id: RequestId,
    status: StatusCode,
    what: String,
}

/// A body that was read.
struct Read {
    /// Its beginning.
    kept: Vec<u8>,
    bytes: u64,
    whole: Result<(), wasmtime_wasi_http::Error>,
}

/// Reads to the end.
async fn read(mut body: WasiBody) -> Read {
    let mut read = Read {
        kept: Vec::new(),
        bytes: 0,
        whole: Ok(()),
    };
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let data = frame.into_data().unwrap_or_default();
                read.bytes += data.len() as u64;
                let room = KEPT_BYTES.saturating_sub(read.kept.len());
                read.kept
                    .extend_from_slice(data.get(..room).unwrap_or(&data));
            }
            Err(e) => {
                read.whole = Err(e);
                break;
            }
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_has_no_secret() {
        let call = Call {
            component: Arc::from("c"),
            path: PathAndQuery::from_static("/"),
            method: Method::GET,
            headers: HeaderMap::new(),
            every: Duration::from_secs(1),
            secrets: vec!["Bearer 12345".to_owned(), "12345".to_owned()],
        };
        assert_eq!(
            call.excerpt("not Bearer 12345, nor 12345"),
            "not [hidden], nor [hidden]"
        );
        let long = call.excerpt(&format!("{}12345", "ä".repeat(99)));
        assert_eq!(long, format!("{}[h", "ä".repeat(99)));
        assert_eq!(call.excerpt(&"€".repeat(100)).len(), 198);
    }
}
