//! The node behind its lock, with its journal.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::node::{Node, NodeError};
use crate::store::{Store, StoreError};

/// The state cannot be made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The journal.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the journal says.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The folder for backups of a devnet in memory.
    #[error("no temporary folder: {0}")]
    Temporary(std::io::Error),
}

/// Where backups go; a temporary folder vanishes with the devnet.
#[derive(Debug)]
enum Backups {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

#[derive(Debug)]
struct Kept {
    node: Node,
    store: Option<Store>,
}

/// The state of a devnet that is not forwarded.
#[derive(Debug)]
pub struct Ledger {
    kept: Mutex<Kept>,
    backups: Backups,
}

impl Ledger {
    /// A new state, or the one that `folder` keeps.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub fn open(folder: Option<&Path>) -> Result<Ledger, LedgerError> {
        let Some(folder) = folder else {
            let backups = Backups::Temporary(tempfile::tempdir().map_err(LedgerError::Temporary)?);
            let mut node = Node::create()?;
            node.take_pending();
            return Ok(Ledger {
                kept: Mutex::new(Kept { node, store: None }),
                backups,
            });
        };
        let (store, lines) = Store::open(folder)?;
        let mut events = lines.into_iter().flatten();
        let node = match events.next() {
            None => Node::create()?,
            Some(first) => {
                let mut node = Node::from_first(&first)?;
                events.try_for_each(|event| node.apply(&event))?;
                node.reaccept()?;
                node
            }
        };
        let ledger = Ledger {
            kept: Mutex::new(Kept {
                node,
                store: Some(store),
            }),
            backups: Backups::Kept(folder.join("backups")),
        };
        ledger.with(|_, _| ())?;
        Ok(ledger)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the node, which nothing else touches meanwhile, and journals what it changed.
    /// `work` also gets the folder for backups.
    ///
    /// # Errors
    /// [`StoreError`] if the journal does not take the changes.
    pub fn with<R>(&self, work: impl FnOnce(&mut Node, &Path) -> R) -> Result<R, StoreError> {
        let backups = match &self.backups {
            Backups::Kept(path) => path.as_path(),
            Backups::Temporary(folder) => folder.path(),
        };
        let mut kept = self.kept();
        let result = work(&mut kept.node, backups);
        let events = kept.node.take_pending();
        if let Some(store) = kept.store.as_mut()
            && !events.is_empty()
        {
            store.append(&events)?;
        }
        Ok(result)
    }

    /// Makes the disk keep everything.
    ///
    /// # Errors
    /// [`StoreError`] if it does not.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.kept().store.as_ref().map_or(Ok(()), Store::sync)
    }
}
