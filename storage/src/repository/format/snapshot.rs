//! The two sealed objects: what a repository is, and what a snapshot is.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::node::{NodeRef, PartitionEntry, TableNode};
use super::{
    CHILDREN_MAX, FORMAT_VERSION, FormatError, INFO_BYTES_MAX, MANIFEST_BYTES_MAX, check_count, check_equal,
    check_name, inconsistent, seal, sum,
};
use crate::repository::layout;
use crate::repository::properties::LockMode;
use crate::repository::timestamp::SnapshotTimestamp;

/// `repository.json`: written once, when the repository is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryInfo {
    /// Version of the format the repository was created with.
    pub format_version: u32,
    /// The repository's identity, the same for every cluster that uses it.
    pub repository_id: String,
    /// When it was created.
    pub created_at_ms: i64,
    /// The engine that created it.
    #[serde(default)]
    pub engine_version: String,
}

/// The commit object of a snapshot: the last object a backup writes. A snapshot exists if and only if this does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotManifest {
    /// Version of the format.
    pub format_version: u32,
    /// The engine that wrote it.
    pub engine_version: String,
    /// The repository it was written to.
    pub repository_id: String,
    /// The cluster that wrote it.
    pub cluster_id: String,
    /// The database it was taken of.
    pub database: String,
    /// Its label.
    pub label: String,
    /// Its timestamp, as users type it.
    pub timestamp: SnapshotTimestamp,
    /// When the backup was asked for: the moment `timestamp` spells out.
    pub timestamp_ms: i64,
    /// The moment whose data it holds.
    pub cut_at_ms: i64,
    /// When everything but this object was in the repository.
    pub finished_at_ms: i64,
    /// How long it is to be kept, as the user wrote it; absent is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// When it may be removed; absent is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<i64>,
    /// How everything it names was locked when it came to be; absent where no lock was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<SnapshotLock>,
    /// Sums over the tables.
    pub totals: SnapshotTotals,
    /// The tables, in the order of their names.
    pub tables: Vec<SnapshotTable>,
}

/// A lock that everything a snapshot names had at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotLock {
    /// Who may lift it.
    pub mode: LockMode,
    /// When it ends.
    pub until_ms: i64,
}

/// Sums over a snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotTotals {
    /// Tables.
    pub tables: u64,
    /// Partitions.
    pub partitions: u64,
    /// References to segments and delete vectors; one that is referred to twice counts twice.
    pub objects: u64,
    /// Rows that a query sees.
    pub rows: u64,
    /// Bytes of those objects, counted as they are.
    pub bytes: u64,
    /// Bytes of objects and nodes that this backup had to upload.
    pub bytes_uploaded: u64,
}

/// One table of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotTable {
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: NodeRef,
    /// Partitions.
    pub partitions: u64,
    /// References to segments and delete vectors.
    pub objects: u64,
    /// Rows that a query sees.
    pub rows: u64,
    /// Bytes of those objects.
    pub bytes: u64,
    /// Whether BACKUP named partitions of it, so that it may not be the whole table.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

impl RepositoryInfo {
    /// The bytes to store.
    pub fn to_stored(&self) -> Result<Bytes, FormatError> {
        seal::seal(self).map(Bytes::from).map_err(|error| inconsistent(error.to_string()))
    }

    /// Reads and checks stored bytes.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, FormatError> {
        check_count("repository.json", bytes.len(), usize::try_from(INFO_BYTES_MAX).unwrap_or(usize::MAX))?;
        let info: Self = seal::unseal("repository.json", bytes)?;
        check_name("repository", &info.repository_id)?;
        Ok(info)
    }
}

impl SnapshotManifest {
    /// The bytes to store. Errors when the manifest contradicts itself: such a snapshot must not come to be.
    pub fn to_stored(&self) -> Result<Bytes, FormatError> {
        if self.format_version != FORMAT_VERSION {
            return Err(inconsistent(format!("this build writes format version {FORMAT_VERSION}")));
        }
        self.check()?;
        seal::seal(self).map(Bytes::from).map_err(|error| inconsistent(error.to_string()))
    }

    /// Reads and checks stored bytes.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, FormatError> {
        check_count("a commit object", bytes.len(), usize::try_from(MANIFEST_BYTES_MAX).unwrap_or(usize::MAX))?;
        let manifest: Self = seal::unseal("a commit object", bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The table of this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&SnapshotTable> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Totals of these tables.
    pub fn totals_of(tables: &[SnapshotTable], bytes_uploaded: u64) -> Result<SnapshotTotals, FormatError> {
        Ok(SnapshotTotals {
            tables: tables.len() as u64,
            partitions: sum("partitions", tables.iter().map(|table| table.partitions))?,
            objects: sum("objects", tables.iter().map(|table| table.objects))?,
            rows: sum("rows", tables.iter().map(|table| table.rows))?,
            bytes: sum("bytes", tables.iter().map(|table| table.bytes))?,
            bytes_uploaded,
        })
    }

    fn check(&self) -> Result<(), FormatError> {
        check_name("database", &self.database)?;
        layout::encode_label(&self.label).map_err(|error| inconsistent(error.to_string()))?;
        check_count("the list of tables", self.tables.len(), CHILDREN_MAX)?;
        for (position, table) in self.tables.iter().enumerate() {
            check_name("table", &table.name)?;
            // In order, so that one pass finds a name that stands twice.
            if position > 0 && self.tables[position - 1].name >= table.name {
                return Err(inconsistent(format!("table '{}' is out of order or named twice", table.name)));
            }
        }
        let totals = Self::totals_of(&self.tables, self.totals.bytes_uploaded)?;
        if totals != self.totals {
            return Err(inconsistent("the totals are not the sums of the tables"));
        }
        Ok(())
    }
}

impl SnapshotTable {
    /// The entry of a table whose node was encoded.
    pub fn of(name: &str, table: &TableNode, node: NodeRef) -> Result<Self, FormatError> {
        let add = |what, number: fn(&PartitionEntry) -> u64| sum(what, table.partitions.iter().map(number));
        Ok(Self {
            name: name.to_owned(),
            node,
            partitions: table.partitions.len() as u64,
            objects: add("objects", |partition| partition.objects)?,
            rows: add("rows", |partition| partition.rows)?,
            bytes: add("bytes", |partition| partition.bytes)?,
            partial: false,
        })
    }

    /// Errors when the node that was read does not hold what this entry says.
    pub fn check(&self, table: &TableNode) -> Result<(), FormatError> {
        let found = Self::of(&self.name, table, self.node)?;
        check_equal("partitions", self.partitions, found.partitions)?;
        check_equal("objects", self.objects, found.objects)?;
        check_equal("rows", self.rows, found.rows)?;
        check_equal("bytes", self.bytes, found.bytes)
    }
}
