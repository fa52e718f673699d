//! The node's key: one small JSON file that only its owner may read.

use crate::failure::Failure;
use duxnet_units::NodeId;
use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// No key file is longer, in bytes.
const MAX_FILE_BYTES: u64 = 4096;
/// The file under the user's configuration folder.
const DEFAULT_FILE: &str = "duxnet/key.json";

/// A node's id and secret key.
pub struct NodeKey {
    node_id: NodeId,
    key: SigningKey,
}

/// Without the secret.
impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKey")
            .field("node_id", &self.node_id)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    node_id: String,
    secret_key: String,
    public_key: String,
}

impl NodeKey {
    /// From the 32 secret bytes of RFC 8032.
    #[must_use]
    pub fn from_secret(node_id: NodeId, secret: &[u8; 32]) -> Self {
        NodeKey {
            node_id,
            key: SigningKey::from_bytes(secret),
        }
    }

    /// A new key. Without an id, the node is called after its public key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate(node_id: Option<NodeId>) -> Result<Self, Failure> {
        let key = SigningKey::from_bytes(&crate::random::bytes()?);
        let node_id = match node_id {
            Some(node_id) => node_id,
            None => {
                let start = hex::encode(&key.verifying_key().as_bytes()[..6]);
                NodeId::parse(&format!("node-{start}"))
                    .map_err(|error| Failure::usage(format!("node id {error}")))?
            }
        };
        Ok(NodeKey { node_id, key })
    }

    /// Whose key it is.
    #[must_use]
    pub fn node_id(&self) -> &NodeId {
        &self.node_id
    }

    /// The public key in lower-case hex.
    #[must_use]
    pub fn public_hex(&self) -> String {
        hex::encode(self.key.verifying_key().as_bytes())
    }

    /// The public key as the contract has it.
    #[cfg(test)]
    pub fn public(&self) -> duxnet_api::signing::PublicKey {
        duxnet_api::signing::PublicKey::parse(&self.public_hex()).unwrap()
    }

    /// The signature over a text, in lower-case hex.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        hex::encode(self.key.sign(text.as_bytes()).to_bytes())
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// A file that is not there, that others may read, or that holds no key; the hint says what
    /// to do.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let mut file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::usage(format!("there is no key file {shown}")).hint(
                "make one with `duxwallet keygen`, or name yours with --key or DUXWALLET_KEY",
            ),
            _ => Failure::usage(format!("key file {shown}: {error}")),
        })?;
        let metadata = file
            .metadata()
            .map_err(|error| Failure::usage(format!("key file {shown}: {error}")))?;
        if !metadata.is_file() {
            return Err(Failure::usage(format!("key file {shown} is no file")));
        }
        refuse_lax_mode(path, &metadata)?;
        if metadata.len() > MAX_FILE_BYTES {
            return Err(Failure::usage(format!(
                "{shown} is too long for a key file"
            )));
        }
        let mut text = String::new();
        file.read_to_string(&mut text)
            .map_err(|error| Failure::usage(format!("key file {shown}: {error}")))?;
        // The parser's own message could quote the secret.
        let wrong = |what: &str| Failure::usage(format!("key file {shown}: {what}"));
        let contents: Contents = serde_json::from_str(&text).map_err(|_| {
            wrong("must be JSON with the strings node_id, secret_key and public_key, no more")
        })?;
        let node_id =
            NodeId::parse(&contents.node_id).map_err(|error| wrong(&format!("node_id {error}")))?;
        let secret: [u8; 32] = hex::decode(&contents.secret_key)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| wrong("secret_key must be 64 hex digits"))?;
        let key = NodeKey::from_secret(node_id, &secret);
        if !contents.public_key.eq_ignore_ascii_case(&key.public_hex()) {
            return Err(wrong("public_key does not belong to secret_key"));
        }
        Ok(key)
    }

    /// Writes a new key file, readable by its owner only. An existing file is refused, or with
    /// `force` kept beside the new one: its name is the answer.
    ///
    /// # Errors
    /// An existing file, or one that cannot be written.
    pub fn save(&self, path: &Path, force: bool) -> Result<Option<PathBuf>, Failure> {
        let shown = path.display();
        let failed = |error: io::Error| Failure::usage(format!("cannot write {shown}: {error}"));
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            create_private_folder(folder).map_err(failed)?;
        }
        let kept = if force {
            set_aside(path).map_err(failed)?
        } else {
            None
        };
        let mut file = private_file(path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                Failure::usage(format!("{shown} exists; a lost key is a lost wallet"))
                    .hint("choose another file with --key, or keep the old one aside with --force")
            }
            _ => failed(error),
        })?;
        let contents = Contents {
            node_id: self.node_id.to_string(),
            secret_key: hex::encode(self.key.to_bytes()),
            public_key: self.public_hex(),
        };
        let mut text = serde_json::to_string_pretty(&contents).unwrap_or_default();
        text.push('\n');
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all());
        if let Err(error) = written {
            let _ = fs::remove_file(path);
            return Err(failed(error));
        }
        Ok(kept)
    }
}

/// `$XDG_CONFIG_HOME/duxnet/key.json`, or `~/.config/duxnet/key.json`.
///
/// # Errors
/// Without a home folder.
pub fn default_path() -> Result<PathBuf, Failure> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    folder("XDG_CONFIG_HOME")
        .filter(|folder| folder.is_absolute())
        .or_else(|| folder("HOME").map(|home| home.join(".config")))
        .map(|config| config.join(DEFAULT_FILE))
        .ok_or_else(|| Failure::usage("there is no home folder; name the key file with --key"))
}

/// Moves an existing file to a free name beside it.
fn set_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    for number in 1u32.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".old{number}"));
        let aside = PathBuf::from(name);
        if aside.symlink_metadata().is_ok() {
            continue;
        }
        return match fs::rename(path, &aside) {
            Ok(()) => Ok(Some(aside)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
    }
    Err(ErrorKind::AlreadyExists.into())
}

#[cfg(unix)]
fn refuse_lax_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let shown = path.display();
    Err(Failure::usage(format!(
        "key file {shown} has mode {mode:04o}: others than its owner may use it"
    ))
    .hint(format!("mend it with: chmod 600 '{shown}'")))
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

#[cfg(unix)]
fn create_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// Elsewhere the user's folder has the say over who reads it.
#[cfg(not(unix))]
fn refuse_lax_mode(_: &Path, _: &fs::Metadata) -> Result<(), Failure> {
    Ok(())
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(not(unix))]
fn create_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str) -> Option<NodeId> {
        Some(NodeId::parse(id).unwrap())
    }

    #[test]
    fn a_saved_key_is_loaded_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/key.json");
        let key = NodeKey::generate(node("node_001")).unwrap();
        assert_eq!(key.save(&path, false).unwrap(), None);
        let loaded = NodeKey::load(&path).unwrap();
        assert_eq!(loaded.public_hex(), key.public_hex());
        assert_eq!(loaded.node_id().as_str(), "node_001");

        let other = NodeKey::generate(node("node_002")).unwrap();
        assert!(other.save(&path, false).is_err());
        assert_eq!(NodeKey::load(&path).unwrap().public_hex(), key.public_hex());
        let kept = other.save(&path, true).unwrap().unwrap();
        assert_eq!(NodeKey::load(&kept).unwrap().public_hex(), key.public_hex());
        assert_eq!(
            NodeKey::load(&path).unwrap().public_hex(),
            other.public_hex()
        );
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_a_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        NodeKey::generate(None).unwrap().save(&path, false).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        for lax in [0o640, 0o604, 0o660, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(lax)).unwrap();
            let failure = NodeKey::load(&path).unwrap_err();
            assert!(failure.message.contains(&format!("mode {lax:04o}")));
            assert!(failure.hints[0].contains("chmod 600"));
        }
    }

    #[test]
    fn a_broken_key_file_is_told_without_its_secret() {
        let folder = tempfile::tempdir().unwrap();
        let secret = "11".repeat(32);
        for (number, text) in [
            "".to_owned(),
            format!(r#"{{"node_id":"n","secret_key":"{secret}"}}"#),
            format!(r#"{{"node_id":"n","secret_key":"{secret}","public_key":"00"}}"#),
            format!(r#"{{"node_id":"a/b","secret_key":"{secret}","public_key":"00"}}"#),
            format!(r#"{{"node_id":"n","secret_key":"{secret}x","public_key":"00"}}"#),
            format!(r#"{{"node_id":"n","secret_key":{secret},"public_key":"00"}}"#),
        ]
        .iter()
        .enumerate()
        {
            let path = folder.path().join(number.to_string());
            private_file(&path)
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
            let failure = NodeKey::load(&path).unwrap_err();
            assert!(!format!("{failure:?}").contains(&secret[..8]), "{text}");
        }
    }

    #[test]
    fn a_key_shows_no_secret() {
        let key = NodeKey::from_secret(NodeId::parse("n").unwrap(), &[0x11; 32]);
        assert!(!format!("{key:?}").contains("11"));
    }
}
