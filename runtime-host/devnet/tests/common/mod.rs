//! A devnet and a client for it.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use devnet::json::{Json, Object};
use devnet::{Devnet, Options};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Options for a devnet that mines on demand only, on a free port.
pub fn manual() -> Options {
    Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        block_interval: None,
        ..Options::default()
    }
}

/// A node that can be called: a devnet, or whatever listens at an address.
pub struct Node {
    pub devnet: Option<Devnet>,
    pub client: Rpc,
}

impl Node {
    pub async fn start() -> Node {
        Node::with(manual()).await
    }

    pub async fn with(options: Options) -> Node {
        let devnet = Devnet::start(options).await.unwrap();
        let client = Rpc::new(devnet.address());
        Node {
            devnet: Some(devnet),
            client,
        }
    }

    pub async fn stop(mut self) {
        self.devnet.take().unwrap().shutdown().await;
    }
}

impl std::ops::Deref for Node {
    type Target = Rpc;
    fn deref(&self) -> &Rpc {
        &self.client
    }
}

/// A JSON-RPC client.
#[derive(Clone)]
pub struct Rpc {
    pub address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Rpc {
    pub fn new(address: SocketAddr) -> Rpc {
        Rpc {
            address,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Status and body of the answer to a body, or an error if the connection ended.
    pub async fn raw(
        &self,
        authorization: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::post(format!("http://{}/", self.address));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    }

    pub async fn post(&self, body: impl Into<Bytes>) -> Result<(StatusCode, Bytes), String> {
        self.raw(Some(&basic("devnet", "devnet")), body).await
    }

    /// The result of a call, or code and message of its error.
    pub async fn try_call(&self, method: &str, params: &str) -> Result<Json, (String, String)> {
        let body = format!("{{\"id\":1,\"method\":\"{method}\",\"params\":{params}}}");
        let (_, body) = self
            .post(body)
            .await
            .map_err(|error| ("connection".to_owned(), error))?;
        let json = Json::parse(std::str::from_utf8(&body).unwrap())
            .unwrap_or_else(|| panic!("not JSON: {body:?}"));
        match json.get("error") {
            Some(Json::Null) => Ok(json.get("result").unwrap().clone()),
            Some(error) => Err((
                error.get("code").unwrap().to_string(),
                text(error.get("message").unwrap()),
            )),
            None => panic!("no answer: {json}"),
        }
    }

    pub async fn call(&self, method: &str, params: &str) -> Json {
        self.try_call(method, params)
            .await
            .unwrap_or_else(|error| panic!("{method} {params}: {error:?}"))
    }

    pub async fn text(&self, method: &str, params: &str) -> String {
        text(&self.call(method, params).await)
    }

    /// A payment by the faucet.
    pub async fn fund(&self, address: &str, amount: &str) -> String {
        let paid = self
            .call("devnet_faucet", &format!("[\"{address}\",{amount}]"))
            .await;
        text(paid.get("txid").unwrap())
    }

    pub async fn mine(&self, blocks: u32) {
        self.call("devnet_mine", &format!("[{blocks}]")).await;
    }

    /// A member of what `gettransaction` says.
    pub async fn transaction(&self, txid: &str, member: &str) -> Json {
        self.call("gettransaction", &format!("[\"{txid}\"]"))
            .await
            .get(member)
            .cloned()
            .unwrap_or(Json::Null)
    }

    /// Waits until that many calls hang at the fault.
    pub async fn hanging(&self, id: &Json, count: usize) {
        for _ in 0..500 {
            let faults = self.call("devnet_faults", "[]").await;
            let fault = faults
                .as_array()
                .unwrap()
                .iter()
                .find(|fault| fault.get("id") == Some(id))
                .unwrap()
                .clone();
            if fault.get("hanging") == Some(&Json::size(count)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the fault never had {count} calls hanging");
    }
}

pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
}

pub fn text(json: &Json) -> String {
    match json {
        Json::String(text) | Json::Number(text) => text.clone(),
        other => panic!("{other} is no text"),
    }
}

pub fn object() -> Object {
    Object::new()
}
