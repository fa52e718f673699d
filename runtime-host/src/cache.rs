//! Compiled components, kept between runs.
//!
//! A file is named by a hash of the wasmtime build and its settings, of this
//! program, and of everything the component is composed from, so that nothing
//! else than the same code for the same engine is ever found, and found without
//! composing it anew. Native code is run without being checked again; that is
//! why the directory must be the user's own, closed to others, and why each file
//! carries a digest of its content.

use std::hash::{Hash, Hasher};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes of a SHA-256.
const DIGEST_BYTES: usize = 32;
/// Bytes of the checksum at the end of each file.
const CHECKSUM_BYTES: usize = 4;
/// Bytes that are read at once to be summed, few enough to stay in the cache of
/// the processor.
const CHUNK_BYTES: usize = 64 << 10;

/// Where compiled components are kept.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
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

    /// The compiled form of what `compose` gives, and whether it was found in
    /// the cache. `inputs` tells everything that `compose` depends on.
    ///
    /// A file that is missing, damaged or of another engine is replaced; a
    /// cache that cannot be written is only logged.
    ///
    /// # Errors
    ///
    /// That of `compose`, or what it gives does not compile.
    pub fn component(
        &self,
        engine: &Engine,
        inputs: &Fingerprint,
        compose: impl FnOnce() -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<(Component, bool)> {
        let path = self
            .directory
            .join(format!("{}.cwasm", key(engine, inputs)));
        match self.read(engine, &path) {
            Ok(Some(component)) => return Ok((component, true)),
            Ok(None) => {}
            Err(e) => tracing::warn!(
                "compiling anew, since {} is unusable: {e:#}",
                path.display()
            ),
        }
        let compiled = engine.precompile_component(&compose()?)?;
        match self.write(&path, &compiled) {
            Ok(()) => Ok((map(engine, &path)?, false)),
            Err(e) => {
                tracing::warn!("cannot keep {}: {e}", path.display());
                Ok((deserialize(engine, &compiled)?, false))
            }
        }
    }

    fn read(&self, engine: &Engine, path: &Path) -> anyhow::Result<Option<Component>> {
        match std::fs::File::open(path) {
            Ok(file) => {
                check_private(path)?;
                anyhow::ensure!(is_whole(file)?, "it is damaged");
                map(engine, path).map(Some)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Writes under another name first, so that a reader sees all or nothing.
    fn write(&self, path: &Path, compiled: &[u8]) -> io::Result<()> {
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&temporary).and_then(|mut file| {
            file.write_all(compiled)?;
            file.write_all(&crc32fast::hash(compiled).to_le_bytes())?;
            file.sync_data()?;
            std::fs::rename(&temporary, path)
        });
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }
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
pub fn digest(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    Sha256::digest(bytes).into()
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
    reason = "wasmtime offers native code from bytes only as unsafe"
)]
fn deserialize(engine: &Engine, compiled: &[u8]) -> anyhow::Result<Component> {
    // SAFETY: `compiled` was made by `precompile_component` just now.
    Ok(unsafe { Component::deserialize(engine, compiled) }?)
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

    /// Whether it was found.
    fn component(cache: &Cache, engine: &Engine) -> bool {
        let compose = || Ok(wat::parse_bytes(b"(component)")?.into_owned());
        let (_, found) = cache
            .component(engine, &Fingerprint::new(), compose)
            .unwrap();
        found
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
