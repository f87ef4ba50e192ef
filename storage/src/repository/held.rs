//! A node that was read, with the memory that was asked for it: as long as one is in use, so is its room.
//!
//! Commit objects and nodes of a few kilobytes can stand for gigabytes once they are read. So a node is measured
//! before it is read (decompressed into nothing), room for it is waited for, and a large one is read where it keeps no
//! request waiting.

use std::ops::Deref;

use bytes::Bytes;

use super::format::{self, FormatError, NODE_BYTES_MAX, Node};
use super::store::{MemoryPermit, TransferLimits};

/// Nodes of more bytes of JSON are read beside the threads that serve requests.
const READ_HERE_BYTES_MAX: u64 = 256 * 1024;

/// A node in use. Whoever keeps one must not wait for another of its level ([`TransferLimits::hold_node`]).
#[derive(Debug)]
pub struct HeldNode<N> {
    node: N,
    _room: MemoryPermit,
}

impl<N> Deref for HeldNode<N> {
    type Target = N;

    fn deref(&self) -> &N {
        &self.node
    }
}

impl<N> HeldNode<N> {
    /// The node alone: for those who keep little of it, or one at a time.
    #[must_use]
    pub fn into_inner(self) -> N {
        self.node
    }
}

impl<N: Node> HeldNode<N> {
    /// Waits for room, then reads a node from stored bytes whose digest was checked.
    pub(super) async fn read(limits: &TransferLimits, stored: &Bytes) -> Result<HeldNode<N>, FormatError> {
        let bytes = match format::decompressed_bytes::<N>(stored, READ_HERE_BYTES_MAX) {
            Err(FormatError::TooLarge { .. }) => {
                beside(stored, |stored| format::decompressed_bytes::<N>(stored, NODE_BYTES_MAX)).await?
            }
            measured => measured?,
        };
        let room = limits.hold_node(N::LEVEL, bytes).await;
        let node = match bytes {
            ..=READ_HERE_BYTES_MAX => format::read_stored(stored)?,
            _ => beside(stored, format::read_stored).await?,
        };
        Ok(HeldNode { node, _room: room })
    }
}

/// Works on stored bytes on a thread that may block.
async fn beside<T: Send + 'static>(
    stored: &Bytes,
    work: impl FnOnce(&[u8]) -> Result<T, FormatError> + Send + 'static,
) -> Result<T, FormatError> {
    let stored = stored.clone();
    match tokio::task::spawn_blocking(move || work(&stored)).await {
        Ok(done) => done,
        Err(error) => Err(FormatError::Inconsistent(format!("reading it ended early: {error}"))),
    }
}
