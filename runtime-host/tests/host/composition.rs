//! Dependencies: what they satisfy and what they inherit.

use crate::process::Application;
use crate::upstream::Upstream;

fn application(dependencies: &str) -> Application {
    Application::new(&format!(
        r#"
        [variables]
        greeting = {{ default = "good day" }}
        [[trigger.http]]
        route = "/..."
        component = "front"
        [component.front]
        source = "@front@"
        variables = {{ greeting = "{{{{ greeting }}}}" }}
        environment = {{ NAME = "front" }}
        allowed_outbound_hosts = ["http://127.0.0.1:*"]
        sqlite_databases = ["default"]
        {dependencies}
        [component.dependency]
        source = "@dependency@"
        variables = {{ greeting = "of no effect" }}
        "#
    ))
}

fn inheriting(what: &str) -> Application {
    application(&format!(
        "[component.front.dependencies]\n\
         \"test:dependency\" = {{ component = \"dependency\", inherit_configuration = {what} }}"
    ))
}

#[test]
fn a_package_satisfies_several_interfaces_and_may_inherit_all() {
    let upstream = Upstream::answering("reached");
    let app = inheriting("true");
    let host = app.start(&[]);
    assert_eq!(host.get("/greet").body, "hello");
    assert_eq!(host.get("/variable?greeting").body, "good day");
    assert_eq!(host.get("/database?default").body, "opened");
    assert_eq!(host.get("/environment?NAME").body, "front");
    let url = format!("/fetch?http://{}/", upstream.address);
    assert_eq!(host.get(&url).body, "reached");
}

#[test]
fn what_is_not_inherited_is_out_of_reach() {
    let upstream = Upstream::answering("reached");
    let url = format!("/fetch?http://{}/", upstream.address);
    for (inherited, reached) in [
        ("[]", vec![]),
        ("false", vec![]),
        ("[\"variables\"]", vec!["/variable?greeting"]),
        ("[\"sqlite_databases\"]", vec!["/database?default"]),
        ("[\"allowed_outbound_hosts\"]", vec![url.as_str()]),
        (
            "[\"allowed_outbound_hosts\", \"variables\"]",
            vec![url.as_str(), "/variable?greeting"],
        ),
    ] {
        let before = upstream.requests();
        let app = inheriting(inherited);
        let host = app.start(&[]);
        for path in ["/variable?greeting", "/database?default", &url] {
            let answer = host.get(path);
            let expected = if reached.contains(&path) { 200 } else { 500 };
            assert_eq!(
                answer.status, expected,
                "{inherited} {path}: {}",
                answer.body
            );
            assert!(
                !answer.body.contains("error:"),
                "{inherited} {path}: {}",
                answer.body
            );
        }
        // These are asked by every component, so they answer: with nothing.
        assert!(host.get("/environment?NAME").body.contains("NotPresent"));
        assert_eq!(host.get("/greet").body, "hello");
        assert_eq!(host.get("/own-variable?greeting").body, "good day");
        let fetched = upstream.requests() - before;
        assert_eq!(fetched, usize::from(reached.contains(&url.as_str())));
    }
}

#[test]
fn single_interfaces_and_files_may_be_named() {
    let app = application(
        "[component.front.dependencies]\n\
         \"test:dependency/api@1.0.0\" = { component = \"dependency\", \
          inherit_configuration = [\"variables\"] }\n\
         \"test:dependency/greeting\" = { path = \"@dependency@\" }",
    );
    let host = app.start(&[]);
    assert_eq!(host.get("/variable?greeting").body, "good day");
    assert_eq!(host.get("/greet").body, "hello");
}

#[test]
fn dependencies_that_do_not_fit_are_told() {
    for (dependencies, needle) in [
        (
            "\"other:package\" = { component = \"dependency\" }",
            "component.front: dependency 'other:package' doesn't match any imports of component \
             'front'",
        ),
        (
            "\"test:dependency/api\" = { component = \"front\" }",
            "dependency 'test:dependency/api' doesn't export 'test:dependency/api@1.0.0'",
        ),
        (
            "\"test:dependency/api\" = { component = \"dependency\", export = \"test:dependency/greeting@1.0.0\" }",
            "which is not compatible with import 'test:dependency/api@1.0.0'",
        ),
        ("", "test:dependency/api@1.0.0"),
    ] {
        let app = application(&format!("[component.front.dependencies]\n{dependencies}"));
        let (lines, code) = app.refused(&[]);
        assert_eq!(code, 2);
        assert!(
            lines.iter().any(|line| line.contains(needle)),
            "{needle} in {lines:#?}"
        );
    }
}
