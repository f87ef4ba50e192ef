//! Stored types of a repository, version 1, and how they become bytes. docs/repository-format.md is the norm.
//!
//! Two small objects are JSON sealed by a digest of their own ([`RepositoryInfo`], [`SnapshotManifest`]); the nodes
//! between them and the segments are zstd-compressed JSON named by the digest of what is stored ([`TableNode`],
//! [`PartitionNode`]). What writers and collectors tell each other ([`Announcement`], [`Mark`] and the like) is sealed
//! too. Equal values encode to equal bytes: fields in the order of their declaration, maps sorted, no
//! floating point numbers, one compression level.
//!
//! Everything read from a repository was written by somebody else. It is checked in this order: its size, its digest,
//! its size once decompressed, its format version, its type, then that its numbers agree with each other. Unknown
//! fields are ignored and absent ones get defaults, so that older and newer writers of one version understand each
//! other. Nothing here touches a store.

mod lifecycle;
mod node;
mod outline;
mod seal;
mod snapshot;
mod tombstone;

use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use lifecycle::{
    Announcement, Content, Decision, InvalidContent, MARK_CANDIDATES_MAX, Mark, MarkWriters, Record, SweepDecision,
};
pub use node::{
    DeletesEntry, EncodedNode, IndexEntry, Node, NodeLevel, NodeRef, PartitionEntry, PartitionNode, RowsetEntry,
    SegmentEntry, TableNode, TabletEntry, check_stored, decode_node, decompressed_bytes, encode_node, read_stored,
};
pub use snapshot::{RepositoryInfo, SnapshotLock, SnapshotManifest, SnapshotTable, SnapshotTotals};
pub use tombstone::{TOMBSTONE_BYTES, Tombstone};

use crate::digest::Digest;

/// The version this build writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Largest `repository.json`.
pub const INFO_BYTES_MAX: u64 = 64 * 1024;

/// Largest commit object: more than a hundred thousand tables.
pub const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Largest node as it is stored.
pub const NODE_STORED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Largest node once decompressed: a compression bomb ends here.
pub const NODE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Largest member of a node but the list of its children: ten thousand columns, each with a long comment. Reading a
/// definition may take thirty times its size.
pub const MEMBER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest name of anything.
pub const NAME_BYTES_MAX: usize = 4 * 1024;

/// Most partitions of a table, most buckets of a partition, most rowsets of a partition.
pub const CHILDREN_MAX: usize = 1_000_000;

/// Largest JSON of the properties of all partitions of a table together: read, a few letters of it take hundreds of bytes.
pub const PROPERTIES_BYTES_MAX: usize = 1024 * 1024;

/// Largest segment: what S3 allows an object.
pub const OBJECT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024 * 1024;

/// Why stored bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Beyond a limit of this module.
    #[error("{what} has {found} where at most {max} are allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is, or how large it was when reading stopped.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// The bytes are not those that were written.
    #[error("its bytes are damaged: digest {found} instead of {expected}")]
    WrongDigest {
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        found: Digest,
    },
    /// The end, where the digest stands, is missing.
    #[error("it does not end in its digest, so it is cut off or not an object of a repository")]
    NotSealed,
    /// zstd refused.
    #[error("it cannot be decompressed: {0}")]
    Compression(String),
    /// Not the JSON of its type.
    #[error("it does not read as {what}: {detail}")]
    Syntax {
        /// The type.
        what: &'static str,
        /// Where and why.
        detail: String,
    },
    /// Written by a newer Ebla.
    #[error(
        "it has format version {found}, and this server reads versions up to {supported}; \
         use the version of Ebla that wrote it ({engine}) or a newer one"
    )]
    Newer {
        /// Its version.
        found: u32,
        /// The newest this build reads.
        supported: u32,
        /// The engine that wrote it, if it says so.
        engine: String,
    },
    /// Readable, but its parts contradict each other.
    #[error("it contradicts itself: {0}")]
    Inconsistent(String),
}

impl FormatError {
    /// What to do, as the end of a sentence; empty where the sentence says it.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            FormatError::Newer { .. } => "",
            _ => {
                "; look at it with another client: either it is damaged, and another snapshot has to do, or what comes \
                 between changes it"
            }
        }
    }
}

/// What every stored object says of itself.
#[derive(Deserialize)]
struct Header {
    format_version: u32,
    #[serde(default)]
    engine_version: String,
}

/// Reads JSON of the type `T`, after its version was found to be one this build reads.
fn parse<T: DeserializeOwned>(what: &'static str, json: &[u8]) -> Result<T, FormatError> {
    let syntax =
        |error: serde_json::Error| FormatError::Syntax { what, detail: error.to_string().chars().take(200).collect() };
    let header: Header = serde_json::from_slice(json).map_err(syntax)?;
    if header.format_version > FORMAT_VERSION {
        return Err(FormatError::Newer {
            found: header.format_version,
            supported: FORMAT_VERSION,
            engine: match header.engine_version.as_str() {
                "" => "unknown".to_owned(),
                engine => engine.chars().filter(|c| !c.is_control()).take(40).collect(),
            },
        });
    }
    if header.format_version == 0 {
        return Err(inconsistent("there is no format version 0"));
    }
    serde_json::from_slice(json).map_err(syntax)
}

fn inconsistent(text: impl Into<String>) -> FormatError {
    FormatError::Inconsistent(text.into())
}

/// A name that can be stored and compared. Which names are legal is for those to say who create things.
fn check_name(what: &'static str, name: &str) -> Result<(), FormatError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
        let text = format!("the name of a {what} is empty, longer than {NAME_BYTES_MAX} bytes or has a zero byte");
        return Err(inconsistent(text));
    }
    Ok(())
}

fn check_count(what: &'static str, found: usize, max: usize) -> Result<(), FormatError> {
    if found > max {
        return Err(FormatError::TooLarge { what, found: found as u64, max: max as u64 });
    }
    Ok(())
}

/// The sum, which must fit the catalog's signed numbers.
fn sum(what: &str, numbers: impl IntoIterator<Item = u64>) -> Result<u64, FormatError> {
    numbers
        .into_iter()
        .try_fold(0_u64, u64::checked_add)
        .filter(|sum| i64::try_from(*sum).is_ok())
        .ok_or_else(|| inconsistent(format!("the {what} add up to more than can be")))
}

fn check_equal(what: &str, said: u64, found: u64) -> Result<(), FormatError> {
    if said == found { Ok(()) } else { Err(inconsistent(format!("{what}: {said} are named, {found} are there"))) }
}

#[cfg(test)]
mod tests;
