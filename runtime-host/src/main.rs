//! See `runtime-host --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime_host::cli::main()
}
