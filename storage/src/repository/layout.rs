//! Every key of a repository is built and taken apart here, and nowhere else.
//!
//! ```text
//! ebla/repository.json                        the repository's identity
//! ebla/probe                                  written once, to prove that writing works
//! ebla/probe-parts                            the same, put in parts, where there are uploads in parts
//! ebla/probe-checksum                         there only where a store takes a body with a wrong checksum
//! ebla/probe-lock-<mode>                      written once, to prove that locks are kept; locked for an hour
//! ebla/probe-lock-<mode>-parts-<random>       the same, put in parts, another each time
//! ebla/probe-settings-<random>                written to prove an encryption and a storage class, another each time
//! ebla/objects/<dd>/<digest>.parquet          segments; <dd> are the first two hex digits of the digest
//! ebla/objects/<dd>/<digest>.dv               delete vectors
//! ebla/trees/<dd>/<digest>.json.zst           table and partition nodes
//! ebla/snapshots/<label>/<timestamp>.json     commit objects, and tombstones in their place
//! ebla/mended/objects/…, ebla/mended/trees/…  the same names again, for what came to damage under its own
//! ebla/writers/<label>/<timestamp>-<timeout>.json   announcements of backups, with their timeout in seconds
//! ebla/garbage/<id>/{mark,writers,sweep}.json marks of collections; <id> are 32 hex digits
//! ebla/garbage/<id>/clock.json                there for a moment, to read the store's clock
//! ```
//!
//! A label is whatever text the user likes. In a key it is percent-encoded: ASCII letters, digits, `-`, `_` and `.`
//! stand for themselves, every other byte of its UTF-8 is `%` and two upper-case hex digits; a label of dots only has
//! its first one encoded, so that no segment is `.` or `..`. There is one encoding for each label and one label for
//! each encoding; whatever else a listing holds is not ours.

use super::properties::LockMode;
use super::store::{InvalidKey, ObjectKey};
use super::timestamp::SnapshotTimestamp;
use crate::catalog::FileKind;
use crate::digest::Digest;

/// Everything of a repository begins with this.
pub const ROOT: &str = "ebla/";

/// All segments and delete vectors.
pub const OBJECTS: &str = "ebla/objects/";

/// All nodes.
pub const TREES: &str = "ebla/trees/";

/// All commit objects.
pub const SNAPSHOTS: &str = "ebla/snapshots/";

/// Whole copies of what came to damage under its own name.
pub const MENDED: &str = "ebla/mended/";

/// Prefixes of a repository that hold no snapshot: announcements of writers, marks of collectors.
pub const OTHER_PREFIXES: [&str; 2] = [WRITERS, GARBAGE];

/// All announcements of backups.
pub const WRITERS: &str = "ebla/writers/";

/// All marks of collections.
pub const GARBAGE: &str = "ebla/garbage/";

/// Longest label in its encoded form: what a file name may have.
pub const ENCODED_LABEL_BYTES_MAX: usize = 255;

const PROBE_SETTINGS: &str = "ebla/probe-settings-";

/// What follows the key of the proof of locks in those of objects in parts.
const PROBE_LOCK_PARTS: &str = "-parts";

/// Hex digits of an identifier.
const IDENTIFIER_LEN: usize = 32;

const SNAPSHOT_SUFFIX: &str = ".json";
const TREE_SUFFIX: &str = ".json.zst";

/// Hex digits of a mark's id.
const MARK_ID_CHARS: usize = 32;

/// One of the objects of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MarkPart {
    /// What is to be removed.
    Mark,
    /// Who was writing when it was put.
    Writers,
    /// Whether it is carried out.
    Sweep,
    /// Put for the time the store gives it.
    Clock,
}

impl MarkPart {
    const ALL: [MarkPart; 4] = [MarkPart::Mark, MarkPart::Writers, MarkPart::Sweep, MarkPart::Clock];

    fn file(self) -> &'static str {
        match self {
            MarkPart::Mark => "mark.json",
            MarkPart::Writers => "writers.json",
            MarkPart::Sweep => "sweep.json",
            MarkPart::Clock => "clock.json",
        }
    }
}

/// A label that cannot be part of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The empty text.
    #[error("Incorrect label name ''; a snapshot's label has at least one character")]
    Empty,
    /// Too long for a file name.
    #[error(
        "Incorrect label name '{label}…'; it takes {bytes} bytes where {ENCODED_LABEL_BYTES_MAX} fit (characters \
         other than letters, digits, '-', '_' and '.' take three bytes for each byte of their UTF-8)"
    )]
    TooLong {
        /// Its first characters.
        label: String,
        /// Size of its encoded form.
        bytes: usize,
    },
}

/// The repository's identity.
pub fn repository_info() -> ObjectKey {
    built(ObjectKey::new("ebla/repository.json"))
}

/// The object that proves that writing works.
pub fn probe() -> ObjectKey {
    built(ObjectKey::new("ebla/probe"))
}

/// Every object that proves something, in any repository, but those of which each proof has one of its own.
pub fn probes() -> [ObjectKey; 5] {
    let (governance, compliance) = (LockMode::Governance, LockMode::Compliance);
    [probe(), probe_parts(), probe_checksum(), probe_lock(governance), probe_lock(compliance)]
}

/// Whether an object of this key proves something, and nothing else.
pub fn is_probe(key: &str) -> bool {
    let is_of_settings = || key.strip_prefix(PROBE_SETTINGS).is_some_and(is_identifier);
    let is_of_lock = |mode| proves_lock(key, mode);
    probes().iter().any(|probe| probe.as_str() == key)
        || is_of_settings()
        || [LockMode::Governance, LockMode::Compliance].into_iter().any(is_of_lock)
}

fn is_identifier(text: &str) -> bool {
    text.len() == IDENTIFIER_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The object that proves that uploads in parts work.
pub fn probe_parts() -> ObjectKey {
    built(ObjectKey::new("ebla/probe-parts"))
}

/// The object that a store must refuse, because the checksum sent with it is wrong.
pub fn probe_checksum() -> ObjectKey {
    built(ObjectKey::new("ebla/probe-checksum"))
}

/// The object that proves that the store keeps locks of this mode.
pub fn probe_lock(mode: LockMode) -> ObjectKey {
    built(ObjectKey::new(match mode {
        LockMode::Governance => "ebla/probe-lock-governance",
        LockMode::Compliance => "ebla/probe-lock-compliance",
    }))
}

/// An object that proves that the store locks what it is given in parts. As with settings, each proof has one of its own, named
/// by this [identifier](crate::clock::Random::identifier).
pub fn probe_lock_parts(mode: LockMode, identifier: &str) -> ObjectKey {
    built(ObjectKey::new(format!("{}{PROBE_LOCK_PARTS}-{identifier}", probe_lock(mode))))
}

/// Whether an object of this key proves locks of this mode.
pub fn proves_lock(key: &str, mode: LockMode) -> bool {
    let Some(parts) = key.strip_prefix(probe_lock(mode).as_str()) else {
        return false;
    };
    // Older versions had one object for all proofs.
    parts.is_empty()
        || parts == PROBE_LOCK_PARTS
        || parts.strip_prefix(PROBE_LOCK_PARTS).and_then(|parts| parts.strip_prefix('-')).is_some_and(is_identifier)
}

/// An object that proves that the store keeps to its settings. What was put before proves nothing of the next put, so each
/// proof has one of its own, named by this [identifier](crate::clock::Random::identifier).
pub fn probe_settings(identifier: &str) -> ObjectKey {
    built(ObjectKey::new(format!("{PROBE_SETTINGS}{identifier}")))
}

/// Whether an object of this key is part of snapshots, and is locked with them: segments, delete vectors, nodes, their
/// mended copies, commit objects, and the identity without which none of them can be read.
pub fn is_of_snapshots(key: &str) -> bool {
    parse_object(key).is_some()
        || parse_tree(key).is_some()
        || parse_snapshot(key).is_some()
        || parse_mended(key).is_some()
        || key == repository_info().as_str()
}

/// A segment or delete vector.
pub fn object(kind: FileKind, digest: &Digest) -> ObjectKey {
    built(ObjectKey::new(format!("{OBJECTS}{}/{digest}.{}", digest.shard(), kind.extension())))
}

/// A table or partition node.
pub fn tree(digest: &Digest) -> ObjectKey {
    built(ObjectKey::new(format!("{TREES}{}/{digest}{TREE_SUFFIX}", digest.shard())))
}

/// The whole copy of an object or a node that came to damage.
pub fn mended(key: &ObjectKey) -> ObjectKey {
    built(ObjectKey::new(format!("{MENDED}{}", key.as_str().strip_prefix(ROOT).unwrap_or(key.as_str()))))
}

/// The key of what a mended copy stands for; `None` for a key that is none.
pub fn parse_mended(key: &str) -> Option<String> {
    let own = format!("{ROOT}{}", key.strip_prefix(MENDED)?);
    (parse_object(&own).is_some() || parse_tree(&own).is_some()).then_some(own)
}

/// The commit object of a snapshot.
pub fn snapshot(label: &str, timestamp: &SnapshotTimestamp) -> Result<ObjectKey, LabelError> {
    let prefix = snapshots_of(label)?;
    Ok(built(ObjectKey::new(format!("{prefix}{timestamp}{SNAPSHOT_SUFFIX}"))))
}

/// Prefix of the commit objects of one label.
pub fn snapshots_of(label: &str) -> Result<String, LabelError> {
    Ok(format!("{SNAPSHOTS}{}/", encode_label(label)?))
}

/// Label and timestamp of a commit object's key; `None` for a key that is none.
pub fn parse_snapshot(key: &str) -> Option<(String, SnapshotTimestamp)> {
    let (label, file) = key.strip_prefix(SNAPSHOTS)?.split_once('/')?;
    let timestamp = file.strip_suffix(SNAPSHOT_SUFFIX)?.parse().ok()?;
    Some((decode_label(label)?, timestamp))
}

/// The announcement of a backup that is going to put this commit object within `timeout_s` seconds.
pub fn announcement(label: &str, timestamp: &SnapshotTimestamp, timeout_s: u64) -> Result<ObjectKey, LabelError> {
    let label = encode_label(label)?;
    Ok(built(ObjectKey::new(format!("{WRITERS}{label}/{timestamp}-{timeout_s}{SNAPSHOT_SUFFIX}"))))
}

/// Label, timestamp and timeout in seconds of an announcement's key; `None` for a key that is none.
pub fn parse_announcement(key: &str) -> Option<(String, SnapshotTimestamp, u64)> {
    let (label, file) = key.strip_prefix(WRITERS)?.split_once('/')?;
    let (timestamp, timeout) = file.strip_suffix(SNAPSHOT_SUFFIX)?.rsplit_once('-')?;
    let timeout_s: u64 = timeout.parse().ok()?;
    // One number has one spelling.
    (timeout_s.to_string() == timeout).then_some((decode_label(label)?, timestamp.parse().ok()?, timeout_s))
}

/// An object of a mark. `id` is what [`crate::clock::Random::identifier`] makes, or what [`parse_mark`] has read.
pub fn mark(id: &str, part: MarkPart) -> Result<ObjectKey, InvalidKey> {
    ObjectKey::new(format!("{GARBAGE}{id}/{}", part.file()))
}

/// Id and part of a key of a mark; `None` for a key that is none.
pub fn parse_mark(key: &str) -> Option<(String, MarkPart)> {
    let (id, file) = key.strip_prefix(GARBAGE)?.split_once('/')?;
    let part = MarkPart::ALL.into_iter().find(|part| part.file() == file)?;
    let is_id = id.len() == MARK_ID_CHARS && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then(|| (id.to_owned(), part))
}

/// Kind and digest of an object's key; `None` for a key that is none.
pub fn parse_object(key: &str) -> Option<(FileKind, Digest)> {
    let (shard, file) = key.strip_prefix(OBJECTS)?.split_once('/')?;
    let (stem, extension) = file.split_once('.')?;
    let kind = [FileKind::Segment, FileKind::DeleteVector].into_iter().find(|kind| kind.extension() == extension)?;
    Some((kind, parse_sharded(shard, stem)?))
}

/// Digest of a node's key; `None` for a key that is none.
pub fn parse_tree(key: &str) -> Option<Digest> {
    let (shard, file) = key.strip_prefix(TREES)?.split_once('/')?;
    parse_sharded(shard, file.strip_suffix(TREE_SUFFIX)?)
}

fn parse_sharded(shard: &str, stem: &str) -> Option<Digest> {
    let digest: Digest = stem.parse().ok()?;
    (digest.shard() == shard).then_some(digest)
}

/// A label as a segment of a key.
pub fn encode_label(label: &str) -> Result<String, LabelError> {
    if label.is_empty() {
        return Err(LabelError::Empty);
    }
    let dots_only = label.bytes().all(|byte| byte == b'.');
    let mut encoded = String::with_capacity(label.len());
    for (position, byte) in label.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if plain && !(dots_only && position == 0) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    if encoded.len() > ENCODED_LABEL_BYTES_MAX {
        let label = label.chars().take(64).collect();
        return Err(LabelError::TooLong { label, bytes: encoded.len() });
    }
    Ok(encoded)
}

/// The label of a segment of a key; `None` when no label is encoded like this.
pub fn decode_label(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let label = String::from_utf8(bytes).ok()?;
    (encode_label(&label).ok()? == encoded).then_some(label)
}

fn built(key: Result<ObjectKey, InvalidKey>) -> ObjectKey {
    // Digests, timestamps and encoded labels are bounded ASCII without slashes, so what is built of them is a key.
    key.expect("keys are built of checked parts")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys() {
        let digest = Digest::of(b"x");
        let hex = digest.to_hex();
        let key = object(FileKind::Segment, &digest);
        assert_eq!(key.as_str(), format!("ebla/objects/{}/{hex}.parquet", &hex[..2]));
        assert_eq!(parse_object(key.as_str()), Some((FileKind::Segment, digest)));
        let key = object(FileKind::DeleteVector, &digest);
        assert_eq!(parse_object(key.as_str()), Some((FileKind::DeleteVector, digest)));
        assert_eq!(parse_tree(tree(&digest).as_str()), Some(digest));
        let copy = mended(&key);
        assert_eq!(copy.as_str(), format!("ebla/mended/objects/{}/{hex}.dv", &hex[..2]));
        assert_eq!(parse_mended(copy.as_str()).as_deref(), Some(key.as_str()));
        for foreign in [key.as_str(), "ebla/mended/probe", "ebla/mended/objects/00/x.dv", "ebla/mended/mended/trees/x"]
        {
            assert_eq!(parse_mended(foreign), None, "{foreign}");
        }
        let timestamp: SnapshotTimestamp = "2023-02-07-14-45-53-143".parse().unwrap();
        let key = snapshot("a/b ü", &timestamp).unwrap();
        assert_eq!(key.as_str(), "ebla/snapshots/a%2Fb%20%C3%BC/2023-02-07-14-45-53-143.json");
        assert_eq!(parse_snapshot(key.as_str()), Some(("a/b ü".to_owned(), timestamp)));
    }

    #[test]
    fn what_is_locked() {
        let digest = Digest::of(b"x");
        let timestamp: SnapshotTimestamp = "2023-02-07-14-45-53-143".parse().unwrap();
        for key in [
            object(FileKind::Segment, &digest),
            object(FileKind::DeleteVector, &digest),
            tree(&digest),
            mended(&tree(&digest)),
            snapshot("s", &timestamp).unwrap(),
            repository_info(),
        ] {
            assert!(is_of_snapshots(key.as_str()), "{key}");
        }
        // Proofs, and whatever else is not for ever.
        let (identifier, mode) = ("0a".repeat(16), LockMode::Compliance);
        for key in probes().into_iter().chain([probe_settings(&identifier), probe_lock_parts(mode, &identifier)]) {
            assert!(is_probe(key.as_str()) && !is_of_snapshots(key.as_str()), "{key}");
        }
        for key in ["ebla/probe-settings-", "ebla/probe-settings-x", "ebla/probes", "ebla/repository.json"] {
            assert!(!is_probe(key), "{key}");
        }
        assert!(is_probe("ebla/probe-lock-governance-parts"), "an older version has put it");
        for key in ["ebla/probe-lock-compliance-parts-", "ebla/probe-lock-compliance-parts-x", "ebla/probe-lock-x"] {
            assert!(!is_probe(key) && !proves_lock(key, mode), "{key}");
        }
        assert!(!proves_lock(probe_lock(LockMode::Governance).as_str(), mode));
        assert!(!is_of_snapshots("ebla/writers/c-1.json"));
    }

    #[test]
    fn labels_that_would_leave_their_directory() {
        for (label, encoded) in [(".", "%2E"), ("..", "%2E."), ("...", "%2E.."), ("a..", "a.."), ("%2E", "%252E")] {
            assert_eq!(encode_label(label).unwrap(), encoded);
            assert_eq!(decode_label(encoded).as_deref(), Some(label));
        }
        assert_eq!(encode_label(""), Err(LabelError::Empty));
        assert!(matches!(encode_label(&"ü".repeat(43)), Err(LabelError::TooLong { bytes: 258, .. })));
        assert!(encode_label(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn keys_of_the_lifecycle() {
        let timestamp: SnapshotTimestamp = "2023-02-07-14-45-53-143".parse().unwrap();
        let key = announcement("a/b", &timestamp, 86_400).unwrap();
        assert_eq!(key.as_str(), "ebla/writers/a%2Fb/2023-02-07-14-45-53-143-86400.json");
        assert_eq!(parse_announcement(key.as_str()), Some(("a/b".to_owned(), timestamp, 86_400)));
        for key in [
            "ebla/writers/x/2023-02-07-14-45-53-143.json",
            "ebla/writers/x/2023-02-07-14-45-53-143-007.json",
            "ebla/writers/x/2023-02-07-14-45-53-143--7.json",
            "ebla/writers/../2023-02-07-14-45-53-143-7.json",
        ] {
            assert_eq!(parse_announcement(key), None, "{key}");
        }
        let id = "0123456789abcdef0123456789abcdef";
        for part in MarkPart::ALL {
            assert_eq!(parse_mark(mark(id, part).unwrap().as_str()), Some((id.to_owned(), part)));
        }
        for key in ["ebla/garbage/x/mark.json", "ebla/garbage/0123456789abcdef0123456789abcdef/other.json"] {
            assert_eq!(parse_mark(key), None, "{key}");
        }
    }

    #[test]
    fn foreign_keys_are_not_ours() {
        let digest = Digest::of(b"x");
        let hex = digest.to_hex();
        for key in [
            "",
            "ebla/snapshots/",
            "ebla/snapshots/x/2023-02-07-14-45-53-143.json.part",
            "ebla/snapshots/x/2023-02-07-14-45-53.json",
            "ebla/snapshots/../2023-02-07-14-45-53-143.json",
            "ebla/snapshots/./2023-02-07-14-45-53-143.json",
            "ebla/snapshots/a%2fb/2023-02-07-14-45-53-143.json",
            "ebla/snapshots/%41/2023-02-07-14-45-53-143.json",
            "ebla/snapshots/%FF/2023-02-07-14-45-53-143.json",
            "ebla/snapshots/%/2023-02-07-14-45-53-143.json",
            "ebla/snapshots/a/b/2023-02-07-14-45-53-143.json",
            "ebla/snapshots//2023-02-07-14-45-53-143.json",
        ] {
            assert_eq!(parse_snapshot(key), None, "{key}");
        }
        let other = if hex.starts_with("00") { "01" } else { "00" };
        for key in [
            format!("ebla/objects/{other}/{hex}.parquet"),
            format!("ebla/objects/{}/{hex}.csv", &hex[..2]),
            format!("ebla/objects/{}/{}.dv", &hex[..2], hex.to_uppercase()),
            format!("ebla/objects/{}/../{hex}.dv", &hex[..2]),
        ] {
            assert_eq!(parse_object(&key), None, "{key}");
        }
    }

    proptest! {
        #[test]
        fn every_label_has_one_encoding(label in "\\PC{1,40}|[%./\\x00-\\x20a-zA-Z]{1,60}") {
            if let Ok(encoded) = encode_label(&label) {
                let key = format!("{SNAPSHOTS}{encoded}/x");
                prop_assert!(ObjectKey::new(key).is_ok());
                prop_assert_eq!(decode_label(&encoded), Some(label));
            }
        }

        #[test]
        fn whatever_decodes_encodes_back(segment in "[%0-9A-Fa-f./-]{0,30}") {
            if let Some(label) = decode_label(&segment) {
                prop_assert_eq!(encode_label(&label).unwrap(), segment);
            }
        }

        #[test]
        fn no_key_panics(key in "ebla/(snapshots|objects|trees)/\\PC{0,100}") {
            let _ = (parse_snapshot(&key), parse_object(&key), parse_tree(&key));
        }
    }
}
