//! Looks for what is outside.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

/// What it finds without being granted anything: nothing, if all is well. At `server`
/// somebody listens.
pub fn everything(server: &str) -> String {
    let mut found = Vec::new();
    let mut look = |name: &str, value: String| {
        if !value.is_empty() {
            found.push(format!("{name}: {value}"));
        }
    };
    look(
        "variables",
        list(std::env::vars().map(|(name, value)| format!("{name}={value}"))),
    );
    look("arguments", list(std::env::args()));
    for directory in ["/", ".", "..", "/proc/self/fd", "/tmp"] {
        if let Ok(entries) = fs::read_dir(directory) {
            look(directory, format!("{} entries", entries.count()));
        }
    }
    if let Ok(mut file) = fs::File::create("/tmp/hostile") {
        look("written", format!("{:?}", file.write_all(b"x")));
    }
    if fs::create_dir("hostile").is_ok() {
        look("directory", "made".to_owned());
    }
    if TcpStream::connect(server).is_ok() {
        look("connected", server.to_owned());
    }
    if let Ok(listener) = TcpListener::bind("127.0.0.1:0") {
        look("listening", format!("{:?}", listener.local_addr()));
    }
    if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
        look("UDP", format!("{:?}", socket.local_addr()));
    }
    if let Ok(addresses) = ("localhost", 80).to_socket_addrs() {
        look(
            "resolved",
            list(addresses.map(|address| address.to_string())),
        );
    }
    let mut input = String::new();
    if std::io::stdin().read_line(&mut input).is_ok() {
        look("input", input);
    }
    found.join("\n")
}

/// What the file `path` has.
pub fn file(path: &str) -> String {
    match fs::read_to_string(path) {
        Ok(text) => format!("read {} bytes", text.len()),
        Err(e) => format!("{:?}", e.kind()),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(" ")
}
