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

/// The folder with this build's programs: `target/release` or that of another profile.
pub(crate) fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let deps = test.parent().expect("a test lies in deps/");
    deps.parent()
        .expect("deps/ lies in the profile's folder")
        .to_owned()
}

/// The host: this package's own binary, which cargo builds with the tests.
pub fn runtime_host() -> PathBuf {
    programs().join("host-under-test")
}

/// The components, built; gives the folder with the `.wasm` files.
pub fn components() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let output = Command::new(runtime_host())
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
