//! Application variables: what is declared, where values come from, and what a
//! component sees.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use indexmap::IndexMap;

use crate::config::template::Template;
use crate::fault::{Collector, Faults, Result};
use crate::manifest::{Manifest, Variable};

/// What precedes a variable's upper-case name in the environment, as in Spin.
pub const ENV_PREFIX: &str = "SPIN_VARIABLE_";

/// The randomness of a generated value.
const GENERATED_BYTES: usize = 32;

/// Checks the name of a variable: lower-case letters, digits and single
/// underscores, beginning with a letter and not ending in an underscore.
///
/// # Errors
///
/// The name and why it is refused, in Spin's words.
pub fn check_name(name: &str) -> Result<(), String> {
    let reason = if name.is_empty() {
        "must not be empty".to_owned()
    } else if let Some(bad) = name
        .chars()
        .find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_'))
    {
        format!(
            "invalid character {bad:?}. Variable names may contain only lower-case letters, \
             numbers, and underscores."
        )
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        "must start with a lowercase ASCII letter".to_owned()
    } else if name.ends_with('_') {
        "must end with a lowercase ASCII letter or digit".to_owned()
    } else if name.contains("__") {
        "must not contain multiple consecutive underscores".to_owned()
    } else {
        return Ok(());
    };
    Err(format!("{name:?}: {reason}"))
}

/// One `--variable`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// `name=value`
    Literal(String, String),
    /// `name=@file`: the value is the file's whole text.
    FromFile(String, PathBuf),
    /// `@file.toml` or `@file.json`: a table of names and string values.
    Table(PathBuf),
}

impl FromStr for Argument {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        if let Some(path) = s.strip_prefix('@') {
            return match Path::new(path).extension().and_then(|e| e.to_str()) {
                Some("toml" | "json") => Ok(Self::Table(path.into())),
                _ => Err("variable files must end in .json or .toml".to_owned()),
            };
        }
        match s.split_once('=') {
            Some((name, value)) => Ok(match value.strip_prefix('@') {
                Some(path) => Self::FromFile(name.to_owned(), path.into()),
                None => Self::Literal(name.to_owned(), value.to_owned()),
            }),
            None => Err("variables must be in the form 'key=value' or '@file'".to_owned()),
        }
    }
}

impl Argument {
    /// The names and values it stands for.
    ///
    /// # Errors
    ///
    /// A file cannot be read or is not a table of strings.
    pub fn values(&self) -> Result<Vec<(String, String)>> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|e| {
                Faults::one(format!("--variable: cannot read {}: {e}", path.display()))
            })
        };
        match self {
            Self::Literal(name, value) => Ok(vec![(name.clone(), value.clone())]),
            Self::FromFile(name, path) => Ok(vec![(name.clone(), read(path)?)]),
            Self::Table(path) => {
                let text = read(path)?;
                let table: Result<IndexMap<String, String>, String> =
                    if path.extension().is_some_and(|e| e == "json") {
                        serde_json::from_str(&text).map_err(|e| e.to_string())
                    } else {
                        toml::from_str(&text).map_err(|e: toml::de::Error| e.message().to_owned())
                    };
                table
                    .map(|table| table.into_iter().collect())
                    .map_err(|e| Faults::one(format!("--variable: {}: {e}", path.display())))
            }
        }
    }
}

/// Where a value came from; an earlier one beats a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// `--variable`
    CommandLine,
    /// `SPIN_VARIABLE_*`
    Environment,
    /// `--config`
    ConfigFile,
    /// `--devnet`
    Devnet,
    /// The host, at random.
    Generated,
    /// The manifest.
    Default,
}

/// Values for the declared variables, from every source.
pub struct Variables {
    declared: IndexMap<String, Variable>,
    values: BTreeMap<String, (Origin, String)>,
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins = self.values.iter().map(|(name, (origin, _))| (name, origin));
        f.debug_map().entries(origins).finish()
    }
}

impl Variables {
    /// The declared variables with their defaults.
    pub fn new(declared: IndexMap<String, Variable>) -> Self {
        let values = declared
            .iter()
            .filter_map(|(name, variable)| {
                let default = variable.default.clone()?;
                Some((name.clone(), (Origin::Default, default)))
            })
            .collect();
        Self { declared, values }
    }

    /// Sets `name`, unless it already has a value from a stronger source. Of
    /// equal sources the later call counts.
    ///
    /// # Errors
    ///
    /// No such variable is declared; the fault lists those that are.
    pub fn set(&mut self, origin: Origin, name: &str, value: String) -> Result<()> {
        if !self.declared.contains_key(name) {
            let mut names: Vec<&str> = self.declared.keys().map(String::as_str).collect();
            names.sort_unstable();
            return Err(Faults::one(format!(
                "there is no variable {name:?}; declared are {}",
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                }
            )));
        }
        if self.values.get(name).is_none_or(|(old, _)| origin <= *old) {
            self.values.insert(name.to_owned(), (origin, value));
        }
        Ok(())
    }

    /// Reads `SPIN_VARIABLE_*` for every declared variable.
    ///
    /// # Errors
    ///
    /// A value is not UTF-8.
    pub fn read_environment(
        &mut self,
        get: impl Fn(&str) -> Result<String, std::env::VarError>,
    ) -> Result<()> {
        let mut faults = Collector::default();
        let names: Vec<String> = self.declared.keys().cloned().collect();
        for name in names {
            let key = format!("{ENV_PREFIX}{}", name.to_ascii_uppercase());
            match get(&key) {
                Ok(value) => {
                    faults.keep(self.set(Origin::Environment, &name, value));
                }
                Err(std::env::VarError::NotPresent) => {}
                Err(std::env::VarError::NotUnicode(_)) => {
                    faults.push(format!("the environment variable {key} is not UTF-8"));
                }
            }
        }
        faults.finish()
    }

    /// Gives each of `names` that nobody has set, and whose default is not a
    /// value, a random one of 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// One is not declared, or the system gives no random bytes.
    pub fn generate(&mut self, names: &[String]) -> Result<()> {
        for name in names {
            let set = match self.values.get(name) {
                None => false,
                Some((Origin::Default, value)) => !value.is_empty(),
                Some(_) => true,
            };
            if set {
                continue;
            }
            let mut bytes = [0; GENERATED_BYTES];
            getrandom::fill(&mut bytes)
                .map_err(|e| Faults::one(format!("there are no random bytes: {e}")))?;
            self.set(Origin::Generated, name, hex::encode(bytes))?;
        }
        Ok(())
    }

    /// Whether the value of `name` must not be shown.
    pub fn is_secret(&self, name: &str) -> bool {
        self.declared
            .get(name)
            .is_some_and(|variable| variable.secret)
    }

    /// # Errors
    ///
    /// A required variable has no value; each is named with the ways to set it.
    pub fn check_required(&self) -> Result<()> {
        let mut faults = Collector::default();
        for (name, variable) in &self.declared {
            if !self.values.contains_key(name) {
                let purpose = match &variable.description {
                    Some(description) => format!(" ({description})"),
                    None => String::new(),
                };
                faults.push(format!(
                    "the required variable {name}{purpose} has no value; \
                     set it with --variable {name}=... or {ENV_PREFIX}{}",
                    name.to_ascii_uppercase()
                ));
            }
        }
        faults.finish()
    }

    /// The value of `name`.
    ///
    /// # Errors
    ///
    /// It is not declared or has no value.
    pub fn get(&self, name: &str) -> Result<&str> {
        match self.values.get(name) {
            Some((_, value)) => Ok(value),
            None if self.declared.contains_key(name) => {
                Err(Faults::one(format!("the variable {name:?} has no value")))
            }
            None => Err(Faults::one(format!("unknown variable {name:?}"))),
        }
    }

    /// Resolves `template` over the variables.
    ///
    /// # Errors
    ///
    /// It does not parse or names a variable that is unknown or without value.
    pub fn resolve(&self, template: &str) -> Result<String> {
        Template::parse(template)
            .map_err(Faults::one)?
            .resolve(|name| self.get(name))
    }

    /// What each component of `manifest` sees as its own variables.
    ///
    /// # Errors
    ///
    /// Every template that cannot be resolved.
    pub fn of_components(
        &self,
        manifest: &Manifest,
    ) -> Result<BTreeMap<String, ComponentVariables>> {
        let mut faults = Collector::default();
        let mut all = BTreeMap::new();
        for (id, component) in &manifest.components {
            let mut values = BTreeMap::new();
            for (name, template) in &component.variables {
                let resolved = self
                    .resolve(template)
                    .map_err(|f| f.prefixed(format!("component.{id}.variables.{name}: ")));
                if let Some(value) = faults.keep(resolved) {
                    values.insert(name.clone(), value);
                }
            }
            all.insert(
                id.clone(),
                ComponentVariables {
                    component: id.clone(),
                    values,
                },
            );
        }
        faults.finish_with(all)
    }
}

/// The variables of one component.
#[derive(Clone)]
pub struct ComponentVariables {
    component: String,
    values: BTreeMap<String, String>,
}

impl fmt::Debug for ComponentVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// Why a component gets no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupError {
    /// The name is not a possible one.
    InvalidName(String),
    /// The component has no such variable.
    Undefined(String),
}

impl ComponentVariables {
    /// The value of `name`, as the component asks for it.
    ///
    /// # Errors
    ///
    /// With the texts of Spin, since guests may show them.
    pub fn get(&self, name: &str) -> Result<&str, LookupError> {
        check_name(name).map_err(LookupError::InvalidName)?;
        self.values.get(name).map(String::as_str).ok_or_else(|| {
            LookupError::Undefined(format!("no variable for {:?}.{name:?}", self.component))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn declared() -> IndexMap<String, Variable> {
        let variable = |default: Option<&str>| Variable {
            description: None,
            default: default.map(str::to_owned),
            secret: false,
        };
        IndexMap::from([
            ("host".to_owned(), variable(Some("localhost"))),
            ("port".to_owned(), variable(None)),
        ])
    }

    #[test]
    fn the_stronger_source_wins_whatever_the_order() {
        let mut variables = Variables::new(declared());
        assert_eq!(variables.get("host").unwrap(), "localhost");
        for (origin, value) in [
            (Origin::Devnet, "devnet"),
            (Origin::CommandLine, "cli"),
            (Origin::Environment, "env"),
            (Origin::ConfigFile, "file"),
        ] {
            variables.set(origin, "host", value.to_owned()).unwrap();
        }
        assert_eq!(variables.get("host").unwrap(), "cli");
        variables
            .set(Origin::CommandLine, "host", "cli2".to_owned())
            .unwrap();
        assert_eq!(variables.get("host").unwrap(), "cli2");
    }

    #[test]
    fn an_unknown_variable_is_named_with_those_declared() {
        let faults = Variables::new(declared())
            .set(Origin::CommandLine, "hots", String::new())
            .unwrap_err();
        assert_eq!(
            faults.lines(),
            ["there is no variable \"hots\"; declared are host, port"]
        );
    }

    #[test]
    fn required_variables_are_told() {
        let mut variables = Variables::new(declared());
        let faults = variables.check_required().unwrap_err();
        assert!(faults.lines()[0].contains("SPIN_VARIABLE_PORT"));
        variables
            .read_environment(|key| match key {
                "SPIN_VARIABLE_PORT" => Ok("1".to_owned()),
                _ => Err(std::env::VarError::NotPresent),
            })
            .unwrap();
        variables.check_required().unwrap();
        assert_eq!(
            variables.resolve("{{ host }}:{{ port }}").unwrap(),
            "localhost:1"
        );
        assert!(variables.resolve("{{ nope }}").is_err());
    }

    #[test]
    fn what_nobody_sets_is_generated() {
        let mut declared = declared();
        for (name, default) in [("token", Some("")), ("other", Some("")), ("set", Some(""))] {
            let default = default.map(str::to_owned);
            declared.insert(
                name.to_owned(),
                Variable {
                    description: None,
                    default,
                    secret: true,
                },
            );
        }
        let mut variables = Variables::new(declared);
        variables
            .set(Origin::Environment, "set", String::new())
            .unwrap();
        let names = ["host", "port", "token", "set"].map(str::to_owned);
        variables.generate(&names).unwrap();
        assert_eq!(variables.get("host").unwrap(), "localhost");
        assert_eq!(variables.get("set").unwrap(), "", "nothing, but set");
        assert_eq!(variables.get("other").unwrap(), "", "not named");
        let (port, token) = (variables.get("port"), variables.get("token"));
        assert_ne!(port, token);
        for value in [port, token] {
            let value = value.unwrap();
            assert!(value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }

    #[test]
    fn arguments_are_read_as_in_spin() {
        assert_eq!(
            "a=b=c".parse(),
            Ok(Argument::Literal("a".into(), "b=c".into()))
        );
        assert_eq!(
            "a=@f".parse(),
            Ok(Argument::FromFile("a".into(), "f".into()))
        );
        assert_eq!("@f.toml".parse(), Ok(Argument::Table("f.toml".into())));
        assert!("@f.txt".parse::<Argument>().is_err());
        assert!("a".parse::<Argument>().is_err());
    }

    #[test]
    fn names_are_checked_as_in_spin() {
        for good in ["a", "abc", "a1b2c3", "a_1", "a_1_b_3"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "aX", "1bc", "_x", "x.y", "x_", "a__b", "x-y"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_argument_makes_the_parser_panic(text in "\\PC*") {
            let _ = text.parse::<Argument>();
            let _ = check_name(&text);
        }
    }
}
