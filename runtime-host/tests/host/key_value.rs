//! Key-value stores, in a file and with a real Redis server. What needs the server runs only when
//! asked for: `cargo test --release -p runtime-host --test host -- --ignored redis`

use std::path::PathBuf;

use crate::process::{Application, Host, refused};
use crate::redis::{Redis, runtime_config};

/// The probe, which may open the default store.
fn granted() -> Application {
    Application::probe("key_value_stores = [\"default\"]\n")
}

/// Has the probe run each line on the default store: what each gave.
fn store(host: &Host, script: &[&str]) -> Vec<String> {
    let answer = host.post("/store", &script.join("\n"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body.split('\n').map(str::to_owned).collect()
}

fn configured(app: &Application, text: &str) -> Vec<String> {
    let file = app.write("runtime-config.toml", text);
    let file = file.to_str().unwrap().to_owned();
    vec!["--runtime-config-file".to_owned(), file]
}

fn start(app: &Application, url: &str, more: &[&str]) -> Host {
    let arguments = configured(app, &runtime_config(url));
    Host::start(app.command().args(arguments).args(more))
}

fn values_are_kept_and_replaced_and_gone(host: &Host) {
    let answers = store(
        host,
        &[
            "get a",
            "exists a",
            "keys",
            "set a 1",
            "set b x10000",
            "set a 2 and more",
            "get a",
            "get b",
            "exists a",
            "keys",
            "delete a",
            "delete a",
            "get a",
            "exists a",
            "keys",
            "set e ",
            "get e",
            "exists e",
        ],
    );
    assert_eq!(
        answers,
        [
            "none",
            "false",
            "",
            "set",
            "set",
            "set",
            "2 and more",
            "10000 bytes",
            "true",
            "a b",
            "deleted",
            "deleted",
            "none",
            "false",
            "b",
            "set",
            "",
            "true"
        ]
    );
}

fn what_is_too_large_is_refused_and_nothing_of_it_stays(host: &Host) {
    let answers = store(
        host,
        &[
            "set x101 v",
            "get x101",
            "exists x101",
            "delete x101",
            "set k x1001",
            "get k",
            "set x100 v",
            "set k x1000",
            "get k",
            "exists x100",
        ],
    );
    for answer in &answers[..4] {
        assert!(
            answer.contains("key too long: 100 bytes are allowed"),
            "{answers:?}"
        );
    }
    let why = "value too large: 1000 bytes are allowed";
    assert!(answers[4].contains(why), "{answers:?}");
    assert_eq!(answers[5..], ["none", "set", "set", "1000 bytes", "true"]);
    for flag in ["--max-kv-key", "--max-kv-value"] {
        let line = host.logged(&format!("see {flag}"));
        assert!(line.contains("probe") && !line.contains("xxx"), "{line}");
    }
}

fn a_list_of_too_many_keys_is_refused(host: &Host) {
    let script: Vec<String> = (0..100).map(|n| format!("set key-{n:03} v")).collect();
    let script: Vec<&str> = script.iter().map(String::as_str).collect();
    store(host, &script);
    let answers = store(host, &["keys", "get key-050"]);
    assert!(
        answers[0].contains("too many keys: 2000 bytes"),
        "{answers:?}"
    );
    assert_eq!(answers[1], "v");
    host.logged("see --max-kv-list");
}

const SMALL: [&str; 6] = [
    "--max-kv-key",
    "100",
    "--max-kv-value",
    "1000",
    "--max-kv-list",
    "2000",
];

#[test]
fn values_are_kept_in_a_file_where_spin_has_it() {
    let app = granted();
    let mut host = app.start(&[]);
    values_are_kept_and_replaced_and_gone(&host);
    assert_eq!(store(&host, &["set stays yes"]), ["set"]);
    host.signal("TERM");
    assert!(host.ended().success());

    let file = rusqlite::Connection::open(app.path().join(".spin/sqlite_key_value.db")).unwrap();
    let query = "SELECT value FROM spin_key_value WHERE store = 'default' AND key = 'stays'";
    let value: Vec<u8> = file.query_row(query, [], |row| row.get(0)).unwrap();
    assert_eq!(value, b"yes");
    assert_eq!(store(&app.start(&[]), &["get stays"]), ["yes"]);
}

#[test]
fn bounds_of_a_file() {
    let app = granted();
    let host = app.start(&SMALL);
    what_is_too_large_is_refused_and_nothing_of_it_stays(&host);
    // What another program put there is not handed on either.
    let file = rusqlite::Connection::open(app.path().join(".spin/sqlite_key_value.db")).unwrap();
    for length in [1001, 100_000] {
        let put = "REPLACE INTO spin_key_value VALUES ('default', 'large', zeroblob(?1))";
        file.execute(put, [length]).unwrap();
        let answers = store(&host, &["get large", "exists large"]);
        assert!(answers[0].contains("value too large"), "{answers:?}");
        assert_eq!(answers[1], "true");
    }
    a_list_of_too_many_keys_is_refused(&host);
}

#[test]
fn labels_in_one_file_are_apart() {
    let app = Application::probe("key_value_stores = [\"one\", \"two\"]\n");
    let arguments = configured(
        &app,
        "[key_value_store.one]\ntype = \"spin\"\npath = \"shared.db\"\n\
         [key_value_store.two]\ntype = \"spin\"\npath = \"shared.db\"\n",
    );
    let host = Host::start(app.command().args(arguments));
    assert_eq!(host.post("/store?one", "set a 1\nkeys").body, "set\na");
    assert_eq!(host.post("/store?two", "get a\nkeys").body, "none\n");
    assert!(
        app.path().join("shared.db").exists(),
        "beside the configuration"
    );
}

#[test]
fn a_store_that_is_not_granted_is_not_there() {
    let app = Application::new(
        r#"
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [[trigger.http]]
        route = "/owner/..."
        component = "owner"
        [component.probe]
        source = "@probe@"
        [component.owner]
        source = "@probe@"
        key_value_stores = ["default"]
        "#,
    );
    let host = app.start(&[]);
    for label in ["default", "", "other", "../default"] {
        let answer = host.post(&format!("/store?{label}"), "get a").body;
        assert_eq!(answer, "error: Error::AccessDenied", "{label}");
    }
}

#[test]
fn a_label_that_is_nowhere_is_told_at_start() {
    let app = Application::probe("key_value_stores = [\"sessions\"]\n");
    let (lines, code) = app.refused(&[]);
    assert_eq!(code, 2);
    assert_eq!(
        lines,
        [
            "component.probe.key_value_stores: there is no store \"sessions\"; there are \
          \"default\"; others come from --runtime-config-file"
        ]
    );
}

fn hostile() -> Application {
    Application::hostile("key_value_stores = [\"default\"]\n")
}

#[test]
fn open_stores_of_an_instance_are_bounded_and_given_back() {
    let app = hostile();
    let host = app.start(&["--max-instance-stores", "3"]);
    for _ in 0..3 {
        let answer = host.get("/hold?stores=5").body;
        assert_eq!(answer, "3 Some(Error::StoreTableFull)");
    }
    assert_eq!(host.get("/hold?stores=3").body, "3 None");
    let line = host.logged("see --max-instance-stores");
    assert!(line.contains("hostile"), "{line}");
}

/// Of five writes at once one waits, and so long the others wait for it.
fn waits_are_bounded(host: &Host, why: &str) {
    let answer = host.get("/set?5").body;
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines.len(), 5, "{answer}");
    assert!(lines.iter().all(|line| line.starts_with("Err")), "{answer}");
    assert!(answer.contains(why), "{answer}");
    assert!(answer.contains("too many operations at once"), "{answer}");
    host.logged("see --max-kv-operations");
    // Nobody else notices.
    assert_eq!(host.get("/count").status, 200);
}

const IMPATIENT: [&str; 4] = ["--max-kv-operations", "1", "--kv-timeout", "300ms"];

#[test]
fn waiting_for_a_file_is_bounded() {
    let app = hostile();
    let host = app.start(&IMPATIENT);
    assert_eq!(host.get("/set?1").body, "Ok(())");
    let file = rusqlite::Connection::open(app.path().join(".spin/sqlite_key_value.db")).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    waits_are_bounded(&host, "database is locked");
    file.execute_batch("ROLLBACK").unwrap();
    assert_eq!(host.get("/set?5").body, ["Ok(())"; 5].join("\n"));
}

#[test]
#[ignore = "needs redis-server"]
fn values_are_kept_with_redis_and_seen_by_two_hosts() {
    let redis = Redis::start();
    let (one, two) = (granted(), granted());
    let (one, two) = (start(&one, redis.url(), &[]), start(&two, redis.url(), &[]));
    values_are_kept_and_replaced_and_gone(&one);
    assert_eq!(store(&one, &["set a 1"]), ["set"]);
    assert_eq!(store(&two, &["get a", "set a 2"]), ["1", "set"]);
    assert_eq!(store(&one, &["get a"]), ["2"]);
    // As Spin has it: the key is the key.
    assert_eq!(redis.command(&["GET", "a"]), "2");
}

#[test]
#[ignore = "needs redis-server"]
fn redis_bounds() {
    let (app, redis) = (granted(), Redis::start());
    let host = start(&app, redis.url(), &SMALL);
    what_is_too_large_is_refused_and_nothing_of_it_stays(&host);
    // What another program put there is not handed on either.
    redis.command(&["SETRANGE", "large", "100000", "x"]);
    let answers = store(&host, &["get large", "exists large"]);
    assert!(answers[0].contains("value too large"), "{answers:?}");
    assert_eq!(answers[1], "true");
    a_list_of_too_many_keys_is_refused(&host);
}

#[test]
#[ignore = "needs redis-server"]
fn redis_with_something_else_under_a_key_says_so() {
    let (app, redis) = (granted(), Redis::start());
    let host = start(&app, redis.url(), &[]);
    redis.command(&["LPUSH", "list", "s3cret"]);
    let answers = store(
        &host,
        &["get list", "exists list", "set list v", "get list"],
    );
    assert!(answers[0].contains("WRONGTYPE"), "{answers:?}");
    assert!(!answers[0].contains("s3cret"), "{answers:?}");
    assert_eq!(answers[1..], ["true", "set", "v"]);
}

#[test]
#[ignore = "needs redis-server"]
fn more_keys_than_redis_tells_at_once_are_all_listed_once() {
    let (app, redis) = (granted(), Redis::start());
    let populate = "for i = 1, 5000 do redis.call('SET', 'k' .. i, 'v') end return 'made'";
    assert_eq!(redis.command(&["EVAL", populate, "0"]), "made");
    let host = start(&app, redis.url(), &[]);
    let answers = store(&host, &["keys"]);
    let keys: std::collections::BTreeSet<&str> = answers[0].split(' ').collect();
    assert_eq!((keys.len(), answers[0].split(' ').count()), (5000, 5000));
}

#[test]
#[ignore = "needs redis-server"]
fn redis_that_goes_away_is_told_and_used_again_when_it_is_back() {
    let (app, redis) = (granted(), Redis::start());
    let host = start(&app, redis.url(), &[]);
    assert_eq!(store(&host, &["set a 1"]), ["set"]);
    redis.kill();
    for operation in ["get a", "set a 2", "exists a", "delete a", "keys"] {
        let answers = store(&host, &[operation]);
        assert!(
            answers[0].contains("key-value server"),
            "{operation}: {answers:?}"
        );
    }
    let cannot = store(&host, &["set a 3"]);
    assert!(cannot[0].contains("nothing was carried out"), "{cannot:?}");
    redis.restart();
    assert_eq!(
        store(&host, &["get a"]),
        ["1"],
        "nothing that was refused was done"
    );
    // A connection that was closed while nobody used it.
    redis.kill();
    redis.restart();
    assert_eq!(store(&host, &["get a"]), ["1"]);
}

#[test]
#[ignore = "needs redis-server"]
fn redis_that_is_not_there_yet_is_waited_for() {
    let (app, redis) = (granted(), Redis::start());
    redis.kill();
    let host = start(&app, redis.url(), &[]);
    host.logged("key_value_store.default: the key-value server redis://127.0.0.1");
    redis.restart();
    assert_eq!(store(&host, &["set a 1", "get a"]), ["set", "1"]);
}

#[test]
#[ignore = "needs redis-server"]
fn waiting_for_redis_is_bounded() {
    let (app, redis) = (hostile(), Redis::start());
    let host = start(&app, redis.url(), &IMPATIENT);
    assert_eq!(host.get("/set?1").body, "Ok(())");
    redis.process.signal("STOP");
    waits_are_bounded(&host, "may have been carried out");
    host.logged("see --kv-timeout");
    redis.process.signal("CONT");
    assert_eq!(host.get("/set?5").body, ["Ok(())"; 5].join("\n"));
}

#[test]
#[ignore = "needs redis-server"]
fn operations_do_not_wait_one_after_the_other_for_redis_that_hangs() {
    let (app, redis) = (hostile(), Redis::start());
    let bounds = ["--kv-timeout", "300ms", "--request-timeout", "4s"];
    let host = start(&app, redis.url(), &bounds);
    assert_eq!(host.get("/set?1").body, "Ok(())");
    redis.process.signal("STOP");
    // Over the connection that there was, and then for want of another one.
    for _ in 0..2 {
        let answer = host.get("/set?20");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let failed = answer.body.lines().filter(|line| line.starts_with("Err"));
        assert_eq!(failed.count(), 20, "{}", answer.body);
    }
    redis.process.signal("CONT");
    assert_eq!(host.get("/set?5").body, ["Ok(())"; 5].join("\n"));
}

#[test]
#[ignore = "needs redis-server"]
fn redis_refuses_the_password_at_start_and_it_is_not_shown() {
    let (app, redis) = (granted(), Redis::with_password("right"));
    let with = |password: &str| {
        redis
            .url()
            .replace("redis://", &format!("redis://{password}"))
    };
    for password in ["", ":wr0ng@"] {
        let arguments = configured(&app, &runtime_config(&with(password)));
        let (lines, code) = refused(app.command().args(arguments));
        assert_eq!(code, 2);
        assert!(
            lines[0].starts_with("key_value_store.default: the key-value server")
                && lines[0].ends_with("it refuses the password"),
            "{lines:?}"
        );
        assert!(!lines.concat().contains("wr0ng"));
    }
    let host = start(&app, &with(":right@"), &[]);
    assert_eq!(store(&host, &["set a 1", "get a"]), ["set", "1"]);
}

/// A key for 127.0.0.1, in files.
fn tls_files(app: &Application) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = app.write("cert.pem", &made.cert.pem());
    let key = app.write("key.pem", &made.signing_key.serialize_pem());
    (certificate, key)
}

#[test]
#[ignore = "needs redis-server"]
fn redis_over_tls_is_used_only_with_a_certificate_that_is_trusted() {
    let app = granted();
    let (certificate, key) = tls_files(&app);
    let redis = Redis::with_tls(&certificate, &key);
    let arguments = configured(&app, &runtime_config(redis.url()));
    let stranger = Host::start(app.command().args(&arguments));
    let answers = store(&stranger, &["set a 1"]);
    assert!(
        answers[0].contains("nothing was carried out"),
        "{answers:?}"
    );
    drop(stranger);
    let friend = Host::start(
        app.command()
            .args(&arguments)
            .env("SSL_CERT_FILE", &certificate),
    );
    assert_eq!(store(&friend, &["set a 1", "get a"]), ["set", "1"]);
}
