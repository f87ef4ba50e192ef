//! What a client says: the MySQL wire protocol ([`wire`]) and the StarRocks dialect ([`sql`]).
//!
//! Knows no storage and no server.

pub mod sql;
pub mod wire;
