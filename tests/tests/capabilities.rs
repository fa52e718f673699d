//! Authority as types: no component imports, or is granted, more than its world in wit/worlds.wit.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use tests::{components, root};
use toml::Table;
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Resolve, WorldId};

/// Bytes that a component may have (600 KB).
const MAX_COMPONENT_BYTES: u64 = 600_000;

type Names = BTreeSet<String>;

/// Imports and exports by name. Patch versions within 0.2 are compatible, and the standard
/// library's is the compiler's, so they are cut off.
fn interfaces(resolve: &Resolve, world: WorldId) -> (Names, Names) {
    let world = &resolve.worlds[world];
    let name = |key: &wit_parser::WorldKey| {
        let name = resolve.name_world_key(key);
        match name.split_once("@0.2.") {
            Some((interface, _patch)) => format!("{interface}@0.2"),
            None => name,
        }
    };
    (
        world.imports.keys().map(name).collect(),
        world.exports.keys().map(name).collect(),
    )
}

fn worlds() -> BTreeMap<String, (Names, Names)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit")).unwrap();
    let worlds = resolve.packages[package].worlds.clone();
    worlds
        .into_iter()
        .map(|(name, id)| (name, interfaces(&resolve, id)))
        .collect()
}

fn manifest() -> Table {
    std::fs::read_to_string(root().join("spin.toml"))
        .unwrap()
        .parse()
        .unwrap()
}

/// Each component of spin.toml with its table.
fn manifest_components() -> BTreeMap<String, Table> {
    let manifest = manifest();
    let table = manifest["component"].as_table().unwrap();
    table
        .iter()
        .map(|(id, entry)| (id.clone(), entry.as_table().unwrap().clone()))
        .collect()
}

fn built(entry: &Table) -> (Names, Names) {
    components();
    let path = root().join(entry["source"].as_str().unwrap());
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    match decode(&bytes).unwrap() {
        DecodedWasm::Component(resolve, world) => interfaces(&resolve, world),
        DecodedWasm::WitPackage(..) => panic!("{} is no component", path.display()),
    }
}

#[test]
fn every_component_has_a_world_and_every_world_a_component() {
    // The worlds that others include.
    let parts = ["std", "clocks", "endpoint", "with-database"].map(String::from);
    let worlds: Names = worlds()
        .into_keys()
        .filter(|name| !parts.contains(name))
        .collect();
    assert_eq!(worlds, manifest_components().into_keys().collect::<Names>());
}

#[test]
fn no_component_imports_more_than_its_world_and_each_exports_what_it_says() {
    let worlds = worlds();
    for (id, entry) in manifest_components() {
        let (allowed, promised) = &worlds[&id];
        let (imports, exports) = built(&entry);
        let surplus: Vec<_> = imports.difference(allowed).collect();
        assert!(
            surplus.is_empty(),
            "{id} imports more than its world: {surplus:?}"
        );
        assert_eq!(&exports, promised, "{id}");
    }
}

#[test]
fn no_world_allows_what_its_component_does_not_use_of_chain_database_network_and_variables() {
    let worlds = worlds();
    let guarded = [
        "duxnet:",
        "spin:",
        "wasi:http/client",
        "wasi:filesystem",
        "wasi:sockets",
    ];
    for (id, entry) in manifest_components() {
        let (imports, _) = built(&entry);
        // A types interface comes with those that use it.
        let idle: Vec<_> = worlds[&id]
            .0
            .difference(&imports)
            .filter(|name| {
                guarded.iter().any(|prefix| name.starts_with(prefix)) && !name.contains("/types@")
            })
            .collect();
        assert!(
            idle.is_empty(),
            "{id}'s world allows what it does not use: {idle:?}"
        );
    }
}

#[test]
fn only_gateway_and_outboxes_reach_the_network_and_only_what_pays_can_sign() {
    let mut network = Names::new();
    let mut signer = Names::new();
    let mut variables = Names::new();
    for (id, entry) in manifest_components() {
        let (imports, _) = built(&entry);
        assert!(
            !imports
                .iter()
                .any(|name| name.contains("filesystem") || name.contains("sockets")),
            "{id}"
        );
        for name in imports {
            match name.split('@').next().unwrap() {
                "wasi:http/client" => network.insert(id.clone()),
                "duxnet:chain/signer" => signer.insert(id.clone()),
                "spin:variables/variables" => variables.insert(id.clone()),
                _ => false,
            };
        }
    }
    let names = |list: &[&str]| {
        list.iter()
            .map(|name| (*name).to_owned())
            .collect::<Names>()
    };
    assert_eq!(
        network,
        names(&["flopcoin-core", "peer-outbox", "webhook-outbox"])
    );
    assert_eq!(
        signer,
        names(&["node-deregister", "wallet-release", "wallet-send"])
    );
    assert_eq!(variables, names(&["flopcoin-core", "keyring", "settings"]));
}

/// What spin.toml grants a component beyond its code.
fn grants(entry: &Table) -> Names {
    let not_grants = [
        "source",
        "description",
        "build",
        "dependencies",
        "tool",
        "targets",
    ];
    entry
        .keys()
        .filter(|key| !not_grants.contains(&key.as_str()))
        .cloned()
        .collect()
}

#[test]
fn no_component_is_granted_more_than_its_world() {
    let worlds = worlds();
    for (id, entry) in manifest_components() {
        let imports_any = |prefix: &str| worlds[&id].0.iter().any(|name| name.starts_with(prefix));
        let uses_chain = imports_any("duxnet:chain/");
        let uses_config = imports_any("duxnet:config/");
        let uses_identity = imports_any("duxnet:identity/");
        let calls_out = imports_any("wasi:http/client") && grants(&entry).contains("variables");
        let mut allowed = Names::new();
        if imports_any("spin:sqlite/") {
            allowed.insert("sqlite_databases".into());
        }
        // For the dependencies, which inherit exactly these.
        if uses_chain || calls_out {
            allowed.insert("allowed_outbound_hosts".into());
        }
        if uses_config || uses_identity {
            allowed.insert("variables".into());
        }
        assert_eq!(grants(&entry), allowed, "{id}");

        if let Some(hosts) = entry.get("allowed_outbound_hosts") {
            let only_the_node = toml::Value::from(vec!["http://{{ rpc_host }}:{{ rpc_port }}"]);
            let anywhere = toml::Value::from(vec!["http://*:*", "https://*:*"]);
            assert_eq!(
                *hosts,
                if calls_out { anywhere } else { only_the_node },
                "{id}"
            );
        }
        if let Some(databases) = entry.get("sqlite_databases") {
            assert_eq!(*databases, toml::Value::from(vec!["default"]), "{id}");
        }
        if let Some(variables) = entry.get("variables").and_then(|v| v.as_table()) {
            let knows_the_password = variables.contains_key("rpc_password");
            assert_eq!(
                knows_the_password,
                uses_chain || id == "config-check",
                "{id}"
            );
            assert_eq!(
                variables.contains_key("rpc_wallet_passphrase"),
                uses_chain,
                "{id}"
            );
            for (key, interface) in [
                ("registry_key", "duxnet:identity/registry"),
                ("webhook_key", "duxnet:identity/webhooks"),
                ("operator_tokens", "duxnet:config/operator"),
            ] {
                let knows = variables.contains_key(key) && id != "config-check";
                assert!(!knows || imports_any(interface), "{id} knows {key}");
            }
        }
        check_dependencies(&id, &entry, [uses_chain, uses_config, uses_identity]);
    }
}

fn check_dependencies(
    id: &str,
    entry: &Table,
    [uses_chain, uses_config, uses_identity]: [bool; 3],
) {
    let mut expected = BTreeMap::new();
    if uses_chain {
        expected.insert(
            "duxnet:chain",
            ("flopcoin-core", vec!["allowed_outbound_hosts", "variables"]),
        );
    }
    if uses_config {
        expected.insert("duxnet:config", ("settings", vec!["variables"]));
    }
    if uses_identity {
        expected.insert("duxnet:identity", ("keyring", vec!["variables"]));
    }
    let empty = Table::new();
    let found = entry
        .get("dependencies")
        .and_then(|d| d.as_table())
        .unwrap_or(&empty);
    let found: BTreeMap<&str, (&str, Vec<&str>)> = found
        .iter()
        .map(|(package, dependency)| {
            let inherited = dependency["inherit_configuration"].as_array().unwrap();
            let inherited = inherited.iter().map(|key| key.as_str().unwrap()).collect();
            (
                package.as_str(),
                (dependency["component"].as_str().unwrap(), inherited),
            )
        })
        .collect();
    assert_eq!(found, expected, "{id}");
}

#[test]
fn every_component_is_small() {
    for (id, entry) in manifest_components() {
        components();
        let bytes = std::fs::metadata(root().join(entry["source"].as_str().unwrap()))
            .unwrap()
            .len();
        assert!(bytes < MAX_COMPONENT_BYTES, "{id} has {bytes} bytes");
    }
}
