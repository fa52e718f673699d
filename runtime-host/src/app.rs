//! An application put together: its components loaded, composed, compiled and
//! linked with what each is granted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;
use wasmtime::Engine;
use wasmtime::component::{Component as Compiled, Linker};

use crate::backup;
use crate::component::cache::{self, Cache, Fingerprint, Kept};
use crate::component::compose;
use crate::component::dispatch::{Bounds, Runner};
use crate::component::engine::{self, Allocation};
use crate::component::granted::Granted;
use crate::component::instance::{Grants, InstanceLimits, StoreData};
use crate::component::linked::{self, Lazy, Linked};
use crate::component::parallel;
use crate::config::variables::{ComponentVariables, Variables};
use crate::fault::{Collector, Faults, Result};
use crate::key_value::{self, KeyValueLimits, Store};
use crate::manifest::{Component, DependencySource, Manifest};
use crate::observe::metrics;
use crate::observe::stdio::OutputSettings;
use crate::outbound::allowed_hosts::AllowedHosts;
use crate::outbound::{self, Client, OutboundLimits, Reach};
use crate::schedule;
use crate::server::headers::SpinHeader;
use crate::server::routes::Routes;
use crate::sqlite::{Database, FileDatabase, Location, SqliteLimits};

/// What an application is run with.
#[derive(Debug)]
pub struct Settings {
    /// For what belongs to no database.
    pub state_directory: PathBuf,
    /// Where each database is that there can be.
    pub databases: BTreeMap<String, Location>,
    /// Where each key-value store is that there can be.
    pub stores: BTreeMap<String, key_value::Location>,
    /// Compiled components, if they are kept.
    pub cache: Option<Arc<Cache>>,
    /// What bounds the instances of each component.
    pub bounds: Bounds,
    /// What bounds each instance.
    pub instance: InstanceLimits,
    /// What bounds requests that components make.
    pub outbound: OutboundLimits,
    /// What bounds the use of each database.
    pub sqlite: SqliteLimits,
    /// What bounds the use of each key-value store.
    pub key_value: KeyValueLimits,
    /// Threads that serve connections.
    pub threads: usize,
    /// Where what components print goes.
    pub outputs: OutputSettings,
}

/// A running application.
pub struct App {
    /// Its public routes.
    pub routes: Routes,
    /// What `/.well-known/spin/info` answers.
    pub info: String,
    /// The headers of Spin's that its components get.
    pub headers: Vec<SpinHeader>,
    /// Its connections to elsewhere.
    pub client: Arc<Client>,
    /// What the host asks its components by itself.
    pub schedule: Vec<schedule::Call>,
    /// How its databases are backed up, if they are.
    pub backups: Option<backup::Plan>,
    /// Its databases, by name.
    pub databases: BTreeMap<String, Database>,
    /// Its key-value stores, by label.
    pub stores: BTreeMap<String, Store>,
    runners: IndexMap<String, Runner>,
}

impl App {
    /// Puts `manifest` together with the values of `variables`. What single
    /// components cannot be granted is collected: the startup check may have
    /// more to say about the reason.
    ///
    /// # Errors
    ///
    /// Every fault that is found: files that are missing, dependencies that do
    /// not fit, imports that nobody satisfies.
    pub fn load(
        manifest: &Manifest,
        variables: &Variables,
        settings: Settings,
    ) -> Result<(Self, Collector)> {
        let mut faults = Collector::default();
        faults.keep(variables.check_required());
        let (routes, warnings) = Routes::new(&manifest.triggers)?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let triggered: BTreeSet<&str> = manifest
            .triggers
            .iter()
            .map(|trigger| trigger.component.as_str())
            .collect();
        let wanted: Vec<(&String, &Component)> = manifest
            .components
            .iter()
            .filter(|(id, _)| triggered.contains(id.as_str()))
            .collect();
        let sources = faults.keep(read_sources(manifest, &wanted, settings.cache.as_deref()));
        faults.finish()?;
        let sources = sources.unwrap_or_default();
        // The one reserves memory, the other reads files.
        let (engine, prepared) = std::thread::scope(|scope| {
            let engine = scope.spawn(|| engine(&settings, wanted.len()));
            let prepared = Prepared::new(manifest, variables, &settings, &wanted);
            (engine.join(), prepared)
        });
        let Prepared {
            client,
            databases,
            stores,
            grants,
            faults: grant_faults,
        } = prepared?;
        let (engine, allocation) =
            engine.map_err(|_| Faults::one("the start of wasmtime failed"))??;

        let compiler = Compiler {
            linker: engine::linker(&engine)
                .map(Arc::new)
                .map_err(|e| Faults::one(format!("{e:#}")))?,
            engine,
            manifest,
            sources: &sources,
            cache: settings.cache.as_deref(),
            bounds: format!("{allocation:?}, {} bytes", settings.instance.memory_bytes),
        };
        let mut faults = Collector::default();
        let mut runners = IndexMap::new();
        let compiled = compiler.compile_all(&wanted);
        for (((id, _), grants), compiled) in wanted.iter().zip(grants).zip(compiled) {
            let (Some(grants), Some(compiled)) = (grants, faults.keep(compiled)) else {
                continue;
            };
            let grants = Arc::new(grants);
            let runner = Runner::new(compiled, grants, settings.bounds, settings.threads);
            runners.insert((*id).clone(), runner);
        }
        let mut collected = grant_faults.collected();
        let schedule = collected.keep(schedule::resolve(manifest, variables, &routes));
        let backups = collected.keep(backup::Plan::resolve(
            manifest,
            variables,
            &settings.state_directory,
        ));
        let info = serde_json::json!({
            "name": manifest.application.name,
            "version": manifest.application.version,
        });
        let app = Self {
            routes,
            info: info.to_string(),
            headers: match &manifest.host.spin_headers {
                Some(wanted) => wanted.clone(),
                None => SpinHeader::ALL.to_vec(),
            },
            client,
            schedule: schedule.unwrap_or_default(),
            backups: backups.flatten(),
            databases,
            stores,
            runners,
        };
        faults.finish_with((app, collected))
    }

    /// Closes what is in files, after the last request: each is then one file,
    /// complete, unless another process has it open, and the next start has no log to
    /// read.
    pub fn close_files(&self) {
        let databases = self
            .databases
            .values()
            .filter_map(|database| match database {
                Database::File(file) => Some(&**file),
                Database::Server(_) => None,
            });
        let stores = self.stores.values().filter_map(|store| match store {
            Store::File(file) => Some(file.database()),
            Store::Redis(_) => None,
        });
        let files: Vec<&FileDatabase> = databases.chain(stores).collect();
        files.iter().for_each(|file| file.close());
        for file in files.iter().filter(|file| file.has_log()) {
            tracing::info!(
                "{} is still in use, or could not be written: its write-ahead log stays",
                file.path().display()
            );
        }
    }

    /// What runs the component `id`, if a trigger names it.
    pub fn runner(&self, id: &str) -> Option<&Runner> {
        self.runners.get(id)
    }
}

/// What is put together beside the engine.
struct Prepared {
    client: Arc<Client>,
    databases: BTreeMap<String, Database>,
    stores: BTreeMap<String, Store>,
    /// Of each wanted component, if it can be granted what it names.
    grants: Vec<Option<Grants>>,
    /// Why it cannot.
    faults: Faulty,
}

impl Prepared {
    /// For the `wanted` components.
    fn new(
        manifest: &Manifest,
        variables: &Variables,
        settings: &Settings,
        wanted: &[(&String, &Component)],
    ) -> Result<Self> {
        let client =
            Client::new(settings.outbound).map_err(|e| Faults::one(format!("TLS: {e}")))?;
        let client = Arc::new(client);
        let granting = Granting {
            values: variables.of_components(manifest)?,
            databases: used(
                manifest,
                |component| &component.sqlite_databases,
                &settings.databases,
                |_, place| Database::prepare(place, settings.outbound, settings.sqlite),
            )?,
            stores: used(
                manifest,
                |component| &component.key_value_stores,
                &settings.stores,
                |label, place| Store::prepare(label, place, settings.key_value),
            )?,
            client: Arc::clone(&client),
            variables,
            settings,
        };
        let mut faults = Faulty::default();
        let grants = wanted
            .iter()
            .map(|(id, component)| faults.keep(id, granting.of(id, component)))
            .collect();
        Ok(Self {
            client,
            databases: granting.databases,
            stores: granting.stores,
            grants,
            faults,
        })
    }
}

/// An engine with room for all instances of all `components`.
fn engine(settings: &Settings, components: usize) -> Result<(Engine, Allocation)> {
    /// More than that reserve too much of the address space; instances beyond
    /// are refused.
    const MOST: usize = 1000;
    const LEAST: usize = 64;
    let instances = settings
        .bounds
        .instances
        .saturating_mul(components)
        .clamp(LEAST, MOST);
    let (engine, allocation) = engine::engine(engine::Limits {
        instances: u32::try_from(instances).unwrap_or(u32::MAX),
        memory_bytes: settings.instance.memory_bytes,
    })
    .map_err(|e| Faults::one(format!("{e:#}")))?;
    engine::tick(&engine).map_err(|e| Faults::one(format!("cannot start a thread: {e}")))?;
    Ok((engine, allocation))
}

/// Reads the files of `components` and of what they depend upon.
fn read_sources(
    manifest: &Manifest,
    components: &[(&String, &Component)],
    cache: Option<&Cache>,
) -> Result<BTreeMap<PathBuf, Source>> {
    let mut faults = Collector::default();
    let mut wanted: BTreeMap<PathBuf, bool> = BTreeMap::new();
    for (_, component) in components {
        wanted.insert(component.source.clone(), component.build.is_some());
        for dependency in &component.dependencies {
            let (path, built) = dependency_path(manifest, &dependency.source);
            wanted.insert(path, built);
        }
    }
    let wanted: Vec<(PathBuf, bool)> = wanted.into_iter().collect();
    let read = parallel::each(
        &wanted,
        |(path, _)| Source::read(path, cache),
        |_| Err(std::io::Error::other("reading it failed")),
    );
    let mut sources = BTreeMap::new();
    for ((path, built), read) in wanted.into_iter().zip(read) {
        match read {
            Ok(source) => {
                sources.insert(path, source);
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && built => faults.push(format!(
                "{} is missing; build it first, with --build",
                path.display()
            )),
            Err(e) => faults.push(format!("cannot read {}: {e}", path.display())),
        }
    }
    faults.finish_with(sources)
}

/// The file of a dependency and whether the manifest says how to build it.
fn dependency_path(manifest: &Manifest, source: &DependencySource) -> (PathBuf, bool) {
    match source {
        DependencySource::Path(path) => (path.clone(), false),
        DependencySource::Component(id) => match manifest.components.get(id) {
            Some(component) => (component.source.clone(), component.build.is_some()),
            None => (PathBuf::new(), false),
        },
    }
}

/// A component's file.
struct Source {
    path: PathBuf,
    digest: String,
    /// Only once it is read, unless an earlier start has found out the digest.
    bytes: OnceLock<Vec<u8>>,
}

impl Source {
    fn read(path: &Path, cache: Option<&Cache>) -> std::io::Result<Self> {
        let bytes = OnceLock::new();
        let file = File::open(path)?;
        let read = || {
            let mut read = Vec::new();
            (&file).read_to_end(&mut read)?;
            Ok(cache::digest(bytes.get_or_init(|| read)))
        };
        let digest = match cache {
            Some(cache) => cache.digest(path, &file, read)?,
            None => read()?,
        };
        Ok(Self {
            path: path.to_owned(),
            digest,
            bytes,
        })
    }

    /// The file's content, for which the digest stands.
    fn content(&self) -> Result<&[u8]> {
        if let Some(bytes) = self.bytes.get() {
            return Ok(bytes);
        }
        let path = self.path.display();
        let bytes = std::fs::read(&self.path)
            .map_err(|e| Faults::one(format!("cannot read {path}: {e}")))?;
        if cache::digest(&bytes) != self.digest {
            return Err(Faults::one(format!(
                "{path} was changed during the start; start again"
            )));
        }
        Ok(self.bytes.get_or_init(|| bytes))
    }
}

/// Faults of several components, each told once with all that have it.
#[derive(Default)]
struct Faulty(IndexMap<String, Vec<String>>);

impl Faulty {
    fn keep<T>(&mut self, component: &str, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(faults) => {
                for line in faults.lines() {
                    let components = self.0.entry(line.clone()).or_default();
                    components.push(component.to_owned());
                }
                None
            }
        }
    }

    fn collected(self) -> Collector {
        let mut faults = Collector::default();
        for (line, components) in self.0 {
            faults.push(format!("component.{}.{line}", components.join(", ")));
        }
        faults
    }
}

/// What each component is granted.
struct Granting<'a> {
    values: BTreeMap<String, ComponentVariables>,
    databases: BTreeMap<String, Database>,
    stores: BTreeMap<String, Store>,
    client: Arc<Client>,
    variables: &'a Variables,
    settings: &'a Settings,
}

impl Granting<'_> {
    fn of(&self, id: &str, component: &Component) -> Result<Grants> {
        let mut faults = Collector::default();
        let id_arc: Arc<str> = Arc::from(id);
        let allowed = faults.keep(AllowedHosts::parse(
            &component.allowed_outbound_hosts,
            self.variables,
        ));
        let reach = faults.keep(Reach::resolve(
            component.private_networks.as_deref(),
            self.variables,
        ));
        let databases = faults.keep(granted(
            "sqlite_databases: there is no database",
            &component.sqlite_databases,
            &self.databases,
            &self.settings.databases,
        ));
        let stores = faults.keep(granted(
            "key_value_stores: there is no store",
            &component.key_value_stores,
            &self.stores,
            &self.settings.stores,
        ));
        let variables = self
            .values
            .get(id)
            .cloned()
            .ok_or_else(|| Faults::one("variables: there are none"))?;
        let allowed = allowed.unwrap_or_default();
        let outputs = faults.keep(self.settings.outputs.of(id));
        let outbound = outbound::Grant {
            component: Arc::clone(&id_arc),
            metrics: metrics::Outbound::new(id, allowed.written()),
            allowed,
            reach: reach.unwrap_or(Reach::Public),
            client: Arc::clone(&self.client),
        };
        faults.finish_with(Grants {
            component: id_arc,
            variables,
            environment: component
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            databases: databases.unwrap_or_default(),
            stores: stores.unwrap_or_default(),
            outbound: Arc::new(outbound),
            limits: self.settings.instance,
            outputs: outputs.unwrap_or_default(),
            metrics: metrics::Component::new(id),
        })
    }
}

/// Those of `names` among the `existing`; `known` are all that there can be.
fn granted<T: Clone, L>(
    fault: &str,
    names: &[String],
    existing: &BTreeMap<String, T>,
    known: &BTreeMap<String, L>,
) -> Result<Granted<T>> {
    Granted::of(names, existing).map_err(|unknown| {
        let known: Vec<String> = known.keys().map(|name| format!("{name:?}")).collect();
        let known = known.join(", ");
        Faults::several(unknown.into_iter().map(|name| {
            format!("{fault} {name:?}; there are {known}; others come from --runtime-config-file")
        }))
    })
}

/// What `prepare` makes of those of `places` that components of the manifest
/// name.
fn used<T, L: Clone>(
    manifest: &Manifest,
    names: impl Fn(&Component) -> &Vec<String>,
    places: &BTreeMap<String, L>,
    prepare: impl Fn(&str, L) -> std::result::Result<T, String>,
) -> Result<BTreeMap<String, T>> {
    let wanted: BTreeSet<&String> = manifest.components.values().flat_map(names).collect();
    let mut faults = Collector::default();
    let mut used = BTreeMap::new();
    for (name, place) in places {
        if wanted.contains(name) {
            let made = prepare(name, place.clone()).map_err(Faults::one);
            used.extend(faults.keep(made).map(|made| (name.clone(), made)));
        }
    }
    faults.finish_with(used)
}

/// Composes, compiles and links components, or finds that it was done.
struct Compiler<'a> {
    engine: Engine,
    linker: Arc<Linker<StoreData>>,
    manifest: &'a Manifest,
    sources: &'a BTreeMap<PathBuf, Source>,
    cache: Option<&'a Cache>,
    /// What else than the code decides whether it can be loaded.
    bounds: String,
}

impl Compiler<'_> {
    /// All of `components`, in their order, several at a time.
    fn compile_all(&self, components: &[(&String, &Component)]) -> Vec<Result<Lazy>> {
        parallel::each(
            components,
            |(id, component)| self.compile(id, component),
            |(id, _)| Err(Faults::one(format!("component.{id}: compiling it failed"))),
        )
    }

    fn compile(&self, id: &str, component: &Component) -> Result<Lazy> {
        let Some(cache) = self.cache else {
            let (_, linked) = self.compile_now(id, component)?;
            return Ok(Lazy::ready(linked));
        };
        let inputs = self.fingerprint(id, component);
        let place = cache.place(&self.engine, &inputs);
        let (engine, linker) = (self.engine.clone(), Arc::clone(&self.linker));
        let load = move |kept: &Kept| linked::link(&linker, &kept.load(&engine)?);
        // Kept loaded, it would take memory whether or not it is ever needed.
        let try_to_load = |kept: &Kept| load(kept).map(drop);
        if let Some(kept) = cache.find(id, &place, &self.bounds, try_to_load) {
            return Ok(Lazy::later(move || load(&kept)));
        }
        let (compiled, linked) = self.compile_now(id, component)?;
        let kept = compiled
            .serialize()
            .map_err(anyhow::Error::from)
            .and_then(|code| place.write(&code))
            .and_then(|kept| try_to_load(&kept).map(|()| kept));
        Ok(match kept {
            Ok(kept) => Lazy::later(move || load(&kept)),
            Err(e) => {
                tracing::warn!(component = id, "its compiled form is not kept: {e:#}");
                Lazy::ready(linked)
            }
        })
    }

    fn compile_now(&self, id: &str, component: &Component) -> Result<(Compiled, Linked)> {
        let fault = |e: &dyn std::fmt::Display| Faults::one(format!("component.{id}: {e:#}"));
        let source = component.source.display();
        let wasm = self.compose(id, component)?;
        let compiled = Compiled::new(&self.engine, &wasm).map_err(|e| {
            fault(&format_args!(
                "{source} is not a component that can be run: {e:#}"
            ))
        })?;
        let linked = linked::link(&self.linker, &compiled).map_err(|e| fault(&e))?;
        Ok((compiled, linked))
    }

    fn compose(&self, id: &str, component: &Component) -> Result<Vec<u8>> {
        let bytes = |path: &PathBuf| match self.sources.get(path) {
            Some(source) => source.content().map(<[u8]>::to_vec),
            None => Ok(Vec::new()),
        };
        let dependencies = component
            .dependencies
            .iter()
            .map(|dependency| {
                let (path, _) = dependency_path(self.manifest, &dependency.source);
                Ok((dependency, bytes(&path)?))
            })
            .collect::<Result<_>>()?;
        let source = bytes(&component.source)?;
        compose::compose(id, source, dependencies, !component.environment.is_empty())
            .map_err(|e| Faults::one(format!("component.{id}: {e}")))
    }

    /// Everything that the composed component depends on.
    fn fingerprint(&self, id: &str, component: &Component) -> Fingerprint {
        let mut fingerprint = Fingerprint::new();
        let add_file = |fingerprint: &mut Fingerprint, path: &PathBuf| {
            let digest = self
                .sources
                .get(path)
                .map(|source| source.digest.as_bytes());
            fingerprint.add(digest.unwrap_or_default());
        };
        fingerprint.add(id.as_bytes());
        fingerprint.add(&[u8::from(!component.environment.is_empty())]);
        add_file(&mut fingerprint, &component.source);
        for dependency in &component.dependencies {
            let (path, _) = dependency_path(self.manifest, &dependency.source);
            add_file(&mut fingerprint, &path);
            let terms = format!(
                "{} {:?} {:?}",
                dependency.name, dependency.export, dependency.inherit
            );
            fingerprint.add(terms.as_bytes());
        }
        fingerprint
    }
}
