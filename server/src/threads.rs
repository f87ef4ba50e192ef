//! The threads of the server: one way to make a runtime, so that all of them have stacks for the deepest statement.
//!
//! Parsing, rewriting, planning and evaluating an expression recurse over its tree, and a thread that runs out of stack
//! takes the whole process with it. How deep a tree can be is bounded before anything recurses (`sql::limits` of the
//! protocol); the stacks here hold what that allows several times over, in a debug build as well. What is not used of a stack is
//! address space and no memory.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// The stack of each thread that has to do with statements, in bytes. In a debug build 200 terms of a sum, or 60 calls
/// within each other, take up to 11 MB.
const STACK_BYTES: usize = 64 << 20;

/// A runtime with that many threads, one for each core when none are given, and threads for blocking work beside them.
///
/// # Errors
/// The operating system's, when it gives no threads.
pub fn runtime(name: &str, workers: Option<usize>) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    builder.thread_name(name).thread_stack_size(STACK_BYTES).enable_all().build()
}
