//! `health`: how the service is.

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::pairs;
use crate::view::View;

pub fn run(context: &Context) -> Result<(), Failure> {
    let answer = context.client().get_any("/wallet/health", None)?;
    let view = View::parse(&answer.body);
    if view.string("/checks/chain/status").is_none() {
        return Err(answer.refusal());
    }
    context.output.answer(&answer.body, || text(&view));
    if answer.is_success() {
        Ok(())
    } else {
        let message = format!("the service is {}", view.text("/status"));
        Err(Failure::new(Exit::Refused, message))
    }
}

fn text(view: &View) -> String {
    let check = |name: &str| {
        let field = |field: &str| view.text(&format!("/checks/{name}/{field}"));
        let mut text = format!("{}, {} ms", field("status"), field("latency_ms"));
        for (field, before) in [(field("height"), "height "), (field("detail"), "")] {
            if field != "-" {
                text.push_str(&format!(", {before}{field}"));
            }
        }
        text
    };
    pairs(&[
        ("status", view.text("/status")),
        (
            "service",
            format!("{} {}", view.text("/service"), view.text("/version")),
        ),
        ("config", check("config")),
        ("database", check("database")),
        ("chain", check("chain")),
        ("ledger", check("ledger")),
    ])
}
