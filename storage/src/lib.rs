//! What is kept: the catalog, tablets of immutable segments, repositories, jobs, backup and restore.
//!
//! Everything durable happens here, in a crate that knows no SQL text and no query engine, so that each step can be
//! crash-tested alone. Start reading at [`catalog`] for what is known, [`schema`] for what a table is.

// Durable steps are taken through `disk` alone; `clippy.toml` lists what stands below them.
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod background;
pub mod backup;
pub mod catalog;
pub mod clock;
pub mod compaction;
pub mod ddl;
pub mod delete;
pub mod digest;
pub mod disk;
pub mod error;
pub mod failpoint;
pub mod fsck;
pub mod gc;
pub mod ids;
pub mod job;
pub mod lifecycle;
pub mod load;
pub mod repair;
pub mod repositories;
pub mod repository;
pub mod restore;
pub mod roots;
pub mod schema;
pub mod segment;
pub mod storage;
pub mod table_snapshot;
pub mod tablet;
#[cfg(test)]
mod testing;
pub mod verify;

pub use error::{Error, Result};
pub use storage::{Storage, StorageConfig};
pub use table_snapshot::TableSnapshot;
