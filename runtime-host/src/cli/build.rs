//! `build`: runs the build commands of the components.

use std::process::{Command, Stdio};

use crate::fault::{Faults, Result};
use crate::manifest::{Build, Manifest};

/// Runs each component's build commands, and commands that several components
/// share only once. Their output goes to stderr, so that stdout stays for what
/// scripts read.
///
/// # Errors
///
/// The first command that cannot be run or fails.
pub fn build(manifest: &Manifest) -> Result<()> {
    let mut done: Vec<&Build> = Vec::new();
    for (id, component) in &manifest.components {
        let Some(build) = &component.build else {
            continue;
        };
        if done.contains(&build) {
            continue;
        }
        for command in &build.commands {
            eprintln!("Building {id} with `{command}`");
            run(build, command).map_err(|f| f.prefixed(format!("build of {id}: ")))?;
        }
        done.push(build);
    }
    if done.is_empty() {
        eprintln!("No component has a build command.");
    }
    Ok(())
}

fn run(build: &Build, command: &str) -> Result<()> {
    let status = shell(command)
        .current_dir(&build.workdir)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .map_err(|e| {
            Faults::one(format!(
                "`{command}` cannot be run in {}: {e}",
                build.workdir.display()
            ))
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(Faults::one(format!("`{command}` failed: {status}")))
    }
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

#[cfg(not(unix))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd.exe");
    shell.args(["/c", command]);
    shell
}
