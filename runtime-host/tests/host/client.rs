//! A plain HTTP/1.1 client, which sends exactly what a test says.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// By their names in lower case.
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// A connection, for several requests.
pub struct Client<S = TcpStream>(BufReader<S>);

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(tcp(address))
    }
}

/// A connection with patience.
pub fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the host listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

impl<S: Read + Write> Client<S> {
    pub fn over(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Sends these bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The answer to a request, if the connection is not closed before it.
    pub fn get(&mut self, path: &str) -> Option<Answer> {
        self.0
            .get_mut()
            .write_all(head("GET", path, "").as_bytes())
            .ok()?;
        self.try_read()
    }

    /// Reads one answer.
    pub fn read(&mut self) -> Answer {
        self.try_read().expect("an answer")
    }

    /// Reads one answer, if the connection is not closed before it.
    pub fn try_read(&mut self) -> Option<Answer> {
        let line = self.line()?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = HashMap::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':')?;
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let mut body = Vec::new();
        if let Some(length) = headers.get("content-length") {
            body.resize(length.parse().ok()?, 0);
            self.0.read_exact(&mut body).ok()?;
        } else if headers.contains_key("transfer-encoding") {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).ok()?;
                let start = body.len();
                body.resize(start + size, 0);
                self.0.read_exact(&mut body[start..]).ok()?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        }
        Some(Answer {
            status,
            headers,
            body: String::from_utf8(body).ok()?,
        })
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }
}

/// One request on a connection of its own.
pub fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let mut client = Client::connect(address);
    client.write(head(method, path, body).as_bytes());
    client.read()
}

/// The bytes of a request.
pub fn head(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
