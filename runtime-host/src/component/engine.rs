//! The wasmtime engine: how components are compiled and where their instances
//! live.

use std::time::Duration;

use anyhow::Context as _;
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasmtime_wasi_http::WasiHttp;

use crate::component::bindings;
use crate::component::instance::StoreData;

/// Between two ticks of the epoch. A guest that computes without a pause gives
/// way to others at each tick, and its deadline is looked at then.
pub const EPOCH_TICK: Duration = Duration::from_millis(10);

/// A composed component has several core modules (its own, one for each
/// dependency, and small ones that join them).
const CORE_INSTANCES_PER_COMPONENT: u32 = 32;
/// Each of these modules may have a memory.
const MEMORIES_PER_COMPONENT: u32 = 8;
/// Each may have tables, too.
const TABLES_PER_COMPONENT: u32 = 16;
/// Stacks that instances use at once, on average: an idle one keeps one, and a
/// call that waits in it has another. A start protects each, for 2.5 us.
const STACKS_PER_INSTANCE: u32 = 2;
/// What of a memory is kept for its next instance instead of being returned to
/// the kernel.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;

/// What bounds the instances of an engine.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Instances of all components at once.
    pub instances: u32,
    /// The largest linear memory of one module.
    pub memory_bytes: usize,
}

/// Where the memory of instances comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// From a pool with places of one size, in which a component may not fit.
    Pool,
    /// It is mapped for each.
    EachItsOwn,
}

/// Makes the engine, with instances in a pool of reserved address space, or
/// with memory mapped for each instance where that much cannot be reserved; and
/// tells which.
///
/// # Errors
///
/// wasmtime does not support this machine.
pub fn engine(limits: Limits) -> anyhow::Result<(Engine, Allocation)> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    let pooled = Engine::new(&config).map(|engine| (engine, Allocation::Pool));
    pooled.or_else(|pooled| {
        tracing::warn!(
            "instances are not pooled, which makes them slower to start: {pooled:#} \
             (is the address space limited, `ulimit -v`?)"
        );
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        Engine::new(&config)
            .map(|engine| (engine, Allocation::EachItsOwn))
            .map_err(anyhow::Error::from)
            .context("wasmtime does not start")
    })
}

fn pool(limits: Limits) -> PoolingAllocationConfig {
    let Limits {
        instances,
        memory_bytes,
    } = limits;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(instances.saturating_mul(MEMORIES_PER_COMPONENT))
        .total_tables(instances.saturating_mul(TABLES_PER_COMPONENT))
        .total_stacks(instances.saturating_mul(STACKS_PER_INSTANCE))
        .max_memory_size(memory_bytes)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Keeps the engine's epoch ticking until the engine is gone.
///
/// # Errors
///
/// No thread can be started.
pub fn tick(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("epoch".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(EPOCH_TICK);
            }
        })
        .map(drop)
}

/// Everything a component may import from this host.
///
/// # Errors
///
/// Two definitions clash, which would be an error in this program.
pub fn linker(engine: &Engine) -> anyhow::Result<Linker<StoreData>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::bindings::http::types::add_to_linker::<_, WasiHttp>(
        &mut linker,
        StoreData::http,
    )?;
    wasmtime_wasi_http::p3::bindings::http::client::add_to_linker::<_, WasiHttp>(
        &mut linker,
        StoreData::http,
    )?;
    bindings::spin::sqlite::sqlite::add_to_linker::<_, bindings::Host>(&mut linker, |data| data)?;
    bindings::spin::key_value::key_value::add_to_linker::<_, bindings::Host>(
        &mut linker,
        |data| data,
    )?;
    bindings::spin::variables::variables::add_to_linker::<_, bindings::Host>(
        &mut linker,
        |data| data,
    )?;
    Ok(linker)
}
