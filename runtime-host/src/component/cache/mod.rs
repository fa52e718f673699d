//! Compiled components, kept between runs.
//!
//! A file is named by a hash of the wasmtime build and its settings, of this
//! program, and of everything the component is composed from, so that nothing
//! else than the same code for the same engine is ever found, and found without
//! composing it anew. Native code is run without being checked again; that is
//! why the directory must be the user's own, closed to others, and why each file
//! carries a checksum, which is looked at by the first start that finds it and
//! after each change.

mod known;
mod old;

use std::collections::BTreeSet;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use known::Known;

/// The file of what is known of other files.
const KNOWN: &str = "known.json";
/// Bytes of the checksum at the end of each file.
const CHECKSUM_BYTES: usize = 4;
/// Bytes that are read at once to be summed, few enough to stay in the cache of
/// the processor.
const CHUNK_BYTES: usize = 64 << 10;

/// Where compiled components are kept.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
    known: Known,
    /// The files of this start.
    used: Mutex<BTreeSet<PathBuf>>,
}

impl Cache {
    /// Uses `directory`, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// It cannot be made, or others than the user could write to it.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory)?;
        // A link to it may be anybody's: systemd's CacheDirectory is one.
        let directory = &directory.canonicalize()?;
        check_private(directory)?;
        let known = directory.join(KNOWN);
        let known = check_private(&known).and_then(|()| std::fs::read(&known));
        let known = known.unwrap_or_default();
        Ok(Self {
            directory: directory.to_owned(),
            known: Known::new(&known),
            used: Mutex::default(),
        })
    }

    /// The default place: the user's cache directory, if there is one.
    pub fn default_directory() -> Option<PathBuf> {
        let set = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        set("XDG_CACHE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".cache")))
            .map(|base| base.join("runtime-host"))
    }

    /// The digest of `file`, which was opened at `path`; `read` finds it out unless
    /// an earlier start did and the file has not changed since.
    ///
    /// # Errors
    ///
    /// That of `read`.
    pub fn digest(
        &self,
        path: &Path,
        file: &File,
        read: impl FnOnce() -> io::Result<String>,
    ) -> io::Result<String> {
        self.known.fact(path, file, |_| true, read)
    }

    /// Where what `inputs` tell of is kept, once compiled by `engine`.
    pub fn place(&self, engine: &Engine, inputs: &Fingerprint) -> Place {
        let name = format!("{}.cwasm", key(engine, inputs));
        let path = self.directory.join(name);
        self.used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path.clone());
        Place(path)
    }

    /// What is kept of `component` at `place`. A file that is damaged, that others
    /// could have written or that `check` refuses is as good as missing. None is
    /// looked at if an earlier start has done so and it has not changed since; unless
    /// `bounds` differ, which tell what else decides whether it can be loaded.
    pub fn find(
        &self,
        component: &str,
        place: &Place,
        bounds: &str,
        check: impl FnOnce(&Kept) -> anyhow::Result<()>,
    ) -> Option<Kept> {
        let path = place.0.display();
        let mut is_new = false;
        let found = place.open().map_err(anyhow::Error::from).and_then(|kept| {
            let look = || {
                is_new = true;
                anyhow::ensure!(is_whole(&kept.file)?, "it is damaged");
                check(&kept).map(|()| bounds.to_owned())
            };
            let is_enough = |known: &str| known == bounds;
            self.known.fact(&place.0, &kept.file, is_enough, look)?;
            Ok(kept)
        });
        match &found {
            Ok(_) if is_new => tracing::debug!(component, "{path} is whole and can be loaded"),
            Ok(_) => tracing::debug!(component, "{path} is as an earlier start left it"),
            Err(e) => match e.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::NotFound) => {
                    tracing::debug!(component, "{path} is not in the cache");
                }
                _ => tracing::warn!(component, "compiling anew, since {path} is unusable: {e:#}"),
            },
        }
        found.ok()
    }

    /// After a start: keeps what it has found out and used for the next one, and
    /// removes what no start has needed for long.
    pub fn tidy(&self) {
        if let Some(news) = self.known.news()
            && let Err(e) = replace(&self.directory.join(KNOWN), &[&news])
        {
            tracing::debug!("cannot keep {KNOWN}: {e}");
        }
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.iter().for_each(|path| old::mark(path));
        old::remove(&self.directory, &used);
    }
}

/// Where a compiled component is kept, if it is.
#[derive(Debug)]
pub struct Place(PathBuf);

impl Place {
    /// Writes a compiled component with its checksum.
    ///
    /// # Errors
    ///
    /// That of the file system; nothing is left of it then.
    pub fn write(&self, compiled: &[u8]) -> anyhow::Result<Kept> {
        let checksum = crc32fast::hash(compiled).to_le_bytes();
        replace(&self.0, &[compiled, &checksum])
            .and_then(|()| self.open())
            .with_context(|| format!("cannot write {}", self.0.display()))
    }

    fn open(&self) -> io::Result<Kept> {
        check_private(&self.0)?;
        Ok(Kept {
            file: File::open(&self.0)?,
            path: self.0.clone(),
        })
    }
}

/// A compiled component that can be loaded for as long as this is there: on Linux
/// even if its file is replaced or removed.
#[derive(Debug)]
pub struct Kept {
    file: File,
    path: PathBuf,
}

impl Kept {
    /// The component. Its code is mapped, and takes memory as it runs.
    ///
    /// # Errors
    ///
    /// It is of another engine, or there is no memory for it. Off Linux, or without
    /// /proc: its file is missing, or others could have written it.
    pub fn load(&self, engine: &Engine) -> anyhow::Result<Component> {
        match self.opened() {
            Some(opened) if opened.exists() => map(engine, &opened),
            _ => {
                check_private(&self.path)?;
                map(engine, &self.path)
            }
        }
    }

    /// The name of the open file itself, where there is one.
    #[cfg(target_os = "linux")]
    fn opened(&self) -> Option<PathBuf> {
        use std::os::fd::AsRawFd as _;
        Some(format!("/proc/self/fd/{}", self.file.as_raw_fd()).into())
    }

    #[cfg(not(target_os = "linux"))]
    fn opened(&self) -> Option<PathBuf> {
        None
    }
}

/// Writes under another name first, so that a reader sees all or nothing.
fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let random = getrandom::u64().map_err(io::Error::other)?;
    let temporary = path.with_extension(format!("{random:016x}.tmp"));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&temporary).and_then(|mut file| {
        for part in parts {
            file.write_all(part)?;
        }
        file.sync_data()?;
        std::fs::rename(&temporary, path)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Whether the checksum at the end is that of what is before it.
fn is_whole(mut file: &File) -> io::Result<bool> {
    let Some(mut left) = usize::try_from(file.metadata()?.len())
        .ok()
        .and_then(|length| length.checked_sub(CHECKSUM_BYTES))
    else {
        return Ok(false);
    };
    let mut sum = crc32fast::Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES.min(left.max(CHECKSUM_BYTES))];
    while left > 0 {
        let next = left.min(chunk.len());
        file.read_exact(&mut chunk[..next])?;
        sum.update(&chunk[..next]);
        left -= next;
    }
    let mut checksum = [0; CHECKSUM_BYTES];
    file.read_exact(&mut checksum)?;
    Ok(checksum == sum.finalize().to_le_bytes())
}

/// Gathers what a component is made of.
#[derive(Clone)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// That of this program alone, whose rules of composition it stands for.
    pub fn new() -> Self {
        let mut fingerprint = Self(Sha256::new());
        fingerprint.add(env!("CARGO_PKG_VERSION").as_bytes());
        if let Ok(program) = std::env::current_exe().and_then(std::fs::metadata) {
            fingerprint.add(&program.len().to_le_bytes());
            let built = program
                .modified()
                .ok()
                .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
                .unwrap_or_default();
            fingerprint.add(&built.as_nanos().to_le_bytes());
        }
        fingerprint
    }

    /// Adds `part`, kept apart from the parts beside it.
    pub fn add(&mut self, part: &[u8]) {
        self.0.update(part.len().to_le_bytes());
        self.0.update(part);
    }
}

/// The digest of a file's content.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The name of the file for `inputs` compiled by `engine`.
fn key(engine: &Engine, inputs: &Fingerprint) -> String {
    struct Sink(Sha256);
    impl Hasher for Sink {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut sink = Sink(inputs.0.clone());
    engine.precompile_compatibility_hash().hash(&mut sink);
    hex::encode(sink.0.finalize())
}

/// Refuses what others than the user could have written.
#[cfg(unix)]
fn check_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let metadata = std::fs::symlink_metadata(path)?;
    // A file made just now by this process tells whose it is.
    let own = std::fs::metadata("/proc/self").map_or(metadata.uid(), |own| own.uid());
    if metadata.file_type().is_symlink()
        || metadata.mode() & WRITABLE_BY_OTHERS != 0
        || metadata.uid() != own
    {
        return Err(io::Error::other(format!(
            "{} must belong to the user and be writable by nobody else",
            path.display()
        )));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_private(_: &Path) -> io::Result<()> {
    Ok(())
}

#[allow(
    unsafe_code,
    reason = "wasmtime offers native code from files only as unsafe"
)]
fn map(engine: &Engine, path: &Path) -> anyhow::Result<Component> {
    // SAFETY: the file was made by `Component::serialize`, just now or by an
    // earlier run, by this user alone, in a directory that only this user can
    // write to; its checksum was right when a start first found it, since when it was
    // not changed, and it is never written again but replaced as a whole. wasmtime
    // itself checks that version and settings agree.
    Ok(unsafe { Component::deserialize_file(engine, path) }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it was found; kept and loaded it is in any case.
    fn component(cache: &Cache, engine: &Engine) -> bool {
        let place = cache.place(engine, &Fingerprint::new());
        let found = cache.find("c", &place, "", |kept| kept.load(engine).map(drop));
        let is_found = found.is_some();
        let kept = found.unwrap_or_else(|| {
            let wasm = wat::parse_bytes(b"(component)").unwrap();
            let code = engine.precompile_component(&wasm).unwrap();
            place.write(&code).unwrap()
        });
        kept.load(engine).unwrap();
        is_found
    }

    fn only_file(directory: &Path) -> PathBuf {
        let files = std::fs::read_dir(directory).unwrap();
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.extension().is_none_or(|e| e != "used"));
        let file = files.pop().unwrap();
        assert!(files.is_empty(), "no temporary file stays");
        file
    }

    #[test]
    fn a_component_is_compiled_once_and_damage_is_noticed() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("a/b");
        let engine = Engine::default();
        let cache = Cache::open(&directory).unwrap();
        assert!(!component(&cache, &engine));
        assert!(component(&cache, &engine));

        let file = only_file(&directory);
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        assert!(!component(&cache, &engine));
        assert!(component(&cache, &engine));

        std::fs::write(&file, b"x").unwrap();
        assert!(!component(&cache, &engine));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_looked_at_is_not_looked_at_again_under_the_same_bounds() {
        let home = tempfile::tempdir_in("/dev/shm").unwrap();
        let directory = home.path().join("cache");
        let engine = Engine::default();
        component(&Cache::open(&directory).unwrap(), &engine);
        let file = only_file(&directory);
        // Whether it was found, and whether it was looked at for that.
        let start = |bounds: &str| {
            let cache = Cache::open(&directory).unwrap();
            let place = cache.place(&engine, &Fingerprint::new());
            let mut is_checked = false;
            let found = cache.find("c", &place, bounds, |_| {
                is_checked = true;
                anyhow::ensure!(bounds != "narrow", "it does not fit");
                Ok(())
            });
            cache.tidy();
            (found.is_some(), is_checked)
        };
        assert_eq!(start("wide"), (true, true));
        let begun = std::time::Instant::now();
        while start("wide") != (true, false) {
            assert!(begun.elapsed().as_secs() < 60, "it is never known");
        }
        // Bounds decide anew, and so does a change of the file.
        assert_eq!(start("narrow"), (false, true));
        assert_eq!(start("other"), (true, true));
        assert_eq!(start("other"), (true, false));
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(start("other"), (false, false));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_found_can_be_loaded_once_its_file_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("cache");
        let engine = Engine::default();
        let cache = Cache::open(&directory).unwrap();
        component(&cache, &engine);
        let place = cache.place(&engine, &Fingerprint::new());
        let kept = cache.find("c", &place, "", |_| Ok(())).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        kept.load(&engine).unwrap();
    }

    #[test]
    fn every_part_of_the_inputs_counts() {
        let engine = Engine::default();
        let key_of = |parts: &[&str]| {
            let mut inputs = Fingerprint::new();
            for part in parts {
                inputs.add(part.as_bytes());
            }
            key(&engine, &inputs)
        };
        assert_eq!(key_of(&["a", "b"]), key_of(&["a", "b"]));
        assert_ne!(key_of(&["a", "b"]), key_of(&["ab"]));
        assert_ne!(key_of(&["a"]), key_of(&["a", ""]));
    }

    #[cfg(unix)]
    #[test]
    fn what_others_can_write_is_not_run() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let directory = home.path().join("cache");
        let cache = Cache::open(&directory).unwrap();
        let mode = std::fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);

        assert!(!component(&cache, &engine));
        let open = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(only_file(&directory), open).unwrap();
        assert!(!component(&cache, &engine));

        let link = home.path().join("link");
        std::os::unix::fs::symlink(&directory, &link).unwrap();
        assert!(component(&Cache::open(&link).unwrap(), &engine));

        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&directory, open).unwrap();
        assert!(Cache::open(&directory).is_err());
        assert!(Cache::open(&link).is_err());
    }
}
