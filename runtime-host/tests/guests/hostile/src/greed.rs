//! Takes more than there is.

use spin_sdk::key_value::Store;
use spin_sdk::sqlite::Connection;
use spin_sdk::wasip3::http::types::{Fields, RequestOptions};
use spin_sdk::wasip3::wit_stream;

/// Takes `query`, `KIND=N`, and lets go of none before all are there.
pub async fn hold(query: &str) -> String {
    let (kind, number) = query.split_once('=').unwrap_or((query, ""));
    let number = super::size(number);
    match kind {
        "fields" => {
            let held: Vec<_> = (0..number).map(|_| Fields::new()).collect();
            held.len().to_string()
        }
        "options" => {
            let held: Vec<_> = (0..number).map(|_| RequestOptions::new()).collect();
            held.len().to_string()
        }
        "streams" => {
            let held: Vec<_> = (0..number).map(|_| wit_stream::new::<u8>()).collect();
            held.len().to_string()
        }
        "connections" => held((0..number).map(|_| Connection::open("default"))).await,
        "transactions" => held((0..number).map(|_| begin())).await,
        "stores" => held((0..number).map(|_| Store::open_default())).await,
        other => format!("unknown: {other}"),
    }
}

/// How many of these were had at once, and why not more.
async fn held<T, E: std::fmt::Debug>(
    getting: impl Iterator<Item = impl Future<Output = Result<T, E>>>,
) -> String {
    let gotten = futures::future::join_all(getting).await;
    let (held, failed): (Vec<_>, Vec<_>) = gotten.into_iter().partition(Result::is_ok);
    let why = failed.into_iter().find_map(Result::err);
    format!("{} {why:?}", held.len())
}

/// A connection amid a transaction.
async fn begin() -> Result<Connection, spin_sdk::sqlite::Error> {
    let connection = Connection::open("default").await?;
    connection.execute("BEGIN", []).await?.result().await?;
    Ok(connection)
}

/// Writes so many values to one store at once: how each ended.
pub async fn set(number: usize) -> String {
    let store = match Store::open_default().await {
        Ok(store) => store,
        Err(e) => return format!("error: {e:?}"),
    };
    let all = (0..number).map(|n| store.set(n.to_string(), "v"));
    let ended = futures::future::join_all(all).await;
    let told: Vec<String> = ended.iter().map(|end| format!("{end:?}")).collect();
    told.join("\n")
}

/// Runs so many statements that never end at once, on one connection.
pub async fn pile(number: usize) -> String {
    const FOREVER: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                           SELECT count(*) FROM n";
    let connection = match Connection::open("default").await {
        Ok(connection) => connection,
        Err(e) => return format!("error: {e:?}"),
    };
    let all = (0..number).map(|_| connection.execute(FOREVER, []));
    futures::future::join_all(all).await.len().to_string()
}

/// Hands over a string of so many bytes.
pub async fn call(bytes: usize) -> String {
    match spin_sdk::variables::get("x".repeat(bytes)).await {
        Ok(value) => value,
        Err(_) => "refused".to_owned(),
    }
}

/// Prints so many lines of 100 bytes.
pub fn print(lines: usize) -> String {
    for number in 0..lines {
        println!("{number:0>99}");
    }
    "printed".to_owned()
}
