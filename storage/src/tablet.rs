//! Tablets: one bucket of one partition of one index, kept as files on one or more storage roots.
//!
//! [`PartitionRouter`] and [`bucket_of`] say which tablet a row belongs to, [`TabletFiles`] where a tablet's bytes are.

mod bucket;
mod files;
mod install;
mod router;

pub use bucket::{bucket_of, bucket_of_key};
pub use files::TabletFiles;
pub(crate) use install::{StagedTablet, staging_for};
pub use router::{PartitionRouter, value_to_array};
