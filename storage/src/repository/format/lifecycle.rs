//! What writers and collectors tell each other: announcements, and the three objects of a mark. Sealed JSON, version 1.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{FORMAT_VERSION, FormatError, inconsistent, seal};
use crate::catalog::FileKind;
use crate::digest::Digest;
use crate::repository::layout;
use crate::repository::store::ObjectKey;
use crate::repository::timestamp::SnapshotTimestamp;

/// Candidates of one mark. More garbage than this takes several marks; writers hold one in memory.
pub const MARK_CANDIDATES_MAX: usize = 100_000;

/// Largest announcement, list of writers, or decision.
pub const RECORD_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Largest mark.
pub const MARK_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Extension of a node in a list of contents.
const NODE_EXTENSION: &str = "json.zst";

/// One object that is named by its digest: what a snapshot consists of beside its commit object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// A segment or delete vector.
    Object(FileKind, Digest),
    /// A table or partition node.
    Node(Digest),
}

/// A backup says that it is about to take objects for present, before it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Version of the format.
    pub format_version: u32,
    /// The engine that writes.
    pub engine_version: String,
    /// The cluster that writes.
    pub cluster_id: String,
    /// Its job.
    pub job_id: i64,
    /// Label of the snapshot to be.
    pub label: String,
    /// Timestamp of the snapshot to be.
    pub timestamp: SnapshotTimestamp,
    /// Seconds from this object's creation within which the commit object is put.
    pub timeout_s: u64,
}

/// What a collection is going to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Version of the format.
    pub format_version: u32,
    /// The engine that marks.
    pub engine_version: String,
    /// The cluster that marks.
    pub cluster_id: String,
    /// What no snapshot referred to, with its size, in order.
    pub candidates: Vec<(Content, u64)>,
}

/// Who was writing when a mark was put, and so may not know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkWriters {
    /// Version of the format.
    pub format_version: u32,
    /// Their announcements: label, timestamp and timeout in seconds.
    pub writers: Vec<(String, SnapshotTimestamp, u64)>,
}

/// Whether a mark is carried out. Created once: whoever is first decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepDecision {
    /// Version of the format.
    pub format_version: u32,
    /// What was decided.
    pub decision: Decision,
    /// Who decided: the cluster.
    pub cluster_id: String,
    /// A random text, so that whoever put it knows its own.
    pub token: String,
}

/// What can be decided about a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A collector removes the candidates, from now on for a limited time.
    Claimed,
    /// A writer needs one of them: nothing is removed under this mark.
    Cancelled,
}

impl Content {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        match self {
            Content::Object(kind, digest) => layout::object(*kind, digest),
            Content::Node(digest) => layout::tree(digest),
        }
    }

    /// The content of a key; `None` for a key of anything else.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        let object = layout::parse_object(key).map(|(kind, digest)| Content::Object(kind, digest));
        object.or_else(|| layout::parse_tree(key).map(Content::Node))
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        match self {
            Content::Object(_, digest) | Content::Node(digest) => digest,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Object(kind, digest) => write!(f, "{digest}.{}", kind.extension()),
            Content::Node(digest) => write!(f, "{digest}.{NODE_EXTENSION}"),
        }
    }
}

/// A text that names no content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a segment, delete vector or node")]
pub struct InvalidContent;

impl FromStr for Content {
    type Err = InvalidContent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (stem, extension) = text.split_once('.').ok_or(InvalidContent)?;
        let digest: Digest = stem.parse().map_err(|_| InvalidContent)?;
        if extension == NODE_EXTENSION {
            return Ok(Content::Node(digest));
        }
        [FileKind::Segment, FileKind::DeleteVector]
            .into_iter()
            .find(|kind| kind.extension() == extension)
            .map(|kind| Content::Object(kind, digest))
            .ok_or(InvalidContent)
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A sealed record of the lifecycle.
pub trait Record: Serialize + DeserializeOwned + Sized {
    /// What it is, for messages.
    const WHAT: &'static str;

    /// Largest it may be.
    const BYTES_MAX: u64 = RECORD_BYTES_MAX;

    /// Errors when it contradicts itself.
    fn check(&self) -> Result<(), FormatError> {
        Ok(())
    }

    /// The bytes to store.
    fn to_stored(&self) -> Result<Bytes, FormatError> {
        self.check()?;
        let stored = seal::seal(self).map_err(|error| inconsistent(error.to_string()))?;
        check_size::<Self>(stored.len())?;
        Ok(Bytes::from(stored))
    }

    /// Reads and checks stored bytes.
    fn from_stored(bytes: &[u8]) -> Result<Self, FormatError> {
        check_size::<Self>(bytes.len())?;
        let record: Self = seal::unseal(Self::WHAT, bytes)?;
        record.check()?;
        Ok(record)
    }
}

fn check_size<R: Record>(bytes: usize) -> Result<(), FormatError> {
    super::check_count(R::WHAT, bytes, usize::try_from(R::BYTES_MAX).unwrap_or(usize::MAX))
}

impl Record for Announcement {
    const WHAT: &'static str = "an announcement";
}

impl Record for Mark {
    const WHAT: &'static str = "a mark";
    const BYTES_MAX: u64 = MARK_BYTES_MAX;

    fn check(&self) -> Result<(), FormatError> {
        super::check_count("a mark", self.candidates.len(), MARK_CANDIDATES_MAX)?;
        // They are searched by halving, so out of order would be as good as missing.
        match self.candidates.is_sorted_by_key(|(content, _)| *content) {
            true => Ok(()),
            false => Err(inconsistent("its candidates are out of order")),
        }
    }
}

impl Record for MarkWriters {
    const WHAT: &'static str = "a list of writers";
}

impl Record for SweepDecision {
    const WHAT: &'static str = "a decision about a mark";
}

impl Mark {
    /// A mark of these candidates, in whatever order they come.
    #[must_use]
    pub fn new(cluster_id: &str, mut candidates: Vec<(Content, u64)>) -> Mark {
        candidates.sort_unstable();
        Mark {
            format_version: FORMAT_VERSION,
            engine_version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster_id: cluster_id.to_owned(),
            candidates,
        }
    }

    /// Whether this content is a candidate.
    #[must_use]
    pub fn names(&self, content: &Content) -> bool {
        self.candidates.binary_search_by(|(candidate, _)| candidate.cmp(content)).is_ok()
    }
}

impl SweepDecision {
    /// A decision of a cluster.
    #[must_use]
    pub fn new(decision: Decision, cluster_id: &str, token: String) -> SweepDecision {
        SweepDecision { format_version: FORMAT_VERSION, decision, cluster_id: cluster_id.to_owned(), token }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back() {
        let digest = Digest::of(b"x");
        let contents = [
            Content::Object(FileKind::Segment, digest),
            Content::Object(FileKind::DeleteVector, digest),
            Content::Node(digest),
        ];
        for content in contents {
            assert_eq!(content.to_string().parse(), Ok(content));
            assert_eq!(Content::of_key(content.key().as_str()), Some(content));
        }
        let mark = Mark::new("c", contents.iter().rev().map(|content| (*content, 7)).collect());
        let stored = mark.to_stored().unwrap();
        assert_eq!(Mark::from_stored(&stored).unwrap(), mark);
        assert!(contents.iter().all(|content| mark.names(content)));
        assert!(!mark.names(&Content::Node(Digest::of(b"y"))));
        let mut damaged = stored.to_vec();
        damaged[20] ^= 1;
        assert!(Mark::from_stored(&damaged).is_err());
        let claim = SweepDecision::new(Decision::Claimed, "c", "t".into());
        assert_eq!(SweepDecision::from_stored(&claim.to_stored().unwrap()).unwrap(), claim);
        for text in ["", "x.parquet", &format!("{digest}.csv"), &format!("{digest}")] {
            assert_eq!(text.parse::<Content>(), Err(InvalidContent), "{text}");
        }
    }
}
