//! `events`: what happened to the wallet, and what happens.

use crate::cli::Events;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::view::View;

/// Seconds that the service waits for an event before it answers.
const WAIT_SECONDS: u64 = 20;

pub fn run(context: &Context, args: &Events) -> Result<(), Failure> {
    let key = context.node_key()?;
    let client = context.client();
    // An answer must come before the client gives up waiting for it.
    let wait = match context.timeout.as_secs() {
        _ if !args.follow => 0,
        timeout => WAIT_SECONDS.min(timeout.saturating_sub(5)),
    };
    let mut after = u64::try_from(args.after).unwrap_or(0);
    loop {
        let path = format!("/wallet/{}/events", key.node_id());
        let target = format!("{path}?after={after}&wait={wait}&limit=100");
        let view = View::parse(&client.get(&target, Some(&key))?.body);
        let events = view.list("/events");
        for event in &events {
            output::print(&if context.output.json {
                event.to_json()
            } else {
                line(event)
            });
        }
        let next = view.number("/next_after").unwrap_or(after);
        if next == after && !args.follow {
            return Ok(());
        }
        after = next;
    }
}

fn line(event: &View) -> String {
    format!(
        "{:>6}  {}  {:<20}  {}",
        event.text("/data/sequence"),
        event.text("/timestamp"),
        event.text("/type"),
        event.text("/data")
    )
}
