//! Which imports belong to which part of a component's configuration.

use crate::manifest::{ImportName, InheritKey};

/// The interfaces of each inheritable part, by package and interface; every
/// version counts, so that a newer one cannot slip through.
const FAMILIES: &[(InheritKey, &[(&str, &str)])] = &[
    (InheritKey::AiModels, &[("fermyon:spin", "llm")]),
    (
        InheritKey::AllowedOutboundHosts,
        &[
            ("wasi:http", "client"),
            ("wasi:http", "outgoing-handler"),
            ("wasi:sockets", "ip-name-lookup"),
            ("wasi:sockets", "tcp"),
            ("wasi:sockets", "tcp-create-socket"),
            ("wasi:sockets", "udp"),
            ("wasi:sockets", "udp-create-socket"),
            ("fermyon:spin", "http"),
            ("fermyon:spin", "mqtt"),
            ("fermyon:spin", "mysql"),
            ("fermyon:spin", "postgres"),
            ("fermyon:spin", "redis"),
            ("spin:mqtt", "mqtt"),
            ("spin:mysql", "mysql"),
            ("spin:postgres", "postgres"),
            ("spin:redis", "redis"),
        ],
    ),
    (InheritKey::Environment, &[("wasi:cli", "environment")]),
    (InheritKey::Files, &[("wasi:filesystem", "preopens")]),
    (
        InheritKey::KeyValueStores,
        &[
            ("fermyon:spin", "key-value"),
            ("spin:key-value", "key-value"),
            ("wasi:keyvalue", "store"),
            ("wasi:keyvalue", "atomics"),
            ("wasi:keyvalue", "batch"),
        ],
    ),
    (
        InheritKey::SqliteDatabases,
        &[("fermyon:spin", "sqlite"), ("spin:sqlite", "sqlite")],
    ),
    (
        InheritKey::Variables,
        &[
            ("fermyon:spin", "config"),
            ("fermyon:spin", "variables"),
            ("spin:variables", "variables"),
            ("wasi:config", "store"),
        ],
    ),
];

/// The part of the configuration which `import` reads, if it is such an import.
pub fn family(import: &str) -> Option<InheritKey> {
    let Ok(ImportName::Interface {
        package, interface, ..
    }) = import.parse()
    else {
        return None;
    };
    FAMILIES
        .iter()
        .find(|(_, members)| members.contains(&(package.as_str(), interface.as_str())))
        .map(|(key, _)| *key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_sorted_into_families_whatever_their_version() {
        for (import, expected) in [
            (
                "wasi:http/client@0.3.0",
                Some(InheritKey::AllowedOutboundHosts),
            ),
            (
                "wasi:http/client@0.4.0-rc-1",
                Some(InheritKey::AllowedOutboundHosts),
            ),
            ("wasi:http/types@0.3.0", None),
            (
                "spin:variables/variables@3.0.0",
                Some(InheritKey::Variables),
            ),
            (
                "spin:sqlite/sqlite@3.1.0",
                Some(InheritKey::SqliteDatabases),
            ),
            ("wasi:cli/environment@0.2.6", Some(InheritKey::Environment)),
            ("wasi:cli/stdout@0.2.6", None),
            ("duxnet:chain/reader@1.0.0", None),
            ("plain", None),
        ] {
            assert_eq!(family(import), expected, "{import}");
        }
    }
}
