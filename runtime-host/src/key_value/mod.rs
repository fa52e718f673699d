//! `spin:key-value`: stores for components.
//!
//! A store is in a file, where Spin has it and as Spin has it, or with a Redis
//! server. Nothing is cached: an answer is what the store holds.

mod file;
mod redis_server;
mod store;

pub use redis_server::RedisAddress;
pub use store::{DEFAULT_FILE, DEFAULT_STORE, KeyValueLimits, Location, Store};

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use self::store::Failure;
use crate::bound::Bound;
use crate::component::bindings::Host;
use crate::component::bindings::spin::key_value::key_value::{
    Error, Host as KeyValueHost, HostStore, HostStoreWithStore,
};
use crate::component::instance::{Grants, StoreData};
use crate::observe::trace::Span;

/// An open store as a guest holds it.
pub struct GuestStore {
    label: String,
    store: Store,
}

type Handle = Resource<GuestStore>;

/// One operation of a guest, from its beginning to what it is told.
struct Operation {
    store: Store,
    grants: Arc<Grants>,
    begun: Instant,
    span: Option<Span>,
}

impl Operation {
    fn begin<T: 'static>(
        accessor: &Accessor<T, Host>,
        store: &Handle,
        name: &'static str,
    ) -> wasmtime::Result<Self> {
        accessor.with(|mut access| {
            let data = access.get();
            let GuestStore { label, store } = data.table.get(store)?;
            let span = data.span.as_ref();
            Ok(Self {
                span: span.and_then(|span| span.key_value(name, label)),
                store: store.clone(),
                grants: Arc::clone(&data.grants),
                begun: Instant::now(),
            })
        })
    }

    fn end<T>(self, outcome: Result<T, Failure>) -> Result<T, Error> {
        let good = outcome.is_ok();
        let metrics = &self.grants.metrics;
        metrics.key_value(self.store.is_remote(), self.begun.elapsed(), good);
        if let Some(span) = self.span {
            span.operation_ended(good);
        }
        outcome.map_err(|failure| {
            if let Some(bound) = failure.exceeded {
                let why = format_args!("an operation of a key-value store: {}", failure.why);
                bound.exceeded(&self.grants.component, why);
            }
            Error::Other(failure.why)
        })
    }
}

impl KeyValueHost for StoreData {}

impl HostStore for StoreData {
    async fn drop(&mut self, store: Handle) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        self.open_stores = self.open_stores.saturating_sub(1);
        Ok(())
    }
}

impl<T: Send + 'static> HostStoreWithStore<T> for Host {
    async fn open(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> wasmtime::Result<Result<Handle, Error>> {
        accessor.with(|mut access| {
            let data = access.get();
            let Some(store) = data.grants.stores.get(&label).cloned() else {
                return Ok(Err(Error::AccessDenied));
            };
            let most = data.grants.limits.stores;
            if data.open_stores >= most {
                Bound::InstanceStores.exceeded(
                    &data.grants.component,
                    format_args!("an instance wanted more than {most} open key-value stores"),
                );
                return Ok(Err(Error::StoreTableFull));
            }
            let handle = data.table.push(GuestStore { label, store })?;
            data.open_stores += 1;
            Ok(Ok(handle))
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        store: Handle,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let operation = Operation::begin(accessor, &store, "get")?;
        let outcome = operation.store.get(key).await;
        Ok(operation.end(outcome))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Handle,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let operation = Operation::begin(accessor, &store, "set")?;
        let outcome = operation.store.set(key, value).await;
        Ok(operation.end(outcome))
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        store: Handle,
        key: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        let operation = Operation::begin(accessor, &store, "delete")?;
        let outcome = operation.store.delete(key).await;
        Ok(operation.end(outcome))
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        store: Handle,
        key: String,
    ) -> wasmtime::Result<Result<bool, Error>> {
        let operation = Operation::begin(accessor, &store, "exists")?;
        let outcome = operation.store.exists(key).await;
        Ok(operation.end(outcome))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Handle,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), Error>>)> {
        let operation = Operation::begin(accessor, &store, "get_keys")?;
        let outcome = operation.store.keys().await;
        let (keys, result) = match operation.end(outcome) {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            let result =
                FutureReader::new(&mut access, async move { wasmtime::error::Ok(result) })?;
            Ok((keys, result))
        })
    }
}
