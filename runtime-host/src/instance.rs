//! What belongs to one instance of a component.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};

use crate::bindings;
use crate::outbound::Hooks;
use crate::sqlite::{Databases, Sessions};
use crate::stdio::{ComponentOutput, OutputKind};
use crate::variables::{ComponentVariables, LookupError};

/// Resources (requests, bodies, connections...) an instance may hold at once.
const MAX_RESOURCES: usize = 10_000;

/// What a component is given, the same for all its instances.
#[derive(Debug)]
pub struct Grants {
    /// The component's id.
    pub component: Arc<str>,
    /// Its variables.
    pub variables: ComponentVariables,
    /// Its environment variables.
    pub environment: Vec<(String, String)>,
    /// The databases it may open.
    pub databases: Arc<Databases>,
    /// How and where it may connect.
    pub outbound: Arc<crate::outbound::Grant>,
    /// The most memory an instance may have, in bytes.
    pub memory_bytes: usize,
    /// Whether what it prints is logged.
    pub log_output: bool,
}

/// The data of an instance's store.
pub struct StoreData {
    pub(crate) grants: Arc<Grants>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    memory: MemoryLimit,
}

impl StoreData {
    /// The data of a new instance.
    pub fn new(grants: Arc<Grants>) -> Self {
        let mut wasi = WasiCtx::builder();
        // No files, and no sockets: connections are made by `wasi:http` alone.
        wasi.allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .envs(&grants.environment);
        if grants.log_output {
            wasi.stdout(ComponentOutput::new(&grants.component, OutputKind::Stdout))
                .stderr(ComponentOutput::new(&grants.component, OutputKind::Stderr));
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Self {
            hooks: Hooks::new(&grants.outbound),
            sessions: Arc::new(Sessions::default()),
            table,
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            memory: MemoryLimit {
                bytes: 0,
                limit: grants.memory_bytes,
            },
            grants,
        }
    }

    /// The view that `wasi:http` works on.
    pub fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }

    /// Puts the instance's limits and the ticking of its epoch into force.
    pub fn bound(store: &mut Store<Self>) {
        store.limiter(|data| &mut data.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
    }
}

impl WasiView for StoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Bounds the memory of an instance, all its modules together.
struct MemoryLimit {
    bytes: usize,
    limit: usize,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = self.bytes.saturating_add(desired.saturating_sub(current));
        let allowed = grown <= self.limit;
        if allowed {
            self.bytes = grown;
        } else {
            tracing::warn!(
                "an instance wanted {grown} bytes of memory, {} are allowed",
                self.limit
            );
        }
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        const MAX_TABLE_ELEMENTS: usize = 20_000;
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

impl bindings::spin::variables::variables::Host for StoreData {}

impl<T: 'static> bindings::spin::variables::variables::HostWithStore<T> for bindings::Host {
    async fn get(
        accessor: &wasmtime::component::Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<String, bindings::spin::variables::variables::Error>> {
        use bindings::spin::variables::variables::Error;
        Ok(accessor.with(|mut access| {
            let data = access.get();
            match data.grants.variables.get(&name) {
                Ok(value) => Ok(value.to_owned()),
                Err(LookupError::InvalidName(why)) => Err(Error::InvalidName(why)),
                Err(LookupError::Undefined(why)) => Err(Error::Undefined(why)),
            }
        }))
    }
}
