//! TLS towards clients: keys, and their exchange while connections go on.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::fault::{Collector, Faults, Result};
use crate::observe::metrics;
use crate::server::shutdown::Shutdown;

/// What ALPN calls HTTP/2.
pub const HTTP_2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";
/// Far above what any chain of certificates needs.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where the key of a server and its certificates are, as PEM.
#[derive(Debug, Clone)]
pub struct Files {
    /// The server's certificate, and those that lead to the root.
    pub certificates: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Files {
    fn read(&self) -> Result<Contents> {
        let mut faults = Collector::default();
        let certificates = faults.keep(read("--tls-cert", &self.certificates));
        let key = faults.keep(read("--tls-key", &self.key));
        faults.finish_with(Contents {
            certificates: certificates.unwrap_or_default(),
            key: key.unwrap_or_default(),
        })
    }
}

/// What stands in the [`Files`].
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    certificates: Vec<u8>,
    key: Vec<u8>,
}

impl Contents {
    fn parse(&self, files: &Files, provider: &CryptoProvider) -> Result<CertifiedKey> {
        let mut faults = Collector::default();
        let certificates = faults.keep(self.certificates(&files.certificates));
        let key = faults.keep(self.key(&files.key));
        faults.finish()?;
        let (Some(certificates), Some(key)) = (certificates, key) else {
            return Err(Faults::one("--tls-cert and --tls-key are needed"));
        };
        CertifiedKey::from_der(certificates, key, provider).map_err(|e| {
            let (certificates, key) = (files.certificates.display(), files.key.display());
            Faults::one(match e {
                rustls::Error::InconsistentKeys(_) => {
                    format!(
                        "--tls-key: {key} is not the key of the first certificate in {certificates}"
                    )
                }
                e => format!("--tls-cert {certificates} and --tls-key {key}: {e}"),
            })
        })
    }

    fn certificates(&self, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
        let path = path.display();
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&self.certificates)
            .collect::<Result<_, _>>()
            .map_err(|e| Faults::one(format!("--tls-cert: {path} is not PEM: {e}")))?;
        if certificates.is_empty() {
            return Err(Faults::one(format!(
                "--tls-cert: there is no certificate (PEM) in {path}"
            )));
        }
        Ok(certificates)
    }

    fn key(&self, path: &Path) -> Result<PrivateKeyDer<'static>> {
        let path = path.display();
        PrivateKeyDer::from_pem_slice(&self.key).map_err(|e| {
            Faults::one(match e {
                pem::Error::NoItemsFound => {
                    format!("--tls-key: there is no private key (PEM, not encrypted) in {path}")
                }
                e => format!("--tls-key: {path} is not PEM: {e}"),
            })
        })
    }
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let failed = |e: String| Faults::one(format!("{flag}: cannot read {}: {e}", path.display()));
    let file = std::fs::File::open(path).map_err(|e| failed(e.to_string()))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| failed(e.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(failed("it is too large".to_owned()));
    }
    Ok(bytes)
}

/// The TLS of a server.
pub struct Tls {
    files: Files,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
    /// What was looked at last, good or bad.
    seen: Contents,
}

impl Tls {
    /// With the key and certificates that `files` have now.
    ///
    /// # Errors
    ///
    /// They cannot be read, or do not fit together.
    pub fn load(files: Files) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let seen = files.read()?;
        let key = seen.parse(&files, &provider)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(key))));
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Current>::clone(&current);
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| Faults::one(format!("TLS: {e}")))?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
        Ok(Self {
            files,
            provider,
            current,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            seen,
        })
    }

    /// Makes a connection of a client a TLS one.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Takes new keys, on SIGHUP and when the files have changed, which is
    /// looked for `every` so often, until `shutdown`. Connections that exist go
    /// on; keys that are no good are told in the log, and the old ones stay.
    ///
    /// # Errors
    ///
    /// SIGHUP cannot be handled.
    pub fn renewing(
        mut self,
        every: Duration,
        shutdown: Shutdown,
    ) -> Result<impl Future<Output = ()>> {
        let mut hangup = Hangup::install()?;
        Ok(async move {
            loop {
                let asked = tokio::select! {
                    () = shutdown.requested() => return,
                    () = hangup.next() => true,
                    () = tokio::time::sleep(every) => false,
                };
                // A file system may hang: nothing else shall.
                let look = move || {
                    self.renew(asked);
                    self
                };
                match tokio::task::spawn_blocking(look).await {
                    Ok(same) => self = same,
                    Err(e) => {
                        tracing::error!("TLS keys are not looked at any more: {e}");
                        return;
                    }
                }
            }
        })
    }

    /// Looks at the files; what is no news is told only if it was `asked` for.
    fn renew(&mut self, asked: bool) {
        let contents = match self.files.read() {
            Ok(contents) => contents,
            Err(faults) => return refused(&faults),
        };
        if contents == self.seen && !asked {
            return;
        }
        match contents.parse(&self.files, &self.provider) {
            Ok(key) => {
                metrics::tls_reload(true);
                *self
                    .current
                    .0
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                tracing::info!("TLS: new connections get the key that was read now");
            }
            Err(faults) => refused(&faults),
        }
        self.seen = contents;
    }
}

fn refused(faults: &Faults) {
    metrics::tls_reload(false);
    for line in faults.lines() {
        tracing::error!("TLS: the old key stays: {line}");
    }
}

/// The key for new connections.
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&key))
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

/// The signal that asks for new keys.
pub struct Hangup {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangup {
    /// From now on it does not end the process.
    ///
    /// # Errors
    ///
    /// It cannot be handled.
    pub fn install() -> Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let signal = signal(SignalKind::hangup())
                .map_err(|e| Faults::one(format!("cannot handle signals: {e}")))?;
            Ok(Self { signal })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Ready when it comes.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}
