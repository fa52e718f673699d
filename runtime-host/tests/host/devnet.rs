//! The development chain beside an application, and alone.

use std::process::{Command, Stdio};

use crate::process::{Application, refused};

fn application() -> Application {
    Application::new(
        r#"
        [application.tool.runtime-host.devnet.variables]
        rpc_url = "http://{{ devnet_host }}:{{ devnet_port }}"
        rpc_user = "{{ devnet_user }}"
        [variables]
        rpc_url = { required = true }
        rpc_user = { default = "nobody" }
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [component.probe]
        source = "@probe@"
        allowed_outbound_hosts = ["{{ rpc_url }}"]
        variables = { url = "{{ rpc_url }}", user = "{{ rpc_user }}" }
        "#,
    )
}

#[test]
fn its_address_becomes_variables() {
    let app = application();
    let mut host = app.start(&[
        "--devnet",
        "--rpc-listen",
        "127.0.0.1:0",
        "--rpc-user",
        "me",
    ]);
    let url = host.get("/variable?url").body;
    assert_eq!(host.printed("Devnet http://"), format!("Devnet {url}"));
    assert_eq!(host.get("/variable?user").body, "me");
    // It answers, if only that it wants a password.
    assert!(
        host.post("/fetch", &format!("POST {url}/\n{{}}"))
            .body
            .starts_with("401")
    );
    host.signal("TERM");
    assert_eq!(host.ended().code(), Some(0));

    let own = [
        "--devnet",
        "--rpc-listen",
        "127.0.0.1:0",
        "--variable",
        "rpc_user=mine",
    ];
    assert_eq!(app.start(&own).get("/variable?user").body, "mine");
}

#[test]
fn its_options_need_it() {
    let app = application();
    let (_, code) = refused(app.command().args(["--rpc-listen", "127.0.0.1:0"]));
    assert_eq!(code, 2);
}

#[test]
fn it_runs_alone() {
    use std::io::{BufRead as _, BufReader};
    let mut child = Command::new(env!("CARGO_BIN_EXE_runtime-host"))
        .args(["devnet", "--rpc-listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line
        .trim()
        .strip_prefix("Devnet http://")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(
        crate::client::request(address, "POST", "/", "{}").status,
        401
    );
    let id = child.id().to_string();
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}
