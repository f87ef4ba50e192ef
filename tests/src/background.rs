//! A runtime of its own for a server inside the test process.
//!
//! A test may block its thread (it waits for a command-line client, say); what serves the other end must go on.

use std::fmt;
use std::future::Future;

use tokio::runtime::{Builder, Runtime};

/// Runs futures beside the test until it is dropped; what is still running then is dropped too.
pub struct Background {
    runtime: Option<Runtime>,
}

impl Background {
    /// A runtime with one thread, named after what it does.
    pub fn new(name: &str) -> Background {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build().unwrap();
        Background { runtime: Some(runtime) }
    }

    /// Starts a future.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(future);
        }
    }

    /// Makes a tokio listener of this runtime on a free loopback port.
    pub fn listen(&self) -> tokio::net::TcpListener {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let _guard = self.runtime.as_ref().map(Runtime::enter);
        tokio::net::TcpListener::from_std(listener).unwrap()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Dropping a runtime blocks, which an async test must not do.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").finish_non_exhaustive()
    }
}
