//! A client over TLS, and the keys for it.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::{self, Answer, Client};
use crate::process::{Application, Host};

/// A certificate for `localhost` and its key, as PEM.
pub struct Keys {
    pub certificate: String,
    pub key: String,
    der: CertificateDer<'static>,
}

impl Keys {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            der: made.cert.der().clone(),
        }
    }

    /// Writes them where [`secure`] looks.
    pub fn write(&self, app: &Application) {
        app.write("cert.pem", &self.certificate);
        app.write("key.pem", &self.key);
    }
}

/// Starts `app` with the keys that were written.
pub fn secure(app: &Application, arguments: &[&str]) -> Host {
    Host::start(
        app.command()
            .arg("--tls-cert")
            .arg(app.path().join("cert.pem"))
            .arg("--tls-key")
            .arg(app.path().join("key.pem"))
            .args(arguments),
    )
}

/// Trusts these keys only.
pub fn trusting(keys: &[&Keys], protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for keys in keys {
        roots.add(keys.der.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    // Each connection shows the key that there is then.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// HTTP/1.1 over TLS.
pub type Secure = Client<StreamOwned<ClientConnection, TcpStream>>;

/// The bytes of a connection, if the server is trusted.
pub fn stream(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> Result<StreamOwned<ClientConnection, TcpStream>, std::io::Error> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = client::tcp(address);
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// A connection, if the server is trusted.
pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<Secure, std::io::Error> {
    stream(address, config).map(Client::over)
}

/// One request on a connection of its own.
pub fn get(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    path: &str,
) -> Result<Answer, std::io::Error> {
    let mut client = connect(address, config)?;
    client.write(client::head("GET", path, "").as_bytes());
    client
        .try_read()
        .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

/// An HTTP/2 connection, agreed on by ALPN.
pub async fn http2(address: SocketAddr, keys: &Keys) -> SendRequest<Full<bytes::Bytes>> {
    http2_of(address, keys).await
}

/// The same, for bodies of another kind.
pub async fn http2_of<B>(address: SocketAddr, keys: &Keys) -> SendRequest<B>
where
    B: http_body::Body<Data = bytes::Bytes, Error = std::convert::Infallible>
        + Send
        + Unpin
        + 'static,
{
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let config = trusting(&[keys], &[b"h2", b"http/1.1"]);
    let stream = tokio_rustls::TlsConnector::from(config)
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

/// A request for [`http2`].
pub fn request(method: &str, path: &str, body: &str) -> http::Request<Full<bytes::Bytes>> {
    http::Request::builder()
        .method(method)
        .uri(format!("https://localhost{path}"))
        .body(Full::from(body.to_owned()))
        .unwrap()
}

/// The status of a whole answer, and its body.
pub async fn whole(response: http::Response<hyper::body::Incoming>) -> (u16, String) {
    assert_eq!(response.version(), http::Version::HTTP_2);
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}
