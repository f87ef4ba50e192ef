//! Credentials at rest: what the catalog keeps of them is sealed with a key that lies outside it.
//!
//! The key is `<data-dir>/secret.key` (mode 0600), made when the first credentials are to be kept, or the text that
//! `EBLA_SECRET_KEY` holds. The cipher is AES-256-GCM with a random nonce; a sealed text is bound to the repository it
//! belongs to, so that one cannot be put in the place of another, and it names its key, so that a wrong key is told
//! apart from damage. No error here holds a byte of the key or of what was sealed.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use super::properties::Secret;
use crate::disk;

/// File of the key in the data directory.
const KEY_FILE: &str = "secret.key";

/// Environment variable that holds the key instead.
pub const KEY_VARIABLE: &str = "EBLA_SECRET_KEY";

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// What a sealed text begins with: a name, the version of its form, the key's name, then base64.
const SEALED_PREFIX: &str = "ebla-sealed:1:";

/// What the seal is bound to, beside the repository's identity.
const PURPOSE: &str = "ebla repository properties";

/// Longest key file that is read.
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// What seals and opens.
pub struct Vault {
    path: PathBuf,
    given: Option<Secret>,
    key: Mutex<Option<Arc<Key>>>,
    /// One making of a key at a time.
    making: Mutex<()>,
}

struct Key {
    cipher: RandomizedNonceKey,
    /// Tells keys apart in messages; says nothing about the key.
    name: String,
}

/// Why credentials cannot be sealed or opened, with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// There is no key, and something is sealed with one.
    #[error(
        "the secret key {path} is missing, and the credentials of repositories are sealed with it: put the file back, \
         or give the key as {KEY_VARIABLE}; when it is lost, give the credentials again by DROP REPOSITORY and CREATE \
         REPOSITORY at the same location", path = path.display()
    )]
    KeyMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is a key, and it is not the one.
    #[error(
        "the credentials were sealed with secret key '{sealed_with}', and the server has '{has}' from {source_of_key}: \
         give it the key it had; when that is lost, give the credentials again by DROP REPOSITORY and CREATE \
         REPOSITORY at the same location"
    )]
    WrongKey {
        /// Name of the key that is needed.
        sealed_with: String,
        /// Name of the key that is there.
        has: String,
        /// Where that came from.
        source_of_key: String,
    },
    /// The key's file is open to others, so the key may be known to them.
    #[error(
        "the secret key {path} can be read or written by others than its owner: run chmod 600 {path}; if they are not to \
         be trusted, give new credentials by ALTER REPOSITORY, too", path = path.display()
    )]
    KeyOpen {
        /// The file.
        path: PathBuf,
    },
    /// The key is no key.
    #[error("{source_of_key} holds no secret key: {reason}")]
    BadKey {
        /// Where it came from.
        source_of_key: String,
        /// What is wrong.
        reason: String,
    },
    /// The sealed text was changed, or moved from another repository.
    #[error(
        "the sealed credentials in the catalog are damaged: give them again by DROP REPOSITORY and CREATE REPOSITORY \
         at the same location"
    )]
    Damaged,
    /// The key's file cannot be read or written.
    #[error("cannot {action} the secret key {path}: {reason}", path = path.display())]
    Io {
        /// Verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl Vault {
    /// The vault of a data directory; `given` is a key that takes the place of its file.
    #[must_use]
    pub fn new(data_dir: &Path, given: Option<Secret>) -> Vault {
        let given = given.filter(|key| !key.expose().trim().is_empty());
        Vault { path: data_dir.join(KEY_FILE), given, key: Mutex::new(None), making: Mutex::new(()) }
    }

    /// Whether a text of the catalog is sealed.
    #[must_use]
    pub fn is_sealed(text: &str) -> bool {
        text.starts_with("ebla-sealed:")
    }

    /// Errors unless the key is there and is one.
    pub fn check_key(&self) -> Result<(), VaultError> {
        self.key().map(|_| ())
    }

    /// Makes a key, unless there is one. Whatever was sealed with a lost one stays closed.
    pub fn make_key(&self) -> Result<(), VaultError> {
        // Of two that found none at the same time, the second must find the key of the first: a key that is used and then
        // replaced opens nothing after the next start.
        let _turn = self.making.lock();
        match self.key() {
            Err(VaultError::KeyMissing { .. }) => {}
            there => return there.map(|_| ()),
        }
        let mut bytes = [0; KEY_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| self.io("make", &io::Error::other("no random numbers")))?;
        disk::write_secret(&self.path, &STANDARD.encode(bytes)).map_err(|error| self.io("write", &error))?;
        tracing::info!(path = %self.path.display(), "made a secret key; keep a copy of it apart from the data");
        self.check_key()
    }

    /// Seals a text for the repository of this identity.
    pub fn seal(&self, identity: &str, text: &Secret) -> Result<String, VaultError> {
        let key = self.key()?;
        let mut sealed = text.expose().as_bytes().to_vec();
        let nonce = key
            .cipher
            .seal_in_place_append_tag(Aad::from(bound_to(identity)), &mut sealed)
            .map_err(|_| self.io("use", &io::Error::other("the cipher refused")))?;
        let sealed = [nonce.as_ref().as_slice(), &sealed].concat();
        Ok(format!("{SEALED_PREFIX}{}:{}", key.name, STANDARD.encode(sealed)))
    }

    /// Opens what [`Vault::seal`] sealed for the same repository. A text that was never sealed is given back.
    pub fn open(&self, identity: &str, stored: &str) -> Result<Secret, VaultError> {
        if !Vault::is_sealed(stored) {
            return Ok(Secret::new(stored));
        }
        let key = self.key()?;
        let sealed = stored.strip_prefix(SEALED_PREFIX).and_then(|rest| rest.split_once(':'));
        let (name, sealed) = sealed.ok_or(VaultError::Damaged)?;
        if name != key.name {
            let (sealed_with, has) = (name.chars().take(32).collect(), key.name.clone());
            return Err(VaultError::WrongKey { sealed_with, has, source_of_key: self.source() });
        }
        let mut bytes = STANDARD.decode(sealed).map_err(|_| VaultError::Damaged)?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN).ok_or(VaultError::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Damaged)?;
        let text =
            key.cipher.open_in_place(nonce, Aad::from(bound_to(identity)), sealed).map_err(|_| VaultError::Damaged)?;
        String::from_utf8(text.to_vec()).map(Secret::new).map_err(|_| VaultError::Damaged)
    }

    /// The key, read when it is first needed.
    fn key(&self) -> Result<Arc<Key>, VaultError> {
        let mut known = self.key.lock();
        if let Some(key) = &*known {
            return Ok(Arc::clone(key));
        }
        let text = match &self.given {
            Some(given) => given.clone(),
            None => self.read_file()?,
        };
        let bad = |reason: &str| VaultError::BadKey { source_of_key: self.source(), reason: reason.to_owned() };
        let form = "it must be the base64 text of 32 random bytes, as `head -c 32 /dev/urandom | base64` makes it";
        let bytes = STANDARD.decode(text.expose().trim()).map_err(|_| bad(form))?;
        if bytes.len() != KEY_BYTES {
            return Err(bad(form));
        }
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| bad(form))?;
        let name = blake3::derive_key("ebla 2026 name of a secret key", &bytes);
        let name = name[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        let key = Arc::new(Key { cipher, name });
        *known = Some(Arc::clone(&key));
        Ok(key)
    }

    fn read_file(&self) -> Result<Secret, VaultError> {
        let meta = match fs::metadata(&self.path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(VaultError::KeyMissing { path: self.path.clone() });
            }
            Err(error) => return Err(self.io("read", &error)),
        };
        if meta.permissions().mode() & 0o077 != 0 {
            return Err(VaultError::KeyOpen { path: self.path.clone() });
        }
        if meta.len() > KEY_FILE_BYTES_MAX {
            let reason = "it is far too long".to_owned();
            return Err(VaultError::BadKey { source_of_key: self.source(), reason });
        }
        fs::read_to_string(&self.path).map(Secret::new).map_err(|error| self.io("read", &error))
    }

    fn source(&self) -> String {
        match &self.given {
            Some(_) => KEY_VARIABLE.to_owned(),
            None => self.path.display().to_string(),
        }
    }

    fn io(&self, action: &'static str, error: &io::Error) -> VaultError {
        VaultError::Io { action, path: self.path.clone(), reason: error.to_string() }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("path", &self.path).finish_non_exhaustive()
    }
}

fn bound_to(identity: &str) -> String {
    format!("{PURPOSE} {identity}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(folder: &Path) -> Vault {
        Vault::new(folder, None)
    }

    #[test]
    fn all_who_need_the_first_key_at_once_get_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path());
        let start = std::sync::Barrier::new(8);
        let sealed: Vec<String> = std::thread::scope(|scope| {
            let seal = || {
                start.wait();
                vault.make_key().unwrap();
                vault.seal("repository", &Secret::new("text")).unwrap()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(seal)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let reopened = Vault::new(folder.path(), None);
        for sealed in sealed {
            assert_eq!(reopened.open("repository", &sealed).unwrap().expose(), "text");
        }
    }

    #[test]
    fn what_is_sealed_opens_for_its_repository_only() {
        let folder = tempfile::tempdir().unwrap();
        let first = vault(folder.path());
        assert!(matches!(first.seal("r", &Secret::new("CANARY")), Err(VaultError::KeyMissing { .. })));
        first.make_key().unwrap();
        let mode = fs::metadata(folder.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let sealed = first.seal("r", &Secret::new("CANARY")).unwrap();
        assert!(Vault::is_sealed(&sealed) && !sealed.contains("CANARY"));
        assert_ne!(sealed, first.seal("r", &Secret::new("CANARY")).unwrap(), "the nonce is random");

        let again = vault(folder.path());
        again.make_key().unwrap();
        assert_eq!(again.open("r", &sealed).unwrap().expose(), "CANARY");
        assert_eq!(again.open("other", &sealed).unwrap_err(), VaultError::Damaged);
        assert_eq!(again.open("r", "{\"never\": \"sealed\"}").unwrap().expose(), "{\"never\": \"sealed\"}");
    }

    /// Goal: no change of a sealed text goes unnoticed. Method: every byte of one, flipped.
    #[test]
    fn every_change_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path());
        vault.make_key().unwrap();
        let sealed = vault.seal("r", &Secret::new("CANARY")).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            match vault.open("r", &changed) {
                // What no longer looks sealed is no properties either.
                Ok(text) => assert!(!Vault::is_sealed(&changed) && text.expose() == changed, "{at}"),
                Err(error) => assert!(!error.to_string().contains("CANARY"), "{error}"),
            }
        }
        for short in ["ebla-sealed:", "ebla-sealed:1:", "ebla-sealed:1:x:", "ebla-sealed:2:x:AAAA"] {
            vault.open("r", short).unwrap_err();
        }
    }

    /// Goal: each thing that is wrong with a key has its own text, which says what to do.
    #[test]
    fn keys_that_are_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let first = vault(folder.path());
        first.make_key().unwrap();
        let sealed = first.seal("r", &Secret::new("CANARY")).unwrap();
        let key = fs::read_to_string(folder.path().join(KEY_FILE)).unwrap();

        let given = |text: &str| Vault::new(folder.path(), Some(Secret::new(text)));
        assert_eq!(given(&key).open("r", &sealed).unwrap().expose(), "CANARY");
        let other = given(&STANDARD.encode([7; KEY_BYTES])).open("r", &sealed).unwrap_err();
        assert!(matches!(&other, VaultError::WrongKey { .. }) && other.to_string().contains("EBLA_SECRET_KEY"));
        for text in ["secret", &STANDARD.encode([7; 16])] {
            let bad = given(text).open("r", &sealed).unwrap_err().to_string();
            assert!(bad.contains("head -c 32") && !bad.contains("secret'"), "{bad}");
        }
        fs::set_permissions(folder.path().join(KEY_FILE), fs::Permissions::from_mode(0o644)).unwrap();
        let open = vault(folder.path()).open("r", &sealed).unwrap_err().to_string();
        assert!(open.ends_with("give new credentials by ALTER REPOSITORY, too"), "{open}");
        assert!(open.contains(&format!("run chmod 600 {}", folder.path().join(KEY_FILE).display())), "{open}");
        fs::remove_file(folder.path().join(KEY_FILE)).unwrap();
        let missing = vault(folder.path()).open("r", &sealed).unwrap_err().to_string();
        assert!(missing.contains("put the file back"), "{missing}");
    }
}
