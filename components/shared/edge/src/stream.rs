//! A wallet's events as they happen: an answer that goes on (Server-Sent Events), or one that waits.

use crate::database::SpinDatabase;
use crate::serve::{answered, handled, refused};
use crate::{Answer, Call, Context, Failure};
use bytes::Bytes;
use duxnet_api::webhooks::{Events, EventsQuery};
use duxnet_registry::outbox::payload;
use duxnet_store::{Store, StoreError, StoredEvent, Wallet};
use duxnet_wallet::Clock as _;
use futures::Stream;
use futures::stream::unfold;
use http_body_util::{Either, StreamBody};
use serde_json::value::RawValue;
use spin_sdk::http::{FullBody, HeaderValue, Request, Response};
use spin_sdk::time::sleep;
use std::convert::Infallible;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// How long a stream lives, below the host's deadline of 30 s; then the client comes again.
const STREAM_FOR: Duration = Duration::from_secs(20);
/// Between two looks into the database.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// Silence after which a comment is sent, which shows that the client is still there.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Most events that one look takes out.
const MAX_EVENTS_PER_LOOK: u32 = 100;
/// How long a client is to wait before it comes again, and a first line that opens the stream.
const OPENING: &str = "retry: 1000\n\n";
const COMMENT: &str = ": still here\n\n";

type Frame = Result<http_body::Frame<Bytes>, Infallible>;
type Frames = Pin<Box<dyn Stream<Item = Frame>>>;

/// An answer of either kind.
pub enum Reply {
    /// Whole.
    Whole(Answer),
    /// Server-Sent Events.
    Events(Frames),
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reply::Whole(_) => "Whole",
            Reply::Events(_) => "Events",
        })
    }
}

/// The body of either kind.
pub type Body = Either<FullBody<Bytes>, StreamBody<Frames>>;

/// As [`crate::serve`], for an endpoint whose answer may go on.
pub async fn serve(
    request: Request,
    handle: impl AsyncFnOnce(&Call) -> Result<Reply, Failure>,
) -> Response<Body> {
    let as_problem = Call::wants_problem_json(request.headers());
    match handled(request, handle).await {
        Ok(Reply::Whole(answer)) => answered(answer).map(Either::Left),
        Ok(Reply::Events(frames)) => {
            let mut response = Response::new(Either::Right(StreamBody::new(frames)));
            for (name, value) in [
                ("content-type", "text/event-stream"),
                ("cache-control", "no-store"),
                // A proxy that collects the answer first would make a stream useless.
                ("x-accel-buffering", "no"),
            ] {
                response
                    .headers_mut()
                    .insert(name, HeaderValue::from_static(value));
            }
            response
        }
        Err(failure) => refused(failure, as_problem).map(Either::Left),
    }
}

/// Whether the client wants a stream.
#[must_use]
pub fn is_wanted(call: &Call) -> bool {
    call.header("accept")
        .is_some_and(|accept| accept.contains("text/event-stream"))
}

/// One answer, as soon as there is something, or with nothing when the time has come.
///
/// # Errors
/// The database's.
pub async fn wait(
    context: &Context,
    wallet: &Wallet,
    query: &EventsQuery,
) -> Result<Reply, StoreError> {
    let store = &context.store;
    let until = Instant::now() + Duration::from_secs(query.wait_seconds.into());
    let mut reader = None;
    let events = loop {
        let found = store
            .told_events_after(wallet.id, query.after, query.limit)
            .await?;
        if !found.is_empty() || Instant::now() + LOOK_PAUSE > until {
            break found;
        }
        match reader {
            None => reader = Some(store.begin_reading(wallet.id, context.clock.now()).await?),
            Some(reader) if !store.may_read(reader).await? => break found,
            Some(_) => {}
        }
        sleep(LOOK_PAUSE).await;
    };
    if let Some(reader) = reader {
        store.end_reading(reader).await?;
    }
    let last = events.last().map_or(query.after, |event| event.sequence);
    Ok(Reply::Whole(Answer::ok(&Events {
        success: true,
        node_id: wallet.node_id.to_string(),
        events: events
            .iter()
            .filter_map(|event| RawValue::from_string(text(event)?).ok())
            .collect(),
        next_after: last,
    })))
}

/// A stream from `after` on.
///
/// # Errors
/// The database's.
pub async fn events(context: Context, wallet: &Wallet, after: i64) -> Result<Reply, StoreError> {
    let begun = Instant::now();
    let at = context.clock.now();
    let state = Looking {
        reader: context.store.begin_reading(wallet.id, at).await?,
        store: context.store,
        wallet_id: wallet.id,
        after,
        begun,
        spoke: begun,
        is_open: false,
    };
    let frames = unfold(state, |mut state| async {
        let text = state.next().await?;
        Some((Ok(http_body::Frame::data(Bytes::from(text))), state))
    });
    Ok(Reply::Events(Box::pin(frames)))
}

struct Looking {
    reader: i64,
    store: Store<SpinDatabase>,
    wallet_id: i64,
    after: i64,
    begun: Instant,
    spoke: Instant,
    is_open: bool,
}

impl Looking {
    /// What is to be sent next; none at the stream's end, which is also a database's failure: the
    /// client comes again and hears of it then.
    async fn next(&mut self) -> Option<String> {
        let next = self.look().await;
        next.inspect_err(|e| eprintln!("a stream of events ends: {e}"))
            .ok()
            .flatten()
    }

    async fn look(&mut self) -> Result<Option<String>, StoreError> {
        if !std::mem::replace(&mut self.is_open, true) {
            return Ok(Some(OPENING.to_owned()));
        }
        while self.begun.elapsed() < STREAM_FOR && self.store.may_read(self.reader).await? {
            let found = self
                .store
                .told_events_after(self.wallet_id, self.after, MAX_EVENTS_PER_LOOK)
                .await?;
            if let Some(last) = found.last() {
                self.after = last.sequence;
                self.spoke = Instant::now();
                let lines = found.iter().filter_map(line);
                return Ok(Some(lines.collect()));
            }
            if self.spoke.elapsed() >= HEARTBEAT {
                self.spoke = Instant::now();
                return Ok(Some(COMMENT.to_owned()));
            }
            sleep(LOOK_PAUSE).await;
        }
        self.store.end_reading(self.reader).await?;
        Ok(None)
    }
}

fn line(event: &StoredEvent) -> Option<String> {
    let data = text(event)?;
    Some(format!(
        "id: {}\nevent: {}\ndata: {data}\n\n",
        event.sequence, event.kind
    ))
}

/// An event as webhooks have it. JSON of the database has no line breaks, nor has ours.
fn text(event: &StoredEvent) -> Option<String> {
    payload(&event.kind, event.at, &event.data)
}
