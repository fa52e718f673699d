//! Reads Server-Sent Events.

use crate::{Node, unix_now};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::time::Duration;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEvent {
    pub id: i64,
    pub kind: String,
    pub data: Value,
}

/// An open stream.
pub struct EventStream {
    reader: BufReader<Box<dyn std::io::Read>>,
    /// Lines that are no event's: comments and `retry`.
    pub others: Vec<String>,
    pub opened_at: i64,
}

impl EventStream {
    /// Opens a stream of the node's events.
    pub fn open(node: &Node, query: &str, last_event_id: Option<i64>) -> EventStream {
        let target = format!("/wallet/{}/events{query}", node.id);
        let mut headers = node.headers(&node.signing(), "GET", &target, b"");
        headers.push(("Accept".into(), "text/event-stream".into()));
        if let Some(id) = last_event_id {
            headers.push(("Last-Event-ID".into(), id.to_string()));
        }
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let mut builder = ureq::http::Request::get(format!("{}{target}", node.url()));
        for (name, value) in &headers {
            builder = builder.header(name, value);
        }
        let response = agent
            .run(builder.body(()).unwrap())
            .expect("a stream opens");
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        EventStream {
            reader: BufReader::new(Box::new(response.into_body().into_reader())),
            others: Vec::new(),
            opened_at: unix_now(),
        }
    }

    /// The next event; none at the stream's end, which must be a clean one, or when it breaks off
    /// and that is expected.
    pub fn next_or(&mut self, may_break: bool) -> Option<StreamEvent> {
        let (mut id, mut kind) = (None, None);
        loop {
            let mut line = String::new();
            match self.reader.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(_) if may_break => return None,
                Err(e) => panic!("the stream broke off: {e}"),
            }
            let line = line.trim_end_matches('\n');
            match line.split_once(": ") {
                Some(("id", value)) => id = Some(value.parse().unwrap()),
                Some(("event", value)) => kind = Some(value.to_owned()),
                Some(("data", value)) => {
                    return Some(StreamEvent {
                        id: id.expect("an id"),
                        kind: kind.expect("a type"),
                        data: serde_json::from_str(value).expect("data is JSON"),
                    });
                }
                _ if line.is_empty() => {}
                _ => self.others.push(line.to_owned()),
            }
        }
    }
}

impl Iterator for EventStream {
    type Item = StreamEvent;

    fn next(&mut self) -> Option<StreamEvent> {
        self.next_or(false)
    }
}
