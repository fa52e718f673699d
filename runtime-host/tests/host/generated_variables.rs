//! Variables that the host gives a random value.

use crate::process::Application;

fn application(names: &str) -> Application {
    Application::new(&format!(
        r#"
        [application.tool.runtime-host]
        generated_variables = {names}
        [variables]
        token = {{ default = "", secret = true }}
        key = {{ required = true }}
        fixed = {{ default = "fixed" }}
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [component.probe]
        source = "@probe@"
        variables = {{ token = "{{{{ token }}}}", key = "{{{{ key }}}}", fixed = "{{{{ fixed }}}}" }}
        "#
    ))
}

#[test]
fn what_nobody_sets_is_random_at_each_start() {
    let app = application(r#"["token", "key", "fixed"]"#);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let host = app.start(&[]);
        for name in ["token", "key"] {
            let value = host.get(&format!("/variable?{name}")).body;
            assert_eq!(value.len(), 64, "{value}");
            assert!(value.bytes().all(|b| b.is_ascii_hexdigit()), "{value}");
            assert!(!seen.contains(&value), "{value} again");
            let log = host.log_lines();
            assert!(!log.iter().any(|line| line.contains(&value)), "{log:#?}");
            seen.push(value);
        }
        assert_eq!(host.get("/variable?fixed").body, "fixed");
    }
}

#[test]
fn a_value_that_is_set_wins() {
    let app = application(r#"["token", "key"]"#);
    let host = crate::process::Host::start(
        app.command()
            .args(["--variable", "token=mine"])
            .env("SPIN_VARIABLE_KEY", "its"),
    );
    assert_eq!(host.get("/variable?token").body, "mine");
    assert_eq!(host.get("/variable?key").body, "its");
}

#[test]
fn a_name_that_is_not_declared_is_told() {
    let app = application(r#"["tokn"]"#);
    let (lines, code) = app.refused(&["--variable", "key=x"]);
    assert_eq!((lines.len(), code), (1, 2), "{lines:#?}");
    assert!(
        lines[0].ends_with(
            "application.tool.runtime-host.generated_variables: there is no variable \"tokn\"; \
             declared are \"token\", \"key\", \"fixed\""
        ),
        "{lines:#?}"
    );
}
