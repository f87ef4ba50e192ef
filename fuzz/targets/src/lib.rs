//! What each fuzz target does with its bytes: one function a target, which panics when a promise is broken.
//!
//! `fuzz/fuzz_targets` hands the fuzzer's bytes to these functions; `tests/replay.rs` hands them the seeds, and
//! what grows from the seeds by chance, on the compiler everybody has. What a target promises stands at its
//! function. None of this is part of the product.

mod catalog;
mod delete_vector;
mod repository;
mod segment;
mod sql;
#[cfg(feature = "server")]
mod stream_load;
mod wire;

pub use catalog::catalog_file;
pub use delete_vector::delete_vector;
pub use repository::{repository_manifest, repository_node};
pub use segment::{parquet_segment, segment_table};
pub use sql::sql_parse;
#[cfg(feature = "server")]
pub use stream_load::{stream_load_csv, stream_load_json};
pub use wire::wire_packets;

/// Every target: the name of its file in `fuzz/fuzz_targets` and of its folder in `fuzz/seeds`, and what it runs.
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("catalog_file", catalog_file),
    ("delete_vector", delete_vector),
    ("parquet_segment", parquet_segment),
    ("repository_manifest", repository_manifest),
    ("repository_node", repository_node),
    ("sql_parse", sql_parse),
    #[cfg(feature = "server")]
    ("stream_load_csv", stream_load_csv),
    #[cfg(feature = "server")]
    ("stream_load_json", stream_load_json),
    ("wire_packets", wire_packets),
];
