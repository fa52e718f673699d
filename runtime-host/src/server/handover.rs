//! Handing the listening socket over to the next process, so that a restart
//! refuses no connection.
//!
//! The socket itself goes from one to the other, with the connections that wait
//! in it. With `SO_REUSEPORT` there would be two, and the kernel resets what
//! waits in the one that closes.
//!
//! The new process connects to the old one's Unix socket, gets the listening
//! socket, starts, and says when it serves; only then the old one leaves. If
//! the new one fails to start, the old one goes on.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::fault::{Faults, Result};

/// Comes with the socket; tells the version of what is spoken here.
const GREETING: [u8; 16] = *b"runtime-host 1\r\n";
/// What the new process says once it serves.
const SERVING: u8 = b'S';
/// How long the other process may take to hand over, once it is asked.
const PATIENCE: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An old process whose socket this one has.
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// Gets the listening socket of the process that offers it at `path`, if
    /// there is one.
    ///
    /// # Errors
    ///
    /// What is there does not hand over, or serves elsewhere than `wanted`.
    pub async fn find(path: &Path, wanted: SocketAddr) -> Result<Option<(TcpListener, Self)>> {
        let failed = |e: io::Error| Faults::one(format!("--handover {}: {e}", path.display()));
        let stream = match UnixStream::connect(path).await {
            Ok(stream) => stream,
            Err(e) => {
                return match e.kind() {
                    // Nobody was here, or who was is gone.
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                    _ => Err(failed(e)),
                };
            }
        };
        let asked = async {
            trusted(&stream)?;
            receive(&stream).await
        };
        let listener = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(listener) => listener.map_err(failed)?,
            Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
        };
        let address = listener.local_addr().map_err(failed)?;
        if wanted.port() != 0 && wanted != address {
            return Err(Faults::one(format!(
                "--listen: {wanted} is not where the host at --handover {} serves: {address}",
                path.display()
            )));
        }
        Ok(Some((listener, Self(stream))))
    }

    /// Tells it that this process serves now.
    pub async fn relieve(mut self) {
        if let Err(e) = self.0.write_all(&[SERVING]).await {
            // It has ended meanwhile; it need not be told.
            tracing::debug!("the process before this one: {e}");
        }
    }
}

/// Where the next process gets the listening socket of this one.
pub struct Offer {
    path: PathBuf,
    /// Which file is this process's: device and inode.
    file: (u64, u64),
    requests: UnixListener,
    listener: OwnedFd,
}

impl Offer {
    /// Offers `listener` at `path`, in the place of whoever did so before.
    ///
    /// # Errors
    ///
    /// `path` cannot be written, or is no socket.
    pub fn at(path: &Path, listener: &TcpListener) -> Result<Self> {
        let failed = |e: io::Error| Faults::one(format!("--handover {}: {e}", path.display()));
        match std::fs::symlink_metadata(path) {
            Ok(there) if !is_socket(&there) => {
                return Err(Faults::one(format!(
                    "--handover {}: there is something that is not a socket",
                    path.display()
                )));
            }
            _ => {}
        }
        // Not even for a moment nobody is there.
        let mut temporary = path.to_owned().into_os_string();
        temporary.push(format!(".{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let _ = std::fs::remove_file(&temporary);
        let requests = UnixListener::bind(&temporary).map_err(failed)?;
        std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o600))
            .and_then(|()| std::fs::rename(&temporary, path))
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            file: std::fs::symlink_metadata(path)
                .map(|there| identity(&there))
                .map_err(failed)?,
            requests,
            listener: listener.as_fd().try_clone_to_owned().map_err(failed)?,
        })
    }

    /// Ready once another process serves in the place of this one.
    pub async fn taken(&self) {
        loop {
            match self.requests.accept().await {
                Ok((stream, _)) => match self.hand_over(stream).await {
                    Ok(()) => return,
                    Err(e) => tracing::warn!("the socket was not handed over: {e}"),
                },
                Err(e) => {
                    tracing::warn!("--handover: {e}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn hand_over(&self, mut stream: UnixStream) -> io::Result<()> {
        trusted(&stream)?;
        send(&stream, &self.listener).await?;
        tracing::info!("another process starts in the place of this one");
        // However long it takes: meanwhile this one serves.
        match stream.read_u8().await {
            Ok(SERVING) => Ok(()),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(io::Error::other("the other process did not start"))
            }
            Err(e) => Err(e),
        }
    }

    /// Ends the offer without anybody in the place of this process.
    pub fn withdraw(self) {
        let there = std::fs::symlink_metadata(&self.path);
        if there.is_ok_and(|there| identity(&there) == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(there: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (there.dev(), there.ino())
}

fn is_socket(there: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    there.file_type().is_socket()
}

/// Only the same user, and root, may take or give a socket.
fn trusted(stream: &UnixStream) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer == 0 || peer == rustix::process::geteuid().as_raw() {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the other process is another user's",
        ))
    }
}

async fn send(stream: &UnixStream, listener: &OwnedFd) -> io::Result<()> {
    let send = || {
        let sockets = [listener.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&sockets));
        let sent = sendmsg(
            stream,
            &[IoSlice::new(&GREETING)],
            &mut control,
            SendFlags::empty(),
        )?;
        Ok(sent)
    };
    match stream.async_io(Interest::WRITABLE, send).await? {
        sent if sent == GREETING.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

async fn receive(stream: &UnixStream) -> io::Result<TcpListener> {
    let receive = || {
        let mut greeting = [0; GREETING.len()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut greeting)],
            &mut control,
            RecvFlags::empty(),
        )?;
        let mut sockets = control.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(sockets) => sockets.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        let socket = sockets.next();
        if received.bytes != GREETING.len() || greeting != GREETING {
            return Err(io::Error::other("what answers there does not hand over"));
        }
        socket.ok_or_else(|| io::Error::other("what answers there hands nothing over"))
    };
    let socket: OwnedFd = stream.async_io(Interest::READABLE, receive).await?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
