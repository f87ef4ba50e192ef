//! What a table is: columns, keys, partitioning, distribution. Pure values with a stable JSON form.
//!
//! The same types are stored in the catalog and in a repository's table nodes, so they carry serde defaults for
//! what was added later and ignore what they do not know. Nothing here touches a disk or a socket.

mod column;
mod data_type;
mod partition;
mod table;
mod value;

pub use column::{Aggregation, Column, ColumnId, DefaultValue};
pub use data_type::{DataType, MYSQL_TYPE_KEY, PARQUET_FIELD_ID_KEY, StructField};
pub use partition::{Bound, PartitionBounds, PartitionKey};
pub use table::{Difference, Distribution, KeysType, Partitioning, SecondaryIndex, TableDefinition};
pub use value::{Value, ValueError, format_date, format_datetime, parse_date, parse_datetime};
