//! From a local file to an object.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::super::error::{RepositoryError, RepositoryResult};
use super::super::store::{
    MemoryPermit, MultipartUpload, ObjectKey, ObjectStore, Operation, Put, SINGLE_PUT_BYTES_MAX, StoreError,
    StoreErrorKind, TransferLimits, part_range, watched,
};
use super::{Attempt, ObjectRef, PARTS_IN_FLIGHT_MAX, Progress, on_file, unless_cancelled};
use crate::digest::DigestHasher;

/// How long a failed upload is waited for while it frees its parts.
const ABORT_WAIT: Duration = Duration::from_millis(500);

/// Uploads the file at `path` as `object`, unless an object of that name is there already. Either way, when this
/// returns, the object is in the repository with the size it should have.
pub(in super::super) async fn upload(
    store: &dyn ObjectStore,
    limits: &TransferLimits,
    key: &ObjectKey,
    object: &ObjectRef,
    path: &Path,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> RepositoryResult<Put> {
    let source = Source::open(object, path).await?;
    let attempt = Attempt::new(progress);
    let put = if object.bytes <= SINGLE_PUT_BYTES_MAX {
        unless_cancelled(cancel, put_whole(store, limits, key, &source, &attempt)).await?
    } else {
        put_parts(store, limits, key, &source, &attempt, cancel).await?
    };
    if put == Put::Exists {
        check_existing(store, key, object).await?;
    }
    attempt.keep();
    Ok(put)
}

async fn put_whole(
    store: &dyn ObjectStore,
    limits: &TransferLimits,
    key: &ObjectKey,
    source: &Source<'_>,
    progress: &dyn Progress,
) -> RepositoryResult<Put> {
    let _memory = limits.hold_memory(source.object.bytes).await;
    let body = source.read(source.object.bytes).await?;
    source.check_digest()?;
    let put = watched(progress, source.object.bytes, store.put_create(key, body)).await?; // The object exists from here on.
    Ok(put)
}

async fn put_parts(
    store: &dyn ObjectStore,
    limits: &TransferLimits,
    key: &ObjectKey,
    source: &Source<'_>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> RepositoryResult<Put> {
    let bytes = source.object.bytes;
    let upload = unless_cancelled(cancel, async { Ok(store.start_multipart(key, bytes).await?) }).await?;
    let sent = unless_cancelled(cancel, async {
        // Parts are read, and hashed, one after the other; a few are sent at the same time. Those go on while the next
        // one waits for memory, because what it waits for is what they hold.
        let mut in_flight: FuturesUnordered<BoxFuture<'_, RepositoryResult<()>>> = FuturesUnordered::new();
        let mut index = 0;
        while let Some((_, part_bytes)) = part_range(bytes, index) {
            let next = async {
                let memory = limits.hold_memory(part_bytes).await;
                Ok::<_, RepositoryError>((source.read(part_bytes).await?, memory))
            };
            tokio::pin!(next);
            let (body, memory) = loop {
                let room = in_flight.len() < PARTS_IN_FLIGHT_MAX;
                tokio::select! {
                    part = &mut next, if room => break part?,
                    Some(sent) = in_flight.next() => sent?,
                }
            };
            in_flight.push(Box::pin(put_part(&*upload, index, body, memory, progress)));
            index += 1;
        }
        while let Some(sent) = in_flight.next().await {
            sent?;
        }
        Ok(())
    })
    .await;
    match sent.and_then(|()| source.check_digest()) {
        Ok(()) => unless_cancelled(cancel, async { Ok(upload.complete().await?) }).await, // The object exists from here on.
        Err(error) => {
            // It goes on in the background when the store is slow; whoever cancelled does not wait for that.
            let _ = tokio::time::timeout(ABORT_WAIT, upload.abort()).await;
            Err(error)
        }
    }
}

async fn put_part(
    upload: &dyn MultipartUpload,
    index: u64,
    body: Bytes,
    _memory: MemoryPermit,
    progress: &dyn Progress,
) -> RepositoryResult<()> {
    Ok(watched(progress, body.len() as u64, upload.put_part(index, body)).await?)
}

/// Something of that name was there. Its name says what it holds; that it is whole is at least plausible when its
/// size is right. A store that adds framing to bodies, or keeps half of them, is found out here.
async fn check_existing(store: &dyn ObjectStore, key: &ObjectKey, object: &ObjectRef) -> RepositoryResult<()> {
    match store.head(key).await? {
        Some(meta) if meta.bytes == object.bytes => Ok(()),
        Some(meta) => Err(RepositoryError::CorruptObject {
            key: key.to_string(),
            detail: format!(
                "it has {} bytes instead of {} in {}; remove it, and the next backup puts it again",
                meta.bytes,
                object.bytes,
                store.place()
            ),
        }),
        None => {
            let message = "the store says that the object exists, and then that it does not";
            Err(StoreError::new(StoreErrorKind::Unavailable, Operation::Head, &store.place(), key.as_str(), message)
                .into())
        }
    }
}

/// A local file that is read once, from its beginning to its end, and hashed on the way.
struct Source<'a> {
    object: &'a ObjectRef,
    path: &'a Path,
    file: Arc<File>,
    hasher: Arc<Mutex<DigestHasher>>,
}

impl<'a> Source<'a> {
    async fn open(object: &'a ObjectRef, path: &'a Path) -> RepositoryResult<Self> {
        let opened = path.to_owned();
        let (file, bytes) = on_file("open", path, move || {
            let file = File::open(opened)?;
            let bytes = file.metadata()?.len();
            Ok((Arc::new(file), bytes))
        })
        .await?;
        let source = Self { object, path, file, hasher: Arc::default() };
        if bytes != object.bytes {
            return Err(source.corrupt(format!("it has {bytes} bytes instead of {}", object.bytes)));
        }
        Ok(source)
    }

    /// The next `bytes` bytes.
    async fn read(&self, bytes: u64) -> RepositoryResult<Bytes> {
        let (file, hasher) = (Arc::clone(&self.file), Arc::clone(&self.hasher));
        let body = on_file("read", self.path, move || {
            let mut body = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
            (&*file).take(bytes).read_to_end(&mut body)?;
            hasher.lock().update(&body);
            Ok(Bytes::from(body))
        })
        .await?;
        if body.len() as u64 != bytes {
            return Err(self.corrupt("it ended before its end".to_owned()));
        }
        Ok(body)
    }

    /// Errors unless everything that was read has the digest the catalog recorded.
    fn check_digest(&self) -> RepositoryResult<()> {
        let (digest, _) = self.hasher.lock().finish();
        if digest == self.object.digest {
            return Ok(());
        }
        Err(self.corrupt(format!("its digest is {digest} instead of {}", self.object.digest)))
    }

    fn corrupt(&self, detail: String) -> RepositoryError {
        RepositoryError::CorruptLocal { path: self.path.to_owned(), digest: self.object.digest, detail }
    }
}
