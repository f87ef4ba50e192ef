//! Goal: a store that does not keep what it is given is found out when a repository is created. Method: the proof, against a
//! store that spoils what passes in one way after another, as real ones have been seen to.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::super::probe::{self, Candidate};
use super::super::properties::ObjectLock;
use super::super::store::{
    FileStore, ListPage, MultipartUpload, ObjectMeta, PageToken, Place, StoreResult, part_bytes,
};
use super::*;

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// It keeps the chunks of an upload with their sizes and signatures, as the body came over the wire.
    KeepsFraming,
    /// The same where chunks are not signed, which is what newer clients send over https.
    KeepsUnsignedFraming,
    /// The same in several chunks, without a trailer.
    KeepsChunks,
    /// The same in parts alone; what is put whole is kept as it is.
    KeepsFramingOfParts,
    KeepsHalf,
    ChangesLineEnds,
    ChangesEncoding,
    GivesAnotherRange,
    ForgetsAtOnce,
}

#[derive(Debug)]
struct Unfit {
    inner: FileStore,
    wrong: Wrong,
}

/// The body as `aws-chunked` sends it, in chunks of this many bytes: `extension` follows a chunk's size, `trailer` the end.
fn framed(body: &[u8], chunk_bytes: usize, extension: &str, trailer: &str) -> Bytes {
    let mut framed = BytesMut::new();
    for chunk in body.chunks(chunk_bytes) {
        framed.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(format!("0{extension}\r\n{trailer}\r\n").as_bytes());
    framed.freeze()
}

const TRAILER: &str = "x-amz-checksum-crc32:AAAAAA==\r\n";

impl Unfit {
    fn kept(&self, body: Bytes) -> Bytes {
        let text = || String::from_utf8_lossy(&body).into_owned();
        let signature = format!(";chunk-signature={}", "0".repeat(64));
        match self.wrong {
            Wrong::KeepsFraming => framed(&body, body.len(), &signature, TRAILER),
            Wrong::KeepsUnsignedFraming => framed(&body, body.len(), "", TRAILER),
            Wrong::KeepsChunks => framed(&body, 16, &signature, ""),
            Wrong::KeepsHalf => body.slice(..body.len() / 2),
            Wrong::ChangesLineEnds => body.iter().copied().filter(|byte| *byte != b'\r').collect(),
            Wrong::ChangesEncoding => text().into(),
            Wrong::GivesAnotherRange | Wrong::ForgetsAtOnce | Wrong::KeepsFramingOfParts => body,
        }
    }
}

#[async_trait]
impl ObjectStore for Unfit {
    fn place(&self) -> Place {
        self.inner.place()
    }

    async fn put_create(&self, key: &ObjectKey, body: Bytes) -> StoreResult<Put> {
        if self.wrong == Wrong::ForgetsAtOnce {
            return Ok(Put::Created);
        }
        self.inner.put_create(key, self.kept(body)).await
    }

    async fn start_multipart(&self, key: &ObjectKey, bytes: u64) -> StoreResult<Box<dyn MultipartUpload>> {
        if self.wrong != Wrong::KeepsFramingOfParts {
            return self.inner.start_multipart(key, bytes).await;
        }
        assert!(bytes <= part_bytes(bytes), "the proof puts one part");
        Ok(Box::new(FramedUpload { inner: self.inner.clone(), key: key.clone(), part: Mutex::default() }))
    }

    async fn get(&self, key: &ObjectKey, bytes_max: u64) -> StoreResult<Bytes> {
        self.inner.get(key, bytes_max).await
    }

    async fn get_range(&self, key: &ObjectKey, offset: u64, bytes: u64) -> StoreResult<Bytes> {
        let offset = if self.wrong == Wrong::GivesAnotherRange { offset + 1 } else { offset };
        self.inner.get_range(key, offset, bytes).await
    }

    async fn head(&self, key: &ObjectKey) -> StoreResult<Option<ObjectMeta>> {
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str, page: Option<&PageToken>) -> StoreResult<ListPage> {
        self.inner.list(prefix, page).await
    }

    fn object_lock(&self) -> Option<ObjectLock> {
        None
    }

    async fn renew_lock(&self, _key: &ObjectKey) -> StoreResult<()> {
        Ok(())
    }
}

/// An upload that keeps its one part with its framing.
#[derive(Debug)]
struct FramedUpload {
    inner: FileStore,
    key: ObjectKey,
    part: Mutex<Bytes>,
}

#[async_trait]
impl MultipartUpload for FramedUpload {
    async fn put_part(&self, _index: u64, body: Bytes) -> StoreResult<()> {
        *self.part.lock() = framed(&body, body.len(), "", TRAILER);
        Ok(())
    }

    async fn complete(self: Box<Self>) -> StoreResult<Put> {
        self.inner.put_create(&self.key, self.part.into_inner()).await
    }

    async fn abort(self: Box<Self>) {}
}

#[tokio::test]
async fn a_store_that_does_not_keep_what_it_is_given() {
    for (wrong, said) in [
        (Wrong::KeepsFraming, "does not keep what it is given"),
        (Wrong::KeepsUnsignedFraming, "does not keep what it is given"),
        (Wrong::KeepsChunks, "does not keep what it is given"),
        (Wrong::KeepsFramingOfParts, "of 'ebla/probe-parts' came back as"),
        (Wrong::KeepsHalf, "does not keep what it is given"),
        (Wrong::ChangesLineEnds, "does not keep what it is given"),
        (Wrong::ChangesEncoding, "does not keep what it is given"),
        (Wrong::GivesAnotherRange, "gives other bytes than it was asked for"),
        (Wrong::ForgetsAtOnce, "is not there afterwards"),
    ] {
        let ground = Ground::file();
        let Location::File(file) = &ground.location else {
            panic!("the ground is a directory");
        };
        let inner = FileStore::new(file, Arc::clone(&ground.context.random));
        let known = Arc::new(KnownCapabilities::new(Capabilities::ALL));
        let candidate = Candidate { store: Arc::new(Unfit { inner, wrong }), known, s3: None };
        let error = probe::create(&candidate, &ground.location, None, &ground.context).await.unwrap_err();
        assert!(matches!(error, RepositoryError::UnfitStore { .. }), "{wrong:?}: {error}");
        assert!(error.to_string().contains(said), "{wrong:?}: {error}");
        // It left no repository behind.
        assert!(!file.path().join("ebla/repository.json").exists(), "{wrong:?}");
    }
}
