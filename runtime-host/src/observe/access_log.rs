//! The access log: one line for each request, when it is answered to the end.
//!
//! It has the path, but not the query: that may have secrets in it.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::observe::log_writer::Sink;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Style {
    /// Not at all.
    Off,
    /// For people, and for what reads `name=value`.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where lines go.
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// Their writer.
    pub sink: Sink,
    /// Whether they are JSON.
    pub json: bool,
}

/// What stands in a line.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    /// When it was answered.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub time: &'a str,
    /// The request's id.
    pub request_id: &'a str,
    /// Address and port.
    pub client: SocketAddr,
    /// As the client wrote it.
    pub method: &'a str,
    /// Without the query.
    pub path: &'a str,
    /// The route's pattern, or nothing.
    pub route: &'a str,
    /// Who answered, or nothing.
    pub component: &'a str,
    /// Nothing if the client went away before.
    pub status: Option<u16>,
    /// Of the answer's body.
    pub bytes: u64,
    /// From the request's head to the answer's end.
    pub duration_seconds: serde_json::Number,
    /// The trace, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<&'a str>,
}

impl AccessLog {
    /// Writes `line`, to which the time is added.
    pub fn write(&self, line: Line<'_>) {
        let time = OffsetDateTime::now_utc()
            .format(&Rfc3339)
            .unwrap_or_default();
        let mut line = line;
        line.time = &time;
        self.sink.line(self.text(&line).into_bytes());
    }

    fn text(&self, line: &Line<'_>) -> String {
        if self.json {
            let mut text = serde_json::to_string(line).unwrap_or_default();
            text.push('\n');
            return text;
        }
        let status = line
            .status
            .map_or_else(|| "-".to_owned(), |s| s.to_string());
        let or_dash = |text: &'_ str| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                text.to_owned()
            }
        };
        let trace = line.trace_id.map(|id| format!(" trace_id={id}"));
        format!(
            "{} access request_id={} client={} method={} path={:?} route={} component={} status={status} \
             bytes={} duration_seconds={}{}\n",
            line.time,
            line.request_id,
            line.client,
            line.method,
            line.path,
            or_dash(line.route),
            or_dash(line.component),
            line.bytes,
            line.duration_seconds,
            trace.unwrap_or_default()
        )
    }
}

/// `time` in seconds, to the microsecond.
pub fn seconds(time: Duration) -> serde_json::Number {
    let text = format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    // Digits, a point and digits always make one.
    text.parse().unwrap_or_else(|_| 0.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log_writer::Writer;

    #[test]
    fn a_line_is_one_line_whatever_the_client_sent() {
        let sink = Writer::start("test").unwrap().stderr("test");
        let line = Line {
            time: "2026-01-02T03:04:05Z",
            request_id: "a1",
            client: "[::1]:5".parse().unwrap(),
            method: "GET",
            path: "/a\"b\n\u{1b}[31m",
            route: "",
            component: "",
            status: None,
            bytes: 5,
            duration_seconds: seconds(Duration::from_micros(1_002_003)),
            trace_id: None,
        };
        let text = AccessLog {
            sink: sink.clone(),
            json: false,
        }
        .text(&line);
        assert_eq!(
            text,
            "2026-01-02T03:04:05Z access request_id=a1 client=[::1]:5 method=GET \
             path=\"/a\\\"b\\n\\u{1b}[31m\" route=- component=- status=- bytes=5 \
             duration_seconds=1.002003\n"
        );
        let text = AccessLog { sink, json: true }.text(&line);
        assert_eq!(text.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["duration_seconds"].to_string(), "1.002003");
        assert_eq!(value["status"], serde_json::Value::Null);
    }
}
