//! Keeps a dependency from what it does not inherit.
//!
//! All components composed into one share the host's imports, so whatever a
//! dependency imports it could use with its parent's grants. For every import
//! that belongs to a part of the configuration which is not inherited, a
//! component is made that exports this very interface and traps when any of it
//! is called, and the dependency is wired to that before it is composed: it
//! then no longer imports the interface, and the parent's grants are out of its
//! reach by construction. Spin does the same with a component prepared for the
//! versions it knows; this one is generated from the dependency's own types and
//! so covers every version.
//!
//! `wasi:cli/environment` and `wasi:filesystem/preopens` are imported by every
//! Rust component, also when it uses neither. They get the empty answer instead
//! of a trap; and where the host itself would answer nothing else, since the
//! parent has no environment and no component has files, they are left alone.

use std::collections::HashSet;
use std::fmt::Write as _;

use anyhow::Context as _;
use wac_graph::CompositionGraph;
use wac_graph::types::Package;
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding};
use wit_parser::{
    InterfaceId, LiftLowerAbi, ManglingAndAbi, Resolve, World, WorldId, WorldItem, WorldKey,
};

use crate::component::capabilities;
use crate::manifest::{Inherit, InheritKey};

/// What a denied interface does when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The instance is stopped.
    Trap,
    /// Empty lists and absent options.
    Empty,
}

impl Refusal {
    fn of(key: InheritKey) -> Self {
        match key {
            InheritKey::Environment | InheritKey::Files => Self::Empty,
            InheritKey::AiModels
            | InheritKey::AllowedOutboundHosts
            | InheritKey::KeyValueStores
            | InheritKey::SqliteDatabases
            | InheritKey::Variables => Self::Trap,
        }
    }
}

/// `dependency` without the imports that `inherit` does not include and that
/// would give it something; `environment` tells whether its parent has any.
///
/// # Errors
///
/// It is not a component, or its types cannot be taken apart; the dependency
/// must then not be used.
pub fn isolate(
    dependency: Vec<u8>,
    inherit: &Inherit,
    environment: bool,
) -> anyhow::Result<Vec<u8>> {
    let withheld = |family: InheritKey| match family {
        InheritKey::Files => false,
        InheritKey::Environment => environment && !inherit.includes(family),
        InheritKey::AiModels
        | InheritKey::AllowedOutboundHosts
        | InheritKey::KeyValueStores
        | InheritKey::SqliteDatabases
        | InheritKey::Variables => !inherit.includes(family),
    };
    let mut isolated = dependency;
    for refusal in [Refusal::Trap, Refusal::Empty] {
        let DecodedWasm::Component(resolve, world) =
            wit_component::decode(&isolated).context("cannot read its types")?
        else {
            anyhow::bail!("it is a WIT package and not a component");
        };
        let denied: Vec<InterfaceId> = resolve.worlds[world]
            .imports
            .iter()
            .filter_map(|(key, item)| {
                let WorldItem::Interface { id, .. } = item else {
                    return None;
                };
                let family = capabilities::family(&resolve.name_world_key(key))?;
                (withheld(family) && Refusal::of(family) == refusal).then_some(*id)
            })
            .collect();
        if !denied.is_empty() {
            let names: Vec<String> = denied.iter().filter_map(|id| resolve.id_of(*id)).collect();
            let denier = denier(resolve, world, &denied, refusal)
                .with_context(|| format!("cannot deny {}", names.join(", ")))?;
            isolated = plug(isolated, denier, &names)
                .with_context(|| format!("cannot deny {}", names.join(", ")))?;
        }
    }
    check(&isolated, withheld)?;
    Ok(isolated)
}

/// Looks once more at the result, so that an error above could only ever refuse
/// and never grant.
fn check(isolated: &[u8], withheld: impl Fn(InheritKey) -> bool) -> anyhow::Result<()> {
    let decoded = wit_component::decode(isolated)?;
    let DecodedWasm::Component(resolve, world) = &decoded else {
        anyhow::bail!("it is a WIT package and not a component");
    };
    for key in resolve.worlds[*world].imports.keys() {
        let name = resolve.name_world_key(key);
        if let Some(family) = capabilities::family(&name)
            && withheld(family)
        {
            anyhow::bail!(
                "it still imports {name}, but {:?} is not inherited",
                family.as_str()
            );
        }
    }
    Ok(())
}

/// A component that exports the `denied` interfaces of `world`'s imports.
fn denier(
    mut resolve: Resolve,
    world: WorldId,
    denied: &[InterfaceId],
    refusal: Refusal,
) -> anyhow::Result<Vec<u8>> {
    let needed = needed_types(&resolve, denied);
    let original = &resolve.worlds[world];
    let interface = |item: &WorldItem| match item {
        WorldItem::Interface { id, .. } => Some(*id),
        WorldItem::Function(_) | WorldItem::Type { .. } => None,
    };
    let select = |wanted: &dyn Fn(InterfaceId) -> bool| {
        original
            .imports
            .iter()
            .filter(|(_, item)| interface(item).is_some_and(wanted))
            .map(|(key, item)| (key.clone(), item.clone()))
            .collect()
    };
    let new = World {
        name: "deny".to_owned(),
        imports: select(&|id| needed.contains(&id)),
        exports: select(&|id| denied.contains(&id)),
        package: original.package,
        docs: Default::default(),
        stability: Default::default(),
        includes: Vec::new(),
        span: Default::default(),
    };
    let new = resolve.worlds.alloc(new);
    let mut module = match refusal {
        Refusal::Trap => {
            wit_component::dummy_module(&resolve, new, ManglingAndAbi::Legacy(LiftLowerAbi::Sync))
        }
        Refusal::Empty => wat::parse_str(empty_module(&resolve, new))?,
    };
    wit_component::embed_component_metadata(&mut module, &resolve, new, StringEncoding::UTF8)?;
    ComponentEncoder::default()
        .module(&module)?
        .validate(true)
        .encode()
}

/// The interfaces, beyond `denied`, whose types these use.
fn needed_types(resolve: &Resolve, denied: &[InterfaceId]) -> HashSet<InterfaceId> {
    let mut needed = HashSet::new();
    let mut open = denied.to_vec();
    while let Some(id) = open.pop() {
        for dependency in resolve.interface_direct_deps(id) {
            if !denied.contains(&dependency) && needed.insert(dependency) {
                open.push(dependency);
            }
        }
    }
    needed
}

/// A module whose functions all return a pointer to zeros, which reads as an
/// empty list or an absent option. Only for interfaces of functions without
/// parameters that return one of these.
fn empty_module(resolve: &Resolve, world: WorldId) -> String {
    const ZEROS_AT: u32 = 16;
    let mut module = String::from("(module (memory (export \"memory\") 1)\n");
    for (key, item) in &resolve.worlds[world].exports {
        let WorldItem::Interface { id, .. } = item else {
            continue;
        };
        for function in resolve.interfaces[*id].functions.keys() {
            let name = format!("{}#{function}", export_name(resolve, key));
            // Writing to a String cannot fail.
            let _ = writeln!(
                module,
                "(func (export {name:?}) (result i32) i32.const {ZEROS_AT})"
            );
        }
    }
    module.push_str(
        "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable))",
    );
    module
}

fn export_name(resolve: &Resolve, key: &WorldKey) -> String {
    resolve.name_world_key(key)
}

/// Wires the exports `names` of `denier` to the imports of `dependency`.
fn plug(dependency: Vec<u8>, denier: Vec<u8>, names: &[String]) -> anyhow::Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let dependency = Package::from_bytes("host:dependency", None, dependency, graph.types_mut())?;
    let exports: Vec<String> = graph.types()[dependency.ty()]
        .exports
        .keys()
        .cloned()
        .collect();
    let dependency = graph.register_package(dependency)?;
    let dependency = graph.instantiate(dependency);
    let denier = Package::from_bytes("host:denier", None, denier, graph.types_mut())?;
    let denier = graph.register_package(denier)?;
    let denier = graph.instantiate(denier);
    for name in names {
        let export = graph.alias_instance_export(denier, name)?;
        graph.set_instantiation_argument(dependency, name, export)?;
    }
    for name in exports {
        let export = graph.alias_instance_export(dependency, &name)?;
        graph.export(export, &name)?;
    }
    Ok(graph.encode(Default::default())?)
}
