//! `runtime-host` as the tests run it. A binary of this package, so that one cargo call builds tests
//! and host with the same dependencies, and wasmtime once.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime_host::cli::main()
}
