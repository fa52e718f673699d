//! Hands requests to instances of a component.
//!
//! An instance answers one request at a time and is used again for the next. A
//! request that could not run yet, since others compute on its thread, is not
//! begun: it would only need an instance of its own. A request has a deadline,
//! which also holds for a guest that computes without ever giving way; an
//! instance that traps or overruns is thrown away, and the next request gets
//! another.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{
    ExpirationError, HandlerState, Instance, InstantiationError, Proxy, ProxyHandler, ShouldAccept,
    WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

use crate::bound::{self, Bound};
use crate::component::instance::{Grants, StoreData};
use crate::component::linked::Lazy;
use crate::observe::metrics::{self, Live, Stopped};
use crate::observe::trace::Span;
use crate::server::request_id::RequestId;
use crate::server::shards;
use crate::sqlite::Sessions;

/// How much later than a request's deadline it is answered at the latest, if
/// its instance does not tell of the deadline itself.
const DEADLINE_GRACE: Duration = Duration::from_millis(250);

/// Requests of a component on one thread that are begun and do not wait for
/// anything: the one that runs, and the next.
const TURNS: usize = 2;

/// How long a request waits for its turn at most. One that is running and has
/// it ends it long before, since guests give way; this is for what nobody thought
/// of.
const PATIENCE: Duration = Duration::from_millis(100);

/// What bounds the instances of one component.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From accepting a request to the head of its answer; from there to the
    /// end of its body; and for what the guest does after that.
    pub request_timeout: Duration,
    /// How long a request waits for an instance.
    pub queue_timeout: Duration,
    /// How long an instance without work is kept.
    pub idle_timeout: Duration,
    /// Requests which one instance answers.
    pub requests_per_instance: usize,
    /// Instances at once.
    pub instances: usize,
}

/// Why a component gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// All instances are busy.
    Busy,
    /// The deadline passed.
    Timeout,
    /// It trapped, or answered with an error instead of a response.
    Failed,
}

/// A component ready to answer requests.
pub struct Runner {
    /// One for each place of [`shards`], with instances that stay there.
    handlers: Vec<ProxyHandler<Factory>>,
    permits: Arc<Semaphore>,
    bounds: Bounds,
}

impl Runner {
    /// Runs `component` for so many threads that serve.
    pub fn new(component: Lazy, grants: Arc<Grants>, bounds: Bounds, threads: usize) -> Self {
        let component = Arc::new(component);
        let handlers = (0..shards::places(threads)).map(|_| {
            ProxyHandler::new(Factory {
                component: Arc::clone(&component),
                grants: Arc::clone(&grants),
                bounds,
                turn: Arc::new(Semaphore::new(TURNS)),
            })
        });
        Self {
            handlers: handlers.collect(),
            permits: Arc::new(Semaphore::new(bounds.instances)),
            bounds,
        }
    }

    /// The component's answer to `request`.
    ///
    /// # Errors
    ///
    /// See [`Failure`]; the cause is logged under `id`.
    pub async fn run(
        &self,
        id: RequestId,
        span: Option<Span>,
        request: Request<WasiBody>,
    ) -> Result<Response<WasiBody>, Failure> {
        let started = Instant::now();
        let timeout = self.bounds.request_timeout;
        let handler = self.handler();
        let component = &*handler.state().grants.component;
        let permit = self.permit(timeout).await.ok_or_else(|| {
            let why = format_args!("no instance became free within --queue-timeout");
            Bound::Instances.exceeded(component, why);
            Failure::Busy
        })?;
        let data = RequestNote {
            id,
            span,
            deadline: started + timeout,
            permit,
            turn: self.turn().await,
        };
        let left = timeout.saturating_sub(started.elapsed()) + DEADLINE_GRACE;
        let error = match tokio::time::timeout(left, handler.handle(data, request)).await {
            // A guest cannot switch the connection to another protocol.
            Ok(Ok(response)) if response.status().is_informational() => {
                let status = response.status();
                tracing::error!(component, %id, "the component answered with {status}");
                return Err(Failure::Failed);
            }
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => error,
            Err(_) => ExpirationError.into(),
        };
        if error.downcast_ref::<ExpirationError>().is_some() || started.elapsed() >= timeout {
            // As many as there are instances in that time, and each is asked for
            // by its id.
            let bound = Bound::RequestTimeout.flag();
            metrics::bound_hit(bound);
            tracing::warn!(component, %id, bound, "no answer within {timeout:?}; see {bound}");
            return Err(Failure::Timeout);
        }
        if let Some(error) = error.downcast_ref::<InstantiationError<RequestNote>>() {
            tracing::error!(component, %id, "cannot start an instance: {:#}", error.error);
            if error
                .error
                .downcast_ref::<wasmtime::PoolConcurrencyLimitError>()
                .is_some()
            {
                return Err(Failure::Busy);
            }
        } else if let Some(code) = error.downcast_ref::<ErrorCode>() {
            tracing::error!(component, %id, "the component answered with an error: {code:?}");
        } else {
            tracing::error!(component, %id, "the component gave no answer: {error:#}");
        }
        Err(Failure::Failed)
    }

    /// The calling thread's.
    fn handler(&self) -> &ProxyHandler<Factory> {
        &self.handlers[shards::place()]
    }

    async fn permit(&self, timeout: Duration) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        let _waiting = self.handler().state().grants.metrics.waits();
        let permit = Arc::clone(&self.permits).acquire_owned();
        tokio::time::timeout(timeout.min(self.bounds.queue_timeout), permit)
            .await
            .ok()?
            .ok()
    }

    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let Factory { turn, grants, .. } = self.handler().state();
        if let Ok(turn) = Arc::clone(turn).try_acquire_owned() {
            return Some(turn);
        }
        let _waiting = grants.metrics.waits();
        let turn = Arc::clone(turn).acquire_owned();
        tokio::time::timeout(PATIENCE, turn).await.ok()?.ok()
    }
}

/// Travels with a request to its instance.
#[derive(Debug)]
pub struct RequestNote {
    id: RequestId,
    span: Option<Span>,
    deadline: Instant,
    /// Kept by the instance until it is idle or gone: one that has answered and
    /// goes on counts as one, too.
    permit: OwnedSemaphorePermit,
    /// Kept until the instance waits for something, or is idle or gone.
    turn: Option<OwnedSemaphorePermit>,
}

/// Makes the instances of one component on one thread.
struct Factory {
    component: Arc<Lazy>,
    grants: Arc<Grants>,
    bounds: Bounds,
    /// Whose request is begun.
    turn: Arc<Semaphore>,
}

impl HandlerState for Factory {
    type StoreData = StoreData;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<StoreData, Expiration, Worker>> {
        let begun = Instant::now();
        let linked = self.component.get().map_err(|e| {
            self.grants.metrics.start_failed();
            wasmtime::Error::from_anyhow(e)
        })?;
        let data = StoreData::new(Arc::clone(&self.grants));
        let idle = IdleSessions {
            sessions: Arc::clone(&data.sessions),
            component: Arc::clone(&self.grants.component),
        };
        let mut store = Store::new(linked.engine(), data);
        StoreData::bound(&mut store);
        let service = linked.instantiate_async(&mut store).await;
        let service = service.inspect_err(|_| self.grants.metrics.start_failed())?;
        let note = Arc::new(WorkerNote::default());
        Ok(Instance {
            store,
            proxy: Proxy::P3(service),
            view: StoreData::http,
            expiration: Expiration {
                bounds: self.bounds,
                sleep: Box::pin(tokio::time::sleep(self.bounds.idle_timeout)),
                note: Arc::clone(&note),
                idle,
                idle_since: None,
            },
            state: Worker {
                component: Arc::clone(&self.grants.component),
                requests: self.bounds.requests_per_instance,
                answered: AtomicUsize::new(0),
                live: self.grants.metrics.started(begun),
                note,
            },
        })
    }
}

/// What is known of an instance at work.
#[derive(Debug, Default)]
struct WorkerNote {
    request: Mutex<Option<Current>>,
    overrun: AtomicBool,
}

/// The request that an instance has, or had last.
#[derive(Debug)]
struct Current {
    id: RequestId,
    deadline: Instant,
    permit: Option<OwnedSemaphorePermit>,
    turn: Option<OwnedSemaphorePermit>,
}

impl WorkerNote {
    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self) -> Option<RequestId> {
        self.current().as_ref().map(|current| current.id)
    }

    /// It waits for something, and others may begin; gives its deadline.
    fn gives_way(&self) -> Option<Instant> {
        let mut current = self.current();
        let current = current.as_mut()?;
        current.turn = None;
        Some(current.deadline)
    }

    /// Notes another request; gives its span.
    fn begin(&self, request: RequestNote) -> Option<Span> {
        *self.current() = Some(Current {
            id: request.id,
            deadline: request.deadline,
            permit: Some(request.permit),
            turn: request.turn,
        });
        request.span
    }

    /// Nothing of the request is left to do.
    fn end(&self) {
        if let Some(current) = &mut *self.current() {
            current.permit = None;
        }
    }
}

/// Decides which requests an instance takes.
struct Worker {
    component: Arc<str>,
    requests: usize,
    answered: AtomicUsize,
    live: Live,
    note: Arc<WorkerNote>,
}

impl WorkerState for Worker {
    type StoreData = StoreData;
    type RequestData = RequestNote;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.requests {
            ShouldAccept::Never
        } else if concurrent > 0 {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, StoreData>,
        request: RequestNote,
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        let deadline = request.deadline;
        let span = self.note.begin(request);
        store.data_mut().begin_request(span);
        self.answered.fetch_add(1, Ordering::Relaxed);
        let note = Arc::clone(&self.note);
        Box::pin(async move {
            tokio::time::sleep_until(deadline.into()).await;
            note.overrun.store(true, Ordering::Relaxed);
        })
    }

    fn drop(&self, store: Store<StoreData>, result: wasmtime::Result<()>) {
        let result = match result {
            Err(error) if is_abandoned(&error) => Ok(()),
            result => result,
        };
        self.live.stopped(match &result {
            Ok(()) if self.answered.load(Ordering::Relaxed) >= self.requests => Stopped::Used,
            Ok(()) => Stopped::Idle,
            Err(error) if took_too_long(error) => Stopped::Deadline,
            Err(_) => Stopped::Trap,
        });
        if let Err(error) = result {
            let component = &*self.component;
            tell(component, &error);
            match self.note.id() {
                Some(id) => {
                    tracing::error!(component, %id, "the instance was stopped: {error:?}");
                }
                None => tracing::error!(component, "the instance was stopped: {error:?}"),
            }
        }
        store.data().sessions.cancel();
        drop(store);
    }
}

/// The process ends. wasmtime takes whatever drops an instance for a panic, and
/// has no type for it.
fn is_abandoned(error: &wasmtime::Error) -> bool {
    const DROPPED: &str = "worker panicked";
    !std::thread::panicking() && error.to_string() == DROPPED
}

/// wasmtime has no type for this.
fn took_too_long(error: &wasmtime::Error) -> bool {
    const TIME: &str = "guest timed out";
    format!("{error:#}") == TIME
}

/// Tells of the bound for which an instance was stopped, if it was.
fn tell(component: &str, error: &wasmtime::Error) {
    // wasmtime has no types for these.
    const RESOURCES: [&str; 2] = [
        "resource table has no free keys",
        "store handle limit exceeded",
    ];
    const CALL: &str = "fuel allocated for hostcalls has been exhausted";
    let text = format!("{error:#}");
    if RESOURCES.iter().any(|reason| text.contains(reason)) {
        let what = format_args!("an instance wanted more resources than it may hold");
        Bound::InstanceResources.exceeded(component, what);
    }
    if took_too_long(error) {
        let what = format_args!("an instance took too long and was stopped");
        Bound::RequestTimeout.exceeded(component, what);
    }
    if text.contains(CALL) {
        let what = format_args!("an instance handed over too much at once");
        Bound::HostCall.exceeded(component, what);
    }
}

/// Decides when an instance is stopped, whatever it is doing.
struct Expiration {
    bounds: Bounds,
    sleep: Pin<Box<Sleep>>,
    note: Arc<WorkerNote>,
    idle: IdleSessions,
    idle_since: Option<Instant>,
}

/// The connections of an instance that has no request.
struct IdleSessions {
    sessions: Arc<Sessions>,
    component: Arc<str>,
}

impl IdleSessions {
    fn end_request(&self) {
        if self.sessions.end_request() {
            let what = format_args!("a request ended amid a transaction, which is undone");
            bound::denied("transaction", &self.component, what);
        }
    }
}

impl WorkerExpiration for Expiration {
    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        let this = self.get_mut();
        let given = this.note.gives_way();
        let deadline = match status {
            WorkerStatus::Idle => {
                if this.idle_since.replace(start) != Some(start) {
                    this.idle.end_request();
                    this.note.end();
                }
                start + this.bounds.idle_timeout
            }
            WorkerStatus::Requests => given.unwrap_or(start + this.bounds.request_timeout),
            WorkerStatus::PostReturn => {
                if this.note.overrun.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                start + this.bounds.request_timeout
            }
        };
        let deadline = deadline.into();
        if this.sleep.deadline() != deadline {
            this.sleep.as_mut().reset(deadline);
        }
        this.sleep.as_mut().poll(cx)
    }
}
