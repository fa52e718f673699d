//! What belongs to one instance of a component.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView};

use crate::bound::Bound;
use crate::component::bindings;
use crate::component::granted::Granted;
use crate::config::variables::{ComponentVariables, LookupError};
use crate::key_value::Store as KeyValueStore;
use crate::observe::metrics;
use crate::observe::stdio::{Allowance, ComponentOutput, OutputKind, Outputs};
use crate::observe::trace::Span;
use crate::outbound::Hooks;
use crate::sqlite::{Database, Sessions};

/// What bounds one instance.
#[derive(Debug, Clone, Copy)]
pub struct InstanceLimits {
    /// The most memory it may have, all its modules together.
    pub memory_bytes: usize,
    /// Resources (requests, bodies, connections...), and of streams, futures
    /// and the guest's own handles as many again.
    pub resources: usize,
    /// What it may hand over in one call.
    pub call_bytes: usize,
    /// Headers that it makes, of one request or answer.
    pub header_bytes: usize,
    /// What it may print for one request.
    pub output_bytes: usize,
    /// Requests that it makes at once.
    pub outbound_requests: usize,
    /// Connections to databases at once.
    pub connections: usize,
    /// Key-value stores that it has open at once.
    pub stores: usize,
}

/// The most elements of one table of functions.
const MAX_TABLE_ELEMENTS: usize = 20_000;

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
    pub databases: Granted<Database>,
    /// The key-value stores it may open.
    pub stores: Granted<KeyValueStore>,
    /// How and where it may connect.
    pub outbound: Arc<crate::outbound::Grant>,
    /// What bounds each instance.
    pub limits: InstanceLimits,
    /// Where it goes what it prints.
    pub outputs: Outputs,
    /// What is counted of it.
    pub metrics: Arc<metrics::Component>,
}

/// The data of an instance's store.
pub struct StoreData {
    pub(crate) grants: Arc<Grants>,
    pub(crate) sessions: Arc<Sessions>,
    /// Key-value stores that are open.
    pub(crate) open_stores: usize,
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    memory: MemoryLimit,
    output: Arc<Allowance>,
    /// Of the request that it is at.
    pub(crate) span: Option<Span>,
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
        let limits = grants.limits;
        let output = Arc::new(Allowance::new(limits.output_bytes));
        if !grants.outputs.is_nowhere() {
            let (component, outputs) = (&grants.component, &grants.outputs);
            let stream = |kind| ComponentOutput::new(component, kind, outputs, &output);
            wasi.stdout(stream(OutputKind::Stdout))
                .stderr(stream(OutputKind::Stderr));
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.header_bytes);
        Self {
            hooks: Hooks::new(&grants.outbound, limits.outbound_requests),
            sessions: Arc::new(Sessions::default()),
            open_stores: 0,
            table,
            wasi: wasi.build(),
            http,
            memory: MemoryLimit {
                bytes: 0,
                limit: limits.memory_bytes,
                component: Arc::clone(&grants.component),
            },
            output,
            span: None,
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

    /// Begins a request: whatever an earlier one has left open is undone.
    /// What it does has `span` as its parent.
    pub fn begin_request(&mut self, span: Option<Span>) {
        self.hooks.begin_request(span.clone());
        self.span = span;
        self.sessions.end_request();
        self.output.refill(self.grants.limits.output_bytes);
    }

    /// Puts the instance's limits and the ticking of its epoch into force.
    pub fn bound(store: &mut Store<Self>) {
        let limits = store.data().grants.limits;
        store.limiter(|data| &mut data.memory);
        store.set_max_component_handles(limits.resources);
        store.set_hostcall_fuel(limits.call_bytes);
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(limits.resources);
        }
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
    component: Arc<str>,
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
            Bound::InstanceMemory.exceeded(
                &self.component,
                format_args!("an instance wanted {grown} bytes of memory"),
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
