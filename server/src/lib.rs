//! The server: everything that happens between a client and what is kept.
//!
//! A library beside the `ebla` program, so that the quickstart and benchmarks can run a server in their own process.

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
