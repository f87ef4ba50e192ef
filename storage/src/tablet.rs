//! Tablets: one bucket of one partition of one index, kept as files on one or more storage roots.
//!
//! [`PartitionRouter`] and [`bucket_of`] say which tablet a row belongs to, [`TabletFiles`] where a tablet's bytes are,
//! and a [`SegmentHandle`] reads a segment's, whichever replica has them whole.

mod bucket;
mod cache;
mod files;
#[cfg(test)]
mod flips;
mod install;
mod router;
mod segment;

pub use bucket::{bucket_of, bucket_of_key};
pub use files::TabletFiles;
pub(crate) use install::{StagedTablet, check_staged, staging_for};
pub use router::{PartitionRouter, value_to_array};
pub use segment::SegmentHandle;
