//! `--config`: a YAML file of sections, mapped onto variables.
//!
//! Which key sets which variable is the manifest's to say, under
//! `[application.tool.runtime-host.config]`; `logging.level` and `logging.file`
//! are the host's own. A value is handed on as it is written: `1000.0` stays
//! `1000.0`.

use std::fmt;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::fault::{Collector, Faults, Result};
use crate::observe::logging::Level;

const LEVEL_KEY: &str = "logging.level";
const FILE_KEY: &str = "logging.file";

/// What a configuration file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigFile {
    /// Variables and their values.
    pub variables: Vec<(String, String)>,
    /// `logging.level`
    pub level: Option<Level>,
    /// `logging.file`
    pub log_file: Option<PathBuf>,
}

/// Reads `path`; `keys` maps `section.key` to variables.
///
/// # Errors
///
/// Every fault: what is not YAML, unknown keys with those that are known, and
/// values that are not plain ones.
pub fn load(path: &Path, keys: &IndexMap<String, String>) -> Result<ConfigFile> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Faults::one(format!("cannot read {}: {e}", path.display())))?;
    parse(&text, keys).map_err(|faults| faults.prefixed(format!("{}: ", path.display())))
}

fn parse(text: &str, keys: &IndexMap<String, String>) -> Result<ConfigFile> {
    let nothing = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(nothing) {
        return Ok(ConfigFile::default());
    }
    let shape: Shape = read(text)?;
    check_shape(&shape, keys)?;
    // Now that every value is known to be a plain one, once more as text: a
    // number read as a number would lose how it was written.
    let sections: IndexMap<String, IndexMap<String, String>> = read(text)?;
    let mut faults = Collector::default();
    let mut config = ConfigFile::default();
    for (section, entries) in sections {
        for (key, value) in entries {
            let key = format!("{section}.{key}");
            if key == LEVEL_KEY {
                config.level = faults.keep(Level::parse(&value).map_err(|allowed| {
                    Faults::one(format!(
                        "{key}: {value:?} is no level; allowed are {allowed}"
                    ))
                }));
            } else if key == FILE_KEY {
                config.log_file = Some(PathBuf::from(value));
            } else if let Some(variable) = keys.get(&key) {
                config.variables.push((variable.clone(), value));
            }
        }
    }
    faults.finish_with(config)
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    serde_saphyr::from_str(text).map_err(|e| {
        // The rest of the message shows the line itself, which may hold a secret.
        let message = e.to_string();
        Faults::one(message.lines().next().unwrap_or("not YAML"))
    })
}

fn check_shape(shape: &Shape, keys: &IndexMap<String, String>) -> Result<()> {
    let mut faults = Collector::default();
    let Shape::Table(sections) = shape else {
        return Err(Faults::one(format!(
            "sections are expected, not {shape}; known keys are {}",
            known(keys)
        )));
    };
    for (section, entries) in sections {
        match entries {
            Shape::Table(entries) => {
                for (name, value) in entries {
                    check_value(&format!("{section}.{name}"), value, keys, &mut faults);
                }
            }
            // An empty section, with all its keys commented out.
            Shape::Null if is_section(section, keys) => {}
            other => faults.push(format!(
                "{section} is {other}; known keys are {}",
                known(keys)
            )),
        }
    }
    faults.finish()
}

fn check_value(key: &str, value: &Shape, keys: &IndexMap<String, String>, faults: &mut Collector) {
    let own = key == LEVEL_KEY || key == FILE_KEY;
    if !own && !keys.contains_key(key) {
        faults.push(format!(
            "the key {key} (with {value}) is not known; known keys are {}",
            known(keys)
        ));
    } else if !matches!(value, Shape::Plain(_)) {
        faults.push(format!(
            "{key} is {value}; a single text, number or truth value is allowed"
        ));
    }
}

fn is_section(section: &str, keys: &IndexMap<String, String>) -> bool {
    keys.keys()
        .map(String::as_str)
        .chain([LEVEL_KEY])
        .any(|key| key.split_once('.').is_some_and(|(s, _)| s == section))
}

fn known(keys: &IndexMap<String, String>) -> String {
    let mut known: Vec<&str> = keys
        .keys()
        .map(String::as_str)
        .chain([LEVEL_KEY, FILE_KEY])
        .collect();
    known.sort_unstable();
    known.join(", ")
}

/// What kind of value stands where, for faults. Plain values keep only their
/// kind, since they may be secrets.
#[derive(Debug)]
enum Shape {
    Null,
    Plain(&'static str),
    List,
    Table(Vec<(String, Shape)>),
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "no value",
            Self::Plain(kind) => kind,
            Self::List => "a list",
            Self::Table(_) => "a table",
        })
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Shape;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Shape, E> {
                Ok(Shape::Null)
            }
            fn visit_none<E: de::Error>(self) -> Result<Shape, E> {
                Ok(Shape::Null)
            }
            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Shape, D::Error> {
                inner.deserialize_any(V)
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Shape, E> {
                Ok(Shape::Plain("a truth value"))
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Shape, E> {
                Ok(Shape::Plain("a number"))
            }
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Shape, E> {
                Ok(Shape::Plain("a number"))
            }
            fn visit_i128<E: de::Error>(self, _: i128) -> Result<Shape, E> {
                Ok(Shape::Plain("a number"))
            }
            fn visit_u128<E: de::Error>(self, _: u128) -> Result<Shape, E> {
                Ok(Shape::Plain("a number"))
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Shape, E> {
                Ok(Shape::Plain("a number"))
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Shape, E> {
                Ok(Shape::Plain("a text"))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Shape::List)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Shape::Table(entries))
            }
        }
        deserializer.deserialize_any(V)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> IndexMap<String, String> {
        [
            ("rpc.host", "rpc_host"),
            ("rpc.port", "rpc_port"),
            ("rpc.password", "rpc_password"),
            ("wallet.encryption", "encryption"),
            ("wallet.max_transaction_amount", "max_transaction_amount"),
        ]
        .into_iter()
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect()
    }

    #[test]
    fn values_keep_their_writing() {
        let config = parse(
            "rpc:\n  host: 127.0.0.1\n  port: 32553\n  password: \"007\"\n\
             wallet:\n  encryption: true\n  max_transaction_amount: 1000.0 # FLOP\n\
             logging:\n  level: INFO\n  file: /tmp/x.log\n",
            &keys(),
        )
        .unwrap();
        let expected = [
            ("rpc_host", "127.0.0.1"),
            ("rpc_port", "32553"),
            ("rpc_password", "007"),
            ("encryption", "true"),
            ("max_transaction_amount", "1000.0"),
        ];
        assert_eq!(
            config.variables,
            expected.map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        assert_eq!(config.level, Some(Level::Info));
        assert_eq!(config.log_file.as_deref(), Some(Path::new("/tmp/x.log")));
        for literal in ["1e-08", "1000000000000000000000.10", "0x10", "~x", "1_0"] {
            let text = format!("wallet:\n  max_transaction_amount: {literal}\n");
            assert_eq!(parse(&text, &keys()).unwrap().variables[0].1, literal);
        }
    }

    #[test]
    fn all_faults_come_at_once_and_no_secret_with_them() {
        let faults = parse(
            "rpc:\n  hots: secret1\n  port: [1]\n  password:\nwalet:\n  x: secret2\n\
             wallet:\nlogging:\n  level: LOUD\nother: secret3\n",
            &keys(),
        )
        .unwrap_err();
        let text = faults.to_string();
        for needle in [
            "rpc.hots",
            "rpc.port is a list",
            "rpc.password is no value",
            "walet.x",
            "other is a text",
            "logging.level, rpc.host, rpc.password",
        ] {
            assert!(text.contains(needle), "{needle} in {text}");
        }
        assert!(!text.contains("secret"), "{text}");

        let faults = parse("logging:\n  level: LOUD\n", &keys()).unwrap_err();
        assert!(faults.to_string().contains("\"LOUD\""), "{faults}");
    }

    #[test]
    fn what_is_no_mapping_is_told() {
        assert!(parse("- 1\n", &keys()).is_err());
        assert!(parse("rpc: {a: ]", &keys()).is_err());
        assert!(parse("rpc:\n  host: a\n  host: b\n", &keys()).is_err());
        assert_eq!(parse("", &keys()).unwrap(), ConfigFile::default());
        assert_eq!(
            parse("# nothing\n", &keys()).unwrap(),
            ConfigFile::default()
        );
    }
}
