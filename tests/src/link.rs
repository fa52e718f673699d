//! What stands in front of a registry, where its peers believe it to be: passes requests on, keeps
//! a record of them, and can fail as a network does. Without a registry behind it, it takes
//! everything and says so.

use crate::reply::{self, Reply};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The registry that says it sends it.
    pub from: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// What the registry answered; none when the request did not get through.
    pub status: Option<u16>,
}

impl Recorded {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The message in it.
    pub fn message(&self) -> serde_json::Value {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["message"].clone()
    }

    /// The same bytes to a registry.
    pub fn again_to(&self, url: &str) -> Reply {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .filter(|(name, _)| is_passed_on(name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let url = format!("{url}{}", self.target);
        reply::request("POST", &url, &headers, self.body.as_bytes()).expect("the host answers")
    }
}

#[derive(Default)]
struct State {
    /// Whose requests do not get through.
    cut: Mutex<Vec<String>>,
    record: Mutex<Vec<Recorded>>,
    to: Mutex<Option<String>>,
    loses_answers: AtomicBool,
    doubles: AtomicBool,
    is_over: AtomicBool,
}

/// A link to one registry.
pub struct Link {
    address: SocketAddr,
    state: Arc<State>,
}

impl Link {
    /// A link that leads nowhere yet.
    pub fn start() -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    if let Ok(stream) = stream {
                        let _ = shared.serve(stream);
                    }
                });
            }
        });
        Link { address, state }
    }

    /// As a peer's address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What is behind it from now on.
    pub fn lead_to(&self, url: &str) {
        *self.state.to.lock().unwrap() = Some(url.to_owned());
    }

    /// Requests of this registry do not get through any more.
    pub fn cut(&self, from: &str) {
        self.state.cut.lock().unwrap().push(from.to_owned());
    }

    /// Everybody's get through.
    pub fn heal(&self) {
        self.state.cut.lock().unwrap().clear();
    }

    /// Requests get through, answers do not.
    pub fn lose_answers(&self, lose: bool) {
        self.state.loses_answers.store(lose, Ordering::Relaxed);
    }

    /// Each request gets through twice.
    pub fn double(&self, double: bool) {
        self.state.doubles.store(double, Ordering::Relaxed);
    }

    /// Everything that came, in order.
    pub fn record(&self) -> Vec<Recorded> {
        self.state.record.lock().unwrap().clone()
    }

    /// Messages of this type that came from this registry.
    pub fn messages(&self, from: &str, message_type: &str) -> Vec<serde_json::Value> {
        let record = self.record();
        let of_peer = record.iter().filter(|request| request.from == from);
        of_peer
            .map(Recorded::message)
            .filter(|message| message["message_type"] == message_type)
            .collect()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// What belongs to the connection is the proxy's own.
fn is_passed_on(name: &str) -> bool {
    !["host", "content-length", "connection", "transfer-encoding"]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own))
}

impl State {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let Some(mut request) = read(&mut stream)? else {
            return Ok(());
        };
        let is_cut = self.cut.lock().unwrap().contains(&request.from);
        let to = self.to.lock().unwrap().clone();
        let reply = match to {
            _ if is_cut => None,
            Some(url) => {
                let reply = request.again_to(&url);
                if self.doubles.load(Ordering::Relaxed) {
                    request.again_to(&url);
                }
                Some(reply)
            }
            None => Some(Reply {
                status: 200,
                headers: Vec::new(),
                body: br#"{"success":true,"status":"accepted"}"#.to_vec(),
            }),
        };
        request.status = reply.as_ref().map(|reply| reply.status);
        self.record.lock().unwrap().push(request);
        match reply {
            Some(reply) if !self.loses_answers.load(Ordering::Relaxed) => {
                write(&mut stream, &reply)
            }
            _ => Ok(()),
        }
    }
}

fn read(stream: &mut TcpStream) -> std::io::Result<Option<Recorded>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.lines();
    let target = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .unwrap_or_default()
        .to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut request = Recorded {
        from: String::new(),
        target,
        headers,
        body: String::new(),
        status: None,
    };
    let length: usize = request
        .header("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        body.extend_from_slice(&buffer[..count]);
    }
    request.from = request.header("x-node-id").unwrap_or_default().to_owned();
    request.body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(request))
}

fn write(stream: &mut TcpStream, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
    for (name, value) in reply.headers.iter().filter(|(name, _)| is_passed_on(name)) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!(
        "content-length: {}\r\nconnection: close\r\n\r\n",
        reply.body.len()
    ));
    stream.write_all(head.as_bytes())?;
    stream.write_all(&reply.body)
}
