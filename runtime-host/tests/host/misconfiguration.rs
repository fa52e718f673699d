//! What keeps the host from starting is told in whole lines, all at once.

use std::net::TcpListener;
use std::process::Command;

use crate::process::{Application, refused};

fn has(lines: &[String], needle: &str) {
    assert!(
        lines.iter().any(|line| line.contains(needle)),
        "{needle} in {lines:#?}"
    );
}

#[test]
fn a_missing_manifest_is_told() {
    let directory = tempfile::tempdir().unwrap();
    for from in [
        directory.path().to_owned(),
        directory.path().join("other.toml"),
    ] {
        let (lines, code) = refused(
            Command::new(env!("CARGO_BIN_EXE_runtime-host"))
                .arg("up")
                .arg("--from")
                .arg(from),
        );
        assert_eq!((lines.len(), code), (1, 2));
        has(&lines, "--from");
    }
}

#[test]
fn a_port_in_use_is_told_in_one_line() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let app = Application::probe("");
    let (lines, code) = refused(
        Command::new(env!("CARGO_BIN_EXE_runtime-host"))
            .args(["up", "--listen", &address.to_string(), "--from"])
            .arg(app.path()),
    );
    assert_eq!(code, 2);
    assert_eq!(
        lines,
        [format!(
            "{address} is already in use; choose another address with --listen"
        )]
    );
}

#[test]
fn a_component_that_is_not_built_is_told_with_the_mend() {
    let app = Application::new(
        r#"
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [component.probe]
        source = "not-there.wasm"
        build = { command = "true" }
        "#,
    );
    let (lines, code) = app.refused(&[]);
    assert_eq!((lines.len(), code), (1, 2));
    has(
        &lines,
        "not-there.wasm is missing; build it first, with --build",
    );
}

#[test]
fn build_runs_each_command_once() {
    let app = Application::new(
        r#"
        [[trigger.http]]
        route = "/a"
        component = "a"
        [[trigger.http]]
        route = "/count"
        component = "b"
        [component.a]
        source = "guest.wasm"
        build = { command = "echo ran >> runs && cp @probe@ guest.wasm" }
        [component.b]
        source = "guest.wasm"
        build = { command = "echo ran >> runs && cp @probe@ guest.wasm" }
        "#,
    );
    let host = app.start(&["--build"]);
    assert_eq!(host.get("/count").body, "1");
    assert_eq!(
        std::fs::read_to_string(app.path().join("runs")).unwrap(),
        "ran\n"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_runtime-host"))
        .args(["build", "--from"])
        .arg(app.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(
        std::fs::read_to_string(app.path().join("runs")).unwrap(),
        "ran\nran\n"
    );

    let failing = Application::new(
        "[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n\
         [component.a]\nsource = \"x.wasm\"\nbuild = { command = \"exit 3\" }\n",
    );
    let (lines, code) = failing.refused(&["--build"]);
    assert_eq!((lines.len(), code), (1, 2));
    has(&lines, "build of a: `exit 3` failed");
}

#[test]
fn unknown_and_missing_variables_are_told() {
    let app = Application::new(
        r#"
        [variables]
        rpc_host = { default = "a" }
        password = { required = true, description = "of the RPC server" }
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [component.probe]
        source = "@probe@"
        "#,
    );
    let (lines, code) = app.refused(&["--variable", "rpc_hots=x", "--variable", "other=y"]);
    assert_eq!(code, 2);
    assert_eq!(
        lines,
        [
            "--variable: there is no variable \"rpc_hots\"; declared are password, rpc_host",
            "--variable: there is no variable \"other\"; declared are password, rpc_host",
        ]
    );
    let (lines, code) = app.refused(&[]);
    assert_eq!((lines.len(), code), (1, 2));
    has(
        &lines,
        "password (of the RPC server) has no value; set it with --variable password=...",
    );
}

#[test]
fn a_configuration_file_s_faults_are_told_together() {
    let app = Application::new(
        r#"
        [application.tool.runtime-host.config]
        "rpc.host" = "rpc_host"
        [variables]
        rpc_host = { default = "a" }
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [component.probe]
        source = "@probe@"
        "#,
    );
    let config = app.write(
        "config.yaml",
        "rpc:\n  hots: localhost\n  host: [a]\nlogging:\n  levle: INFO\n",
    );
    let (lines, code) = app.refused(&["--config", config.to_str().unwrap()]);
    assert_eq!((lines.len(), code), (3, 2), "{lines:#?}");
    has(&lines, "rpc.hots");
    has(&lines, "rpc.host is a list");
    has(&lines, "logging.levle");
    has(
        &lines,
        "known keys are logging.file, logging.level, rpc.host",
    );

    // The log goes where the file says, at the level it says.
    let log = app.path().join("logs/host.log");
    let config = app.write(
        "config.yaml",
        &format!("logging:\n  level: warning\n  file: {}\n", log.display()),
    );
    let host = app.start(&["--config", config.to_str().unwrap()]);
    host.get("/print?hello");
    host.get("/trap");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(
        text.contains("hello to stderr") && !text.contains("hello to stdout"),
        "{text}"
    );
}

#[test]
fn a_manifest_s_faults_are_told_together() {
    let app = Application::new(
        r#"
        [[trigger.http]]
        route = "/..."
        component = "nobody"
        [component.probe]
        source = "@probe@"
        files = ["*"]
        ai_models = ["x"]
        "#,
    );
    let (lines, code) = app.refused(&[]);
    assert_eq!((lines.len(), code), (3, 2), "{lines:#?}");
    has(&lines, "there is no component \"nobody\"");
    has(&lines, "component.probe.files");

    let app = Application::probe(
        "allowed_outbound_hosts = [\"nothing\"]\nsqlite_databases = [\"other\"]\n",
    );
    let (lines, code) = app.refused(&[]);
    assert_eq!((lines.len(), code), (2, 2), "{lines:#?}");
    has(
        &lines,
        "component.probe.allowed_outbound_hosts: \"nothing\"",
    );
    has(&lines, "there is no database \"other\"");

    let app = Application::probe("unknown_field = 1\n");
    let (lines, code) = app.refused(&[]);
    assert_eq!((lines.len(), code), (1, 2), "{lines:#?}");
    has(&lines, "spin.toml:10: unknown field `unknown_field`");
}

fn checked() -> Application {
    Application::new(
        r#"
        [application.tool.runtime-host]
        startup_check = "check"
        [variables]
        verdict = { default = "good" }
        port = { default = "1" }
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [[trigger.http]]
        route = "/again"
        component = "again"
        [[trigger.http]]
        route = { private = true }
        component = "check"
        [component.probe]
        source = "@probe@"
        allowed_outbound_hosts = ["http://a:{{ port }}"]
        [component.again]
        source = "@probe@"
        allowed_outbound_hosts = ["http://a:{{ port }}"]
        [component.check]
        source = "@check@"
        variables = { verdict = "{{ verdict }}" }
        "#,
    )
}

#[test]
fn the_startup_check_s_faults_are_told_together() {
    let app = checked();
    let host = app.start(&[]);
    host.logged("it is only a test");
    assert_eq!(host.get("/count").body, "1");
    let (lines, code) = app.refused(&["--variable", "verdict=bad"]);
    assert_eq!(code, 2);
    assert_eq!(lines, ["rpc_host is empty", "rpc_port is no port"]);
    // What the host finds by itself does not hide it.
    let worse = ["--variable", "verdict=bad", "--variable", "port=x"];
    let (lines, code) = app.refused(&worse);
    assert_eq!((lines.len(), code), (3, 2), "{lines:#?}");
    has(
        &lines,
        "component.probe, again.allowed_outbound_hosts: \"http://a:{{ port }}\"",
    );
    let (lines, code) = app.refused(&["--variable", "verdict=text"]);
    assert_eq!(code, 2);
    assert_eq!(lines, ["first fault", "second fault"]);
}
