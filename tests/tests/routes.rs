//! Every public route of spin.toml has an end-to-end test for each of its methods.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;
use tests::root;

/// Route, method, and the test that shows it at work: file and function.
const TESTED: &[(&str, &str, &str, &str)] = &[
    ("/wallet/create", "POST", "specification", "create_wallet"),
    ("/wallet/health", "GET", "health", "all_is_well"),
    (
        "/wallet/:node_id",
        "GET",
        "specification",
        "get_wallet_information",
    ),
    (
        "/wallet/:node_id/balance",
        "GET",
        "specification",
        "get_wallet_balance",
    ),
    (
        "/wallet/:node_id/send",
        "POST",
        "specification",
        "send_transaction",
    ),
    (
        "/wallet/:node_id/transactions",
        "GET",
        "specification",
        "get_transaction_history",
    ),
    (
        "/wallet/:node_id/transactions/:transaction",
        "GET",
        "history",
        "one_transaction_is_found_by_its_txid_and_by_its_payment",
    ),
    (
        "/wallet/:node_id/new-address",
        "POST",
        "specification",
        "generate_new_address",
    ),
    (
        "/nodes/register",
        "POST",
        "registration",
        "a_node_that_proves_its_key_is_registered",
    ),
    (
        "/nodes",
        "GET",
        "registration",
        "the_directory_pages_through_every_node_once",
    ),
    (
        "/nodes/:node_id",
        "GET",
        "registration",
        "one_node_is_shown_as_it_registered_and_an_unknown_one_is_404",
    ),
    (
        "/internal/tracker/tick",
        "POST",
        "tracker",
        "tick_wants_the_operators_token",
    ),
    (
        "/internal/tracker/resume-sends",
        "POST",
        "tracker",
        "a_drift_stops_payments_until_an_operator_resumes_them",
    ),
    (
        "/wallet/:node_id/recipients",
        "GET",
        "recipients",
        "a_wallets_rules_are_shown_and_changed_by_its_node_alone",
    ),
    (
        "/wallet/:node_id/recipients",
        "POST",
        "recipients",
        "a_wallets_rules_are_shown_and_changed_by_its_node_alone",
    ),
    (
        "/internal/payments/run",
        "POST",
        "monitoring",
        "the_run_wants_the_schedules_token",
    ),
    (
        "/operator/alerts",
        "GET",
        "monitoring",
        "an_alert_is_listed_until_an_operator_has_looked",
    ),
    (
        "/operator/payments",
        "GET",
        "monitoring",
        "a_held_payment_is_released_and_made_once",
    ),
    (
        "/operator/decisions",
        "GET",
        "monitoring",
        "a_frozen_wallet_pays_nobody_until_it_is_unfrozen",
    ),
    (
        "/operator/rules",
        "GET",
        "monitoring",
        "rules_are_listed_changed_and_added",
    ),
    (
        "/operator/rules/:rule",
        "PUT",
        "monitoring",
        "rules_are_listed_changed_and_added",
    ),
    (
        "/operator/payments/:payment/release",
        "POST",
        "monitoring",
        "a_held_payment_is_released_and_made_once",
    ),
    (
        "/operator/payments/:payment/refuse",
        "POST",
        "monitoring",
        "a_refused_payment_is_never_made",
    ),
    (
        "/operator/wallets/:node_id/freeze",
        "POST",
        "monitoring",
        "a_frozen_wallet_pays_nobody_until_it_is_unfrozen",
    ),
    (
        "/operator/wallets/:node_id/unfreeze",
        "POST",
        "monitoring",
        "a_frozen_wallet_pays_nobody_until_it_is_unfrozen",
    ),
    (
        "/operator/alerts/:alert/acknowledge",
        "POST",
        "monitoring",
        "an_alert_is_listed_until_an_operator_has_looked",
    ),
];

/// The public routes, each with its component.
fn routes(manifest: &str) -> Vec<(String, String)> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let triggers = manifest["trigger"]["http"].as_array().unwrap();
    triggers
        .iter()
        .filter_map(|trigger| {
            let route = trigger["route"].as_str()?;
            let component = trigger["component"].as_str().unwrap();
            Some((route.to_owned(), component.to_owned()))
        })
        .collect()
}

/// The methods that a component serves, from its source: `wallet-send` is in
/// components/wallet/send, and says `serve(request, "POST", ..)`.
fn methods(component: &str) -> Vec<String> {
    let (area, name) = component.split_once('-').unwrap();
    let path = root().join(format!("components/{area}/{name}/src/lib.rs"));
    let source = read(&path);
    let (_, rest) = source
        .split_once("serve(request, \"")
        .unwrap_or_else(|| panic!("{} serves nothing", path.display()));
    let (allow, _) = rest.split_once('"').unwrap();
    allow.split(", ").map(str::to_owned).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The text of a test function, and of the functions of its file that it calls by name; none when
/// there is no such test.
fn test_body(source: &str, name: &str) -> Option<String> {
    let start = source.find(&format!("#[test]\nfn {name}() {{\n"))?;
    let own = function_at(source, start);
    let helpers = source.match_indices("\nfn ").filter_map(|(at, _)| {
        let name = source[at + 4..].split(['(', '<']).next()?;
        own.contains(&format!("{name}("))
            .then(|| function_at(source, at))
    });
    Some(helpers.fold(own.to_owned(), |text, helper| text + helper))
}

fn function_at(source: &str, start: usize) -> &str {
    let rest = &source[start..];
    rest.find("\n}\n").map_or(rest, |end| &rest[..end])
}

/// Whether some string in the test, without its query, is a path of this route.
fn requests(test: &str, route: &str) -> bool {
    test.split('"').any(|text| {
        let text = text.split('?').next().unwrap_or_default();
        // `{url}/nodes/x` and `{}/nodes{query}` name a route as well.
        let path = text.find('/').map_or("", |at| &text[at..]);
        let path = path.strip_suffix("{query}").unwrap_or(path);
        let (wanted, found): (Vec<_>, Vec<_>) =
            (route.split('/').collect(), path.split('/').collect());
        wanted.len() == found.len()
            && wanted.iter().zip(&found).all(|(wanted, found)| {
                if wanted.starts_with(':') {
                    !found.is_empty()
                } else {
                    wanted == found
                }
            })
    })
}

/// What is wrong with the table for this manifest and these methods.
fn faults(manifest: &str) -> Vec<String> {
    let routes = routes(manifest);
    let mut faults = Vec::new();
    let mut served = BTreeSet::new();
    for (route, component) in &routes {
        for method in methods(component) {
            if !TESTED.iter().any(|row| row.0 == route && row.1 == method) {
                faults.push(format!("{method} {route} has no end-to-end test"));
            }
            served.insert((route.clone(), method));
        }
    }
    for &(route, method, file, function) in TESTED {
        if !served.contains(&(route.to_owned(), method.to_owned())) {
            faults.push(format!("spin.toml has no {method} {route}"));
        }
        let source = read(&root().join(format!("tests/tests/{file}.rs")));
        match test_body(&source, function) {
            None => faults.push(format!("{file}.rs has no test {function}")),
            Some(test) if !requests(&test, route) => {
                faults.push(format!("{file}.rs: {function} does not request {route}"));
            }
            Some(_) => {}
        }
    }
    faults
}

#[test]
fn every_public_route_has_an_end_to_end_test() {
    let manifest = read(&root().join("spin.toml"));
    assert!(routes(&manifest).len() >= 10);
    assert_eq!(faults(&manifest), Vec::<String>::new());
}

#[test]
fn a_route_without_a_test_is_noticed() {
    let manifest = read(&root().join("spin.toml"));
    let more = format!(
        "{manifest}\n[[trigger.http]]\nroute = \"/wallet/:node_id/secrets\"\ncomponent = \"wallet-send\"\n"
    );
    assert_eq!(
        faults(&more),
        ["POST /wallet/:node_id/secrets has no end-to-end test"]
    );
    let fewer = manifest.replace("\"/wallet/:node_id/balance\"", "{ private = true }");
    assert_eq!(
        faults(&fewer),
        ["spin.toml has no GET /wallet/:node_id/balance"]
    );
}

#[test]
fn a_test_that_does_not_request_its_route_is_noticed() {
    let source = "#[test]\nfn one() {\n    get(\"{url}/wallet/node_001?limit=5\");\n    help();\n}\n\nfn help() {\n    get(\"/nodes{query}\");\n}\n\nfn other() {\n    get(\"/wallet/health\");\n}\n";
    let test = test_body(source, "one").unwrap();
    assert!(requests(&test, "/wallet/:node_id"));
    assert!(requests(&test, "/nodes"));
    assert!(!requests(&test, "/wallet/health"));
    assert!(!requests(&test, "/wallet/:node_id/send"));
    assert_eq!(test_body(source, "two"), None);
    assert_eq!(test_body(source, "help"), None);
}
