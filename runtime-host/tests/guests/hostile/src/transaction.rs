//! Leaves a transaction open, and comes to an end.

use spin_sdk::sqlite::{Connection, Value};

const FOREVER: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                       SELECT count(*) FROM n";

/// Begins to write, and then does as `how` says. `url` is where to wait.
pub async fn leave(how: &str, url: &str) -> String {
    let connection = match Connection::open("default").await {
        Ok(connection) => connection,
        Err(e) => return format!("error: {e:?}"),
    };
    for statement in ["BEGIN IMMEDIATE", "INSERT INTO t VALUES ('hostile')"] {
        let none: [Value; 0] = [];
        match connection.execute(statement, none).await {
            Ok(result) => {
                if let Err(e) = result.result().await {
                    return format!("error: {e:?}");
                }
            }
            Err(e) => return format!("error: {e:?}"),
        }
    }
    match how {
        "trap" => panic!("amid a transaction"),
        "spin" => super::spin(),
        "wait" => super::send::get(url).await,
        "query" => match connection.execute(FOREVER, []).await {
            Ok(result) => format!("{:?}", result.result().await),
            Err(e) => format!("error: {e:?}"),
        },
        other => format!("unknown: {other}"),
    }
}
