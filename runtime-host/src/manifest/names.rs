//! Names of components, dependencies and imports.

use std::fmt;
use std::str::FromStr;

use semver::Version;

/// Checks that `id` consists of words joined by `-`, as component ids must.
///
/// # Errors
///
/// Why it is not such an id, in Spin's words.
pub fn check_kebab(id: &str) -> Result<(), String> {
    if id.is_empty() {
        return Err("empty".to_owned());
    }
    if id.contains('_') {
        return Err("words must be separated with '-', not '_'".to_owned());
    }
    for word in id.split('-') {
        let mut chars = word.chars();
        let Some(first) = chars.next() else {
            return Err("'-'-separated words must not be empty".to_owned());
        };
        if !first.is_ascii_alphabetic() {
            return Err(format!(
                "'-'-separated words must start with an ASCII letter; got {first:?}"
            ));
        }
        let upper = first.is_ascii_uppercase();
        for c in chars {
            if !c.is_ascii_alphanumeric() {
                return Err(format!(
                    "'-'-separated words may only contain alphanumeric ASCII; got {c:?}"
                ));
            }
            if c.is_ascii_alphabetic() && c.is_ascii_uppercase() != upper {
                return Err(format!(
                    "'-'-separated words must be all lowercase or all UPPERCASE; got {word:?}"
                ));
            }
        }
    }
    Ok(())
}

/// Which imports of a component a dependency satisfies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DependencyName {
    /// A plain name, such as `my-import`.
    Plain(String),
    /// A package, such as `a:b`, `a:b@1.0.0`, `a:b/c` or `a:b/c@1.0.0`.
    Package {
        /// Namespace and name: `a:b`.
        package: String,
        /// Only this interface of it.
        interface: Option<String>,
        /// Only this version of it.
        version: Option<Version>,
    },
}

impl DependencyName {
    /// Whether this name covers `import`: each part that is given must be equal.
    pub fn matches(&self, import: &ImportName) -> bool {
        match (self, import) {
            (Self::Plain(name), ImportName::Plain(import)) => name == import,
            (
                Self::Package {
                    package,
                    interface,
                    version,
                },
                ImportName::Interface {
                    package: import_package,
                    interface: import_interface,
                    version: import_version,
                },
            ) => {
                package == import_package
                    && interface.as_ref().is_none_or(|i| i == import_interface)
                    && (version.is_none() || version == import_version)
            }
            (Self::Plain(_), ImportName::Interface { .. })
            | (Self::Package { .. }, ImportName::Plain(_)) => false,
        }
    }

    /// Whether one import could be covered by both `self` and `other`, which
    /// the manifest may not leave open.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Package {
                    package: a,
                    interface: a_interface,
                    version: a_version,
                },
                Self::Package {
                    package: b,
                    interface: b_interface,
                    version: b_version,
                },
            ) => {
                let versions_differ = match (a_version, b_version) {
                    (Some(a), Some(b)) => compatible_base(a) != compatible_base(b),
                    _ => false,
                };
                let interfaces_differ = match (a_interface, b_interface) {
                    (Some(a), Some(b)) => a != b,
                    _ => false,
                };
                a == b && !versions_differ && !interfaces_differ
            }
            (a, b) => a == b,
        }
    }
}

/// The first version that `version` is compatible with by semver's rules.
fn compatible_base(version: &Version) -> Version {
    let mut base = version.clone();
    base.build = semver::BuildMetadata::EMPTY;
    if !base.pre.is_empty() {
        return base;
    }
    if base.major > 0 {
        base.minor = 0;
        base.patch = 0;
    } else if base.minor > 0 {
        base.patch = 0;
    }
    base
}

impl fmt::Display for DependencyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(name) => f.write_str(name),
            Self::Package {
                package,
                interface,
                version,
            } => {
                f.write_str(package)?;
                if let Some(interface) = interface {
                    write!(f, "/{interface}")?;
                }
                if let Some(version) = version {
                    write!(f, "@{version}")?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for DependencyName {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        if !s.contains([':', '/']) {
            check_kebab(s)?;
            return Ok(Self::Plain(s.to_owned()));
        }
        let (name, version) = split_version(s)?;
        let (package, interface) = match name.split_once('/') {
            Some((package, interface)) => {
                check_kebab(interface)?;
                (package, Some(interface.to_owned()))
            }
            None => (name, None),
        };
        let Some((namespace, name)) = package.split_once(':') else {
            return Err(format!("{package:?} is not of the form namespace:package"));
        };
        check_kebab(namespace)?;
        check_kebab(name)?;
        Ok(Self::Package {
            package: package.to_owned(),
            interface,
            version,
        })
    }
}

/// The name of a component's import, as its type says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportName {
    /// A plain name.
    Plain(String),
    /// An interface of a package, perhaps with a version.
    Interface {
        /// Namespace and name: `a:b`.
        package: String,
        /// The interface.
        interface: String,
        /// Its version.
        version: Option<Version>,
    },
}

impl FromStr for ImportName {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        if !s.contains([':', '/']) {
            return Ok(Self::Plain(s.to_owned()));
        }
        let (name, version) = split_version(s)?;
        let (package, interface) = name
            .split_once('/')
            .ok_or_else(|| format!("invalid import name: {s}"))?;
        Ok(Self::Interface {
            package: package.to_owned(),
            interface: interface.to_owned(),
            version,
        })
    }
}

fn split_version(s: &str) -> Result<(&str, Option<Version>), String> {
    match s.split_once('@') {
        Some((name, version)) => Ok((
            name,
            Some(
                version
                    .parse()
                    .map_err(|e| format!("invalid version in {s}: {e}"))?,
            ),
        )),
        None => Ok((s, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(name: &str, import: &str) -> bool {
        name.parse::<DependencyName>()
            .unwrap()
            .matches(&import.parse().unwrap())
    }

    #[test]
    fn a_dependency_covers_what_its_name_leaves_open() {
        for (name, import) in [
            ("foo:bar/baz@0.1.0", "foo:bar/baz@0.1.0"),
            ("foo:bar/baz", "foo:bar/baz@0.1.0"),
            ("foo:bar/baz", "foo:bar/baz"),
            ("foo:bar", "foo:bar/baz@0.1.0"),
            ("foo:bar@0.1.0", "foo:bar/baz@0.1.0"),
            ("foo-bar", "foo-bar"),
        ] {
            assert!(covers(name, import), "{name} {import}");
        }
        for (name, import) in [
            ("foo:bar/baz@0.1.0", "foo:bar/baz"),
            ("foo:bar/baz@0.1.0", "foo:bar/baz@0.1.1"),
            ("foo:bar/baz", "foo:bar/bub"),
            ("foo:bar", "foo:bub/bib"),
            ("foo:bar@0.1.0", "foo:bar/baz"),
            ("foo:bar", "foo-bar"),
            ("foo-bar", "foo-baz"),
        ] {
            assert!(!covers(name, import), "{name} {import}");
        }
    }

    #[test]
    fn overlapping_names_are_found() {
        let overlap = |a: &str, b: &str| {
            a.parse::<DependencyName>()
                .unwrap()
                .overlaps(&b.parse().unwrap())
        };
        assert!(overlap("a:b", "a:b/c"));
        assert!(overlap("a:b@1.0.0", "a:b@1.2.0"));
        assert!(overlap("a:b", "a:b@1.0.0"));
        assert!(!overlap("a:b@1.0.0", "a:b@2.0.0"));
        assert!(!overlap("a:b/c", "a:b/d"));
        assert!(!overlap("a:b", "a:c"));
    }

    #[test]
    fn names_are_checked() {
        for bad in ["", "a:", ":b", "a/b", "a:b@x", "a_b", "a:b/", "a--b", "1a"] {
            assert!(bad.parse::<DependencyName>().is_err(), "{bad:?}");
        }
        assert!(check_kebab("wallet-new-address").is_ok());
        assert!(check_kebab("aB").is_err());
    }
}
