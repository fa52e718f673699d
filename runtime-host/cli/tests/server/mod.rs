//! A tiny HTTP server that answers by script and keeps what it was asked.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What one connection gets.
pub enum Reaction {
    /// An answer: status, further header lines, body.
    Answer(u16, &'static str, String),
    /// The request is read and the connection closed.
    Drop,
    /// The request is read and never answered.
    Silence,
}

/// A request as it came.
pub struct Asked {
    pub method: String,
    pub target: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        let (_, value) = found.next()?;
        assert!(found.next().is_none(), "{name} stands twice");
        Some(value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub struct Server {
    pub url: String,
    asked: Receiver<Asked>,
}

impl Server {
    /// Serves one connection for each reaction, then refuses.
    pub fn start(script: impl IntoIterator<Item = Reaction>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script: VecDeque<Reaction> = script.into_iter().collect();
        let (sender, asked) = channel();
        std::thread::spawn(move || serve(&listener, script, &sender));
        Server { url, asked }
    }

    /// Everything that was asked up to now.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }

    pub fn asked_once(&self) -> Asked {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1);
        asked.remove(0)
    }
}

fn serve(listener: &TcpListener, script: VecDeque<Reaction>, asked: &Sender<Asked>) {
    let mut silent = Vec::new();
    for reaction in script {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        asked.send(read(&stream)).unwrap();
        match reaction {
            Reaction::Answer(status, headers, body) => write!(
                stream,
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap(),
            Reaction::Drop => {}
            Reaction::Silence => silent.push(stream),
        }
    }
    // A connection that is silent stays open.
    while !silent.is_empty() {
        std::thread::park();
    }
}

fn read(stream: &TcpStream) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut words = line.split(' ');
    let (method, target) = (
        words.next().unwrap().to_owned(),
        words.next().unwrap().to_owned(),
    );
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let mut asked = Asked {
        method,
        target,
        headers,
        body: Vec::new(),
    };
    let length = asked
        .header("content-length")
        .map_or(0, |text| text.parse().unwrap());
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body).unwrap();
    asked
}
