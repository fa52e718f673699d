//! `GET /wallet/health`: what the service stands on, looked at now.

use crate::clock::SystemClock;
use crate::database::SpinDatabase;
use crate::{Answer, chain, settings};
use duxnet_api::response::{Check, Checks, Health};
use duxnet_store::{Store, StoreError};
use duxnet_wallet::Clock as _;
use futures::future::{Either, select};
use std::pin::pin;
use std::time::{Duration, Instant};

/// How long one check may take: a health answer that comes late is none.
const CHECK_DEADLINE: Duration = Duration::from_secs(3);

/// Older than that, the ledger is not followed by anyone.
const LEDGER_MAX_AGE_SECONDS: i64 = 120;

/// After so many intervals without the end of a round the watchdog is blind.
const WATCHDOG_ROUNDS: i64 = 10;

type Found = Result<Option<u32>, &'static str>;

async fn check(work: impl Future<Output = Found>) -> Check {
    let start = Instant::now();
    let found = match select(pin!(work), pin!(spin_sdk::time::sleep(CHECK_DEADLINE))).await {
        Either::Left((found, _)) => found,
        Either::Right(((), _)) => Err("no answer within 3 s"),
    };
    let latency_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    match found {
        Ok(height) => Check {
            status: "ok",
            latency_ms,
            detail: None,
            height,
        },
        Err(detail) => Check {
            status: "failed",
            latency_ms,
            detail: Some(detail),
            height: None,
        },
    }
}

async fn config() -> Found {
    settings::load().await.map(|_| None).map_err(|faults| {
        for fault in faults {
            eprintln!("setting at fault: {fault}");
        }
        "settings are at fault, see the log"
    })
}

async fn database() -> Found {
    let result = async { Store::new(SpinDatabase::open().await?).ping().await }.await;
    result.map(|()| None).map_err(|error| {
        eprintln!("database check: {error}");
        match error {
            StoreError::SchemaTooNew { .. } => {
                "the schema belongs to a newer version of the service"
            }
            StoreError::Database(_)
            | StoreError::Corrupt { .. }
            | StoreError::Replayed
            | StoreError::PoolEmpty
            | StoreError::NodeDeregistered
            | StoreError::TooManyCapabilities => "not usable, see the log",
        }
    })
}

async fn chain_node() -> Found {
    let (network, height) = chain::tip().await.map_err(|error| {
        eprintln!("chain check: {error}");
        "not usable, see the log"
    })?;
    match settings::load().await {
        Ok(settings) if settings.policy.network != network => {
            Err("the chain node is on another network")
        }
        _ => Ok(Some(height)),
    }
}

/// Whether background work keeps the ledger level with the chain, and both agree.
async fn ledger() -> Found {
    let state = async {
        let store = Store::new(SpinDatabase::open().await?);
        store.chain_state().await
    };
    let state = state.await.map_err(|error| {
        eprintln!("ledger check: {error}");
        "not readable, see the log"
    })?;
    let now = SystemClock.now().unix_seconds();
    let age = state.synced_at.map(|at| now - at.unix_seconds());
    if state.sends_stopped_at.is_some() {
        return Err("payments are stopped: ledger and chain node disagree");
    }
    if state.watchdog_drift.is_some_and(|drift| !drift.is_zero()) {
        return Err("ledger and chain node disagree");
    }
    let interval = match settings::load().await {
        Ok(settings) => i64::from(settings.watchdog_interval),
        Err(_) => 0,
    };
    let watched = state.watchdog_at.map(|at| now - at.unix_seconds());
    if interval > 0
        && watched.is_some_and(|age| age > WATCHDOG_ROUNDS * interval + LEDGER_MAX_AGE_SECONDS)
    {
        return Err("the watchdog has not ended a round for long, see the log");
    }
    match age {
        None => Err("has not seen the chain yet"),
        Some(age) if age > LEDGER_MAX_AGE_SECONDS => {
            Err("has not followed the chain for more than two minutes")
        }
        Some(_) => Ok(state.block.map(|block| block.height)),
    }
}

/// Looks at everything; 503 when anything fails.
pub async fn report() -> Answer {
    let (config, database, chain, ledger) = futures::future::join4(
        check(config()),
        check(database()),
        check(chain_node()),
        check(ledger()),
    )
    .await;
    let all_ok = [&config, &database, &chain, &ledger]
        .iter()
        .all(|check| check.status == "ok");
    let health = Health {
        status: if all_ok { "ok" } else { "degraded" },
        service: "wallet",
        version: env!("CARGO_PKG_VERSION"),
        checks: Checks {
            config,
            database,
            chain,
            ledger,
        },
    };
    Answer::status(if all_ok { 200 } else { 503 }, &health)
}
