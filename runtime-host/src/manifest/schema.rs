//! The manifest as it is written. What the fields mean is in Spin's reference;
//! what this host makes of them is decided in `check`.

use indexmap::IndexMap;
use serde::Deserialize;

use super::value::{BoolOrList, OneOrMany, Seconds, StringOr};
use crate::server::headers::SpinHeader;

pub type Map<T> = IndexMap<String, T>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub spin_manifest_version: u64,
    pub application: Application,
    #[serde(default)]
    pub variables: Map<Variable>,
    pub trigger: Triggers,
    #[serde(default)]
    pub component: Map<Component>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    pub name: String,
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    #[allow(dead_code, reason = "accepted as Spin does, without effect")]
    pub authors: Vec<String>,
    #[serde(default)]
    #[allow(dead_code, reason = "accepted as Spin does, without effect")]
    pub targets: Vec<toml::Value>,
    #[serde(default)]
    pub trigger: ApplicationTriggers,
    #[serde(default)]
    pub tool: Map<toml::Table>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationTriggers {
    #[serde(default)]
    pub http: HttpDefaults,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpDefaults {
    pub base: Option<String>,
}

/// `[application.tool.runtime-host]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostTool {
    pub startup_check: Option<String>,
    #[serde(default)]
    pub config: Map<String>,
    #[serde(default)]
    pub devnet: DevnetTool,
    #[serde(default)]
    pub generated_variables: Vec<String>,
    pub backups: Option<BackupTool>,
    pub spin_headers: Option<Vec<SpinHeader>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupTool {
    pub every_seconds: Seconds,
    pub keep: Option<i64>,
    pub directory: Option<String>,
}

/// `[component.*.tool.runtime-host]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentTool {
    /// Each a [`ScheduledCall`], read one by one so that a fault tells which.
    #[serde(default)]
    pub schedule: Vec<toml::Table>,
    pub private_networks: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduledCall {
    pub path: String,
    pub method: Option<String>,
    pub every_seconds: Seconds,
    #[serde(default)]
    pub headers: Map<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevnetTool {
    #[serde(default)]
    pub variables: Map<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub required: bool,
    pub default: Option<String>,
    #[serde(default)]
    pub secret: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Triggers {
    #[serde(default)]
    pub http: Vec<HttpTrigger>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTrigger {
    #[serde(default)]
    pub id: String,
    pub route: StringOr<PrivateRoute>,
    pub component: Option<StringOr<Box<Component>>>,
    pub executor: Option<Executor>,
    pub static_response: Option<toml::Table>,
    #[serde(default)]
    pub components: toml::Table,
    #[serde(default)]
    pub dependencies: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateRoute {
    pub private: bool,
}

#[derive(Debug, Deserialize)]
pub struct Executor {
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    pub source: StringOr<toml::Table>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub variables: Map<String>,
    #[serde(default)]
    pub environment: Map<String>,
    #[serde(default)]
    pub files: Vec<toml::Value>,
    #[serde(default)]
    #[allow(dead_code, reason = "without files there is nothing to exclude")]
    pub exclude_files: Vec<String>,
    #[serde(default)]
    pub allowed_http_hosts: Vec<String>,
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    pub key_value_stores: Vec<String>,
    #[serde(default)]
    pub sqlite_databases: Vec<String>,
    #[serde(default)]
    pub ai_models: Vec<String>,
    #[serde(default)]
    #[allow(dead_code, reason = "accepted as Spin does, without effect")]
    pub targets: Vec<toml::Value>,
    pub build: Option<Build>,
    #[serde(default)]
    pub tool: Map<toml::Table>,
    pub dependencies_inherit_configuration: Option<bool>,
    #[serde(default)]
    pub dependencies: Map<StringOr<Dependency>>,
    #[serde(default)]
    #[allow(
        dead_code,
        reason = "build profiles: only the default one is run, as by `spin up`"
    )]
    pub profile: toml::Table,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    pub command: OneOrMany,
    pub workdir: Option<String>,
    #[serde(default)]
    #[allow(dead_code, reason = "what `spin watch` watches")]
    pub watch: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    pub component: Option<String>,
    pub path: Option<String>,
    pub export: Option<String>,
    pub inherit_configuration: Option<BoolOrList>,
    pub url: Option<String>,
    #[allow(dead_code, reason = "of a source that is refused")]
    pub digest: Option<String>,
    pub version: Option<String>,
    pub registry: Option<String>,
    pub package: Option<String>,
}
