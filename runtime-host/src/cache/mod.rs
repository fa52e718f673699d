//! Compiled components, kept between runs.
//!
//! A file is named by a hash of the wasmtime build and its settings, of this
//! program, and of everything the component is composed from, so that nothing
//! else than the same code for the same engine is ever found, and found without
//! composing it anew. Native code is run without being checked again; that is
//! why the directory must be the user's own, closed to others, and why each file
//! carries a digest of its content.

mod known;
mod old;

use std::collections::BTreeSet;
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
/// What is known of a compiled component whose checksum is right.
const WHOLE: &str = "whole";
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
        check_private(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            known: Known::load(directory.join(KNOWN)),
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

    /// The digest of the file at `path`, which `read` finds out unless an earlier
    /// start did and it has not changed since.
    ///
    /// # Errors
    ///
    /// There is no such file, or that of `read`.
    pub fn digest(
        &self,
        path: &Path,
        read: impl FnOnce() -> io::Result<String>,
    ) -> io::Result<String> {
        self.known.digest(path, read)
    }

    /// The file for what `inputs` tell of, compiled by `engine`, and whether it is
    /// there. One that is damaged or that others could have written is not.
    pub fn find(&self, engine: &Engine, inputs: &Fingerprint) -> (Kept, bool) {
        let name = format!("{}.cwasm", key(engine, inputs));
        let path = self.directory.join(name);
        self.used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path.clone());
        let summed = || match is_whole(std::fs::File::open(&path)?)? {
            true => Ok(WHOLE.to_owned()),
            false => Err(io::Error::other("it is damaged")),
        };
        let whole = self.known.digest(&path, summed);
        let is_found = match whole.and_then(|_| check_private(&path)) {
            Ok(()) => true,
            Err(e) => {
                if e.kind() != io::ErrorKind::NotFound {
                    let path = path.display();
                    tracing::warn!("compiling anew, since {path} is unusable: {e}");
                }
                false
            }
        };
        (Kept(path), is_found)
    }

    /// After a start: keeps what it has learned for the next one, and removes what
    /// no start has needed for long.
    pub fn tidy(&self) {
        if let Some(news) = self.known.news() {
            let file = self.known.file();
            if let Err(e) = replace(file, &[&news]) {
                tracing::debug!("cannot keep {}: {e}", file.display());
            }
        }
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        old::remove(&self.directory, &used);
    }
}

/// A file of the cache.
#[derive(Debug)]
pub struct Kept(PathBuf);

impl Kept {
    /// The compiled component in it.
    ///
    /// # Errors
    ///
    /// It is missing, others could have written it, or it is of another engine.
    pub fn load(&self, engine: &Engine) -> anyhow::Result<Component> {
        check_private(&self.0)
            .map_err(anyhow::Error::from)
            .and_then(|()| map(engine, &self.0))
            .with_context(|| format!("{} is unusable", self.0.display()))
    }

    /// Writes a compiled component with its checksum; tells whether that worked,
    /// and otherwise the log.
    pub fn write(&self, compiled: &[u8]) -> bool {
        let checksum = crc32fast::hash(compiled).to_le_bytes();
        let written = replace(&self.0, &[compiled, &checksum]);
        if let Err(e) = &written {
            tracing::warn!("cannot keep {}: {e}", self.0.display());
        }
        written.is_ok()
    }
}

/// Writes under another name first, so that a reader sees all or nothing.
fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
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
fn is_whole(mut file: std::fs::File) -> io::Result<bool> {
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
    // SAFETY: the file was made by `precompile_component`, just now or by an
    // earlier run, by this user alone, in a directory that only this user can
    // write to; its checksum was right, and it is never written again but
    // replaced as a whole. wasmtime itself checks that version and settings
    // agree.
    Ok(unsafe { Component::deserialize_file(engine, path) }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it was found; kept and loaded it is in any case.
    fn component(cache: &Cache, engine: &Engine) -> bool {
        let (kept, is_found) = cache.find(engine, &Fingerprint::new());
        if !is_found {
            let wasm = wat::parse_bytes(b"(component)").unwrap();
            assert!(kept.write(&engine.precompile_component(&wasm).unwrap()));
        }
        kept.load(engine).unwrap();
        is_found
    }

    fn only_file(directory: &Path) -> PathBuf {
        let mut files = std::fs::read_dir(directory).unwrap();
        let file = files.next().unwrap().unwrap().path();
        assert!(files.next().is_none(), "no temporary file stays");
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

        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&directory, open).unwrap();
        assert!(Cache::open(&directory).is_err());
    }
}
