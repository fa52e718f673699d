//! What the tests run: built once per test binary, by the same commands a user has.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the project")
}

/// The folder with this build's programs: `target/release` or `target/debug`.
pub(crate) fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let deps = test.parent().expect("a test lies in deps/");
    deps.parent()
        .expect("deps/ lies in the profile's folder")
        .to_owned()
}

/// Runs cargo in the project and panics with its output when it fails.
pub fn run_cargo(arguments: &[&str]) {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root())
        // Set by the outer cargo for this test; the inner one must not inherit it.
        .env_remove("CARGO_MANIFEST_DIR")
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo {arguments:?}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A program of the workspace (`runtime-host`, `duxwallet`), built.
pub fn artifact(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut arguments = vec!["build", "--quiet", "-p", "runtime-host", "-p", "duxwallet"];
        if programs().ends_with("release") {
            arguments.push("--release");
        }
        run_cargo(&arguments);
    });
    programs().join(name)
}

/// The components, built; gives the folder with the `.wasm` files.
pub fn components() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let output = Command::new(artifact("runtime-host"))
            .args(["build", "--from"])
            .arg(root().join("spin.toml"))
            .output()
            .expect("runtime-host runs");
        assert!(
            output.status.success(),
            "runtime-host build:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    });
    root().join("target/wasm32-wasip2/component")
}
