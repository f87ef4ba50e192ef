//! Reading small objects whose bytes prove themselves: one that comes wrong is read once more before it is called
//! damaged, because it may have been damaged on its way.

use bytes::Bytes;

use super::error::{RepositoryError, RepositoryResult};
use super::format::FormatError;
use super::store::{ObjectKey, ObjectStore, StoreErrorKind};

/// How often an object is read before its bytes, and not the way they took, are called damaged.
pub(super) const READS_MAX: u32 = 2;

/// Reads an object of at most `bytes_max` bytes and what it means.
pub(super) async fn read<T>(
    store: &dyn ObjectStore,
    key: &ObjectKey,
    bytes_max: u64,
    decode: impl Fn(&Bytes) -> Result<T, FormatError>,
) -> RepositoryResult<T> {
    let mut reads = 1;
    loop {
        let stored = match store.get(key, bytes_max).await {
            Ok(stored) => stored,
            // More bytes than it may have: another object's, perhaps.
            Err(error) if reads < READS_MAX && error.kind() == StoreErrorKind::Corrupt => {
                note_wrong(key, &error.to_string());
                reads += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match decode(&stored) {
            Ok(decoded) => return Ok(decoded),
            Err(error) if reads < READS_MAX && !matches!(error, FormatError::Newer { .. }) => {
                note_wrong(key, &error.to_string());
                reads += 1;
            }
            Err(source) => return Err(RepositoryError::Format { key: key.to_string(), source }),
        }
    }
}

/// Tells of an answer that was not what the object's name says.
pub(super) fn note_wrong(key: &ObjectKey, why: &str) {
    metrics::counter!("ebla_repository_wrong_answers_total").increment(1);
    tracing::warn!(%key, why, "object arrived damaged");
}

/// Whether an object holds exactly these bytes.
pub(super) async fn holds(store: &dyn ObjectStore, key: &ObjectKey, bytes: &[u8]) -> RepositoryResult<bool> {
    for _ in 0..READS_MAX {
        match store.get(key, bytes.len() as u64).await {
            Ok(stored) if stored == bytes => return Ok(true),
            Ok(_) => note_wrong(key, "other bytes came than were put"),
            // Larger than these bytes.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => note_wrong(key, &error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}
