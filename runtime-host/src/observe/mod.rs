//! What an operator sees of a running host: the command line's part of it.

pub mod access_log;
pub mod log_writer;
pub mod logging;
pub mod metrics;
pub mod rotate;
pub mod stdio;
pub mod trace;
pub mod trouble;

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};

use self::access_log::{AccessLog, Style};
use self::logging::Format;
use self::metrics::Wanted;
use self::rotate::Rotation;
use self::stdio::{Follow, OutputSettings};
use crate::fault::{Faults, Result};
use crate::manifest::Manifest;

const MIB: u64 = 1 << 20;

/// What is told, and where.
#[derive(Debug, Args)]
pub(crate) struct Observe {
    /// Where /metrics is told, or "off" [default: 127.0.0.1, 1000 ports above
    /// --listen].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics_listen: Option<Wanted>,

    /// Write a line for each request.
    #[arg(long, value_name = "STYLE", value_enum, default_value_t = Style::Off)]
    access_log: Style,

    /// Where those lines go [default: where the log goes].
    #[arg(long, value_name = "FILE", requires = "access_log")]
    access_log_file: Option<PathBuf>,

    /// How the log is written.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    pub(crate) log_format: Format,

    /// The size at which a log file is begun anew, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    log_max_size: u32,

    /// Old log files that are kept beside the one that is written.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..1000))]
    log_keep: u32,

    /// The directory for what components print, or "" for none [default: logs
    /// in the state directory].
    #[arg(short = 'L', long, env = "SPIN_LOG_DIR", value_name = "DIRECTORY",
          value_parser = OsStringValueParser::new().map(PathBuf::from))]
    log_dir: Option<PathBuf>,

    /// Empty the files of what components have printed first.
    #[arg(long)]
    truncate_logs: bool,

    /// Log only what these components print.
    #[arg(long = "follow", value_name = "COMPONENT", conflicts_with = "quiet")]
    follow: Vec<String>,
}

impl Observe {
    /// How large log files become.
    pub(crate) fn rotation(&self) -> Rotation {
        Rotation {
            bytes: u64::from(self.log_max_size).saturating_mul(MIB),
            keep: self.log_keep,
        }
    }

    /// The access log, if one is wanted.
    ///
    /// # Errors
    ///
    /// Its file cannot be written.
    pub(crate) fn access_log(&self) -> Result<Option<AccessLog>> {
        let json = match self.access_log {
            Style::Off => return Ok(None),
            Style::Text => false,
            Style::Json => true,
        };
        let sink = match &self.access_log_file {
            Some(path) => logging::file("the access log", path, self.rotation())?,
            None => logging::sink()?,
        };
        Ok(Some(AccessLog { sink, json }))
    }

    /// Where what components print goes; `state` is the state directory.
    ///
    /// # Errors
    ///
    /// Components to follow that there are not.
    pub(crate) fn outputs(
        &self,
        manifest: &Manifest,
        state: PathBuf,
        quiet: bool,
    ) -> Result<OutputSettings> {
        let unknown: Vec<&str> = self
            .follow
            .iter()
            .map(String::as_str)
            .filter(|id| !manifest.components.contains_key(*id))
            .collect();
        if !unknown.is_empty() {
            let known: Vec<&str> = manifest.components.keys().map(String::as_str).collect();
            return Err(Faults::one(format!(
                "--follow: there is no component {}; there are {}",
                unknown.join(", "),
                known.join(", ")
            )));
        }
        let directory = match &self.log_dir {
            Some(path) if path.as_os_str().is_empty() => None,
            Some(path) => Some(path.clone()),
            None => Some(state.join("logs")),
        };
        Ok(OutputSettings {
            directory,
            truncate: self.truncate_logs,
            rotation: self.rotation(),
            follow: match (quiet, self.follow.as_slice()) {
                (true, _) => Follow::None,
                (false, []) => Follow::All,
                (false, ids) => Follow::Some(ids.to_vec()),
            },
        })
    }
}
