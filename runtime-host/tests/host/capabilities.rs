//! What a component finds of its surroundings.

use crate::process::{Application, Host};

#[test]
fn files_and_environment_of_the_host_are_not_there() {
    let app = Application::probe("environment = { GIVEN = \"yes\" }\n");
    let host = Host::start(app.command().env("NOT_GIVEN", "secret"));
    assert_eq!(host.get("/environment?GIVEN").body, "yes");
    assert!(
        host.get("/environment?NOT_GIVEN")
            .body
            .contains("NotPresent")
    );
    assert!(host.get("/environment?PATH").body.contains("NotPresent"));
    for file in [
        "/etc/passwd",
        "/proc/self/environ",
        "spin.toml",
        "../spin.toml",
    ] {
        let body = host.get(&format!("/file?{file}")).body;
        assert!(body.starts_with("error:"), "{file}: {body}");
    }
}

fn with_variables() -> Application {
    Application::new(
        r#"
        [application.tool.runtime-host.config]
        "rpc.host" = "rpc_host"
        "rpc.port" = "rpc_port"
        [variables]
        rpc_host = { default = "from-manifest" }
        rpc_port = { default = "1" }
        password = { required = true, secret = true, description = "of the RPC server" }
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [component.probe]
        source = "@probe@"
        [component.probe.variables]
        url = "http://{{ rpc_host }}:{{rpc_port}}/"
        secret = "{{ password }}"
        fixed = "value"
        "#,
    )
}

#[test]
fn variables_come_from_every_source_in_order() {
    let app = with_variables();
    let url = |host: &Host| host.get("/variable?url").body;
    let secret = ["--variable", "password=x"];

    let host = app.start(&secret);
    assert_eq!(url(&host), "http://from-manifest:1/");
    assert_eq!(host.get("/variable?fixed").body, "value");

    let config = app.write("config.yaml", "rpc:\n  host: from-file\n  port: 0032553\n");
    let with_file = [
        "--variable",
        "password=x",
        "--config",
        config.to_str().unwrap(),
    ];
    assert_eq!(url(&app.start(&with_file)), "http://from-file:0032553/");

    let environment = |command: &mut std::process::Command| {
        Host::start(command.env("SPIN_VARIABLE_RPC_HOST", "from-env"))
    };
    let host = environment(app.command().args(with_file));
    assert_eq!(url(&host), "http://from-env:0032553/");

    let host = environment(
        app.command()
            .args(with_file)
            .args(["--variable", "rpc_host=from-cli"]),
    );
    assert_eq!(url(&host), "http://from-cli:0032553/");

    let file = app.write("v.toml", "rpc_host = \"from-toml\"\npassword = \"p\"\n");
    let host = app.start(&["--variable", &format!("@{}", file.display())]);
    assert_eq!(url(&host), "http://from-toml:1/");
    let value = app.write("password", "from a file");
    let host = app.start(&["--variable", &format!("password=@{}", value.display())]);
    assert_eq!(host.get("/variable?secret").body, "from a file");
}

#[test]
fn only_a_component_s_own_variables_are_there() {
    let app = with_variables();
    let host = app.start(&["--variable", "password=x"]);
    assert_eq!(
        host.get("/variable?password").body,
        "error: Error::Undefined(\"no variable for \\\"probe\\\".\\\"password\\\"\")"
    );
    let invalid = host.get("/variable?Not-A-Name").body;
    assert!(
        invalid.starts_with("error: Error::InvalidName("),
        "{invalid}"
    );
}
