//! New connections: name, TCP, TLS. Whatever fails here, nothing was sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wasmtime_wasi_http::{Error, WasiBody};

use super::Timeout;
use super::pool::Key;
use crate::bound;

/// The largest head of an answer.
const MAX_RESPONSE_HEAD_BYTES: usize = 64 * 1024;

/// Makes connections.
pub struct Connector {
    tls: TlsConnector,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connector {
    pub fn new() -> Result<Self, rustls::Error> {
        let roots = rustls::RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// A connection to `key` for `component`, ready for a request, within
    /// what is left of `timeout`.
    ///
    /// # Errors
    ///
    /// Only such as mean that nothing was sent.
    pub async fn connect(
        &self,
        key: &Key,
        timeout: Timeout,
        component: &str,
    ) -> Result<SendRequest<WasiBody>, Error> {
        let connecting = self.connect_unbounded(key, component);
        match tokio::time::timeout(timeout.left(), connecting).await {
            Ok(connected) => connected,
            Err(_) => {
                timeout.passed(component, key);
                Err(Error::ConnectionTimeout)
            }
        }
    }

    async fn connect_unbounded(
        &self,
        key: &Key,
        component: &str,
    ) -> Result<SendRequest<WasiBody>, Error> {
        let stream = tcp(key, component).await?;
        let stream = if key.tls {
            let name = ServerName::try_from(key.bare_host().to_owned())
                .map_err(|_| dns_error("invalid dns name"))?;
            let stream = self.tls.connect(name, stream).await.map_err(|e| {
                let what = format_args!("TLS with {}: {e}", key.host);
                bound::denied("TLS", component, what);
                Error::TlsProtocolError
            })?;
            Stream::Tls(Box::new(stream))
        } else {
            Stream::Plain(stream)
        };
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_RESPONSE_HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Error::ConnectionRefused)?;
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                tracing::debug!("an outbound connection ended: {e}");
            }
        });
        Ok(sender)
    }
}

async fn tcp(key: &Key, component: &str) -> Result<TcpStream, Error> {
    let addresses: Vec<_> = tokio::net::lookup_host((key.bare_host(), key.port))
        .await
        .map_err(|e| {
            tracing::debug!("cannot resolve {}: {e}", key.host);
            dns_error("address not available")
        })?
        .collect();
    if addresses.is_empty() {
        return Err(dns_error("address not available"));
    }
    // These and no others are connected to: a name that is asked for again may
    // have another answer.
    let addresses = key.reach.narrow(addresses);
    if addresses.is_empty() {
        let what = format_args!(
            "{} is in a private network, and private_networks is deny",
            key.host
        );
        bound::denied("private_networks", component, what);
        return Err(Error::DestinationIpProhibited);
    }
    let stream = TcpStream::connect(&*addresses)
        .await
        .map_err(|e| match e.kind() {
            io::ErrorKind::AddrNotAvailable => dns_error("address not available"),
            io::ErrorKind::TimedOut => Error::ConnectionTimeout,
            _ => Error::ConnectionRefused,
        })?;
    // Without this, each small request waits for the other side's delayed
    // acknowledgement.
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!("TCP_NODELAY: {e}");
    }
    Ok(stream)
}

fn dns_error(rcode: &str) -> Error {
    Error::DnsError {
        rcode: Some(rcode.to_owned()),
        info_code: Some(0),
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
