//! The end-to-end harness: real processes, real clients, real object stores, reached through sockets and files only.
//!
//! | to have | use |
//! |---|---|
//! | the `ebla` binary running on a data directory of its own | [`server::Server`] |
//! | a real S3 store, which checks signatures, checksums and conditions | [`weed::Weed`] (SeaweedFS) |
//! | a quick S3 store in this process | [`s3sfs::S3sFs`] |
//! | one that takes keys for a while only | [`s3sfs::S3sFs::with_keys`], [`keys::LiveKeys`] |
//! | the S3 servers of other makers, good and bad | [`stores::OtherStore`] |
//! | what hands credentials out in a cloud | [`cloud::MetadataService`], [`cloud::RoleService`] |
//! | to count, delay, stall or refuse what the server sends to S3 | [`proxy::S3Proxy`] |
//! | to look into a bucket, or to damage it | [`s3::S3Client`] |
//! | to speak SQL as a program | [`client::Client`] |
//! | to speak SQL as a person | [`cli::Cli`], the `mariadb` command-line client |
//! | to wait for a job, or for anything | [`wait`] |
//! | a disk that loses its power, fills up or fails | [`disk::Watched`] |
//! | days that pass in seconds, for the server and its store alike | [`simulated::SimulatedTime`] |
//! | to know at once that something is in a program's log | [`log::LogTail`] |
//! | to know what a program takes of the machine | [`usage`] |
//! | to compare text that people see | [`golden!`] |
//! | to keep statements and their answers in one readable file | [`script`] |
//! | data with known answers | [`tpch`] |
//! | text that does not compress | [`noise`] |
//!
//! Nothing here sleeps for a fixed time, uses a fixed port, or ends a process it did not start. A test whose
//! counterpart cannot be had says so and is skipped (see [`skip`]); with `CI=true` that is a failure.
//!
//! The harness panics where a test would: what goes wrong in it is a failed test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing harness is a failing test")]

pub mod background;
pub mod binary;
pub mod cli;
pub mod client;
pub mod cloud;
pub mod disk;
pub mod folder;
pub mod golden;
pub mod http;
pub mod keys;
pub mod log;
pub mod noise;
pub mod ports;
mod preload;
pub mod process;
pub mod proxy;
pub mod s3;
pub mod s3sfs;
pub mod script;
pub mod server;
pub mod simulated;
pub mod skip;
pub mod stores;
pub mod tpch;
pub mod usage;
pub mod wait;
pub mod weed;
