//! The files of deploy/ say what host and service understand.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use tests::{root, runtime_host};

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join("deploy").join(path)).unwrap()
}

/// The documents of a YAML file.
fn documents(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(path)).unwrap()
}

fn kinds(documents: &[Value]) -> Vec<&str> {
    documents
        .iter()
        .map(|document| document["kind"].as_str().unwrap())
        .collect()
}

/// Words that look like flags.
fn flags(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_flag_for_the_host_is_one_that_it_has() {
    let help = Command::new(runtime_host()).args(["up", "--help"]).output();
    let known = flags(&String::from_utf8(help.unwrap().stdout).unwrap());
    let dockerfile = text("Dockerfile");
    let entry = dockerfile
        .lines()
        .find(|line| line.starts_with("ENTRYPOINT"));
    let unit = text("systemd/duxnet-wallet.service");
    let start = unit.split_once("ExecStart=").unwrap().1;
    let start = start.split_once("\n#").unwrap().0;
    let pods = documents("kubernetes/wallet.yaml");
    let container = &pods[1]["spec"]["template"]["spec"]["containers"][0];
    for given in [entry.unwrap(), start, &container["args"].to_string()] {
        let given = flags(given);
        assert!(!given.is_empty());
        let unknown: Vec<_> = given.difference(&known).collect();
        assert!(unknown.is_empty(), "{unknown:?} in {given:?}");
    }
}

#[test]
fn the_runtime_configuration_is_one_that_the_host_reads() {
    let output = Command::new(runtime_host())
        .arg("backup")
        .arg("--from")
        .arg(root().join("spin.toml"))
        .arg("--runtime-config-file")
        .arg(root().join("deploy/runtime-config.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said.trim(),
        "error: default is with http://libsql:8080, and is backed up by the server's own means"
    );
}

#[test]
fn the_cron_job_calls_what_the_schedule_calls() {
    let manifest = std::fs::read_to_string(root().join("spin.toml")).unwrap();
    let scheduled: BTreeSet<&str> = manifest
        .lines()
        .filter(|line| line.starts_with("schedule = "))
        .map(|line| {
            let path = line.split_once("path = \"/internal/").unwrap().1;
            path.split_once('"').unwrap().0
        })
        .collect();
    let documents = documents("spinkube/wallet.yaml");
    assert_eq!(kinds(&documents), ["SpinApp", "CronJob"]);
    let job = &documents[1]["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let script = job["containers"][0]["args"][0].as_str().unwrap();
    let called = script.split_once("for path in ").unwrap().1;
    let called: BTreeSet<&str> = called.split_once(';').unwrap().0.split(' ').collect();
    assert_eq!(called, scheduled);
}

#[test]
fn the_spin_app_sets_variables_that_there_are() {
    let manifest = std::fs::read_to_string(root().join("spin.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let known = manifest["variables"].as_table().unwrap();
    let app = &documents("spinkube/wallet.yaml")[0];
    for variable in app["spec"]["variables"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        assert!(known.contains_key(name), "{name}");
    }
    let secret = &app["spec"]["runtimeConfig"]["loadFromSecret"];
    assert!(text("spinkube/wallet.yaml").contains(&format!(
        "kubectl create secret generic {}",
        secret.as_str().unwrap()
    )));
}

#[test]
fn the_manifests_belong_together() {
    let wallet = documents("kubernetes/wallet.yaml");
    assert_eq!(
        kinds(&wallet),
        [
            "Service",
            "Deployment",
            "NetworkPolicy",
            "PodDisruptionBudget"
        ]
    );
    let pod = &wallet[1]["spec"]["template"];
    let label = &pod["metadata"]["labels"]["app"];
    assert_eq!(&wallet[0]["spec"]["selector"]["app"], label);
    let policy = &wallet[2]["spec"];
    assert_eq!(&policy["podSelector"]["matchLabels"]["app"], label);
    let ports = pod["spec"]["containers"][0]["ports"].as_array().unwrap();
    for (port, rule) in ports.iter().zip(policy["ingress"].as_array().unwrap()) {
        assert_eq!(port["containerPort"], rule["ports"][0]["port"]);
    }

    for (file, scheme, told) in [
        ("kubernetes/libsql.yaml", "http://", "runtime-config.toml"),
        (
            "kubernetes/redis.yaml",
            "redis://:PASSWORD@",
            "kubernetes/redis.yaml",
        ),
    ] {
        let server = documents(file);
        assert_eq!(kinds(&server), ["Service", "StatefulSet", "NetworkPolicy"]);
        let service = server[0]["metadata"]["name"].as_str().unwrap();
        let port = &server[0]["spec"]["ports"][0]["port"];
        let url = format!("url = \"{scheme}{service}:{port}\"");
        assert!(text(told).contains(&url), "{url}");
        // One server: two on one disk would damage it.
        assert_eq!(server[1]["spec"]["replicas"], 1);
        let rule = &server[2]["spec"]["ingress"][0];
        assert_eq!(&rule["ports"][0]["port"], port);
        let allowed = &rule["from"][0]["podSelector"]["matchLabels"];
        assert_eq!(&allowed["app"], label, "it lets the wallet in");
    }
}
