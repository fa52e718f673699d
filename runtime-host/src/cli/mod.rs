//! The command line.

pub mod build;
pub mod devnet;
pub mod limits;
pub mod up;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::limits::Limits;
use crate::backup::{self, restore};
use crate::config::runtime_config::{self, RuntimeConfig};
use crate::config::variables::Argument;
use crate::fault::{EXIT_MISCONFIGURED, Faults, Result};
use crate::key_value;
use crate::manifest::{self, Manifest};
use crate::observe::{Observe, logging};
use crate::sqlite::Location;

/// Runs Spin applications of HTTP components on wasmtime.
#[derive(Debug, Parser)]
#[command(name = "runtime-host", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve an application.
    Up(Box<Up>),
    /// Run the build commands of an application's components.
    Build(From),
    /// Back up an application's databases now, whether it runs or not.
    Backup(Backup),
    /// Put a backup in the place of a database, while no host runs on it.
    Restore(Restore),
    /// Run the development chain alone.
    Devnet(::devnet::Options),
}

/// Which application.
#[derive(Debug, Args)]
pub(crate) struct From {
    /// The manifest, or the directory that holds a spin.toml.
    #[arg(
        short = 'f',
        long = "from",
        visible_alias = "file",
        value_name = "MANIFEST",
        default_value = "."
    )]
    pub(crate) path: PathBuf,
}

/// Where an application keeps what it has.
#[derive(Debug, Args)]
pub(crate) struct State {
    /// The directory for databases [default: .spin beside the manifest].
    #[arg(long = "state-dir", value_name = "DIRECTORY")]
    directory: Option<PathBuf>,

    /// Spin's runtime configuration: which database and which key-value store
    /// is in which file, or with which server.
    #[arg(long, env = "RUNTIME_CONFIG_FILE", value_name = "FILE")]
    runtime_config_file: Option<PathBuf>,
}

/// What [`State`] comes to.
#[derive(Debug)]
pub(crate) struct Places {
    /// For what belongs to no database.
    pub(crate) directory: PathBuf,
    /// Every database there can be.
    pub(crate) databases: BTreeMap<String, Location>,
    /// Every key-value store there can be.
    pub(crate) stores: BTreeMap<String, key_value::Location>,
}

impl State {
    /// As the flags, the file and, where both say nothing, Spin's defaults say.
    ///
    /// # Errors
    ///
    /// The faults of the file.
    pub(crate) fn places(&self, manifest: &Manifest) -> Result<Places> {
        let config = match &self.runtime_config_file {
            Some(path) => {
                let here = std::env::current_dir()
                    .map_err(|e| Faults::one(format!("the working directory: {e}")))?;
                runtime_config::load(path, &here)?
            }
            None => RuntimeConfig::default(),
        };
        let given = self.directory.clone().or(config.state_directory.clone());
        let directory = given.unwrap_or_else(|| manifest.directory.join(".spin"));
        Ok(Places {
            databases: config.databases(&directory),
            stores: config.stores(&directory),
            directory,
        })
    }
}

/// `backup`
#[derive(Debug, Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    pub(crate) from: From,

    #[command(flatten)]
    pub(crate) state: State,
}

/// `restore`
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup: any SQLite database.
    #[arg(value_name = "FILE")]
    pub(crate) backup: PathBuf,

    #[command(flatten)]
    pub(crate) from: From,

    #[command(flatten)]
    pub(crate) state: State,

    /// The database to replace.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) database: String,
}

/// `up`
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) from: From,

    /// The address to listen on; port 0 takes a free one, which is printed.
    #[arg(
        long = "listen",
        env = "SPIN_HTTP_LISTEN_ADDR",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8000"
    )]
    pub(crate) http_listen: SocketAddr,

    #[command(flatten)]
    pub(crate) tls: Tls,

    /// A Unix socket over which the listening socket goes from one process to
    /// the next: started with the same FILE, a second one begins to serve, and
    /// then the first ends, without a connection being refused.
    #[arg(long, value_name = "FILE", conflicts_with = "devnet")]
    pub(crate) handover: Option<PathBuf>,

    /// Set a variable: name=value, name=@file, or @file.toml or @file.json for
    /// several. Comes before SPIN_VARIABLE_<NAME>, and that before --config.
    #[arg(long = "variable", value_name = "NAME=VALUE")]
    pub(crate) variables: Vec<Argument>,

    /// A YAML file of sections; the manifest says which key sets which variable.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Run the build commands first.
    #[arg(long)]
    pub(crate) build: bool,

    /// Print only the address, neither routes nor the address of metrics, and log
    /// nothing of what components print.
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) state: State,

    /// The directory for compiled components [default: runtime-host in the
    /// user's cache directory].
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "no_cache")]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Compile components at each start.
    #[arg(long)]
    pub(crate) no_cache: bool,

    #[command(flatten, next_help_heading = "Observability")]
    pub(crate) observe: Observe,

    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) limits: Limits,

    /// Run a development chain in this process and set the variables that the
    /// manifest names for it.
    #[arg(long, help_heading = "Development chain")]
    pub(crate) devnet: bool,

    #[command(flatten, next_help_heading = "Development chain (with --devnet)")]
    pub(crate) devnet_options: ::devnet::Options,
}

/// TLS towards clients.
#[derive(Debug, Args)]
pub(crate) struct Tls {
    /// Serve https with this certificate and those that lead to its root (PEM).
    #[arg(long, env = "SPIN_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key of the certificate (PEM, not encrypted).
    #[arg(long, env = "SPIN_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// How often to look whether these files have changed; SIGHUP has them read
    /// at once.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    pub(crate) tls_reload_interval: Duration,
}

/// A number of things, or of bytes.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    // More than any machine has, and less than what counters hold.
    const MOST: usize = usize::MAX >> 4;
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(number) if number > MOST => Err(format!("it must be at most {MOST}")),
        Ok(number) => Ok(number),
        Err(e) => Err(format!("{e}")),
    }
}

/// A time span that may be nothing.
pub(crate) fn time_or_none(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    time(text)
}

/// A time span: a whole number of seconds, or of the unit that follows it.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| allowed_times())?;
    let time = match text.get(digits.len()..) {
        Some("" | "s") => Duration::from_secs(number),
        Some("ms") => Duration::from_millis(number),
        Some("m") => Duration::from_secs(number.saturating_mul(60)),
        Some("h") => Duration::from_secs(number.saturating_mul(3600)),
        _ => return Err(allowed_times()),
    };
    // Longer ones make deadlines that no clock reaches.
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
    if time.is_zero() || time > LONGEST {
        return Err("it must be more than nothing and at most a year".to_owned());
    }
    Ok(time)
}

fn allowed_times() -> String {
    "a whole number is needed, of seconds or followed by ms, s, m or h".to_owned()
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(e) => e.exit(),
    };
    if let Some(option) = stray_devnet_option(&matches) {
        Cli::command()
            .error(
                clap::error::ErrorKind::MissingRequiredArgument,
                format!("--{option} is of no effect without --devnet"),
            )
            .exit();
    }
    let result = match cli.command {
        Command::Up(args) => run(up::up(*args)),
        Command::Devnet(options) => run(devnet::run(options)),
        Command::Backup(args) => backup::now(&args),
        Command::Restore(args) => restore::restore(&args),
        Command::Build(from) => manifest::load(&from.path).and_then(|m| build::build(&m)),
    };
    logging::finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(faults) => {
            for line in faults.lines() {
                eprintln!("error: {line}");
            }
            ExitCode::from(EXIT_MISCONFIGURED)
        }
    }
}

/// An option of the chain that is given although no chain is wanted.
fn stray_devnet_option(matches: &ArgMatches) -> Option<String> {
    let (name, matches) = matches.subcommand()?;
    if name != "up" || matches.get_flag("devnet") {
        return None;
    }
    let options = ::devnet::Options::augment_args(clap::Command::new("devnet"));
    options
        .get_arguments()
        .find(|option| {
            let id = option.get_id().as_str();
            matches.value_source(id) == Some(ValueSource::CommandLine)
        })
        .and_then(|option| option.get_long())
        .map(str::to_owned)
}

fn run(future: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Faults::one(format!("cannot start: {e}")))?;
    let result = runtime.block_on(future);
    // What still runs is past its time.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(time("5"), Ok(Duration::from_secs(5)));
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        for bad in [
            "",
            "s",
            "-1s",
            "1.5s",
            "5x",
            "0s",
            "99999999999999999999h",
            "1ä",
        ] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
