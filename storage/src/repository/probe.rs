//! The proof that a location can hold a repository, made when it is created.
//!
//! In order: list, read `repository.json` if it is there, create it if not, then on one object of constant content:
//! create it, read it back byte for byte, create it again (which must find it), and the same in one part of a
//! multipart upload. A store that loses or changes bytes is refused; one that overwrites where it should find is
//! noted, so that later puts look first. Nothing is deleted, so the proof works with the credentials a write-once
//! repository needs and leaves one small object, which the next proof finds and uses again.
//!
//! A read-only repository must exist; it is listed and read, and nothing is written.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::RepositoryContext;
use super::error::{RepositoryError, RepositoryResult};
use super::format::{FORMAT_VERSION, INFO_BYTES_MAX, RepositoryInfo};
use super::layout;
use super::location::Location;
use super::store::{ObjectStore, Operation, Put, StoreError, StoreErrorKind};

/// Time for the whole proof: somebody waits for the answer of CREATE REPOSITORY.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(9);

/// Content of the probe object, the same in every repository. Its bytes are such that framing, a change of line ends
/// or of encoding, or a cut would show.
const PROBE_CONTENT: &[u8] = b"Ebla wrote this to see whether it can.\r\n\0\xff\xfe\n0;chunk-signature=\r\n\r\n";

/// The engine that writes, for those who read.
pub(super) const ENGINE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a store was seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether a put, whole or in parts, with `If-None-Match: *` leaves an object alone that exists.
    #[serde(default)]
    pub conditional_put: bool,
}

/// Reads the identity of a repository that must exist.
pub(super) async fn attach(store: &dyn ObjectStore, location: &Location) -> RepositoryResult<RepositoryInfo> {
    match store.list(layout::SNAPSHOTS, None).await {
        Ok(_) => {}
        // A directory that is not there.
        Err(error) if error.kind() == StoreErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    read_info(store).await?.ok_or_else(|| RepositoryError::NotARepository {
        location: location.to_string(),
        key: layout::repository_info().to_string(),
    })
}

/// Makes a repository, or attaches to the one that is there, and proves that it can be written.
pub(super) async fn create(
    store: &dyn ObjectStore,
    location: &Location,
    context: &RepositoryContext,
) -> RepositoryResult<(RepositoryInfo, Capabilities)> {
    let unfit = |detail: String| RepositoryError::UnfitStore { location: location.to_string(), detail };
    match store.list(layout::SNAPSHOTS, None).await {
        Ok(_) => {}
        // A directory that is not there yet.
        Err(error) if error.kind() == StoreErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let found = read_info(store).await?;

    // The probe comes before the repository's own object, so that a failed proof leaves no repository behind.
    let probe = layout::probe();
    store.put_create(&probe, Bytes::from_static(PROBE_CONTENT)).await?;
    let back = store.get(&probe, INFO_BYTES_MAX).await.map_err(|error| match error.kind() {
        StoreErrorKind::NotFound => unfit("an object that was put is not there afterwards".to_owned()),
        _ => error.into(),
    })?;
    if back != PROBE_CONTENT {
        return Err(unfit(format!(
            "it does not keep what it is given: {} bytes of '{probe}' came back as {} others; if it is an old S3 \
             server, use a newer one",
            PROBE_CONTENT.len(),
            back.len(),
        )));
    }
    let whole = store.put_create(&probe, Bytes::from_static(PROBE_CONTENT)).await?;
    let upload = store.start_multipart(&probe, PROBE_CONTENT.len() as u64).await?;
    upload.put_part(0, Bytes::from_static(PROBE_CONTENT)).await?;
    let parts = upload.complete().await?;
    let capabilities = Capabilities { conditional_put: whole == Put::Exists && parts == Put::Exists };

    let info = match found {
        Some(info) => info,
        None => create_info(store, context).await?,
    };
    Ok((info, capabilities))
}

/// Reads `repository.json`; `None` when there is none.
pub(super) async fn read_info(store: &dyn ObjectStore) -> RepositoryResult<Option<RepositoryInfo>> {
    let key = layout::repository_info();
    match store.get(&key, INFO_BYTES_MAX).await {
        Ok(stored) => RepositoryInfo::from_stored(&stored)
            .map(Some)
            .map_err(|source| RepositoryError::Format { key: key.to_string(), source }),
        Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn create_info(store: &dyn ObjectStore, context: &RepositoryContext) -> RepositoryResult<RepositoryInfo> {
    let info = RepositoryInfo {
        format_version: FORMAT_VERSION,
        repository_id: context.random.identifier(),
        created_at_ms: context.clock.now_ms(),
        engine_version: ENGINE_VERSION.to_owned(),
    };
    let stored = info.to_stored().map_err(RepositoryError::Encode)?;
    let key = layout::repository_info();
    match store.put_create(&key, stored).await? {
        Put::Created => Ok(info), // The repository exists from here on.
        // Another server was faster; its identity holds.
        Put::Exists => read_info(store).await?.ok_or_else(|| {
            let message = "the store says that the object exists, and then that it does not";
            StoreError::new(StoreErrorKind::Unavailable, Operation::Get, store.place(), key.as_str(), message).into()
        }),
    }
}
