//! `up`: serves an application until it is told to stop.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::app::{App, Settings};
use crate::backup;
use crate::cli::limits::Limits;
use crate::cli::{self, Up, build, devnet};
use crate::component::cache::Cache;
use crate::config::variables::{Origin, Variables};
use crate::config::yaml::{self, ConfigFile};
use crate::fault::{Collector, Faults, Result};
use crate::key_value::Store;
use crate::manifest::{self, Manifest};
use crate::observe::{logging, metrics, trace};
use crate::reachable::Reachable;
use crate::schedule;
use crate::server;
use crate::server::handover::{Offer, Predecessor};
#[cfg(unix)]
use crate::server::open_files;
use crate::server::shards::Shards;
use crate::server::shutdown::{self, Phase, Signals, Trigger};
use crate::server::tls::{self, Tls};
use crate::server::watch::Observer;
use crate::sqlite::Database;
use crate::startup;

/// How long the connections of a process that another one has taken over from
/// may bring one more request, if nothing else says more.
const HANDOVER_DELAY: Duration = Duration::from_secs(5);

/// How long closing databases may take at the end. What is left of it the next
/// start does.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until SIGINT or SIGTERM, or until another process serves in its
/// place, then answers what was begun.
///
/// # Errors
///
/// Whatever keeps the application from starting.
pub(crate) async fn up(args: Up) -> Result<()> {
    let manifest = Arc::new(manifest::load(&args.from.path)?);
    let config = match &args.config {
        Some(path) => yaml::load(path, &manifest.host.config)?,
        None => ConfigFile::default(),
    };
    let observe = &args.observe;
    let log_file = config.log_file.as_deref();
    logging::start(
        config.level,
        log_file,
        observe.log_format,
        observe.rotation(),
    )?;
    tokio::spawn(logging::reopening()?);
    trace::start(args.limits.outbound())?;
    let access_log = observe.access_log()?;
    #[cfg(unix)]
    open_files::allow(args.limits.open_files(manifest.components.len()));
    let mut variables = variables(&args, &manifest, config.variables)?;
    let tls = tls(&args.tls, &manifest)?;
    if args.build {
        build::build(&manifest)?;
    }
    let mut signals = Signals::install()?;
    // Before the components are compiled: a port in use is told at once.
    let (listener, predecessor) = listen(&args).await?;
    let address = listener
        .local_addr()
        .map_err(|e| Faults::one(format!("{}: {e}", args.http_listen)))?;
    let metrics =
        metrics::Listener::bind(observe.metrics_listen, address, predecessor.is_some()).await?;
    let devnet = if args.devnet {
        let (devnet, access) = devnet::start(args.devnet_options.clone()).await?;
        access.set(&manifest.host.devnet_variables, &mut variables)?;
        Some((devnet, access))
    } else {
        None
    };
    variables.generate(&manifest.host.generated_variables)?;
    let settings = settings(&args, &manifest)?;
    let cache = settings.cache.clone();
    let loading = load(Arc::clone(&manifest), variables, settings);
    let app = tokio::select! {
        app = loading => app?,
        () = signals.next() => return Ok(()),
    };
    app.client.set_own_address(address);

    let (trigger, shutdown) = shutdown::shutdown();
    let site = server::Site {
        observer: Observer::new(&app.routes, access_log),
        app: Arc::new(app),
        bounds: args.limits.clients(),
        tls: tls.as_ref().map(Tls::acceptor),
        shutdown: shutdown.clone(),
        shards: Shards::start(args.limits.threads())?,
    };
    let renewing = match tls {
        Some(tls) => Some(tls.renewing(args.tls.tls_reload_interval, shutdown.clone())?),
        None => None,
    };
    let offer = match &args.handover {
        Some(path) => Some(Offer::at(path, &listener)?),
        None => None,
    };
    print_addresses(&site, &manifest, address, metrics.address(), args.quiet);
    tokio::spawn(async move { metrics.serve(&shutdown).await });
    if let Some((_, access)) = &devnet {
        access.print();
    }
    let app = Arc::clone(&site.app);
    let mut serving = tokio::spawn(run(listener, site, renewing));
    if let Some(cache) = cache {
        tokio::task::spawn_blocking(move || cache.tidy());
    }
    if let Some(predecessor) = predecessor {
        predecessor.relieve().await;
    }

    let taken = async {
        match &offer {
            Some(offer) => offer.taken().await,
            None => std::future::pending().await,
        }
    };
    let handed_over = tokio::select! {
        ended = &mut serving => return ended.map_err(|e| Faults::one(format!("the server: {e}"))),
        () = signals.next() => false,
        () = taken => true,
    };
    if !handed_over && let Some(offer) = offer {
        offer.withdraw();
    }
    let delay = leave(&trigger, &args.limits, handed_over);
    tracing::info!("stopping; requests that have begun are answered");
    let finishing = async {
        tokio::select! {
            _ = serving => {}
            () = end(&trigger, &args.limits, delay) => {
                tracing::warn!(
                    "requests were still unanswered after {:?}",
                    args.limits.clients.shutdown_timeout
                );
            }
        }
        close_files(app).await;
    };
    tokio::select! {
        () = finishing => {}
        () = signals.next() => {
            tracing::warn!("stopping at once");
            return Ok(());
        }
    }
    if let Some((devnet, _)) = devnet {
        devnet.shutdown().await;
    }
    trace::finish().await;
    Ok(())
}

/// Begins to leave, and tells for how long.
fn leave(trigger: &Trigger, limits: &Limits, handed_over: bool) -> Duration {
    if handed_over {
        trigger.enter(Phase::Left);
        limits.clients.shutdown_delay.max(HANDOVER_DELAY)
    } else {
        trigger.enter(Phase::Leaving);
        limits.clients.shutdown_delay
    }
}

/// Brings everything to its end after `delay`, and is ready when that has no
/// more time.
async fn end(trigger: &Trigger, limits: &Limits, delay: Duration) {
    tokio::time::sleep(delay).await;
    trigger.enter(Phase::Closing);
    tokio::time::sleep(limits.clients.shutdown_timeout).await;
}

async fn close_files(app: Arc<App>) {
    let closing = tokio::task::spawn_blocking(move || app.close_files());
    let closed = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    if !matches!(closed, Ok(Ok(()))) {
        tracing::warn!("the databases are not closed; their write-ahead logs stay");
    }
}

/// Everything that `site` does, until its shutdown.
async fn run(
    listener: TcpListener,
    site: server::Site,
    renewing: Option<impl Future<Output = ()>>,
) {
    let site = Arc::new(site);
    tokio::join!(
        server::serve(listener, Arc::clone(&site)),
        schedule::run(Arc::clone(&site.app), site.shutdown.clone()),
        backup::run(&site.app, &site.shutdown),
        async {
            if let Some(renewing) = renewing {
                renewing.await;
            }
        },
    );
}

fn tls(args: &cli::Tls, manifest: &Manifest) -> Result<Option<Tls>> {
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificates), Some(key)) => Tls::load(tls::Files {
            certificates: certificates.clone(),
            key: key.clone(),
        })
        .map(Some),
        // One alone is refused by the command line.
        _ => return Ok(None),
    };
    for (id, component) in &manifest.components {
        let hosts = &component.allowed_outbound_hosts;
        if hosts.iter().any(|host| host.ends_with("://self")) {
            tracing::warn!(
                "component.{id} may ask http://self, but will not be answered: \
                 the application is served over TLS only"
            );
        }
    }
    tls
}

/// Puts the application together and lets it check its configuration.
async fn load(manifest: Arc<Manifest>, variables: Variables, settings: Settings) -> Result<App> {
    let startup_check = manifest.host.startup_check.clone();
    let loading = tokio::task::spawn_blocking(move || App::load(&manifest, &variables, settings));
    let (app, mut faults) = loading
        .await
        .map_err(|e| Faults::one(format!("loading failed: {e}")))??;
    for (name, database) in &app.databases {
        if let Database::Server(server) = database {
            let place = format!("sqlite_database.{name}");
            faults.keep(reachable(&place, server.reachable().await));
        }
    }
    for (label, store) in &app.stores {
        if let Store::Redis(server) = store {
            let place = format!("key_value_store.{label}");
            faults.keep(reachable(&place, server.reachable().await));
        }
    }
    if let Some(id) = startup_check {
        faults.keep(startup::check(&app, &id).await);
    }
    faults.finish_with(app)
}

/// What it means that the server which holds `place` answered so. One that is
/// away may come: until then, components are told.
fn reachable(place: &str, reachable: Reachable) -> Result<()> {
    match reachable {
        Reachable::Yes => Ok(()),
        Reachable::NotNow(why) => {
            tracing::warn!("{place}: {why}");
            Ok(())
        }
        Reachable::Never(why) => Err(Faults::one(format!("{place}: {why}"))),
    }
}

fn variables(
    args: &Up,
    manifest: &Manifest,
    from_config: Vec<(String, String)>,
) -> Result<Variables> {
    let mut faults = Collector::default();
    let mut variables = Variables::new(manifest.variables.clone());
    for argument in &args.variables {
        for (name, value) in faults.keep(argument.values()).unwrap_or_default() {
            let set = variables.set(Origin::CommandLine, &name, value);
            faults.keep(set.map_err(|f| f.prefixed("--variable: ")));
        }
    }
    faults.keep(variables.read_environment(|key| std::env::var(key)));
    for (name, value) in from_config {
        faults.keep(variables.set(Origin::ConfigFile, &name, value));
    }
    faults.finish_with(variables)
}

fn settings(args: &Up, manifest: &Manifest) -> Result<Settings> {
    let directory = match (&args.cache_dir, args.no_cache) {
        (_, true) => None,
        (Some(directory), false) => Some(directory.clone()),
        (None, false) => Cache::default_directory(),
    };
    let cache = match directory.as_deref().map(Cache::open) {
        None => None,
        Some(Ok(cache)) => Some(Arc::new(cache)),
        Some(Err(e)) if args.cache_dir.is_some() => {
            return Err(Faults::one(format!("--cache-dir: {e}")));
        }
        Some(Err(e)) => {
            tracing::warn!("compiled components are not kept: {e}");
            None
        }
    };
    let limits = &args.limits;
    let places = args.state.places(manifest)?;
    let outputs = args
        .observe
        .outputs(manifest, places.directory.clone(), args.quiet)?;
    Ok(Settings {
        state_directory: places.directory,
        databases: places.databases,
        stores: places.stores,
        cache,
        bounds: limits.dispatch(),
        instance: limits.instance(),
        outbound: limits.outbound(),
        sqlite: limits.sqlite(),
        key_value: limits.key_value(),
        threads: limits.threads(),
        outputs,
    })
}

/// The socket to serve on: another process's, which is told of later, or a new
/// one.
async fn listen(args: &Up) -> Result<(TcpListener, Option<Predecessor>)> {
    let address = args.http_listen;
    if let Some(path) = &args.handover
        && let Some((listener, predecessor)) = Predecessor::find(path, address).await?
    {
        return Ok((listener, Some(predecessor)));
    }
    let listener = TcpListener::bind(address).await.map_err(|e| {
        Faults::one(match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("{address} is already in use; choose another address with --listen")
            }
            _ => format!("cannot listen on {address}: {e}"),
        })
    })?;
    Ok((listener, None))
}

/// Tells where the application is; scripts read the first line.
fn print_addresses(
    site: &server::Site,
    manifest: &Manifest,
    address: SocketAddr,
    metrics: Option<SocketAddr>,
    quiet: bool,
) {
    let scheme = site.scheme();
    let mut text = format!("Serving {scheme}://{address}\n");
    if !quiet {
        text.push_str("Available routes:\n");
        for entry in site.app.routes.entries() {
            let route = if entry.based.is_empty() {
                "/"
            } else {
                &entry.based
            };
            text.push_str(&format!(
                "  {}: {scheme}://{address}{route}\n",
                entry.component
            ));
            let description = manifest
                .components
                .get(&entry.component)
                .map(|component| component.description.as_str())
                .unwrap_or_default();
            if !description.is_empty() {
                text.push_str(&format!("    {description}\n"));
            }
        }
    }
    if let Some(metrics) = metrics {
        tracing::info!("metrics at http://{metrics}/metrics");
        if !quiet {
            text.push_str(&format!("Metrics at http://{metrics}/metrics\n"));
        }
    }
    let mut stdout = std::io::stdout().lock();
    // Nobody reads it: that is no reason not to serve.
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    drop(stdout);
    tracing::info!(
        application = manifest.application.name,
        "serving {scheme}://{address}"
    );
}
