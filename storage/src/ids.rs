//! Newtypes for the numbers that name things in the catalog.
//!
//! Every id is handed out once by [`crate::catalog::WriteTransaction::next_id`] and never used again, not even
//! after the thing it named is gone. Ids are local to one cluster: nothing in a repository depends on them.

use std::fmt;

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[doc = $doc:literal] $name:ident;)*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_i64().map($name)
            }
        }
    )*};
}

id! {
    /// A database.
    DatabaseId;
    /// A table.
    TableId;
    /// A partition of a table.
    PartitionId;
    /// A materialized index (base or rollup) of a table.
    IndexId;
    /// One bucket of one partition of one index.
    TabletId;
    /// One copy of a tablet on one storage root.
    ReplicaId;
    /// The result of one load or compaction in one tablet.
    RowsetId;
    /// A repository as this cluster knows it (the repository's own identity is a UUID-like text inside it).
    RepositoryId;
    /// A durable job.
    JobId;
    /// One load, delete or overwrite.
    TransactionId;
    /// A directory that holds tablets; one per disk.
    StorageRootId;
}
