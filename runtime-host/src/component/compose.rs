//! Composes a component with its dependencies, by Spin's rules.
//!
//! A dependency's name selects imports of the component: a whole package, one
//! interface, one version, or a plain name. Each selected import is satisfied
//! by the dependency's export of the same name, or by the one that `export`
//! names, if its type fits. What no dependency satisfies stays an import of the
//! result. Before that, each dependency is cut off from what it does not
//! inherit; see [`crate::component::deny`].

use anyhow::Context as _;
use indexmap::IndexMap;
use wac_graph::types::{ItemKind, Package, SubtypeChecker, WorldId};
use wac_graph::{CompositionGraph, NodeId};

use crate::component::deny;
use crate::manifest::{Dependency, ImportName};

/// Why a component cannot be composed. The texts are Spin's.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// No import has the name of a dependency.
    #[error("dependency '{dependency}' doesn't match any imports of component '{component}'")]
    Unmatched {
        /// The component.
        component: String,
        /// The dependency's name.
        dependency: String,
    },
    /// Two dependencies could satisfy one import.
    #[error(
        "component '{component}' has dependency conflicts: \
         import '{import}' satisfied by dependencies: '{first}, {second}'"
    )]
    Conflict {
        /// The component.
        component: String,
        /// The import.
        import: String,
        /// One dependency.
        first: String,
        /// The other.
        second: String,
    },
    /// The dependency has no such export.
    #[error("dependency '{dependency}' doesn't export '{export}' to satisfy import '{import}'")]
    MissingExport {
        /// The dependency's name.
        dependency: String,
        /// The export it should have.
        export: String,
        /// The import.
        import: String,
    },
    /// The dependency's export is of another type.
    #[error(
        "dependency '{dependency}' exports '{export}' which is not compatible with \
         import '{import}': {reason:#}"
    )]
    Incompatible {
        /// The dependency's name.
        dependency: String,
        /// Its export.
        export: String,
        /// The import.
        import: String,
        /// How the types differ.
        reason: anyhow::Error,
    },
    /// A dependency cannot be cut off from what it does not inherit.
    #[error("dependency '{dependency}' cannot be isolated: {reason:#}")]
    Isolation {
        /// The dependency's name.
        dependency: String,
        /// Why.
        reason: anyhow::Error,
    },
    /// Not a component, or the result could not be encoded.
    #[error("{0:#}")]
    Graph(#[from] anyhow::Error),
}

/// Composes `source`, the bytes of `component`, with `dependencies` and the
/// bytes of each; `environment` tells whether the component has any.
///
/// # Errors
///
/// See [`ComposeError`].
pub fn compose(
    component: &str,
    source: Vec<u8>,
    dependencies: Vec<(&Dependency, Vec<u8>)>,
    environment: bool,
) -> Result<Vec<u8>, ComposeError> {
    if dependencies.is_empty() {
        return Ok(source);
    }
    let mut composer = Composer {
        graph: CompositionGraph::new(),
        registered: 0,
    };
    let root = composer
        .instantiate(source)
        .with_context(|| format!("component '{component}'"))?;
    let imports: Vec<String> = composer.graph.types()[root.world]
        .imports
        .keys()
        .cloned()
        .collect();
    let mut satisfied: IndexMap<String, String> = IndexMap::new();
    for (dependency, bytes) in dependencies {
        let selected = select(component, dependency, &imports)?;
        for import in &selected {
            if let Some(first) = satisfied.insert(import.clone(), dependency.name.to_string()) {
                return Err(ComposeError::Conflict {
                    component: component.to_owned(),
                    import: import.clone(),
                    first,
                    second: dependency.name.to_string(),
                });
            }
        }
        let isolated =
            deny::isolate(bytes, &dependency.inherit, environment).map_err(|reason| {
                ComposeError::Isolation {
                    dependency: dependency.name.to_string(),
                    reason,
                }
            })?;
        let instance = composer
            .instantiate(isolated)
            .with_context(|| format!("dependency '{}'", dependency.name))?;
        for import in &selected {
            composer.satisfy(&root, import, dependency, &instance)?;
        }
    }
    composer.finish(&root).map_err(ComposeError::Graph)
}

/// The `imports` that `dependency` is to satisfy.
fn select(
    component: &str,
    dependency: &Dependency,
    imports: &[String],
) -> Result<Vec<String>, ComposeError> {
    let mut selected = Vec::new();
    for import in imports {
        let name: ImportName = import.parse().map_err(anyhow::Error::msg)?;
        if dependency.name.matches(&name) {
            selected.push(import.clone());
        }
    }
    if selected.is_empty() {
        return Err(ComposeError::Unmatched {
            component: component.to_owned(),
            dependency: dependency.name.to_string(),
        });
    }
    Ok(selected)
}

struct Composer {
    graph: CompositionGraph,
    registered: usize,
}

struct Instance {
    world: WorldId,
    node: NodeId,
}

impl Composer {
    fn instantiate(&mut self, bytes: Vec<u8>) -> anyhow::Result<Instance> {
        // Packages need different names; they do not show in the result.
        let name = format!("host:component{}", self.registered);
        self.registered += 1;
        let package = Package::from_bytes(&name, None, bytes, self.graph.types_mut())?;
        let world = package.ty();
        let package = self.graph.register_package(package)?;
        let node = self.graph.instantiate(package);
        Ok(Instance { world, node })
    }

    fn satisfy(
        &mut self,
        root: &Instance,
        import: &str,
        dependency: &Dependency,
        instance: &Instance,
    ) -> Result<(), ComposeError> {
        let export = dependency.export.as_deref().unwrap_or(import);
        let name = || dependency.name.to_string();
        let types = self.graph.types();
        let kind = |items: &IndexMap<String, ItemKind>, name: &str| items.get(name).copied();
        let Some(export_kind) = kind(&types[instance.world].exports, export) else {
            return Err(ComposeError::MissingExport {
                dependency: name(),
                export: export.to_owned(),
                import: import.to_owned(),
            });
        };
        let import_kind = kind(&types[root.world].imports, import)
            .with_context(|| format!("import '{import}' vanished"))?;
        let mut cache = Default::default();
        SubtypeChecker::new(&mut cache)
            .is_subtype(export_kind, types, import_kind, types)
            .map_err(|reason| ComposeError::Incompatible {
                dependency: name(),
                export: export.to_owned(),
                import: import.to_owned(),
                reason,
            })?;
        let alias = self
            .graph
            .alias_instance_export(instance.node, export)
            .map_err(anyhow::Error::from)?;
        self.graph
            .set_instantiation_argument(root.node, import, alias)
            .map_err(anyhow::Error::from)?;
        Ok(())
    }

    fn finish(mut self, root: &Instance) -> anyhow::Result<Vec<u8>> {
        let exports: Vec<String> = self.graph.types()[root.world]
            .exports
            .keys()
            .cloned()
            .collect();
        for name in exports {
            let export = self.graph.alias_instance_export(root.node, &name)?;
            self.graph.export(export, &name)?;
        }
        Ok(self.graph.encode(Default::default())?)
    }
}
