//! `up`: serves an application until it is told to stop.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::app::{App, Settings};
use crate::cache::Cache;
use crate::cli::Up;
use crate::config_yaml::{self, ConfigFile};
use crate::dispatch;
use crate::fault::{Collector, Faults, Result};
use crate::manifest::{self, Manifest};
use crate::shutdown::{self, Signals};
use crate::variables::{Origin, Variables};
use crate::{backup, build, devnet, logging, schedule, server, startup};

/// Serves until SIGINT or SIGTERM, then answers what was begun.
///
/// # Errors
///
/// Whatever keeps the application from starting.
pub(crate) async fn up(args: Up) -> Result<()> {
    let manifest = Arc::new(manifest::load(&args.from.path)?);
    let config = match &args.config {
        Some(path) => config_yaml::load(path, &manifest.host.config)?,
        None => ConfigFile::default(),
    };
    logging::start(config.level, config.log_file.as_deref())?;
    let mut variables = variables(&args, &manifest, config.variables)?;
    if args.build {
        build::build(&manifest)?;
    }
    let mut signals = Signals::install()?;
    // Before the components are compiled: a port in use is told at once.
    let listener = listen(args.http_listen).await?;
    let address = listener
        .local_addr()
        .map_err(|e| Faults::one(format!("{}: {e}", args.http_listen)))?;
    let bounds = server::Bounds {
        body_bytes: args.limits.max_request_body,
        head_timeout: args.limits.head_timeout,
        body_timeout: args.limits.body_timeout,
    };
    let devnet = if args.devnet {
        let (devnet, access) = devnet::start(args.devnet_options.clone()).await?;
        access.set(&manifest.host.devnet_variables, &mut variables)?;
        Some((devnet, access))
    } else {
        None
    };
    variables.generate(&manifest.host.generated_variables)?;
    let loading = load(
        Arc::clone(&manifest),
        variables,
        settings(&args, &manifest)?,
    );
    let app = tokio::select! {
        app = loading => app?,
        () = signals.next() => return Ok(()),
    };
    app.client.set_own_address(address);
    print_addresses(&app, &manifest, address, args.quiet);
    if let Some((_, access)) = &devnet {
        access.print();
    }

    let (trigger, shutdown) = shutdown::shutdown();
    let mut serving = tokio::spawn(run(listener, Arc::new(app), bounds, shutdown));
    tokio::select! {
        ended = &mut serving => return ended.map_err(|e| Faults::one(format!("the server: {e}"))),
        () = signals.next() => {}
    }
    tracing::info!("stopping; requests that have begun are answered");
    trigger.request();
    tokio::select! {
        _ = serving => {}
        () = tokio::time::sleep(args.limits.shutdown_timeout) => {
            tracing::warn!(
                "requests were still unanswered after {:?}",
                args.limits.shutdown_timeout
            );
        }
        () = signals.next() => {
            tracing::warn!("stopping at once");
            return Ok(());
        }
    }
    if let Some((devnet, _)) = devnet {
        devnet.shutdown().await;
    }
    Ok(())
}

/// Everything that `app` does, until `shutdown`.
async fn run(
    listener: TcpListener,
    app: Arc<App>,
    bounds: server::Bounds,
    shutdown: shutdown::Shutdown,
) {
    tokio::join!(
        server::serve(listener, Arc::clone(&app), bounds, shutdown.clone()),
        schedule::run(Arc::clone(&app), shutdown.clone()),
        backup::run(&app, &shutdown),
    );
}

/// Puts the application together and lets it check its configuration.
async fn load(manifest: Arc<Manifest>, variables: Variables, settings: Settings) -> Result<App> {
    let startup_check = manifest.host.startup_check.clone();
    let loading = tokio::task::spawn_blocking(move || App::load(&manifest, &variables, settings));
    let (app, mut faults) = loading
        .await
        .map_err(|e| Faults::one(format!("loading failed: {e}")))??;
    if let Some(id) = startup_check {
        faults.keep(startup::check(&app, &id).await);
    }
    faults.finish_with(app)
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
        Some(Ok(cache)) => Some(cache),
        Some(Err(e)) if args.cache_dir.is_some() => {
            return Err(Faults::one(format!("--cache-dir: {e}")));
        }
        Some(Err(e)) => {
            tracing::warn!("compiled components are not kept: {e}");
            None
        }
    };
    let limits = &args.limits;
    Ok(Settings {
        state_directory: args.state.directory(manifest),
        cache,
        bounds: dispatch::Bounds {
            request_timeout: limits.request_timeout,
            queue_timeout: limits.queue_timeout,
            idle_timeout: limits.idle_instance_timeout,
            requests_per_instance: limits.max_instance_reuse_count,
            instances: limits.max_instances,
        },
        memory_bytes: limits.max_instance_memory.saturating_mul(1 << 20),
        log_output: !args.quiet,
    })
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        Faults::one(match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("{address} is already in use; choose another address with --listen")
            }
            _ => format!("cannot listen on {address}: {e}"),
        })
    })
}

/// Tells where the application is; scripts read the first line.
fn print_addresses(app: &App, manifest: &Manifest, address: SocketAddr, quiet: bool) {
    let mut text = format!("Serving http://{address}\n");
    if !quiet {
        text.push_str("Available routes:\n");
        for entry in app.routes.entries() {
            let route = if entry.based.is_empty() {
                "/"
            } else {
                &entry.based
            };
            text.push_str(&format!("  {}: http://{address}{route}\n", entry.component));
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
    let mut stdout = std::io::stdout().lock();
    // Nobody reads it: that is no reason not to serve.
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    drop(stdout);
    tracing::info!(
        application = manifest.application.name,
        "serving http://{address}"
    );
}
