//! The Merkle nodes between a commit object and the segments: a table points to its partitions, a partition lists its
//! tablets' segments. The type of a node is fixed by where it is referred to, so the tree is three levels deep,
//! whatever a repository holds.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{
    CHILDREN_MAX, FORMAT_VERSION, FormatError, MEMBER_BYTES_MAX, NODE_BYTES_MAX, NODE_STORED_BYTES_MAX,
    OBJECT_BYTES_MAX, PROPERTIES_BYTES_MAX, check_count, check_equal, check_name, inconsistent, outline, parse, sum,
};
use crate::catalog::{DeleteVectorMeta, SegmentMeta, ZoneMap};
use crate::digest::Digest;
use crate::schema::{PartitionBounds, TableDefinition};

/// zstd level of nodes. Part of what makes equal nodes equal bytes, so it changes only with the format version.
const ZSTD_LEVEL: i32 = 3;

/// Largest zstd window a frame may ask for, as a power of two: more than level 3 uses, little enough for memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// A node that is stored by itself.
pub trait Node: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its type, as the `kind` field spells it and messages name it.
    const KIND: &'static str;

    /// The one member that may be large: the list of what is below it.
    const CHILDREN: &'static str;

    /// Where it is in the tree.
    const LEVEL: NodeLevel;

    /// Errors when the JSON of a node holds more than a reader has room for, before anything is made of it.
    fn check_outline(json: &[u8]) -> Result<(), FormatError> {
        outline::members_are_bounded(json, Self::CHILDREN, MEMBER_BYTES_MAX)
    }

    /// The `kind` field.
    fn kind(&self) -> &str;

    /// Errors when its parts contradict each other.
    fn check(&self) -> Result<(), FormatError>;
}

/// The two levels of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeLevel {
    /// Nodes of tables.
    Table,
    /// Nodes of partitions, which are read while that of their table is in use.
    Partition,
}

/// Where a node is: its name and its size as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeRef {
    /// BLAKE3 of the stored bytes.
    pub digest: Digest,
    /// How many they are.
    pub bytes: u64,
}

/// A node ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedNode {
    /// What refers to it.
    pub node: NodeRef,
    /// What is stored.
    pub stored: Bytes,
}

/// A table but for its name, which the commit object has: renaming a table changes no node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableNode {
    /// Version of the format.
    pub format_version: u32,
    /// `table`.
    pub kind: String,
    /// Columns, keys, partitioning, distribution, properties.
    pub definition: TableDefinition,
    /// The next value of its AUTO_INCREMENT column; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_increment_next: Option<i64>,
    /// Its materialized indexes, the base index first; tablets refer to them by position.
    pub indexes: Vec<IndexEntry>,
    /// Its partitions, lowest first.
    pub partitions: Vec<PartitionEntry>,
}

/// One materialized index of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// Its name; `base` for the base index.
    pub name: String,
}

/// One partition of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionEntry {
    /// Its name.
    pub name: String,
    /// Which rows it holds.
    pub bounds: PartitionBounds,
    /// Buckets.
    pub buckets: u32,
    /// Replicas its tablets had.
    pub replication_num: u32,
    /// Its properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// Its node.
    pub node: NodeRef,
    /// References to segments and delete vectors.
    pub objects: u64,
    /// Rows that a query sees.
    pub rows: u64,
    /// Bytes of those objects.
    pub bytes: u64,
}

/// What a partition holds. It has neither names nor ids, so partitions of equal content are one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionNode {
    /// Version of the format.
    pub format_version: u32,
    /// `partition`.
    pub kind: String,
    /// Its tablets that hold rowsets, by index and bucket.
    pub tablets: Vec<TabletEntry>,
}

/// One tablet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabletEntry {
    /// Position of its index in the table's list.
    pub index: u32,
    /// Its bucket, from 0.
    pub bucket: u32,
    /// Its rowsets, oldest first.
    pub rowsets: Vec<RowsetEntry>,
}

/// One rowset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsetEntry {
    /// Its segments, in order.
    pub segments: Vec<SegmentEntry>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// BLAKE3 of the Parquet file.
    pub digest: Digest,
    /// Rows in the file, deleted ones included.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Zone maps of the scalar columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zone_maps: Vec<ZoneMap>,
    /// Which of its rows are deleted, when any is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletes: Option<DeletesEntry>,
}

/// The delete vector of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletesEntry {
    /// BLAKE3 of the file.
    pub digest: Digest,
    /// Size of the file.
    pub bytes: u64,
    /// Rows it deletes.
    pub rows: u64,
}

/// Encodes a node. Equal nodes give equal bytes, so a node that did not change keeps its name.
pub fn encode_node<N: Node>(node: &N) -> Result<EncodedNode, FormatError> {
    node.check()?;
    let json = serde_json::to_vec(node).map_err(|error| inconsistent(error.to_string()))?;
    if json.len() as u64 > NODE_BYTES_MAX {
        return Err(FormatError::TooLarge { what: N::KIND, found: json.len() as u64, max: NODE_BYTES_MAX });
    }
    // What is written must be read again.
    N::check_outline(&json)?;
    let stored =
        zstd::bulk::compress(&json, ZSTD_LEVEL).map_err(|error| FormatError::Compression(error.to_string()))?;
    if stored.len() as u64 > NODE_STORED_BYTES_MAX {
        return Err(FormatError::TooLarge { what: N::KIND, found: stored.len() as u64, max: NODE_STORED_BYTES_MAX });
    }
    let node = NodeRef { digest: Digest::of(&stored), bytes: stored.len() as u64 };
    Ok(EncodedNode { node, stored: Bytes::from(stored) })
}

/// Checks the digest of stored bytes, then decompresses, reads and checks the node.
pub fn decode_node<N: Node>(node: &NodeRef, stored: &[u8]) -> Result<N, FormatError> {
    check_stored::<N>(node, stored)?;
    read_stored(stored)
}

/// Checks that stored bytes are those that a reference means.
pub fn check_stored<N: Node>(node: &NodeRef, stored: &[u8]) -> Result<(), FormatError> {
    if stored.len() as u64 > NODE_STORED_BYTES_MAX {
        return Err(FormatError::TooLarge { what: N::KIND, found: stored.len() as u64, max: NODE_STORED_BYTES_MAX });
    }
    let found = Digest::of(stored);
    if found != node.digest {
        return Err(FormatError::WrongDigest { expected: node.digest, found });
    }
    Ok(())
}

/// How many bytes stored ones become, which must be at most `max`. Takes no memory, whatever they become.
pub fn decompressed_bytes<N: Node>(stored: &[u8], max: u64) -> Result<u64, FormatError> {
    decompress(N::KIND, stored, max, &mut std::io::sink())
}

/// Decompresses, reads and checks the node of stored bytes whose digest was checked.
pub fn read_stored<N: Node>(stored: &[u8]) -> Result<N, FormatError> {
    let mut json = Vec::new();
    decompress(N::KIND, stored, NODE_BYTES_MAX, &mut json)?;
    N::check_outline(&json)?;
    let decoded: N = parse(N::KIND, &json)?;
    if decoded.kind() != N::KIND {
        return Err(inconsistent(format!("a {} was expected where a different node is", N::KIND)));
    }
    decoded.check()?;
    Ok(decoded)
}

/// Decompresses into `json`, and returns how many bytes came.
fn decompress(what: &'static str, stored: &[u8], max: u64, json: &mut impl Write) -> Result<u64, FormatError> {
    let failed = |error: std::io::Error| FormatError::Compression(error.to_string());
    let mut decoder = zstd::stream::read::Decoder::with_buffer(stored).map_err(failed)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
    let found = std::io::copy(&mut decoder.take(max + 1), json).map_err(failed)?;
    if found > max {
        return Err(FormatError::TooLarge { what, found, max });
    }
    Ok(found)
}

impl Node for TableNode {
    const KIND: &'static str = "table";
    const CHILDREN: &'static str = "partitions";
    const LEVEL: NodeLevel = NodeLevel::Table;

    fn check_outline(json: &[u8]) -> Result<(), FormatError> {
        outline::members_are_bounded(json, Self::CHILDREN, MEMBER_BYTES_MAX)?;
        outline::details_are_bounded(json, Self::CHILDREN, "properties", PROPERTIES_BYTES_MAX)
    }

    fn kind(&self) -> &str {
        &self.kind
    }

    fn check(&self) -> Result<(), FormatError> {
        check_count("the list of partitions", self.partitions.len(), CHILDREN_MAX)?;
        check_count("the list of indexes", self.indexes.len(), CHILDREN_MAX)?;
        if self.indexes.is_empty() {
            return Err(inconsistent("a table has a base index"));
        }
        for index in &self.indexes {
            check_name("materialized index", &index.name)?;
        }
        if self.definition.columns.is_empty() {
            return Err(inconsistent("a table has at least one column"));
        }
        for column in &self.definition.columns {
            check_name("column", &column.name)?;
        }
        let mut names: Vec<String> = Vec::with_capacity(self.partitions.len());
        for partition in &self.partitions {
            check_name("partition", &partition.name)?;
            if partition.buckets == 0 || partition.buckets as usize > CHILDREN_MAX {
                return Err(inconsistent(format!("partition '{}' has {} buckets", partition.name, partition.buckets)));
            }
            names.push(partition.name.to_lowercase());
        }
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(inconsistent(format!("partition '{}' is named twice", twice[0])));
        }
        Ok(())
    }
}

impl Node for PartitionNode {
    const KIND: &'static str = "partition";
    const CHILDREN: &'static str = "tablets";
    const LEVEL: NodeLevel = NodeLevel::Partition;

    fn kind(&self) -> &str {
        &self.kind
    }

    fn check(&self) -> Result<(), FormatError> {
        check_count("the list of tablets", self.tablets.len(), CHILDREN_MAX)?;
        let rowsets = self.tablets.iter().map(|tablet| tablet.rowsets.len()).fold(0, usize::saturating_add);
        check_count("the lists of rowsets", rowsets, CHILDREN_MAX)?;
        for (position, tablet) in self.tablets.iter().enumerate() {
            let at = |tablet: &TabletEntry| (tablet.index, tablet.bucket);
            if position > 0 && at(&self.tablets[position - 1]) >= at(tablet) {
                return Err(inconsistent(format!("bucket {} is out of order or named twice", tablet.bucket)));
            }
        }
        for segment in self.segments() {
            let deletes = segment.deletes.map_or((0, 0), |deletes| (deletes.rows, deletes.bytes));
            if deletes.0 > segment.rows {
                return Err(inconsistent(format!("segment {} has fewer rows than are deleted", segment.digest)));
            }
            if segment.bytes > OBJECT_BYTES_MAX || deletes.1 > OBJECT_BYTES_MAX {
                return Err(inconsistent(format!("segment {} is larger than an object can be", segment.digest)));
            }
        }
        self.totals().map(|_| ())
    }
}

impl TableNode {
    /// The partition of this name; case does not matter.
    #[must_use]
    pub fn partition(&self, name: &str) -> Option<&PartitionEntry> {
        let name = name.to_lowercase();
        self.partitions.iter().find(|partition| partition.name.to_lowercase() == name)
    }
}

impl PartitionEntry {
    /// Errors when the node that was read does not hold what this entry says.
    pub fn check(&self, partition: &PartitionNode, indexes: usize) -> Result<(), FormatError> {
        for tablet in &partition.tablets {
            if tablet.bucket >= self.buckets || tablet.index as usize >= indexes {
                return Err(inconsistent(format!("bucket {} is beyond the partition's buckets", tablet.bucket)));
            }
        }
        let (objects, rows, bytes) = partition.totals()?;
        check_equal("objects", self.objects, objects)?;
        check_equal("rows", self.rows, rows)?;
        check_equal("bytes", self.bytes, bytes)
    }
}

impl PartitionNode {
    /// A node of these tablets: sorted, and without those that hold nothing.
    #[must_use]
    pub fn new(mut tablets: Vec<TabletEntry>) -> Self {
        tablets.retain(|tablet| !tablet.rowsets.is_empty());
        tablets.sort_by_key(|tablet| (tablet.index, tablet.bucket));
        Self { format_version: FORMAT_VERSION, kind: Self::KIND.to_owned(), tablets }
    }

    /// Every segment, in order.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentEntry> {
        self.tablets.iter().flat_map(|tablet| &tablet.rowsets).flat_map(|rowset| &rowset.segments)
    }

    /// References to objects, rows that a query sees in the base index (position 0), and bytes of the objects.
    pub fn totals(&self) -> Result<(u64, u64, u64), FormatError> {
        let objects = sum("objects", self.segments().map(|segment| 1 + u64::from(segment.deletes.is_some())))?;
        let bytes = sum(
            "bytes",
            self.segments().flat_map(|segment| [segment.bytes, segment.deletes.map_or(0, |deletes| deletes.bytes)]),
        )?;
        let base = self.tablets.iter().filter(|tablet| tablet.index == 0);
        let live = base
            .flat_map(|tablet| &tablet.rowsets)
            .flat_map(|rowset| &rowset.segments)
            .map(|segment| segment.rows.saturating_sub(segment.deletes.map_or(0, |deletes| deletes.rows)));
        Ok((objects, sum("rows", live)?, bytes))
    }
}

impl TableNode {
    /// A node of this definition, these indexes and these partitions.
    #[must_use]
    pub fn new(
        definition: TableDefinition,
        auto_increment_next: Option<i64>,
        indexes: Vec<IndexEntry>,
        partitions: Vec<PartitionEntry>,
    ) -> Self {
        let (format_version, kind) = (FORMAT_VERSION, Self::KIND.to_owned());
        Self { format_version, kind, definition, auto_increment_next, indexes, partitions }
    }
}

impl From<&SegmentMeta> for SegmentEntry {
    fn from(segment: &SegmentMeta) -> Self {
        let entry = |deletes: DeleteVectorMeta| {
            let DeleteVectorMeta { digest, bytes, rows } = deletes;
            DeletesEntry { digest, bytes, rows }
        };
        Self {
            digest: segment.digest,
            rows: segment.rows,
            bytes: segment.bytes,
            zone_maps: segment.zone_maps.clone(),
            deletes: segment.deletes.map(entry),
        }
    }
}

impl From<&SegmentEntry> for SegmentMeta {
    fn from(segment: &SegmentEntry) -> Self {
        let meta = |deletes: DeletesEntry| {
            let DeletesEntry { digest, bytes, rows } = deletes;
            DeleteVectorMeta { digest, bytes, rows }
        };
        Self {
            digest: segment.digest,
            rows: segment.rows,
            bytes: segment.bytes,
            zone_maps: segment.zone_maps.clone(),
            deletes: segment.deletes.map(meta),
        }
    }
}
