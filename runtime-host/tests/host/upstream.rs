//! Servers that components talk to, well behaved or not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// What a server does with each request, given its number.
pub type Behaviour = Box<dyn Fn(usize, &mut TcpStream) -> Next + Send + Sync>;

pub enum Next {
    /// Reads the next request on the same connection.
    KeepAlive,
    /// Closes the connection.
    Close,
}

/// A server on a port of its own. Its threads end with the process.
pub struct Upstream {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    seen: Receiver<String>,
}

impl Upstream {
    pub fn start(
        behaviour: impl Fn(usize, &mut TcpStream) -> Next + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(AtomicUsize::new(0));
        let (sender, seen) = channel();
        let behaviour: Arc<Behaviour> = Arc::new(Box::new(behaviour));
        {
            let (connections, requests) = (Arc::clone(&connections), Arc::clone(&requests));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let Ok(stream) = stream else { break };
                    connections.fetch_add(1, Ordering::SeqCst);
                    let (behaviour, requests, sender) = (
                        Arc::clone(&behaviour),
                        Arc::clone(&requests),
                        sender.clone(),
                    );
                    std::thread::spawn(move || serve(stream, &behaviour, &requests, &sender));
                }
            });
        }
        Self {
            address,
            connections,
            requests,
            seen,
        }
    }

    /// Answers every request with `body`.
    pub fn answering(body: &'static str) -> Self {
        Self::start(move |_, stream| {
            respond(stream, "200 OK", body);
            Next::KeepAlive
        })
    }

    /// Takes connections and answers nobody.
    pub fn silent() -> Self {
        Self::start(|_, _| {
            std::thread::sleep(std::time::Duration::from_secs(3600));
            Next::Close
        })
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Waits for a request: its head and body.
    pub fn next_request(&self) -> String {
        self.seen
            .recv_timeout(std::time::Duration::from_secs(60))
            .expect("a request comes")
    }
}

pub fn respond(stream: &mut TcpStream, status: &str, body: &str) {
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
}

fn serve(
    mut stream: TcpStream,
    behaviour: &Behaviour,
    requests: &AtomicUsize,
    seen: &Sender<String>,
) {
    while let Some(request) = read_request(&mut stream) {
        let number = requests.fetch_add(1, Ordering::SeqCst);
        let _ = seen.send(request);
        if let Next::Close = behaviour(number, &mut stream) {
            break;
        }
    }
}

/// Reads a head and as much body as it announces.
fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        while !bytes.ends_with(b"0\r\n\r\n") {
            if stream.read(&mut byte).ok()? == 0 {
                return None;
            }
            bytes.push(byte[0]);
        }
    }
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    bytes.extend(body);
    String::from_utf8(bytes).ok()
}
