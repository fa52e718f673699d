//! The registry around the wallets, as nodes, operators and anyone see it.

use crate::{Books, Host, Node, Reply, get, request};
use serde_json::{Value, json};

/// `operator_tokens` of a host whose operator is alice; see [`judge`].
pub const OPERATORS: &str = "alice=the-token-of-alice, bob=the-token-of-bob-";

/// `GET /nodes` with this query, question mark included.
pub fn directory(host: &Host, query: &str) -> Value {
    get(&format!("{}/nodes{query}", host.url()))
        .expect_status(200)
        .json()
}

/// The ids on a page of the directory.
pub fn node_ids(page: &Value) -> Vec<&str> {
    let nodes = page["nodes"].as_array().unwrap();
    nodes
        .iter()
        .map(|node| node["node_id"].as_str().unwrap())
        .collect()
}

/// What the bearer of a token says of a node.
pub fn judge(host: &Host, node: &str, token: &str, key: Option<&str>, body: &Value) -> Reply {
    let url = format!("{}/nodes/{node}/reputation", host.url());
    let authorization = format!("Bearer {token}");
    let mut headers = vec![
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    request("POST", &url, &headers, body.to_string().as_bytes()).expect("the host answers")
}

impl Node {
    /// A sign of life.
    pub fn heartbeat(&self, body: &Value) -> Reply {
        self.post(&format!("/nodes/{}/heartbeat", self.id), body)
    }

    /// Leaves, with these headers besides the signature.
    pub fn deregister(&self, send_to: Option<&str>, key: &str) -> Reply {
        let body = send_to.map_or_else(|| json!({}), |to| json!({"send_to": to}));
        let target = format!("/nodes/{}/deregister", self.id);
        self.signed(
            "POST",
            &target,
            &body.to_string(),
            &[("Idempotency-Key", key)],
        )
        .expect("the host answers")
    }

    /// What anyone sees of it: the member `node`.
    pub fn shown(&self) -> Value {
        get(&format!("{}/nodes/{}", self.url(), self.id))
            .expect_status(200)
            .json()["node"]
            .clone()
    }
}

impl Books {
    /// Makes a node's last heartbeat older.
    pub fn age_heartbeat(&self, node_id: &str, seconds: i64) {
        let changed = self.connection().execute(
            "UPDATE nodes SET heartbeat_at = heartbeat_at - ? WHERE node_id = ?",
            (seconds, node_id),
        );
        assert_eq!(changed.unwrap(), 1, "{node_id} has a heartbeat");
    }

    /// Makes every assessment of health old enough to be done anew.
    pub fn age_health(&self) {
        self.connection()
            .execute("UPDATE nodes SET health_at = 0", [])
            .unwrap();
    }
}
