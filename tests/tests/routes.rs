//! Every public route of spin.toml has an end-to-end test for each of its methods.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use duxnet_api::access::methods;
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
        "/wallet/:node_id/webhooks",
        "POST",
        "webhooks",
        "an_event_is_delivered_with_a_signature_that_verifies",
    ),
    (
        "/wallet/:node_id/webhooks",
        "GET",
        "webhooks",
        "endpoints_are_listed_shown_changed_and_deleted",
    ),
    (
        "/wallet/:node_id/webhooks/:webhook",
        "GET",
        "webhooks",
        "endpoints_are_listed_shown_changed_and_deleted",
    ),
    (
        "/wallet/:node_id/webhooks/:webhook",
        "PATCH",
        "webhooks",
        "endpoints_are_listed_shown_changed_and_deleted",
    ),
    (
        "/wallet/:node_id/webhooks/:webhook",
        "DELETE",
        "webhooks",
        "endpoints_are_listed_shown_changed_and_deleted",
    ),
    (
        "/wallet/:node_id/webhooks/:webhook/deliveries",
        "GET",
        "webhooks",
        "deliveries_page_through_every_message_once",
    ),
    (
        "/wallet/:node_id/webhooks/:webhook/test",
        "POST",
        "webhooks",
        "a_test_goes_to_its_endpoint_alone_and_once",
    ),
    (
        "/wallet/:node_id/webhooks/:webhook/replay",
        "POST",
        "webhooks",
        "a_replay_tells_again_with_the_same_ids",
    ),
    (
        "/wallet/:node_id/webhooks/:webhook/rotate",
        "POST",
        "webhooks",
        "after_a_rotation_both_keys_sign_for_a_while",
    ),
    (
        "/wallet/:node_id/events",
        "GET",
        "events",
        "a_stream_goes_on_where_the_last_one_ended",
    ),
    (
        "/internal/webhooks/run",
        "POST",
        "webhooks",
        "a_run_wants_the_operators_token",
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
        "/metrics",
        "GET",
        "metrics",
        "payments_and_the_ledger_are_counted",
    ),
    (
        "/nodes/:node_id/health",
        "GET",
        "node_health",
        "a_health_score_is_explained_factor_by_factor",
    ),
    (
        "/capabilities",
        "GET",
        "directory",
        "the_statistics_count_nodes_by_capability",
    ),
    (
        "/nodes/:node_id/heartbeat",
        "POST",
        "directory",
        "a_heartbeat_makes_a_node_online_and_says_how_it_is",
    ),
    (
        "/nodes/:node_id/capabilities",
        "GET",
        "directory",
        "a_node_adds_replaces_and_removes_what_it_can_do",
    ),
    (
        "/nodes/:node_id/capabilities",
        "POST",
        "directory",
        "a_node_adds_replaces_and_removes_what_it_can_do",
    ),
    (
        "/nodes/:node_id/capabilities",
        "PUT",
        "directory",
        "a_node_adds_replaces_and_removes_what_it_can_do",
    ),
    (
        "/nodes/:node_id/capabilities",
        "DELETE",
        "directory",
        "a_node_adds_replaces_and_removes_what_it_can_do",
    ),
    (
        "/nodes/:node_id/reputation",
        "GET",
        "reputation",
        "an_operators_word_moves_the_score_and_says_whose_it_was_and_why",
    ),
    (
        "/nodes/:node_id/reputation",
        "POST",
        "reputation",
        "an_operators_word_moves_the_score_and_says_whose_it_was_and_why",
    ),
    (
        "/nodes/:node_id/deregister",
        "POST",
        "deregistration",
        "a_node_leaves_and_its_id_stays_its_keys",
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
    (
        "/p2p/messages",
        "POST",
        "peers",
        "every_message_that_is_not_right_is_refused_with_its_code_and_counted",
    ),
    (
        "/internal/peers/run",
        "POST",
        "peers",
        "a_run_wants_the_schedules_token",
    ),
    (
        "/peers",
        "GET",
        "peers",
        "peers_are_shown_to_operators_only_and_page_by_page",
    ),
    (
        "/peers/nodes",
        "GET",
        "peers",
        "two_registries_tell_each_other_of_their_nodes",
    ),
    (
        "/peers/balances",
        "GET",
        "peers",
        "what_operator_and_node_agree_to_is_told_and_shown_as_hearsay",
    ),
    (
        "/peers/invites",
        "POST",
        "peers",
        "an_invited_registry_comes_in_once_and_is_told_everything",
    ),
    (
        "/peers/join",
        "POST",
        "peers",
        "an_invited_registry_comes_in_once_and_is_told_everything",
    ),
    (
        "/peers/:peer_id/block",
        "POST",
        "peers",
        "an_operator_blocks_unblocks_and_forgets",
    ),
    (
        "/peers/:peer_id/unblock",
        "POST",
        "peers",
        "an_operator_blocks_unblocks_and_forgets",
    ),
    (
        "/peers/:peer_id/forget",
        "POST",
        "peers",
        "an_operator_blocks_unblocks_and_forgets",
    ),
];

/// The public routes.
fn routes(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let triggers = manifest["trigger"]["http"].as_array().unwrap();
    triggers
        .iter()
        .filter_map(|trigger| Some(trigger["route"].as_str()?.to_owned()))
        .collect()
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
    for route in &routes {
        if methods(route).next().is_none() {
            faults.push(format!("{route} admits nobody"));
        }
        for method in methods(route) {
            if !TESTED.iter().any(|row| row.0 == route && row.1 == method) {
                faults.push(format!("{method} {route} has no end-to-end test"));
            }
            served.insert((route.clone(), method.to_owned()));
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
    assert_eq!(faults(&more), ["/wallet/:node_id/secrets admits nobody"]);
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
