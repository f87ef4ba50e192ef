//! Tests of the query engine: SQL text in, rows out, over Parquet segments written here.
//!
//! Method: one engine for all tests; each test makes its own tables. Expected values come from MySQL's and StarRocks's
//! documented behaviour, not from this engine.

#![allow(clippy::unwrap_used, clippy::panic)]

mod apart;
mod bounded;
mod bytes;
mod dependencies;
mod effort;
mod engine;
mod filters;
mod functions;
mod joins;
mod lists;
mod metadata;
mod mixed;
mod nulls;
mod one_column;
mod scan;
mod select;
mod semantics;
mod subqueries;
mod support;
mod tpch;
mod windows;
