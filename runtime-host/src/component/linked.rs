//! A component linked with what the host offers.
//!
//! One that is kept compiled is loaded when it is first needed: a start does not
//! wait for those that are not, and they take no memory.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Context as _;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::component::instance::StoreData;

/// Of which instances are made.
pub type Linked = ServicePre<StoreData>;

/// Links `component` with what `linker` offers.
///
/// # Errors
///
/// It imports what this host does not have, or does not export
/// `wasi:http/handler`.
pub fn link(linker: &Linker<StoreData>, component: &Component) -> anyhow::Result<Linked> {
    let instance = linker.instantiate_pre(component)?;
    ServicePre::new(instance)
        .map_err(anyhow::Error::from)
        .context("it is not a service for WASI 0.3 HTTP (wasi:http/handler@0.3.0)")
}

/// A component that may be yet to be loaded.
pub struct Lazy {
    linked: OnceLock<Linked>,
    /// What gives it, until it has; held while it does.
    load: Mutex<Option<Load>>,
}

type Load = Box<dyn Fn() -> anyhow::Result<Linked> + Send>;

impl Lazy {
    /// One that is there.
    pub fn ready(linked: Linked) -> Self {
        Self::later(move || Ok(linked.clone()))
    }

    /// One that `load` gives. When it fails, it is tried again.
    pub fn later(load: impl Fn() -> anyhow::Result<Linked> + Send + 'static) -> Self {
        Self {
            linked: OnceLock::new(),
            load: Mutex::new(Some(Box::new(load))),
        }
    }

    /// The component; whoever is first loads it, which takes a millisecond or two, or
    /// as long as the disk needs.
    ///
    /// # Errors
    ///
    /// It cannot be loaded.
    pub fn get(&self) -> anyhow::Result<&Linked> {
        if let Some(linked) = self.linked.get() {
            return Ok(linked);
        }
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(give) = &*load {
            let linked = give()?;
            self.linked.get_or_init(|| linked);
            *load = None;
        }
        self.linked.get().context("it was not loaded")
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lazy")
            .field("is_loaded", &self.linked.get().is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_component_that_cannot_be_loaded_is_tried_again() {
        let tries = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&tries);
        let lazy = Lazy::later(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            anyhow::bail!("the file is gone")
        });
        assert_eq!(tries.load(Ordering::Relaxed), 0, "not before it is needed");
        for tried in 1..3 {
            let error = lazy.get().err().map(|e| e.to_string());
            assert_eq!(error.as_deref(), Some("the file is gone"));
            assert_eq!(tries.load(Ordering::Relaxed), tried);
        }
    }
}
