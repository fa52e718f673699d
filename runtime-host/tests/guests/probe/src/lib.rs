//! A component that does what its request says, good or bad.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::BodyExt;
use spin_sdk::http::{EmptyBody, IntoResponse, Request, StatusCode};
use spin_sdk::http_service;
use spin_sdk::key_value::{self, Store};
use spin_sdk::sqlite::{Connection, Value};

/// Requests which this instance has answered.
static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// A connection that outlives its request.
    static KEPT: RefCell<Option<Rc<Connection>>> = const { RefCell::new(None) };
}

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let text = match path.split('/').nth(1).unwrap_or_default() {
        "forward" => return forward(&query, &request).await,
        "count" => count.to_string(),
        "headers" => headers(&request),
        "variable" => match spin_sdk::variables::get(&query).await {
            Ok(value) => value,
            Err(e) => format!("error: {e:?}"),
        },
        "environment" => std::env::var(&query).unwrap_or_else(|e| format!("error: {e:?}")),
        "file" => std::fs::read_to_string(&query).unwrap_or_else(|e| format!("error: {e:?}")),
        "sql" => sql(&query, &body(request).await).await,
        "store" => store(&query, &body(request).await).await,
        "fetch" => fetch(&body(request).await).await,
        "traced" => traced(&query).await,
        "echo" => body(request).await,
        "print" => {
            println!("{query} to stdout");
            eprintln!("{query} to stderr");
            query
        }
        "trap" => panic!("as asked"),
        "spin" => loop {
            std::hint::black_box(&query);
        },
        "grow" => {
            let mib: usize = query.parse().unwrap_or(1);
            let block = vec![1_u8; mib << 20];
            std::hint::black_box(&block).len().to_string()
        }
        other => format!("unknown: {other}"),
    };
    (StatusCode::OK, text)
}

/// Tells the server at `authority` of `request`, and answers as that does.
async fn forward(authority: &str, request: &Request) -> (StatusCode, String) {
    let told = format!("method: {}\n{}", request.method(), headers(request));
    let request = match http::Request::post(format!("http://{authority}/")).body(told) {
        Ok(request) => request,
        Err(e) => return (StatusCode::BAD_REQUEST, format!("{e:?}")),
    };
    match spin_sdk::http::send(request).await {
        Ok(response) => {
            let status = response.status();
            match response.into_body().collect().await {
                Ok(body) => (
                    status,
                    String::from_utf8_lossy(&body.to_bytes()).into_owned(),
                ),
                Err(e) => (StatusCode::BAD_GATEWAY, format!("{e:?}")),
            }
        }
        Err(e) => (StatusCode::BAD_GATEWAY, format!("{e:?}")),
    }
}

/// Asks the server at `authority` in a trace of its own.
async fn traced(authority: &str) -> String {
    let parent = "00-11111111111111111111111111111111-2222222222222222-01";
    let request = http::Request::get(format!("http://{authority}/")).header("traceparent", parent);
    match request.body(EmptyBody::new()) {
        Ok(request) => match spin_sdk::http::send(request).await {
            Ok(response) => response.status().to_string(),
            Err(e) => format!("error: {e:?}"),
        },
        Err(e) => format!("error: {e:?}"),
    }
}

async fn body(request: Request) -> String {
    match request.into_body().collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(e) => format!("error: {e:?}"),
    }
}

fn headers(request: &Request) -> String {
    let mut lines: Vec<String> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
        .collect();
    lines.sort();
    lines.join("\n")
}

/// Runs each line of `script` on one connection; `keep` in `query` uses the one
/// that is kept in the instance.
async fn sql(query: &str, script: &str) -> String {
    let database = query.strip_prefix("database=").unwrap_or("default");
    let keep = query == "keep";
    let kept = KEPT.with_borrow(|kept| kept.clone());
    let connection = match kept.filter(|_| keep) {
        Some(connection) => connection,
        None => match Connection::open(database).await {
            Ok(connection) => Rc::new(connection),
            Err(e) => return format!("error: {e:?}"),
        },
    };
    if keep {
        KEPT.set(Some(Rc::clone(&connection)));
    }
    let mut answers = Vec::new();
    for line in script.lines() {
        answers.push(statement(&connection, line).await);
    }
    answers.join("\n")
}

async fn statement(connection: &Connection, line: &str) -> String {
    match line {
        "changes" => return connection.changes().await.to_string(),
        "rowid" => return connection.last_insert_rowid().await.to_string(),
        _ => {}
    }
    let mut result = match connection.execute(line, []).await {
        Ok(result) => result,
        Err(e) => return format!("failed: {e:?}"),
    };
    let mut rows = Vec::new();
    while let Some(row) = result.next().await {
        let values: Vec<String> = row.values.iter().map(show).collect();
        rows.push(values.join("|"));
    }
    match result.result().await {
        Ok(()) => rows.join(" "),
        Err(e) => format!("error: {e:?}"),
    }
}

/// Runs each line of `script` on the store `label`, or the default one: an
/// operation, a key, and a value. What is written as `xN` is N bytes long.
async fn store(label: &str, script: &str) -> String {
    let label = if label.is_empty() { "default" } else { label };
    let store = match Store::open(label).await {
        Ok(store) => store,
        Err(e) => return format!("error: {e:?}"),
    };
    let mut answers = Vec::new();
    for line in script.lines() {
        let answer = operation(&store, line).await;
        answers.push(answer.unwrap_or_else(|e| format!("error: {e:?}")));
    }
    answers.join("\n")
}

async fn operation(store: &Store, line: &str) -> Result<String, key_value::Error> {
    let mut words = line.splitn(3, ' ');
    let operation = words.next().unwrap_or_default();
    let key = long(words.next().unwrap_or_default());
    let value = long(words.next().unwrap_or_default());
    Ok(match operation {
        "get" => match store.get(&key).await? {
            Some(value) if value.len() > 100 => format!("{} bytes", value.len()),
            Some(value) => String::from_utf8_lossy(&value).into_owned(),
            None => "none".to_owned(),
        },
        "set" => {
            store.set(&key, value.as_bytes()).await?;
            "set".to_owned()
        }
        "delete" => {
            store.delete(&key).await?;
            "deleted".to_owned()
        }
        "exists" => store.exists(&key).await?.to_string(),
        "keys" => {
            let mut keys = store.get_keys().await;
            let mut found = Vec::new();
            while let Some(key) = keys.next().await {
                found.push(key);
            }
            keys.result().await?;
            found.sort();
            found.join(" ")
        }
        other => format!("unknown: {other}"),
    })
}

fn long(word: &str) -> String {
    let length = word.strip_prefix('x').and_then(|n| n.parse().ok());
    length.map_or_else(|| word.to_owned(), |n: usize| "x".repeat(n))
}

fn show(value: &Value) -> String {
    match value {
        Value::Integer(i) => i.to_string(),
        Value::Real(r) => r.to_string(),
        Value::Text(t) => t.clone(),
        Value::Blob(b) => format!("{b:?}"),
        Value::Null => "null".to_owned(),
    }
}

/// `METHOD URL` on the first line, the body after it.
async fn fetch(what: &str) -> String {
    let (line, body) = what.split_once('\n').unwrap_or((what, ""));
    let (method, url) = line.split_once(' ').unwrap_or(("GET", line));
    let request = http::Request::builder().method(method).uri(url);
    let response = if body.is_empty() {
        match request.body(EmptyBody::new()) {
            Ok(request) => spin_sdk::http::send(request).await,
            Err(e) => return format!("error: {e:?}"),
        }
    } else {
        match request.body(body.to_owned()) {
            Ok(request) => spin_sdk::http::send(request).await,
            Err(e) => return format!("error: {e:?}"),
        }
    };
    match response {
        Ok(response) => {
            let status = response.status();
            match response.into_body().collect().await {
                Ok(body) => format!(
                    "{} {}",
                    status.as_u16(),
                    String::from_utf8_lossy(&body.to_bytes())
                ),
                Err(e) => format!("{} error: {e:?}", status.as_u16()),
            }
        }
        Err(e) => format!("error: {e:?}"),
    }
}
