//! The server: everything that happens between a client and what is kept.
//!
//! A library beside the `ebla` program, so that the quickstart and benchmarks can run a server in their own process.

// What must stay on the disk is the storage's: `clippy.toml` lists what would pass its durable steps by.
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod auth;
pub mod config;
pub mod error;
pub mod http;
mod http_state;
pub mod load;
pub mod query;
pub mod quickstart;
pub mod server;
pub mod session;
mod statement;
pub mod threads;
