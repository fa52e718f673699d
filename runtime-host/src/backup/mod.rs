//! Backups: copies of the databases, made again and again while requests go on,
//! of which the newest are kept.

pub mod restore;

use std::fmt;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};
use tokio::task::JoinSet;

use crate::app::App;
use crate::cli;
use crate::config::interval;
use crate::config::variables::Variables;
use crate::fault::{Collector, Faults, Result};
use crate::manifest::{self, BackupSettings, Manifest};
use crate::observe::metrics;
use crate::server::shutdown::Shutdown;
use crate::sqlite::copy::{self, Check, CopyError, Source};
use crate::sqlite::{COMPANIONS, Database, FileDatabase, Location, Lock, LockError, beside};

/// Under the state directory, unless the manifest says.
const DIRECTORY: &str = "backups";
/// What `every_seconds` may be; at the least, since a file's name tells seconds.
const INTERVALS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);
/// When a backup that failed is tried again, unless it is due before.
const RETRY: Duration = Duration::from_secs(60);

/// Backups that are made again and again.
#[derive(Debug, Clone)]
pub struct Plan {
    every: Duration,
    store: Store,
}

impl Plan {
    /// What the manifest asks for, if it does.
    ///
    /// # Errors
    ///
    /// The interval is none.
    pub fn resolve(
        manifest: &Manifest,
        variables: &Variables,
        state_directory: &Path,
    ) -> Result<Option<Self>> {
        let Some(settings) = &manifest.host.backups else {
            return Ok(None);
        };
        let every = interval::resolve(&settings.every_seconds, variables, &INTERVALS).map_err(
            |faults| faults.prefixed("application.tool.runtime-host.backups.every_seconds: "),
        )?;
        Ok(every.map(|every| Self {
            every,
            store: Store::new(settings, state_directory),
        }))
    }
}

/// Where backups are, and how many.
#[derive(Debug, Clone)]
struct Store {
    directory: PathBuf,
    keep: usize,
}

/// A second, in UTC, as it stands in the name of a file: `20260102T030405Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(PrimitiveDateTime);

impl Stamp {
    /// This second.
    pub fn now() -> Self {
        let now = OffsetDateTime::now_utc().to_offset(UtcOffset::UTC);
        let (hour, minute, second) = now.time().as_hms();
        let time = Time::from_hms(hour, minute, second).unwrap_or(Time::MIDNIGHT);
        Self(PrimitiveDateTime::new(now.date(), time))
    }

    /// Reads what [`Display`](fmt::Display) writes, and nothing else.
    fn parse(text: &str) -> Option<Self> {
        let number = |range| -> Option<u16> {
            let digits: &str = text.get(range)?;
            let plain = digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        let small = |range| u8::try_from(number(range)?).ok();
        let month = Month::try_from(small(4..6)?).ok()?;
        let date = Date::from_calendar_date(number(0..4)?.into(), month, small(6..8)?).ok()?;
        let time = Time::from_hms(small(9..11)?, small(11..13)?, small(13..15)?).ok()?;
        let stamp = Self(PrimitiveDateTime::new(date, time));
        (stamp.to_string() == text).then_some(stamp)
    }

    /// How long ago it was; nothing if it is yet to come.
    fn age(self) -> Duration {
        (OffsetDateTime::now_utc() - self.0.assume_utc())
            .try_into()
            .unwrap_or_default()
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.date().to_calendar_date();
        let (hour, minute, second) = self.0.time().as_hms();
        let month = u8::from(month);
        write!(
            f,
            "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"
        )
    }
}

impl Store {
    fn new(settings: &BackupSettings, state_directory: &Path) -> Self {
        let directory = settings.directory.clone();
        Self {
            directory: directory.unwrap_or_else(|| state_directory.join(DIRECTORY)),
            keep: settings.keep,
        }
    }

    /// The backups of the database `name`, from the oldest to the newest.
    fn existing(&self, name: &str) -> std::io::Result<Vec<(Stamp, PathBuf)>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let file = entry.file_name();
            let stamp = file
                .to_str()
                .and_then(|file| {
                    file.strip_prefix(name)?
                        .strip_prefix('-')?
                        .strip_suffix(".db")
                })
                .and_then(Stamp::parse);
            if let Some(stamp) = stamp
                && entry.file_type()?.is_file()
            {
                found.push((stamp, entry.path()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Makes a backup of the database `name` in the file `database`, and then
    /// deletes the oldest of those that are too many.
    fn make(
        &self,
        name: &str,
        database: &Path,
        stop: &Arc<AtomicBool>,
    ) -> Result<PathBuf, CopyError> {
        let failed = |what: &str, e: &dyn fmt::Display| {
            CopyError::Failed(format!("{what} {}: {e}", self.directory.display()))
        };
        private_directory(&self.directory).map_err(|e| failed("cannot make", &e))?;
        let _lock = Lock::directory(&self.directory).map_err(|e| failed("", &e))?;
        // Of a process that was killed amid it; nobody else has the lock.
        let partial = self.directory.join(format!("{name}.partial"));
        remove(&partial);
        let stamp = Stamp::now();
        let path = self.directory.join(format!("{name}-{stamp}.db"));
        let copied =
            copy::copy(database, Source::Live, &partial, Check::Quick, stop).and_then(|()| {
                std::fs::rename(&partial, &path)
                    .and_then(|()| copy::sync_directory(&self.directory))
                    .map_err(|e| failed("cannot write to", &e))
            });
        if let Err(e) = copied {
            remove(&partial);
            return Err(e);
        }
        if let Err(e) = self.rotate(name, &path) {
            tracing::error!("cannot delete old backups of {name}: {e}");
        }
        Ok(path)
    }

    /// Deletes the oldest beyond those to keep, but never `newest`, whatever
    /// time the names of others tell.
    fn rotate(&self, name: &str, newest: &Path) -> std::io::Result<()> {
        let mut others = self.existing(name)?;
        others.retain(|(_, path)| path != newest);
        let surplus = (others.len() + 1).saturating_sub(self.keep);
        for (_, path) in others.iter().take(surplus) {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// Removes an unfinished copy and what SQLite keeps beside it.
pub fn remove(partial: &Path) {
    // They are most likely not there; what cannot be removed is told when the
    // file cannot be made.
    let _ = std::fs::remove_file(partial);
    for suffix in COMPANIONS {
        let _ = std::fs::remove_file(beside(partial, suffix));
    }
}

/// Makes `path`, for the owner only, unless it is there.
fn private_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes the backups of `app` until `shutdown`; one that has begun then is
/// abandoned.
pub async fn run(app: &App, shutdown: &Shutdown) {
    let Some(plan) = &app.backups else { return };
    if app.databases.is_empty() {
        tracing::warn!("backups are asked for, but no component may open a database");
    }
    let mut databases = JoinSet::new();
    for (name, database) in &app.databases {
        let Database::File(database) = database else {
            tracing::warn!(
                database = name,
                "it is with a server and is not backed up by this host; see the server's own means"
            );
            continue;
        };
        let (plan, shutdown) = (plan.clone(), shutdown.clone());
        let (name, database) = (name.clone(), Arc::clone(database));
        databases.spawn(async move { plan.repeat(&name, &database, &shutdown).await });
    }
    while let Some(ended) = databases.join_next().await {
        if let Err(e) = ended {
            tracing::error!("backups ended: {e}");
        }
    }
}

impl Plan {
    async fn repeat(&self, name: &str, database: &Arc<FileDatabase>, shutdown: &Shutdown) {
        let age = match self.store.existing(name) {
            Ok(existing) => existing.last().map(|(stamp, _)| stamp.age()),
            Err(e) => {
                tracing::error!("cannot read {}: {e}", self.store.directory.display());
                None
            }
        };
        let left = age.map_or(Duration::ZERO, |age| self.every.saturating_sub(age));
        tracing::info!(
            database = name,
            "a backup is made every {:?} in {}, the next in {} s",
            self.every,
            self.store.directory.display(),
            left.as_secs()
        );
        let mut next = Instant::now() + left;
        loop {
            tokio::select! {
                biased;
                () = shutdown.requested() => return,
                () = tokio::time::sleep_until(next.into()) => {}
            }
            let began = Instant::now();
            next = began + self.every;
            match self.once(name, database, shutdown).await {
                Ok(path) => {
                    metrics::backup(name, true);
                    tracing::info!(
                        database = name,
                        "backed up to {} in {:?}",
                        path.display(),
                        began.elapsed()
                    );
                }
                Err(CopyError::Stopped) => return,
                Err(CopyError::Failed(why)) => {
                    metrics::backup(name, false);
                    tracing::error!(database = name, "the backup failed: {why}");
                    next = began + self.every.min(RETRY);
                }
            }
        }
    }

    async fn once(
        &self,
        name: &str,
        database: &Arc<FileDatabase>,
        shutdown: &Shutdown,
    ) -> Result<PathBuf, CopyError> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut making = {
            let (store, name) = (self.store.clone(), name.to_owned());
            let (database, stop) = (Arc::clone(database), Arc::clone(&stop));
            tokio::task::spawn_blocking(move || store.make(&name, database.path(), &stop))
        };
        let made = tokio::select! {
            made = &mut making => made,
            () = shutdown.requested() => {
                stop.store(true, Ordering::Relaxed);
                making.await
            }
        };
        made.unwrap_or_else(|e| Err(CopyError::Failed(e.to_string())))
    }
}

/// `backup`: one backup of each database of an application, now.
///
/// # Errors
///
/// There is none to be made, or it cannot be made.
pub(crate) fn now(args: &cli::Backup) -> Result<()> {
    let manifest = manifest::load(&args.from.path)?;
    let places = args.state.places(&manifest)?;
    let settings = manifest.host.backups.clone().unwrap_or_default();
    let store = Store::new(&settings, &places.directory);
    let mut faults = Collector::default();
    let mut is_any = false;
    for (name, place) in &places.databases {
        let path = match place {
            Location::File(path) => path,
            Location::Server(server) => {
                faults.push(format!(
                    "{name} is with {server}, and is backed up by the server's own means"
                ));
                continue;
            }
        };
        if !path.is_file() {
            continue;
        }
        is_any = true;
        if let Some(path) = faults.keep(back_up(&store, name, path)) {
            let mut stdout = std::io::stdout().lock();
            // Nobody reads it: it is made all the same.
            let _ = writeln!(stdout, "Backed up {name} to {}", path.display());
        }
    }
    faults.finish()?;
    if is_any {
        return Ok(());
    }
    Err(Faults::one(format!(
        "there is no database in {}",
        places.directory.display()
    )))
}

fn back_up(store: &Store, name: &str, database: &Path) -> Result<PathBuf> {
    let failed = |e: &dyn fmt::Display| Faults::one(format!("the backup of {name} failed: {e}"));
    let _lock = Lock::shared(database).map_err(|e| match e {
        LockError::Held => failed(&"it is being restored"),
        LockError::Failed(e) => failed(&e),
    })?;
    let never = Arc::new(AtomicBool::new(false));
    store.make(name, database, &never).map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stamps_are_read_strictly() {
        let stamp = Stamp::parse("20260102T030405Z").unwrap();
        assert_eq!(stamp.to_string(), "20260102T030405Z");
        assert!(stamp < Stamp::parse("20260102T030406Z").unwrap());
        assert_eq!(
            Stamp::parse("99981231T235959Z").unwrap().age(),
            Duration::ZERO
        );
        let now = Stamp::now();
        assert_eq!(Stamp::parse(&now.to_string()), Some(now));
        assert!(now.age() < Duration::from_secs(10));
        for bad in [
            "",
            "20260102T030405",
            "20260102T030405Zx",
            "20260102t030405Z",
            "20261302T030405Z",
            "20260230T030405Z",
            "20260102T240000Z",
            "+0260102T030405Z",
            "2026ä102T03040Z",
        ] {
            assert_eq!(Stamp::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_oldest_files_of_the_pattern_go() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store {
            directory: directory.path().to_owned(),
            keep: 2,
        };
        let stay = [
            "default-20200101T000000.db",
            "default-20200101T000000Z.db-wal",
            "default-x.db",
            "defaults-20200101T000000Z.db",
            "other-20200101T000000Z.db",
            "default-99990101T000000Z.db",
            "default-20210103T000000Z.db",
        ];
        let go = ["default-20210101T000000Z.db", "default-20210102T000000Z.db"];
        for name in stay.iter().chain(&go) {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let newest = directory.path().join("default-20210103T000000Z.db");
        store.rotate("default", &newest).unwrap();
        for (names, there) in [(&stay[..], true), (&go[..], false)] {
            for name in names {
                assert_eq!(directory.path().join(name).exists(), there, "{name}");
            }
        }
        let missing = Store {
            directory: directory.path().join("missing"),
            keep: 1,
        };
        assert!(missing.existing("default").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*", digits in "[0-9TZ]{15,17}") {
            let _ = Stamp::parse(&text);
            let _ = Stamp::parse(&digits);
        }
    }
}
