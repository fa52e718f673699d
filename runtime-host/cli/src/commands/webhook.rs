//! `webhook ...`: where the service tells what happens to the wallet.

use super::{idempotency_key, repeatable};
use crate::cli::{Idempotency, WebhookCommand};
use crate::client::{Answer, Post};
use crate::context::Context;
use crate::failure::Failure;
use crate::key_file::NodeKey;
use crate::output::{Align, pairs, table};
use crate::view::View;
use serde_json::json;

const COLUMNS: [(&str, Align); 4] = [
    ("ID", Align::Left),
    ("ENABLED", Align::Left),
    ("EVENTS", Align::Left),
    ("URL", Align::Left),
];
const DELIVERIES: [(&str, Align); 5] = [
    ("SEQUENCE", Align::Right),
    ("TYPE", Align::Left),
    ("STATUS", Align::Left),
    ("ATTEMPTS", Align::Right),
    ("LAST ERROR", Align::Left),
];
/// Deliveries that are shown with an endpoint.
const SHOWN_DELIVERIES: u32 = 10;

/// The node's endpoints, and who asks.
struct Webhooks<'a> {
    context: &'a Context,
    key: NodeKey,
}

pub fn run(context: &Context, command: WebhookCommand) -> Result<(), Failure> {
    let key = context.node_key()?;
    let own = Webhooks { context, key };
    let enabled = |enabled: bool| json!({ "enabled": enabled }).to_string();
    match command {
        WebhookCommand::Create {
            endpoint,
            event_types,
            idempotency,
        } => own.create(&endpoint, &event_types, idempotency),
        WebhookCommand::List => own.list(),
        WebhookCommand::Show(webhook) => own.show(&webhook.id),
        WebhookCommand::Delete(webhook) => {
            let answer = own.change("DELETE", &format!("/{}", webhook.id), random(), "")?;
            own.print(&answer, |_| format!("{} is deleted", webhook.id));
            Ok(())
        }
        WebhookCommand::Pause(webhook) => own.update(&webhook.id, &enabled(false)),
        WebhookCommand::Resume(webhook) => own.update(&webhook.id, &enabled(true)),
        WebhookCommand::Test(webhook) => {
            let answer = own.change("POST", &format!("/{}/test", webhook.id), random(), "")?;
            own.print(&answer, |view| {
                format!("{} will be sent", view.text("/delivery/id"))
            });
            Ok(())
        }
        WebhookCommand::Rotate {
            webhook,
            idempotency,
        } => {
            let path = format!("/{}/rotate", webhook.id);
            let answer = own.change("POST", &path, idempotency, "")?;
            own.print(&answer, webhook_text);
            Ok(())
        }
        WebhookCommand::Replay { webhook, from } => own.replay(&webhook.id, from),
    }
}

/// An idempotency key that nobody has to know.
fn random() -> Idempotency {
    Idempotency {
        idempotency_key: None,
    }
}

impl Webhooks<'_> {
    fn create(&self, url: &str, event_types: &[String], args: Idempotency) -> Result<(), Failure> {
        let mut body = json!({ "url": url });
        if !event_types.is_empty() {
            body["event_types"] = json!(event_types);
        }
        let answer = self.change("POST", "", args, &body.to_string())?;
        self.print(&answer, webhook_text);
        Ok(())
    }

    fn list(&self) -> Result<(), Failure> {
        let answer = self.get("")?;
        self.print(&answer, |view| {
            let rows: Vec<_> = view
                .list("/webhooks")
                .iter()
                .map(|webhook| {
                    ["/id", "/enabled", "/event_types", "/url"]
                        .map(|field| webhook.text(field))
                        .to_vec()
                })
                .collect();
            if rows.is_empty() {
                "no webhooks".to_owned()
            } else {
                table(&COLUMNS, &rows)
            }
        });
        Ok(())
    }

    fn show(&self, id: &str) -> Result<(), Failure> {
        let answer = self.get(&format!("/{id}"))?;
        self.print(&answer, webhook_text);
        let answer = self.get(&format!("/{id}/deliveries?limit={SHOWN_DELIVERIES}"))?;
        self.print(&answer, |view| {
            let rows: Vec<_> = view
                .list("/deliveries")
                .iter()
                .map(|delivery| {
                    ["/sequence", "/type", "/status", "/attempts", "/last_error"]
                        .map(|field| delivery.text(field))
                        .to_vec()
                })
                .collect();
            format!("\n{}", table(&DELIVERIES, &rows))
        });
        Ok(())
    }

    fn update(&self, id: &str, body: &str) -> Result<(), Failure> {
        let answer = self.change("PATCH", &format!("/{id}"), random(), body)?;
        self.print(&answer, webhook_text);
        Ok(())
    }

    fn replay(&self, id: &str, from: i64) -> Result<(), Failure> {
        let body = json!({ "from_sequence": from }).to_string();
        let answer = self.change("POST", &format!("/{id}/replay"), random(), &body)?;
        self.print(&answer, |view| {
            let more = view
                .number("/next_sequence")
                .map_or_else(String::new, |next| {
                    format!("; there is more: --from {next}")
                });
            format!("{} events will be told again{more}", view.text("/replayed"))
        });
        Ok(())
    }

    fn target(&self, path: &str) -> String {
        format!("/wallet/{}/webhooks{path}", self.key.node_id())
    }

    fn get(&self, path: &str) -> Result<Answer, Failure> {
        let client = self.context.client();
        client.get(&self.target(path), Some(&self.key))
    }

    fn change(
        &self,
        method: &str,
        path: &str,
        args: Idempotency,
        body: &str,
    ) -> Result<Answer, Failure> {
        let idempotency_key = idempotency_key(args)?;
        let request = Post {
            target: &self.target(path),
            key: &self.key,
            idempotency_key: &idempotency_key,
            body: &|_| body.to_owned(),
        };
        self.context
            .client()
            .change(method, &request)
            .map_err(|failure| repeatable(failure, &idempotency_key))
    }

    fn print(&self, answer: &Answer, text: impl FnOnce(&View) -> String) {
        let view = View::parse(&answer.body);
        self.context.output.answer(&answer.body, || text(&view));
    }
}

fn webhook_text(view: &View) -> String {
    let text = |field: &str| view.text(&format!("/webhook/{field}"));
    pairs(&[
        ("id", text("id")),
        ("url", text("url")),
        ("events", text("event_types")),
        ("enabled", text("enabled")),
        ("disabled for", text("disabled_reason")),
        ("failing since", text("failing_since")),
        ("public key", text("public_key")),
        ("previous key", text("previous_public_key")),
        ("signs until", text("previous_key_until")),
    ])
}
