//! Where the system cannot pass sockets on.

use std::net::SocketAddr;
use std::path::Path;

use tokio::net::TcpListener;

use crate::fault::{Faults, Result};

/// There is none.
pub enum Predecessor {}

impl Predecessor {
    /// # Errors
    ///
    /// Always.
    pub async fn find(_: &Path, _: SocketAddr) -> Result<Option<(TcpListener, Self)>> {
        Err(Faults::one("--handover: this system has no such sockets"))
    }

    /// Never called.
    pub async fn relieve(self) {
        match self {}
    }
}

/// There is none.
pub enum Offer {}

impl Offer {
    /// # Errors
    ///
    /// Always.
    pub fn at(_: &Path, _: &TcpListener) -> Result<Self> {
        Err(Faults::one("--handover: this system has no such sockets"))
    }

    /// Never called.
    pub async fn taken(&self) {
        match *self {}
    }

    /// Never called.
    pub fn withdraw(self) {
        match self {}
    }
}
