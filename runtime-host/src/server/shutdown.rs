//! Stopping in an orderly way.

use tokio::sync::watch;

use crate::fault::{Faults, Result};

/// How far a host is on its way to its end. It goes only forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not at all.
    Serving,
    /// It says so: it is not ready, its connections are told to go elsewhere,
    /// and it begins nothing by itself. It still takes new connections.
    Leaving,
    /// It takes no new connections; those that are idle may bring one more
    /// request.
    Left,
    /// What has begun is brought to its end.
    Closing,
}

/// Tells everything that listens to it to come to an end.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Phase>);

/// Starts a [`Shutdown`].
#[derive(Debug)]
pub struct Trigger(watch::Sender<Phase>);

/// A shutdown that has not been requested.
pub fn shutdown() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(Phase::Serving);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Goes on to `phase`, if that is ahead.
    pub fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let ahead = phase > *now;
            *now = phase.max(*now);
            ahead
        });
    }
}

impl Shutdown {
    /// Ready once it is requested.
    pub async fn requested(&self) {
        self.reached(Phase::Leaving).await;
    }

    /// Ready once `phase` is reached.
    pub async fn reached(&self, phase: Phase) {
        // Without a sender nobody can ever request it: that is the end, too.
        let _ = self.0.clone().wait_for(|now| *now >= phase).await;
    }

    /// Where it is now.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }
}

/// The signals that ask a process to stop.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on these signals do not end the process by themselves.
    ///
    /// # Errors
    ///
    /// The handlers cannot be installed.
    #[cfg(unix)]
    pub fn install() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let install =
            |kind| signal(kind).map_err(|e| Faults::one(format!("cannot handle signals: {e}")));
        Ok(Self {
            interrupt: install(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
        })
    }

    /// As on Unix, for Ctrl-C only.
    ///
    /// # Errors
    ///
    /// None.
    #[cfg(not(unix))]
    pub fn install() -> Result<Self> {
        Ok(Self {})
    }

    /// Ready at the next signal.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_go_only_forward() {
        let (trigger, shutdown) = shutdown();
        assert_eq!(shutdown.phase(), Phase::Serving);
        trigger.enter(Phase::Left);
        trigger.enter(Phase::Leaving);
        assert_eq!(shutdown.phase(), Phase::Left);
        shutdown.requested().await;
        shutdown.reached(Phase::Left).await;
        let closing = shutdown.reached(Phase::Closing);
        let mut closing = std::pin::pin!(closing);
        assert!(futures::poll!(closing.as_mut()).is_pending());
        trigger.enter(Phase::Closing);
        closing.await;
    }
}
