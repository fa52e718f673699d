//! A receiver of webhooks: a real HTTP server on a free port that remembers what it was sent and
//! answers as it is told.

use crate::eventually;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Answering {
    /// A status, more header lines (each with its line end), a body.
    With(u16, String, String),
    /// Not at all, until the other side gives up.
    Hanging,
    /// 200 and a body that never ends.
    Endless,
}

impl Answering {
    pub fn status(status: u16) -> Answering {
        Answering::With(status, String::new(), "an answer of a stranger".into())
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        &found.unwrap_or_else(|| panic!("no {name}: {self:?}")).1
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a message is JSON")
    }

    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    pub fn sequence(&self) -> i64 {
        self.json()["data"]["sequence"].as_i64().unwrap()
    }

    /// How many of the signatures verify with this key, as Standard Webhooks says (`v1a`).
    pub fn verified_by(&self, public_key: &str) -> usize {
        let key = public_key.strip_prefix("whpk_").expect("a public key");
        let key: [u8; 32] = STANDARD.decode(key).unwrap().try_into().unwrap();
        let key = VerifyingKey::from_bytes(&key).unwrap();
        let signed = format!(
            "{}.{}.{}",
            self.id(),
            self.header("webhook-timestamp"),
            self.body
        );
        self.signatures()
            .iter()
            .filter(|signature| {
                let bytes = STANDARD.decode(signature).unwrap();
                let signature = Signature::from_slice(&bytes).unwrap();
                key.verify_strict(signed.as_bytes(), &signature).is_ok()
            })
            .count()
    }

    /// Without their version.
    pub fn signatures(&self) -> Vec<&str> {
        self.header("webhook-signature")
            .split(' ')
            .map(|one| one.strip_prefix("v1a,").expect("a v1a signature"))
            .collect()
    }
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    next: VecDeque<Answering>,
    always: Option<Answering>,
}

/// The server; it lives as long as the test.
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    /// Answers 200 until it is told otherwise.
    pub fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Receiver { address, state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How the next requests are answered, in this order.
    pub fn answer(&self, answers: impl IntoIterator<Item = Answering>) {
        self.state.lock().unwrap().next.extend(answers);
    }

    /// How every request is answered from now on.
    pub fn always(&self, answer: Answering) {
        self.state.lock().unwrap().always = Some(answer);
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    pub fn count(&self) -> usize {
        self.state.lock().unwrap().received.len()
    }

    /// Waits for so many requests, and gives them.
    pub fn wait_for(&self, count: usize) -> Vec<Received> {
        eventually("the receiver has been told", || self.count() >= count);
        self.received()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let Some(request) = read(&stream) else {
        return;
    };
    let answer = {
        let mut state = state.lock().unwrap();
        state.received.push(request);
        let next = state.next.pop_front();
        next.or_else(|| state.always.clone())
            .unwrap_or_else(|| Answering::status(200))
    };
    let mut stream = stream;
    let mut write = |text: &str| stream.write_all(text.as_bytes()).is_ok();
    match answer {
        Answering::With(status, headers, body) => {
            let length = body.len();
            write(&format!(
                "HTTP/1.1 {status} Status\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            ));
        }
        Answering::Hanging => {
            // Ends when the client closes.
            let _ = (&stream).read(&mut [0]);
        }
        Answering::Endless => {
            write("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
            while write(&"x".repeat(4096)) {}
        }
    }
}

fn read(stream: &TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?;
    let mut body = vec![0; length.1.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Received {
        path,
        headers,
        body: String::from_utf8(body).ok()?,
    })
}
