//! From the manifest as written to what the host runs, with every fault told.

use std::path::{Path, PathBuf};

use http::Method;
use http::header::{self, HeaderName};
use http::uri::PathAndQuery;
use indexmap::IndexMap;

use super::names::{DependencyName, check_kebab};
use super::schema::{self, Map};
use super::value::{BoolOrList, StringOr};
use crate::config::variables;
use crate::fault::{Collector, Result};
use crate::server::headers::SpinHeader;
use crate::server::routes::WELL_KNOWN_PREFIX;

/// The key under `tool` that is this host's own.
const TOOL_KEY: &str = "runtime-host";
/// Backups of a database that are kept when the manifest does not say, and the
/// most it can say.
const DEFAULT_KEPT_BACKUPS: usize = 7;
const MAX_KEPT_BACKUPS: i64 = 1000;
/// The methods of scheduled calls.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];
/// Headers that tell of the body or the connection, of which there is none.
const UNFIT_HEADERS: [HeaderName; 4] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A checked manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Where it was read from.
    pub path: PathBuf,
    /// The directory of the manifest; paths in it are relative to this.
    pub directory: PathBuf,
    /// `[application]`
    pub application: Application,
    /// `[variables]`, by name.
    pub variables: IndexMap<String, Variable>,
    /// `[[trigger.http]]`, in order.
    pub triggers: Vec<Trigger>,
    /// `[component.*]`, by id, inline ones included.
    pub components: IndexMap<String, Component>,
    /// `[application.tool.runtime-host]`
    pub host: HostSettings,
}

/// What an application says about itself.
#[derive(Debug, Clone)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// Its version, perhaps empty.
    pub version: String,
    /// A description, perhaps empty.
    pub description: String,
}

/// `[application.tool.runtime-host]`: what this host reads and Spin ignores.
#[derive(Debug, Clone, Default)]
pub struct HostSettings {
    /// The component asked once, before the first request, whether the
    /// configuration is right.
    pub startup_check: Option<String>,
    /// From a key of the configuration file (`rpc.host`) to a variable.
    pub config: IndexMap<String, String>,
    /// Variables set while `--devnet` runs, as templates over its address.
    pub devnet_variables: IndexMap<String, String>,
    /// Variables that get a random value at each start unless they are set.
    pub generated_variables: Vec<String>,
    /// How databases are backed up, if they are.
    pub backups: Option<BackupSettings>,
    /// Which of Spin's headers components get, if not all.
    pub spin_headers: Option<Vec<SpinHeader>>,
}

/// `[application.tool.runtime-host.backups]`
#[derive(Debug, Clone)]
pub struct BackupSettings {
    /// The seconds from one backup to the next: a template.
    pub every_seconds: String,
    /// How many of each database are kept.
    pub keep: usize,
    /// Where they are, unless in the default place.
    pub directory: Option<PathBuf>,
}

impl Default for BackupSettings {
    fn default() -> Self {
        Self {
            every_seconds: "0".to_owned(),
            keep: DEFAULT_KEPT_BACKUPS,
            directory: None,
        }
    }
}

/// An entry of `schedule` in `[component.*.tool.runtime-host]`: a request that
/// the host makes by itself.
#[derive(Debug, Clone)]
pub struct ScheduledCall {
    /// The path asked for, perhaps with a query.
    pub path: PathAndQuery,
    /// The method.
    pub method: Method,
    /// The seconds from the beginning of one call to that of the next: a
    /// template.
    pub every_seconds: String,
    /// Headers, with templates for their values.
    pub headers: Vec<(HeaderName, String)>,
}

/// An application variable.
#[derive(Debug, Clone)]
pub struct Variable {
    /// What it is for.
    pub description: Option<String>,
    /// Its value when none is given; without one it is required.
    pub default: Option<String>,
    /// Whether its value must not be shown.
    pub secret: bool,
}

/// One HTTP trigger.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// Which requests.
    pub route: Route,
    /// The id of the component that answers them.
    pub component: String,
}

/// The route of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A pattern such as `/a/:b/...`.
    Pattern(String),
    /// No request from outside reaches the component.
    Private,
}

/// A component.
#[derive(Debug, Clone)]
pub struct Component {
    /// The path of its `.wasm`.
    pub source: PathBuf,
    /// A description, perhaps empty.
    pub description: String,
    /// Its variables: name to template.
    pub variables: IndexMap<String, String>,
    /// Its environment variables.
    pub environment: IndexMap<String, String>,
    /// Where it may connect to: templates.
    pub allowed_outbound_hosts: Vec<String>,
    /// The databases it may open.
    pub sqlite_databases: Vec<String>,
    /// The key-value stores it may open.
    pub key_value_stores: Vec<String>,
    /// How it is built.
    pub build: Option<Build>,
    /// What satisfies its imports.
    pub dependencies: Vec<Dependency>,
    /// What the host asks it by itself, with the place of each in the manifest.
    pub schedule: Vec<(String, ScheduledCall)>,
    /// Whether it may connect into private networks, `allow` or `deny`: a
    /// template; none allows.
    pub private_networks: Option<String>,
}

/// How a component is built.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Build {
    /// Shell commands, in order.
    pub commands: Vec<String>,
    /// The directory to run them in.
    pub workdir: PathBuf,
}

/// A component composed into another one.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// Which imports it satisfies.
    pub name: DependencyName,
    /// Where it comes from.
    pub source: DependencySource,
    /// The export to use when its name is not that of the import.
    pub export: Option<String>,
    /// What of its parent's configuration it can reach.
    pub inherit: Inherit,
}

/// Where a dependency comes from.
#[derive(Debug, Clone)]
pub enum DependencySource {
    /// Another component of the manifest, by id.
    Component(String),
    /// A file.
    Path(PathBuf),
}

/// What a dependency inherits of its parent's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Inherit {
    /// Everything.
    All,
    /// These and nothing else; none when empty.
    Only(Vec<InheritKey>),
}

impl Inherit {
    /// Whether `key` is inherited.
    pub fn includes(&self, key: InheritKey) -> bool {
        match self {
            Self::All => true,
            Self::Only(keys) => keys.contains(&key),
        }
    }
}

/// A part of a component's configuration that a dependency can inherit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InheritKey {
    /// `ai_models`
    AiModels,
    /// `allowed_outbound_hosts`
    AllowedOutboundHosts,
    /// `environment`
    Environment,
    /// `files`
    Files,
    /// `key_value_stores`
    KeyValueStores,
    /// `sqlite_databases`
    SqliteDatabases,
    /// `variables`
    Variables,
}

impl InheritKey {
    /// Every key.
    pub const ALL: [Self; 7] = [
        Self::AiModels,
        Self::AllowedOutboundHosts,
        Self::Environment,
        Self::Files,
        Self::KeyValueStores,
        Self::SqliteDatabases,
        Self::Variables,
    ];

    /// As it is written in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AiModels => "ai_models",
            Self::AllowedOutboundHosts => "allowed_outbound_hosts",
            Self::Environment => "environment",
            Self::Files => "files",
            Self::KeyValueStores => "key_value_stores",
            Self::SqliteDatabases => "sqlite_databases",
            Self::Variables => "variables",
        }
    }

    fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str() == s)
    }
}

/// Checks `raw`, read from `path`.
pub fn check(raw: schema::Manifest, path: &Path) -> Result<Manifest> {
    let mut faults = Collector::default();
    if raw.spin_manifest_version != 2 {
        faults.push(format!(
            "spin_manifest_version is {}, but only version 2 is supported",
            raw.spin_manifest_version
        ));
    }
    if raw.application.trigger.http.base.as_deref().unwrap_or("/") != "/" {
        faults.push("application.trigger.http.base is not supported: write it into each route");
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut components: Map<schema::Component> = raw.component;
    let triggers = check_triggers(raw.trigger.http, &mut components, &mut faults);
    let ids: Vec<String> = components.keys().cloned().collect();
    let variables = check_variables(raw.variables, &mut faults);
    let host = check_host(
        raw.application.tool,
        &directory,
        &ids,
        &variables,
        &mut faults,
    );
    let components = components
        .into_iter()
        .map(|(id, component)| {
            if let Err(why) = check_kebab(&id) {
                faults.push(format!("component id {id:?}: {why}"));
            }
            let component = check_component(&id, component, &directory, &ids, &mut faults);
            (id, component)
        })
        .collect();
    let manifest = Manifest {
        path: path.to_owned(),
        directory,
        application: Application {
            name: raw.application.name,
            version: raw.application.version,
            description: raw.application.description,
        },
        variables,
        triggers,
        components,
        host,
    };
    faults
        .finish_with(manifest)
        .map_err(|f| f.prefixed(format!("{}: ", path.display())))
}

fn check_triggers(
    raw: Vec<schema::HttpTrigger>,
    components: &mut Map<schema::Component>,
    faults: &mut Collector,
) -> Vec<Trigger> {
    if raw.is_empty() {
        faults.push("there is no [[trigger.http]], so nothing would be served");
    }
    let mut triggers = Vec::new();
    for (index, trigger) in raw.into_iter().enumerate() {
        let place = if trigger.id.is_empty() {
            format!("trigger.http number {}", index + 1)
        } else {
            format!("trigger.http {:?}", trigger.id)
        };
        let unsupported = [
            ("static_response", trigger.static_response.is_some()),
            ("components", !trigger.components.is_empty()),
            ("dependencies", !trigger.dependencies.is_empty()),
        ];
        for (field, _) in unsupported.iter().filter(|(_, used)| *used) {
            faults.push(format!("{place}: {field} is not supported"));
        }
        if let Some(executor) = &trigger.executor
            && !matches!(executor.kind.as_str(), "http" | "spin")
        {
            faults.push(format!(
                "{place}: executor type {:?} is not supported, only \"http\"",
                executor.kind
            ));
        }
        let route = match trigger.route {
            StringOr::String(pattern) => Route::Pattern(pattern),
            StringOr::Table(schema::PrivateRoute { private: true }) => Route::Private,
            StringOr::Table(schema::PrivateRoute { private: false }) => {
                faults.push(format!(
                    "{place}: route must be a string pattern or {{ private = true }}"
                ));
                continue;
            }
        };
        let component = match trigger.component {
            Some(StringOr::String(id)) => {
                if !components.contains_key(&id) {
                    faults.push(format!(
                        "{place}: there is no component {id:?}; declared are {}",
                        listed(components.keys())
                    ));
                }
                id
            }
            Some(StringOr::Table(component)) => {
                let id = inline_id(&trigger.id, index, components);
                components.insert(id.clone(), *component);
                id
            }
            None => {
                faults.push(format!("{place}: component is missing"));
                continue;
            }
        };
        triggers.push(Trigger { route, component });
    }
    triggers
}

/// The id of a component that is written out in its trigger: as Spin names it.
fn inline_id(trigger_id: &str, index: usize, components: &Map<schema::Component>) -> String {
    let natural = if trigger_id.is_empty() {
        format!("http-trigger{}-component", index + 1)
    } else {
        format!("{trigger_id}-component")
    };
    if check_kebab(&natural).is_ok() && !components.contains_key(&natural) {
        return natural;
    }
    (1..)
        .map(|n| format!("inline-component{n}"))
        .find(|id| !components.contains_key(id))
        .unwrap_or(natural)
}

fn check_variables(
    raw: Map<schema::Variable>,
    faults: &mut Collector,
) -> IndexMap<String, Variable> {
    raw.into_iter()
        .map(|(name, variable)| {
            if let Err(why) = variables::check_name(&name) {
                faults.push(format!("variables: {why}"));
            }
            if variable.required == variable.default.is_some() {
                faults.push(format!(
                    "variables.{name} must be `required` or have a `default`, and not both"
                ));
            }
            (
                name,
                Variable {
                    description: variable.description,
                    default: variable.default,
                    secret: variable.secret,
                },
            )
        })
        .collect()
}

fn check_host(
    mut tool: Map<toml::Table>,
    directory: &Path,
    components: &[String],
    variables: &IndexMap<String, Variable>,
    faults: &mut Collector,
) -> HostSettings {
    let Some(table) = tool.shift_remove(TOOL_KEY) else {
        return HostSettings::default();
    };
    let place = format!("application.tool.{TOOL_KEY}");
    let raw: schema::HostTool = match table.try_into() {
        Ok(raw) => raw,
        Err(e) => {
            faults.push(format!("{place}: {e}"));
            return HostSettings::default();
        }
    };
    if let Some(id) = &raw.startup_check
        && !components.contains(id)
    {
        faults.push(format!(
            "{place}.startup_check: there is no component {id:?}"
        ));
    }
    let targets = raw
        .config
        .iter()
        .map(|(key, variable)| (format!("config.{key:?}"), variable))
        .chain(
            raw.devnet
                .variables
                .keys()
                .map(|variable| ("devnet.variables".to_owned(), variable)),
        )
        .chain(
            raw.generated_variables
                .iter()
                .map(|variable| ("generated_variables".to_owned(), variable)),
        );
    for (key, variable) in targets {
        if !variables.contains_key(variable) {
            faults.push(format!(
                "{place}.{key}: there is no variable {variable:?}; declared are {}",
                listed(variables.keys())
            ));
        }
    }
    HostSettings {
        startup_check: raw.startup_check,
        config: raw.config,
        devnet_variables: raw.devnet.variables,
        generated_variables: raw.generated_variables,
        backups: raw
            .backups
            .map(|backups| check_backups(&place, backups, directory, faults)),
        spin_headers: raw.spin_headers,
    }
}

fn check_backups(
    place: &str,
    raw: schema::BackupTool,
    directory: &Path,
    faults: &mut Collector,
) -> BackupSettings {
    let keep = match raw.keep {
        None => DEFAULT_KEPT_BACKUPS,
        Some(keep) => match usize::try_from(keep) {
            Ok(valid) if (1..=MAX_KEPT_BACKUPS).contains(&keep) => valid,
            _ => {
                faults.push(format!(
                    "{place}.backups.keep is {keep}; allowed are 1 to {MAX_KEPT_BACKUPS}"
                ));
                DEFAULT_KEPT_BACKUPS
            }
        },
    };
    if raw.directory.as_deref() == Some("") {
        faults.push(format!("{place}.backups.directory is empty"));
    }
    BackupSettings {
        every_seconds: raw.every_seconds.0,
        keep,
        directory: raw.directory.map(|path| directory.join(path)),
    }
}

fn read_tool(
    place: &str,
    tool: Option<toml::Table>,
    faults: &mut Collector,
) -> schema::ComponentTool {
    let tool = tool.map(toml::Table::try_into).transpose();
    tool.map_err(|e| faults.push(format!("{place}: {e}")))
        .unwrap_or_default()
        .unwrap_or_default()
}

fn check_schedule(
    place: &str,
    tables: Vec<toml::Table>,
    faults: &mut Collector,
) -> Vec<(String, ScheduledCall)> {
    let mut schedule = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let place = format!("{place}.schedule number {}", index + 1);
        match table.try_into() {
            Ok(raw) => {
                let call = check_scheduled_call(&place, raw, faults);
                schedule.extend(call.map(|call| (place, call)));
            }
            Err(e) => faults.push(format!("{place}: {e}")),
        }
    }
    schedule
}

fn check_scheduled_call(
    place: &str,
    raw: schema::ScheduledCall,
    faults: &mut Collector,
) -> Option<ScheduledCall> {
    let path = if raw.path.starts_with(WELL_KNOWN_PREFIX) {
        Err(format!("{WELL_KNOWN_PREFIX} is the host's"))
    } else if raw.path.starts_with('/') {
        raw.path.parse::<PathAndQuery>().map_err(|e| e.to_string())
    } else {
        Err("it must begin with /".to_owned())
    };
    let path = path
        .map_err(|why| faults.push(format!("{place}: path {:?}: {why}", raw.path)))
        .ok();
    let wanted = raw.method.as_deref().unwrap_or("GET");
    let method = METHODS.into_iter().find(|known| known.as_str() == wanted);
    if method.is_none() {
        faults.push(format!(
            "{place}: method {wanted:?} is not supported; allowed are {}",
            listed(METHODS.iter().map(Method::as_str))
        ));
    }
    let mut headers: Vec<(HeaderName, String)> = Vec::new();
    for (name, value) in raw.headers {
        match name.parse::<HeaderName>() {
            Ok(header) if UNFIT_HEADERS.contains(&header) => {
                faults.push(format!("{place}: header {name:?} cannot be set"));
            }
            Ok(header) if headers.iter().any(|(other, _)| *other == header) => {
                faults.push(format!("{place}: header {name:?} is there twice"));
            }
            Ok(header) => headers.push((header, value)),
            Err(_) => faults.push(format!("{place}: {name:?} is no name of a header")),
        }
    }
    Some(ScheduledCall {
        path: path?,
        method: method?,
        every_seconds: raw.every_seconds.0,
        headers,
    })
}

fn check_component(
    id: &str,
    mut raw: schema::Component,
    directory: &Path,
    ids: &[String],
    faults: &mut Collector,
) -> Component {
    let place = format!("component.{id}");
    let source = match raw.source {
        StringOr::String(path) => directory.join(path),
        StringOr::Table(_) => {
            faults.push(format!(
                "{place}.source: only a path is supported; fetch the component and name its file"
            ));
            PathBuf::new()
        }
    };
    let unsupported = [
        ("files", !raw.files.is_empty()),
        ("ai_models", !raw.ai_models.is_empty()),
    ];
    for (field, _) in unsupported.iter().filter(|(_, used)| *used) {
        faults.push(format!("{place}.{field} is not supported by this host"));
    }
    if !raw.allowed_http_hosts.is_empty() {
        faults.push(format!(
            "{place}.allowed_http_hosts is not supported: use allowed_outbound_hosts"
        ));
    }
    let tool_place = format!("{place}.tool.{TOOL_KEY}");
    let tool = read_tool(&tool_place, raw.tool.shift_remove(TOOL_KEY), faults);
    let schedule = check_schedule(&tool_place, tool.schedule, faults);
    for name in raw.variables.keys() {
        if let Err(why) = variables::check_name(name) {
            faults.push(format!("{place}.variables: {why}"));
        }
    }
    let build = raw.build.map(|build| {
        let workdir = build.workdir.unwrap_or_default();
        if Path::new(&workdir).has_root() {
            faults.push(format!("{place}.build.workdir must be relative"));
        }
        Build {
            commands: build.command.0,
            workdir: directory.join(workdir),
        }
    });
    let inherit_default = raw.dependencies_inherit_configuration;
    let mut dependencies: Vec<Dependency> = Vec::new();
    for (name, dependency) in raw.dependencies {
        let place = format!("{place}.dependencies.{name:?}");
        if let Some(dependency) = check_dependency(
            &place,
            &name,
            dependency,
            inherit_default,
            directory,
            ids,
            faults,
        ) {
            for other in &dependencies {
                if other.name.overlaps(&dependency.name) {
                    faults.push(format!(
                        "{place} conflicts with {:?}",
                        other.name.to_string()
                    ));
                }
            }
            dependencies.push(dependency);
        }
    }
    Component {
        source,
        description: raw.description,
        variables: raw.variables,
        environment: raw.environment,
        allowed_outbound_hosts: raw.allowed_outbound_hosts,
        sqlite_databases: raw.sqlite_databases,
        key_value_stores: raw.key_value_stores,
        build,
        dependencies,
        schedule,
        private_networks: tool.private_networks,
    }
}

fn check_dependency(
    place: &str,
    name: &str,
    raw: StringOr<schema::Dependency>,
    inherit_default: Option<bool>,
    directory: &Path,
    ids: &[String],
    faults: &mut Collector,
) -> Option<Dependency> {
    let name = match name.parse::<DependencyName>() {
        Ok(name) => name,
        Err(why) => {
            faults.push(format!("{place}: {why}"));
            return None;
        }
    };
    let raw = match raw {
        StringOr::Table(raw) => raw,
        StringOr::String(_) => {
            faults.push(format!(
                "{place}: packages from a registry are not supported: \
                 use {{ component = ... }} or {{ path = ... }}"
            ));
            return None;
        }
    };
    let remote = raw.url.is_some()
        || raw.version.is_some()
        || raw.registry.is_some()
        || raw.package.is_some();
    let source = match (raw.component, raw.path, remote) {
        (Some(id), None, false) => {
            if !ids.contains(&id) {
                faults.push(format!(
                    "{place}: there is no component {id:?}; declared are {}",
                    listed(ids)
                ));
            }
            DependencySource::Component(id)
        }
        (None, Some(path), false) => DependencySource::Path(directory.join(path)),
        _ => {
            faults.push(format!(
                "{place}: exactly one of `component` and `path` is needed, \
                 and no other source is supported"
            ));
            return None;
        }
    };
    if raw.export.is_some()
        && matches!(
            name,
            DependencyName::Package {
                interface: None,
                ..
            }
        )
    {
        faults.push(format!(
            "{place}: using an export to satisfy a package dependency is not permitted"
        ));
    }
    let inherit = check_inherit(place, raw.inherit_configuration, inherit_default, faults);
    Some(Dependency {
        name,
        source,
        export: raw.export,
        inherit,
    })
}

fn check_inherit(
    place: &str,
    own: Option<BoolOrList>,
    of_component: Option<bool>,
    faults: &mut Collector,
) -> Inherit {
    if own.is_some() && of_component.is_some() {
        faults.push(format!(
            "{place}: inherit_configuration and the component's \
             dependencies_inherit_configuration cannot both be set"
        ));
    }
    match own.or(of_component.map(BoolOrList::Bool)) {
        Some(BoolOrList::Bool(true)) => Inherit::All,
        Some(BoolOrList::Bool(false)) | None => Inherit::Only(Vec::new()),
        Some(BoolOrList::List(keys)) => Inherit::Only(
            keys.into_iter()
                .filter_map(|key| {
                    let parsed = InheritKey::parse(&key);
                    if parsed.is_none() {
                        faults.push(format!(
                            "{place}.inherit_configuration: unknown key {key:?}; allowed are {}",
                            listed(InheritKey::ALL.map(InheritKey::as_str))
                        ));
                    }
                    parsed
                })
                .collect(),
        ),
    }
}

/// `"a", "b"`, or `none`.
fn listed<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let names: Vec<String> = names
        .into_iter()
        .map(|name| format!("{:?}", name.as_ref()))
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "spin_manifest_version = 2\n[application]\nname = \"x\"\n";

    fn faults(text: &str) -> Vec<String> {
        super::super::parse(&format!("{HEAD}{text}"), Path::new("spin.toml"))
            .unwrap_err()
            .lines()
            .to_vec()
    }

    fn parsed(text: &str) -> Manifest {
        super::super::parse(&format!("{HEAD}{text}"), Path::new("app/spin.toml")).unwrap()
    }

    #[test]
    fn a_manifest_is_read() {
        let manifest = parsed(
            r#"
            [application.tool.runtime-host]
            startup_check = "a"
            [application.tool.other]
            anything = 1
            [variables]
            v = { default = "1" }
            w = { required = true, secret = true }
            [[trigger.http]]
            route = "/a/..."
            component = "a"
            [[trigger.http]]
            route = { private = true }
            component = { source = "b.wasm" }
            [component.a]
            source = "a.wasm"
            variables = { x = "{{ v }}" }
            dependencies_inherit_configuration = true
            [component.a.build]
            command = ["one", "two"]
            workdir = "sub"
            [component.a.dependencies]
            "n:p" = { component = "http-trigger2-component" }
            "#,
        );
        assert_eq!(manifest.triggers.len(), 2);
        assert_eq!(manifest.triggers[1].route, Route::Private);
        let a = &manifest.components["a"];
        assert_eq!(a.source, Path::new("app/a.wasm"));
        assert_eq!(a.dependencies[0].inherit, Inherit::All);
        assert_eq!(a.build.as_ref().unwrap().workdir, Path::new("app/sub"));
        assert_eq!(manifest.host.startup_check.as_deref(), Some("a"));
    }

    #[test]
    fn an_unknown_field_names_its_line() {
        let lines = faults("[[trigger.http]]\nroute = \"/\"\ncomponnt = \"a\"\n");
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with("spin.toml:6: unknown field `componnt`"),
            "{lines:?}"
        );
    }

    #[test]
    fn an_unknown_field_in_an_inline_table_is_named() {
        let lines = faults(
            "[[trigger.http]]\nroute = \"/\"\ncomponent = { source = \"a\", sourcee = 1 }\n",
        );
        assert!(lines[0].contains("`sourcee`"), "{lines:?}");
    }

    #[test]
    fn all_semantic_faults_come_at_once() {
        let lines = faults(
            r#"
            [variables]
            Bad = { default = "" }
            neither = {}
            [[trigger.http]]
            route = "/"
            component = "missing"
            executor = { type = "wagi" }
            [component.a]
            source = { url = "https://x", digest = "sha256:0" }
            ai_models = ["llama2-chat"]
            [component.a.dependencies]
            "n:p" = { component = "nope", inherit_configuration = ["everything"] }
            "n:q" = "1.0"
            "#,
        );
        for needle in [
            "\"Bad\"",
            "variables.neither",
            "component \"missing\"",
            "\"wagi\"",
            "component.a.source",
            "component.a.ai_models",
            "component \"nope\"",
            "\"everything\"",
            "registry",
        ] {
            assert!(
                lines.iter().any(|line| line.contains(needle)),
                "{needle} in {lines:#?}"
            );
        }
    }

    #[test]
    fn other_triggers_are_refused() {
        let lines = faults("[[trigger.redis]]\nchannel = \"c\"\ncomponent = \"a\"\n");
        assert!(lines[0].contains("unknown field `redis`"), "{lines:?}");
    }
}
