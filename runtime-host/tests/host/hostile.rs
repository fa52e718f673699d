//! What a component tries that it was not granted.

use crate::client::Client;
use crate::process::{Application, Host, granted, granted_beside_hostile, sql};
use crate::upstream::{Next, Upstream, respond};

#[test]
fn there_is_nothing_outside() {
    let app = Application::hostile("");
    let host = Host::start(app.command().env("SECRET", "s"));
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let answer = host.get(&format!("/outside?{}", server.local_addr().unwrap()));
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    for file in [
        "/etc/passwd",
        "/proc/self/environ",
        "spin.toml",
        ".spin/sqlite_db.db",
        "../",
    ] {
        let answer = host.get(&format!("/file?{file}")).body;
        assert!(!answer.starts_with("read"), "{file}: {answer}");
    }
}

#[test]
fn only_the_environment_that_is_declared_is_there() {
    let app = Application::hostile("environment = { DECLARED = \"yes\" }\n");
    let host = Host::start(app.command().env("SECRET", "s"));
    assert_eq!(host.get("/outside").body, "variables: DECLARED=yes");
}

#[test]
fn variables_of_others_are_not_there() {
    let app = Application::new(
        r#"
        [variables]
        secret = { default = "s3cret" }
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [[trigger.http]]
        route = "/headers"
        component = "owner"
        [component.probe]
        source = "@probe@"
        [component.owner]
        source = "@probe@"
        variables = { mine = "{{ secret }}" }
        "#,
    );
    let host = app.start(&[]);
    for name in ["secret", "mine", "owner.mine", "SPIN_VARIABLE_SECRET", ""] {
        let answer = host.get(&format!("/variable?{name}")).body;
        assert!(answer.starts_with("error: "), "{name}: {answer}");
        assert!(!answer.contains("s3cret"), "{name}: {answer}");
    }
}

fn fetch(host: &Host, url: &str) -> String {
    host.post("/fetch", &format!("GET {url}")).body
}

#[test]
fn where_a_redirect_leads_is_asked_for_by_nobody_and_refused_to_the_guest() {
    let secret = Upstream::answering("secret");
    let location = format!("http://{}/", secret.address);
    let header = format!("302 Found\r\nlocation: {location}");
    let upstream = Upstream::start(move |_, stream| {
        respond(stream, &header, "moved");
        Next::KeepAlive
    });
    let entry = format!("http://{}", upstream.address);
    let app = Application::probe(&format!("allowed_outbound_hosts = [{entry:?}]\n"));
    let host = app.start(&[]);
    assert_eq!(fetch(&host, &entry), "302 moved");
    let followed = fetch(&host, &location);
    assert!(followed.contains("HttpRequestDenied"), "{followed}");
    assert_eq!(secret.connections(), 0);
}

#[test]
fn a_host_is_not_allowed_because_it_looks_like_one_that_is() {
    let upstream = Upstream::answering("here");
    let port = upstream.address.port();
    let app = Application::probe(&format!(
        "allowed_outbound_hosts = [\"http://127.0.0.1:{port}\", \"https://*.example.com\"]\n"
    ));
    let host = app.start(&[]);
    for url in [
        format!("http://127.0.0.1:{port}@localhost:{port}/"),
        format!("http://127.0.0.1.localhost:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        format!("http://2130706434:{port}/"),
        format!("http://0177.0.0.2:{port}/"),
        format!("http://0x7f.2:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{}/", port ^ 1),
        "https://example.com.evil.test/".to_owned(),
        "https://example.com/".to_owned(),
        "http://a.example.com/".to_owned(),
        "https://evilexample.com/".to_owned(),
        "http://self.alt/count".to_owned(),
        "/count".to_owned(),
    ] {
        let answer = fetch(&host, &url);
        assert!(
            answer.contains("HttpRequestDenied") || answer.contains("HttpRequestUriInvalid"),
            "{url}: {answer}"
        );
    }
    assert_eq!(upstream.connections(), 0);
    // Credentials before the host make no difference to where it goes, and these
    // are the address that is allowed.
    for name in [
        "localhost@127.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f.1",
        "127.1",
    ] {
        let answer = fetch(&host, &format!("http://{name}:{port}/"));
        assert_eq!(answer, "200 here", "{name}");
    }
}

#[test]
fn what_is_denied_again_and_again_does_not_fill_the_log() {
    let app = Application::hostile("");
    let host = app.start(&[]);
    let started = std::time::Instant::now();
    let denied = host.post("/parallel?300", "http://127.0.0.1:1/").body;
    assert_eq!(denied.matches("HttpRequestDenied").count(), 300);
    host.logged("was denied");
    let lines = host.log_lines();
    let told = lines.iter().filter(|line| line.contains("was denied"));
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!(told.count() <= 10 + seconds + 1);
}

#[test]
fn private_addresses_are_found_in_every_notation() {
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let app = Application::probe(
        "allowed_outbound_hosts = [\"*://*:*\"]\n\
         [component.probe.tool.runtime-host]\nprivate_networks = \"deny\"\n",
    );
    let host = app.start(&["--outbound-connect-timeout", "2s"]);
    for name in [
        "127.0.0.1",
        "127.1.2.3",
        "localhost",
        "[::1]",
        "[::]",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00::1]",
        "[fec0::1]",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "self.alt",
    ] {
        let answer = fetch(&host, &format!("http://{name}:{port}/"));
        assert!(
            answer.contains("DestinationIpProhibited"),
            "{name}: {answer}"
        );
    }
    // Other notations of 127.0.0.1, which the resolver may know or not.
    for name in [
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0x7f.0.0.1",
        "017700000001",
    ] {
        let answer = fetch(&host, &format!("http://{name}:{port}/"));
        assert!(
            answer.contains("DestinationIpProhibited")
                || answer.contains("DnsError")
                || answer.contains("HttpRequestUriInvalid"),
            "{name}: {answer}"
        );
    }
    assert!(listener.accept().is_err(), "nobody came");
}

#[test]
fn no_statement_reaches_another_file() {
    let app = granted();
    let host = app.start(&[]);
    let other = app.path().join("other.db");
    let made = rusqlite::Connection::open(&other).unwrap();
    made.execute_batch("CREATE TABLE secret (v); INSERT INTO secret VALUES ('s3cret')")
        .unwrap();
    let path = other.display().to_string();
    let stolen = app.path().join("stolen.db").display().to_string();
    for statement in [
        format!("ATTACH '{path}' AS o"),
        format!("ATTACH DATABASE 'file:{path}?mode=ro' AS o"),
        format!("ATTACH 'file:{path}?mode=ro&cache=shared&immutable=1' AS o"),
        format!("ATTACH '{path}' || '' AS o"),
        format!("ATTACH (SELECT '{path}') AS o"),
        "ATTACH ':memory:' AS o".to_owned(),
        "ATTACH 'file::memory:?cache=shared' AS o".to_owned(),
        "ATTACH 'file:x?vfs=memdb' AS o".to_owned(),
        "ATTACH NULL AS o".to_owned(),
        "DETACH main".to_owned(),
        "DETACH temp".to_owned(),
        format!("VACUUM INTO '{stolen}'"),
        format!("VACUUM INTO 'file:{stolen}'"),
        format!("VACUUM main INTO '{stolen}'"),
        format!("VACUUM INTO '{stolen}' || ''"),
        "SELECT load_extension('libc.so.6')".to_owned(),
        "SELECT load_extension('libc.so.6', 'system')".to_owned(),
        "SELECT fts3_tokenizer('simple')".to_owned(),
        "SELECT fts3_tokenizer('simple', x'0000000000000000')".to_owned(),
        "SELECT readfile('/etc/passwd')".to_owned(),
        format!("SELECT writefile('{stolen}', 'x')"),
        "SELECT edit('x', 'sh')".to_owned(),
        format!("CREATE VIRTUAL TABLE z USING zipfile('{path}')"),
        format!("CREATE VIRTUAL TABLE z USING csv(filename='{path}')"),
        "CREATE VIRTUAL TABLE z USING fsdir".to_owned(),
        "SELECT * FROM fsdir('/')".to_owned(),
        "SELECT * FROM dbstat".to_owned(),
        "SELECT * FROM sqlite_dbpage".to_owned(),
        "UPDATE sqlite_dbpage SET data = x'00' WHERE pgno = 1".to_owned(),
        "INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 2, 'CREATE TABLE x (v)')".to_owned(),
        "DELETE FROM sqlite_schema".to_owned(),
        "SELECT sqlite_log(1, 'x')".to_owned(),
    ] {
        let answers = sql(
            &host,
            &[&statement, "SELECT v FROM o.secret", "SELECT v FROM secret"],
        );
        assert!(
            !answers.join("\n").contains("s3cret"),
            "{statement}: {answers:?}"
        );
        let harmless = statement.contains("sqlite_log") || statement.contains("dbstat");
        assert!(
            answers[0].starts_with("error: Error::Io(") || harmless,
            "{statement}: {answers:?}"
        );
    }
    assert!(!std::path::Path::new(&stolen).exists());
    assert_eq!(sql(&host, &["SELECT count(*) FROM sqlite_schema"]), ["0"]);
}

#[test]
fn no_setting_breaks_what_others_rely_on() {
    let app = granted();
    let host = app.start(&[]);
    sql(&host, &["CREATE TABLE t (v)", "INSERT INTO t VALUES (1)"]);
    for pragma in [
        "journal_mode = DELETE",
        "journal_mode = OFF",
        "journal_mode = MEMORY",
        "main.journal_mode = TRUNCATE",
        "journal_size_limit = 0",
        "locking_mode = EXCLUSIVE",
        "writable_schema = 1",
        "writable_schema = RESET",
        "temp_store_directory = '/tmp'",
        "data_store_directory = '/tmp'",
        "trusted_schema = 1",
        "cell_size_check = 0",
        "mmap_size = 1000000000",
        "hard_heap_limit = 1",
        "soft_heap_limit = 1",
        "threads = 64",
        "cache_spill = 0",
        "checkpoint_fullfsync = 0",
        "fullfsync = 0",
        "ignore_check_constraints = 1",
        "legacy_alter_table = 1",
        "legacy_file_format = 1",
        "read_uncommitted = 1",
        "auto_vacuum = 1",
        "page_size = 512",
        "max_page_count = 2",
        "encoding = 'UTF-16'",
        "schema_version = 1",
        "empty_result_callbacks = 1",
        "count_changes = 1",
        "full_column_names = 1",
        "short_column_names = 0",
        "vdbe_debug = 1",
        "parser_trace = 1",
        "lock_proxy_file = '/tmp/x'",
        "activate_extensions = 'x'",
        "key = 'x'",
        "rekey = 'x'",
        "database_list",
        "module_list",
        "stats",
        "cache_size = -1000000",
        "temp_store = MEMORY",
    ] {
        let answers = sql(&host, &[&format!("PRAGMA {pragma}")]);
        let refused = answers[0].contains("authoriz");
        assert!(refused, "{pragma}: {answers:?}");
    }
    for (function, value) in [("journal_mode", "DELETE"), ("locking_mode", "EXCLUSIVE")] {
        let statement = format!("SELECT * FROM pragma_{function}('{value}')");
        let answers = sql(&host, &[&statement]);
        assert!(
            answers[0].starts_with("error: "),
            "{statement}: {answers:?}"
        );
    }
    // What a connection may set for itself ends with it.
    sql(
        &host,
        &[
            "PRAGMA synchronous = OFF",
            "PRAGMA foreign_keys = 0",
            "PRAGMA query_only = 1",
            "PRAGMA wal_autocheckpoint = 0",
            "PRAGMA cache_size = -1000",
            "PRAGMA recursive_triggers = 1",
            "PRAGMA secure_delete = 1",
            "PRAGMA case_sensitive_like = 1",
        ],
    );
    let answers = sql(
        &host,
        &[
            "PRAGMA synchronous",
            "PRAGMA foreign_keys",
            "PRAGMA query_only",
            "PRAGMA wal_autocheckpoint",
            "PRAGMA cache_size",
            "PRAGMA recursive_triggers",
            "PRAGMA secure_delete",
            "PRAGMA temp_store",
            "SELECT 'A' LIKE 'a'",
            "PRAGMA journal_mode",
            "INSERT INTO t VALUES (2)",
        ],
    );
    assert_eq!(
        answers,
        [
            "2", "1", "0", "1000", "-2000", "0", "0", "0", "1", "wal", ""
        ]
    );
}

#[test]
fn the_schema_cannot_be_made_to_trick_others() {
    let app = granted();
    let host = app.start(&[]);
    let answers = sql(
        &host,
        &[
            "CREATE TABLE t (v)",
            "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT load_extension('x'); END",
            "INSERT INTO t VALUES (1)",
            "CREATE VIEW w AS SELECT readfile('/etc/passwd')",
            "SELECT * FROM w",
        ],
    );
    assert!(
        answers[1].contains("authoriz") || answers[2].contains("authoriz"),
        "{answers:?}"
    );
    assert!(answers[4].starts_with("error: "), "{answers:?}");
}

#[test]
fn a_lock_ends_with_the_instance_that_held_it_however_that_ends() {
    let silent = Upstream::silent();
    let url = format!("http://{}/", silent.address);
    let app = granted_beside_hostile(
        "/transaction",
        "sqlite_databases = [\"default\"]\nallowed_outbound_hosts = [\"http://127.0.0.1:*\"]",
    );
    // Longer than this test may take, so that nothing but the end of the
    // instance sets it free.
    let host = app.start(&["--request-timeout", "2s", "--sql-timeout", "1h"]);
    sql(&host, &["CREATE TABLE t (v)"]);
    for (how, status) in [("trap", 500), ("spin", 504), ("wait", 504), ("query", 504)] {
        assert_eq!(
            host.post(&format!("/transaction?{how}"), &url).status,
            status,
            "{how}"
        );
        let mut client = Client::connect(host.address);
        let script = format!("INSERT INTO t VALUES ('{how}')\nSELECT v FROM t WHERE v = 'hostile'");
        client.write(crate::client::head("POST", "/sql", &script).as_bytes());
        assert_eq!(
            client.read().body,
            "\n",
            "{how}: written at once, and the rest is undone"
        );
    }
    assert_eq!(sql(&host, &["SELECT count(*) FROM t"]), ["4"]);
}

#[test]
fn odd_answers_are_refused_or_cut_and_the_connection_stays_in_step() {
    let app = Application::hostile("");
    let host = app.start(&["--request-timeout", "2s"]);
    for header in [
        "connection:close",
        "transfer-encoding:chunked",
        "keep-alive:timeout=1",
        "upgrade:h2c",
        "proxy-connection:close",
        "host:evil",
        "a%20b:c",
        "a:b%0D%0Ac:d",
        ":x",
        "content-length:-1",
        "content-length:5,6",
        "content-length:99999999999999999999",
    ] {
        let answer = host.get(&format!("/answer?header={header}"));
        let refused = answer.status == 200 && answer.body.starts_with("refused: ");
        assert!(refused || answer.status == 500, "{header}: {answer:?}");
        assert!(!answer.headers.contains_key("c"), "{header}: {answer:?}");
    }
    for (status, expected) in [(299, 299), (599, 599)] {
        assert_eq!(
            host.get(&format!("/answer?status={status}")).status,
            expected
        );
    }
    for status in [0, 99, 999, 1000, 65535] {
        let answer = host.get(&format!("/answer?status={status}"));
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "refused"),
            "{status}"
        );
    }
    for status in [100, 101, 103] {
        let answer = host.get(&format!("/answer?status={status}"));
        assert_eq!(answer.status, 500, "{status}");
    }
    host.logged("the component answered with 101");

    // A length that is not that of the body: what follows is not taken for an
    // answer to somebody else.
    for length in [3, 10] {
        let mut client = Client::connect(host.address);
        let first = client.get(&format!("/answer?length={length}"));
        let whole = first.is_some_and(|answer| answer.body.len() == length);
        assert!(!whole || length == 3, "{length}");
        if let Some(second) = client.get("/count") {
            assert_eq!(second.status, 200);
            assert!(second.body.parse::<u64>().is_ok(), "{}", second.body);
        }
    }
}

#[test]
fn an_answer_without_an_end_is_cut_and_a_body_that_is_not_read_harms_nobody() {
    let app = Application::hostile("");
    let host = app.start(&["--request-timeout", "2s", "--max-instances", "1"]);
    let mut client = Client::connect(host.address);
    assert!(
        client.get("/answer?endless").is_none(),
        "it does not end as answers do"
    );
    assert_eq!(host.get("/count").status, 200);

    let body = "x".repeat(1 << 20);
    for _ in 0..3 {
        assert_eq!(host.post("/unread", &body).body, "unread");
    }
    let mut client = Client::connect(host.address);
    client.write(crate::client::head("POST", "/unread", &body).as_bytes());
    assert_eq!(client.read().body, "unread");
    assert_eq!(
        client.get("/count").unwrap().status,
        200,
        "on the same connection"
    );
}
