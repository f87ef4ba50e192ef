//! Segments: immutable Parquet files, and the delete vectors that say which of their rows are gone.
//!
//! A segment is written once, sorted by the table's sort key, and named by the digest of its bytes. Nothing in the
//! file needs Ebla to be read: columns carry field ids, types are Parquet's own. A delete vector is a small file beside
//! it, named the same way; deleting more rows makes another one.

mod chunks;
mod delete_vector;
mod encoding;
mod format;
mod inspect;
mod reader;
mod sort;
mod tree;
mod writer;
mod zone_map;

pub use delete_vector::DeleteVector;
pub use format::{SegmentFormat, parse_compression};
pub(crate) use inspect::catch_panic;
pub use inspect::inspect;
pub use reader::{SegmentBatch, SegmentReader, project};
pub use sort::{OrderCheck, SortKey, SortedStream, batch_bytes, merge, sort};
pub(crate) use tree::{GROUP_BYTES, SegmentTree};
pub use writer::{WrittenSegment, write_run, write_segments};
pub use zone_map::ZoneMapBuilder;

#[cfg(test)]
mod tests;
