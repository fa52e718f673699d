//! An application put together: its components loaded, composed, compiled and
//! linked with what each is granted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;
use wasmtime::Engine;
use wasmtime::component::Component as Compiled;

use crate::allowed_hosts::AllowedHosts;
use crate::cache::Cache;
use crate::compose;
use crate::dispatch::{Bounds, Runner};
use crate::engine;
use crate::fault::{Collector, Faults, Result};
use crate::instance::Grants;
use crate::manifest::{Component, DependencySource, Manifest};
use crate::outbound::{self, Client};
use crate::routes::Routes;
use crate::sqlite::{Database, Databases};
use crate::variables::{ComponentVariables, Variables};

/// What an application is run with.
#[derive(Debug)]
pub struct Settings {
    /// Where databases are kept.
    pub state_directory: PathBuf,
    /// Compiled components, if they are kept.
    pub cache: Option<Cache>,
    /// What bounds the instances of each component.
    pub bounds: Bounds,
    /// Memory of an instance, in bytes.
    pub memory_bytes: usize,
    /// Whether what components print is logged.
    pub log_output: bool,
}

/// A running application.
pub struct App {
    /// Its public routes.
    pub routes: Routes,
    /// What `/.well-known/spin/info` answers.
    pub info: String,
    /// Its connections to elsewhere.
    pub client: Arc<Client>,
    runners: IndexMap<String, Runner>,
}

impl App {
    /// Puts `manifest` together with the values of `variables`.
    ///
    /// # Errors
    ///
    /// Every fault that is found: files that are missing, dependencies that do
    /// not fit, grants that are none, imports that nobody satisfies.
    pub async fn load(
        manifest: &Manifest,
        variables: &Variables,
        settings: Settings,
    ) -> Result<Self> {
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
        let sources = faults.keep(read_sources(manifest, &triggered));
        faults.finish()?;
        let sources = sources.unwrap_or_default();

        let engine = engine(&settings)?;
        let linker = engine::linker(&engine).map_err(|e| Faults::one(format!("{e:#}")))?;
        let client = Client::new().map_err(|e| Faults::one(format!("TLS: {e}")))?;
        let client = Arc::new(client);
        let granting = Granting {
            values: variables.of_components(manifest)?,
            databases: databases(manifest, &settings)?,
            client: Arc::clone(&client),
            variables,
            settings: &settings,
        };

        let mut faults = Collector::default();
        let mut runners = IndexMap::new();
        for (id, component) in &manifest.components {
            if !triggered.contains(id.as_str()) {
                continue;
            }
            let grants = faults.keep(granting.of(id, component));
            let compiled = faults.keep(compile(
                &engine, id, component, manifest, &sources, &settings,
            ));
            let (Some(grants), Some(compiled)) = (grants, compiled) else {
                continue;
            };
            let runner = Runner::new(&linker, &compiled, Arc::new(grants), settings.bounds)
                .map_err(|e| Faults::one(format!("component.{id}: {e:#}")));
            runners.extend(faults.keep(runner).map(|runner| (id.clone(), runner)));
        }
        let info = serde_json::json!({
            "name": manifest.application.name,
            "version": manifest.application.version,
        });
        faults.finish_with(Self {
            routes,
            info: info.to_string(),
            client,
            runners,
        })
    }

    /// What runs the component `id`, if a trigger names it.
    pub fn runner(&self, id: &str) -> Option<&Runner> {
        self.runners.get(id)
    }
}

fn engine(settings: &Settings) -> Result<Engine> {
    /// Beyond those that answer requests, instances are still finishing.
    const FINISHING: usize = 4;
    let instances = settings
        .bounds
        .instances
        .saturating_mul(FINISHING)
        .clamp(64, 1000);
    let engine = engine::engine(engine::Limits {
        instances: u32::try_from(instances).unwrap_or(u32::MAX),
        memory_bytes: settings.memory_bytes,
    })
    .map_err(|e| Faults::one(format!("{e:#}")))?;
    engine::tick(&engine).map_err(|e| Faults::one(format!("cannot start a thread: {e}")))?;
    Ok(engine)
}

/// Reads the files of all components that are triggered or depended upon.
fn read_sources(
    manifest: &Manifest,
    triggered: &BTreeSet<&str>,
) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut faults = Collector::default();
    let mut wanted: BTreeMap<PathBuf, bool> = BTreeMap::new();
    for (id, component) in &manifest.components {
        if triggered.contains(id.as_str()) {
            wanted.insert(component.source.clone(), component.build.is_some());
            for dependency in &component.dependencies {
                let (path, built) = dependency_path(manifest, &dependency.source);
                wanted.insert(path, built);
            }
        }
    }
    let mut sources = BTreeMap::new();
    for (path, built) in wanted {
        match std::fs::read(&path) {
            Ok(bytes) => {
                sources.insert(path, bytes);
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

/// What each component is granted.
struct Granting<'a> {
    values: BTreeMap<String, ComponentVariables>,
    databases: BTreeMap<String, Arc<Database>>,
    client: Arc<Client>,
    variables: &'a Variables,
    settings: &'a Settings,
}

impl Granting<'_> {
    fn of(&self, id: &str, component: &Component) -> Result<Grants> {
        let mut faults = Collector::default();
        let id_arc: Arc<str> = Arc::from(id);
        let allowed = faults.keep(AllowedHosts::parse(
            id,
            &component.allowed_outbound_hosts,
            self.variables,
        ));
        let databases = Databases::grant(&component.sqlite_databases, &self.databases);
        if let Err(unknown) = &databases {
            for name in unknown {
                faults.push(format!(
                    "component.{id}.sqlite_databases: there is no database {name:?}; only {:?} \
                     needs no runtime configuration, and this host reads none",
                    Databases::well_known()
                ));
            }
        }
        let variables = self
            .values
            .get(id)
            .cloned()
            .ok_or_else(|| Faults::one(format!("component.{id} has no variables")))?;
        let outbound = outbound::Grant {
            component: Arc::clone(&id_arc),
            allowed: allowed.unwrap_or_default(),
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
            databases: Arc::new(databases.unwrap_or_default()),
            outbound: Arc::new(outbound),
            memory_bytes: self.settings.memory_bytes,
            log_output: self.settings.log_output,
        })
    }
}

/// The databases which the manifest mentions and that exist without further
/// configuration.
fn databases(manifest: &Manifest, settings: &Settings) -> Result<BTreeMap<String, Arc<Database>>> {
    let name = Databases::well_known();
    let wanted = manifest
        .components
        .values()
        .any(|component| component.sqlite_databases.iter().any(|n| n == name));
    if !wanted {
        return Ok(BTreeMap::new());
    }
    let path = Database::default_path(&settings.state_directory);
    let database = Database::prepare(path).map_err(Faults::one)?;
    Ok(BTreeMap::from([(name.to_owned(), database)]))
}

fn compile(
    engine: &Engine,
    id: &str,
    component: &Component,
    manifest: &Manifest,
    sources: &BTreeMap<PathBuf, Vec<u8>>,
    settings: &Settings,
) -> Result<Compiled> {
    let source = |path: &PathBuf| sources.get(path).cloned().unwrap_or_default();
    let dependencies = component
        .dependencies
        .iter()
        .map(|dependency| {
            let (path, _) = dependency_path(manifest, &dependency.source);
            (dependency, source(&path))
        })
        .collect();
    let composed = compose::compose(id, source(&component.source), dependencies)
        .map_err(|e| Faults::one(e).prefixed(format!("component.{id}: ")))?;
    let compiled = match &settings.cache {
        Some(cache) => cache
            .component(engine, &composed)
            .map(|(compiled, cached)| {
                tracing::debug!(component = id, cached, "compiled");
                compiled
            }),
        None => Compiled::new(engine, &composed).map_err(anyhow::Error::from),
    };
    compiled.map_err(|e| {
        Faults::one(format!(
            "component.{id}: {} is not a component that can be run: {e:#}",
            component.source.display()
        ))
    })
}
