//! The proof that a location can hold a repository, made when it is created.
//!
//! In order: list, read `repository.json` if it is there, then on one object of constant content: create it, read it
//! back byte for byte, whole and in part, create it again (which must find it), also in one part of a multipart upload;
//! put another of the same content in parts and read that back; then offer a body with a wrong checksum (which must be
//! refused). Where an encryption or a storage class is asked for, put an object of their own and look how it is kept;
//! where locks are asked for, lock an object for an hour and extend that lock. Last, create `repository.json`
//! if it was not there, by then with what the store lacks made up for, and read back which one it has: of those who create
//! one at the same place at the same time, all take the identity that is there in the end. A store that loses or changes bytes is refused; what it merely lacks is noted, and made up for
//! from then on ([`Capabilities`]). Nothing is deleted, so the proof works with the credentials a write-once repository
//! needs and leaves some small objects, which the next proof finds and uses again, but for those of settings.
//!
//! Each request has the time a statement's request has, and nothing limits them together: a store that is slow and
//! answers is no worse than a fast one.
//!
//! A read-only repository must exist; it is listed and read, and nothing is written.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::RepositoryContext;
use super::checked;
use super::error::{RepositoryError, RepositoryResult};
use super::format::{FORMAT_VERSION, INFO_BYTES_MAX, RepositoryInfo};
use super::layout;
use super::location::Location;
use super::store::{
    Capabilities, KnownCapabilities, ObjectKey, ObjectStore, Operation, Put, S3Store, StoreError, StoreErrorKind,
    StoreResult,
};

/// Content of the probe object, the same in every repository. Its bytes are such that framing, a change of line ends
/// or of encoding, or a cut would show.
pub(super) const PROBE_CONTENT: &[u8] =
    b"Ebla wrote this to see whether it can.\r\n\0\xff\xfe\n0;chunk-signature=\r\n\r\n";

/// The engine that writes, for those who read.
pub(super) const ENGINE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Part of the probe object that is read by itself: first byte and length.
const PROBE_RANGE: (u64, u64) = (5, 16);

/// Uploads in parts that are begun for one answer.
const PARTS_ATTEMPTS_MAX: u32 = 3;

/// A checksum that [`PROBE_CONTENT`] does not have: CRC32 of nothing.
const WRONG_CRC32: &str = "AAAAAA==";

/// Where puts replace what is there: how long it takes at most, by all experience, from the look that found no
/// `repository.json` to the end of the put that followed. Whoever has put one reads it back after that time.
const RACE_PAUSE: Duration = Duration::from_secs(1);

/// What part of the time for a statement's request that may take.
const RACE_PAUSE_SHARE: u32 = 4;

/// A store on trial: with its layers, and bare.
pub(super) struct Candidate {
    pub(super) store: Arc<dyn ObjectStore>,
    /// What the layers go by. They begin with a store that lacks nothing, which is how it is seen what it does.
    pub(super) known: Arc<KnownCapabilities>,
    /// The same without layers, when it is S3.
    pub(super) s3: Option<S3Store>,
}

/// Reads the identity of a repository that must exist, and be the one of the `expected` id.
pub(super) async fn attach(
    store: &dyn ObjectStore,
    location: &Location,
    expected: Option<&str>,
) -> RepositoryResult<RepositoryInfo> {
    match store.list(layout::SNAPSHOTS, None).await {
        Ok(_) => {}
        // A directory that is not there.
        Err(error) if error.kind() == StoreErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let found = read_info(store).await?;
    if let Some(expected) = expected {
        check_identity(found.as_ref(), expected, location)?;
    }
    found.ok_or_else(|| RepositoryError::NotARepository {
        location: location.to_string(),
        key: layout::repository_info().to_string(),
    })
}

/// Errors unless what was found is the repository of this id.
fn check_identity(found: Option<&RepositoryInfo>, expected: &str, location: &Location) -> RepositoryResult<()> {
    match found {
        Some(found) if found.repository_id == expected => Ok(()),
        Some(found) => Err(RepositoryError::Replaced {
            location: location.to_string(),
            expected: expected.to_owned(),
            found: found.repository_id.clone(),
        }),
        None => Err(RepositoryError::LedAstray {
            location: location.to_string(),
            key: layout::repository_info().to_string(),
        }),
    }
}

/// Makes a repository, or attaches to the one that is there, and proves that it can be written. Where one of this id is
/// `expected`, nothing is written when it is not there.
pub(super) async fn create(
    candidate: &Candidate,
    location: &Location,
    expected: Option<&str>,
    context: &RepositoryContext,
) -> RepositoryResult<(RepositoryInfo, Capabilities)> {
    prove(candidate, location, expected, context).await.map_err(|error| match (error, &candidate.s3) {
        (RepositoryError::Store(error), Some(s3)) => s3.blame_settings(error).into(),
        (error, _) => error,
    })
}

async fn prove(
    candidate: &Candidate,
    location: &Location,
    expected: Option<&str>,
    context: &RepositoryContext,
) -> RepositoryResult<(RepositoryInfo, Capabilities)> {
    let store = &*candidate.store;
    let unfit = |detail: String| RepositoryError::UnfitStore { location: location.to_string(), detail };
    match store.list(layout::SNAPSHOTS, None).await {
        Ok(_) => {}
        // A directory that is not there yet.
        Err(error) if error.kind() == StoreErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let found = read_info(store).await?;
    if let Some(expected) = expected {
        check_identity(found.as_ref(), expected, location)?;
    }

    // The probe comes before the repository's own object, so that a failed proof leaves no repository behind.
    let probe = layout::probe();
    store.put_create(&probe, Bytes::from_static(PROBE_CONTENT)).await?;
    prove_kept(store, location, &probe).await?;
    let (offset, length) = PROBE_RANGE;
    let is_right = |part: &Bytes| {
        Some(&part[..]) == usize::try_from(offset).ok().and_then(|at| PROBE_CONTENT.get(at..at + part.len()))
    };
    if !is_right(&store.get_range(&probe, offset, length).await?)
        && !is_right(&store.get_range(&probe, offset, length).await?)
    {
        return Err(unfit(format!(
            "it gives other bytes than it was asked for when a part of '{probe}' is read; if it is an old S3 server, use \
             a newer one"
        )));
    }
    let whole = store.put_create(&probe, Bytes::from_static(PROBE_CONTENT)).await?;
    let parts = put_in_parts(store, &probe).await?;
    if parts.is_some() {
        // Found, the probe still is as it was put whole: what uploads in parts make of a body is seen on one of their own.
        put_in_parts(store, &layout::probe_parts()).await?;
        prove_kept(store, location, &layout::probe_parts()).await?;
    }
    let upload_checksums = match &candidate.s3 {
        Some(s3) => Box::pin(s3.refuses_checksum(&layout::probe_checksum(), PROBE_CONTENT, WRONG_CRC32)).await?,
        None => true,
    };
    Box::pin(prove_settings(candidate, location, &unfit)).await?;
    Box::pin(prove_lock(candidate, &unfit)).await?;
    let conditional_put = whole == Put::Exists && parts.is_none_or(|put| put == Put::Exists);
    let multipart = parts.is_some();
    let locks_parts = match (&candidate.s3, store.object_lock()) {
        (Some(s3), Some(lock)) if multipart => Box::pin(s3.locks_parts(lock.mode, PROBE_CONTENT)).await?,
        // Nothing is put so, or nothing is locked.
        _ => true,
    };
    let capabilities = Capabilities { conditional_put, upload_checksums, multipart, locks_parts };
    // What is put from here on stays.
    candidate.known.set(capabilities);

    let info = match found {
        Some(info) if conditional_put => info,
        // It may have been replaced since by one who began when there was none.
        Some(_) => read_info_back(store).await?,
        None => create_info(store, capabilities, context).await?,
    };
    if let Some(expected) = expected {
        check_identity(Some(&info), expected, location)?;
    }
    Ok((info, capabilities))
}

/// Where an encryption or a storage class is asked for: the store takes it, keeps to it, and gives back what it keeps so.
///
/// Each proof puts an object of its own. One that was there already, be it of the same settings, proves nothing: its proof
/// may have failed, and what became of it since (a rule of the bucket moves it to another class) is not what a put gets.
async fn prove_settings(
    candidate: &Candidate,
    location: &Location,
    unfit: &(dyn Fn(String) -> RepositoryError + Sync),
) -> RepositoryResult<()> {
    let Some(s3) = candidate.s3.as_ref().filter(|s3| s3.asks_for_settings()) else {
        return Ok(());
    };
    match s3.prove_settings(PROBE_CONTENT).await? {
        (probe, None) => prove_kept(&*candidate.store, location, &probe).await,
        (_, Some(wrong)) => Err(unfit(wrong)),
    }
}

/// Where locks are asked for: they are kept, can be extended, and leave the object as it is.
async fn prove_lock(candidate: &Candidate, unfit: &(dyn Fn(String) -> RepositoryError + Sync)) -> RepositoryResult<()> {
    let (Some(s3), Some(lock)) = (&candidate.s3, candidate.store.object_lock()) else {
        return Ok(());
    };
    let wrong = match s3.fails_to_lock(lock.mode, PROBE_CONTENT).await? {
        Some(wrong) => wrong,
        None if candidate.store.get(&layout::probe_lock(lock.mode), INFO_BYTES_MAX).await? == PROBE_CONTENT => {
            return Ok(());
        }
        None => "it takes a request for a lock as a new body of the object",
    };
    Err(unfit(format!(
        "{wrong}; use a store and a bucket with Object Lock, allow s3:PutObjectRetention and s3:GetObjectRetention for \
         these credentials, or leave aws.s3.object_lock_mode and its days out"
    )))
}

/// Errors unless the store gives back what it was given.
async fn prove_kept(store: &dyn ObjectStore, location: &Location, key: &ObjectKey) -> RepositoryResult<()> {
    // Once it may have been damaged on its way; nobody is told to use another store for that.
    let mut back = read_back(store, location, key).await?;
    if back != PROBE_CONTENT {
        back = read_back(store, location, key).await?;
    }
    if back == PROBE_CONTENT {
        return Ok(());
    }
    let (given, found) = (PROBE_CONTENT.len(), back.len());
    Err(RepositoryError::UnfitStore {
        location: location.to_string(),
        detail: format!(
            "it does not keep what it is given: {given} bytes of '{key}' came back as {found} others; if it is an old S3 \
             server, use a newer one"
        ),
    })
}

/// What the store gives back of an object that it was given.
async fn read_back(store: &dyn ObjectStore, location: &Location, key: &ObjectKey) -> RepositoryResult<Bytes> {
    store.get(key, INFO_BYTES_MAX).await.map_err(|error| match error.kind() {
        StoreErrorKind::NotFound => RepositoryError::UnfitStore {
            location: location.to_string(),
            detail: "an object that was put is not there afterwards".to_owned(),
        },
        _ => error.into(),
    })
}

/// Puts the probe object in one part; `None` where there are no uploads in parts.
pub(super) async fn put_in_parts(store: &dyn ObjectStore, key: &ObjectKey) -> StoreResult<Option<Put>> {
    for _ in 1..PARTS_ATTEMPTS_MAX {
        match put_in_parts_once(store, key).await {
            Err(error) if is_forgotten(&error) => {
                tracing::debug!(%error, "another upload tells what this one does not");
            }
            done => return done,
        }
    }
    put_in_parts_once(store, key).await
}

/// Whether the store no longer knows an upload that was to be completed: most often an earlier answer was lost, which may have
/// been that it has created the object as well as that it has found it.
fn is_forgotten(error: &StoreError) -> bool {
    error.operation() == Operation::CompleteMultipart && error.code() == Some("NoSuchUpload")
}

async fn put_in_parts_once(store: &dyn ObjectStore, key: &ObjectKey) -> StoreResult<Option<Put>> {
    let put = async {
        let upload = store.start_multipart(key, PROBE_CONTENT.len() as u64).await?;
        upload.put_part(0, Bytes::from_static(PROBE_CONTENT)).await?;
        upload.complete().await
    };
    match put.await {
        Ok(put) => Ok(Some(put)),
        Err(error) if error.is_not_implemented() => Ok(None),
        // It says yes, and does not say under which name: such an upload can be neither gone on with nor aborted.
        Err(error) if error.operation() == Operation::StartMultipart && error.is_unreadable_yes() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads `repository.json`; `None` when there is none.
pub(super) async fn read_info(store: &dyn ObjectStore) -> RepositoryResult<Option<RepositoryInfo>> {
    let key = layout::repository_info();
    match checked::read(store, &key, INFO_BYTES_MAX, |stored| RepositoryInfo::from_stored(stored)).await {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.store_kind() == Some(StoreErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes an identity, unless there is one by now, and says which one holds.
async fn create_info(
    store: &dyn ObjectStore,
    capabilities: Capabilities,
    context: &RepositoryContext,
) -> RepositoryResult<RepositoryInfo> {
    let info = RepositoryInfo {
        format_version: FORMAT_VERSION,
        repository_id: context.random.identifier(),
        created_at_ms: context.clock.now_ms(),
        engine_version: ENGINE_VERSION.to_owned(),
    };
    let stored = info.to_stored().map_err(RepositoryError::Encode)?;
    store.put_create(&layout::repository_info(), stored).await?; // The repository exists from here on.
    if !capabilities.conditional_put {
        // Others may have looked before that put and be about to replace what it has made or found.
        let share = context.policy.requests.statement_timeout / RACE_PAUSE_SHARE;
        tokio::time::sleep(RACE_PAUSE.min(share)).await;
    }
    // Another server may have been faster, or have replaced it: the identity that is there holds.
    read_info_back(store).await
}

/// Reads `repository.json`, which is there.
async fn read_info_back(store: &dyn ObjectStore) -> RepositoryResult<RepositoryInfo> {
    let missing = || {
        let (key, message) =
            (layout::repository_info(), "the store says that the object is there, and then that it is not");
        StoreError::new(StoreErrorKind::Unavailable, Operation::Get, &store.place(), key.as_str(), message)
    };
    Ok(read_info(store).await?.ok_or_else(missing)?)
}
