//! One component takes what it can; another does not notice.

use crate::process::Application;
use crate::upstream::Upstream;

/// More than the threads that may wait for files in a process.
const STATEMENTS: usize = 600;

#[test]
fn statements_that_wait_for_their_connection_hold_no_thread() {
    let app = Application::new(
        "[[trigger.http]]\nroute = \"/pile\"\ncomponent = \"hostile\"\n\
         [[trigger.http]]\nroute = \"/sql\"\ncomponent = \"probe\"\n\
         [component.probe]\nsource = \"@probe@\"\nsqlite_databases = [\"default\"]\n\
         [component.hostile]\nsource = \"@hostile@\"\nsqlite_databases = [\"default\"]\n",
    );
    let host = app.start(&["--threads", "1", "--request-timeout", "5s"]);
    std::thread::scope(|scope| {
        let piling = scope.spawn(|| host.get(&format!("/pile?{STATEMENTS}")).status);
        // A write needs such a thread.
        for _ in 0..20 {
            let write = host.post("/sql", "CREATE TABLE IF NOT EXISTS t (v)").body;
            assert_eq!(write, "");
        }
        assert!(!piling.is_finished(), "the others did not wait for it");
        assert_eq!(piling.join().unwrap(), 504);
    });
}

#[test]
fn an_instance_that_has_answered_and_goes_on_counts() {
    let upstream = Upstream::silent();
    let app = Application::hostile("allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n");
    let host = app.start(&[
        "--max-instances",
        "2",
        "--queue-timeout",
        "100ms",
        "--request-timeout",
        "60s",
    ]);
    let path = format!("/answer-and-wait?http://{}/", upstream.address);
    for _ in 0..2 {
        assert_eq!(host.get(&path).status, 200);
    }
    assert_eq!(host.get(&path).status, 503, "both go on");
    assert_eq!(host.get("/count").status, 200, "another component");
    host.logged("--max-instances");
}
