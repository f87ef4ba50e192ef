//! Looking at what a repository holds, and putting beside what came to damage a whole copy.
//!
//! An object's name says what it holds, and nothing is ever overwritten, so an object with wrong bytes cannot be put
//! right where it is: not in a bucket with Object Lock, not with credentials that can only create. Its whole copy goes
//! under a name of its own ([`layout::mended`]), by a create-only put like any other, and readers turn to it when they
//! find the first damaged. What is merely missing is put under its own name.

use std::path::Path;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::store::{self, ListEntry, ObjectKey, PART_BYTES, Put, StoreErrorKind};
use super::transfer::{self, Destination};
use super::{ObjectRef, Progress, Repository, RepositoryError, RepositoryResult, layout};
use crate::digest::Digest;

/// Which of the two names an object can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    /// Its own.
    Original,
    /// That of the copy that was put because the original came to damage.
    Mended,
}

/// What an object turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inspection {
    /// As it should be, as far as was looked.
    Whole,
    /// Not there.
    Missing,
    /// Of another size.
    Length {
        /// Its size.
        found: u64,
    },
    /// Of other bytes.
    Digest {
        /// Their digest.
        found: Digest,
    },
}

impl Repository {
    /// Calls `each` with key and size of every object below a prefix of [`layout`]. Errors when there are more than
    /// `keys_max`.
    pub async fn list_keys(
        &self,
        prefix: &str,
        keys_max: usize,
        mut each: impl FnMut(String, u64) + Send,
    ) -> RepositoryResult<()> {
        let each = |entry: ListEntry| each(entry.key, entry.bytes);
        Ok(store::for_each_listed(&*self.store, prefix, keys_max, each).await?)
    }

    /// One page of a listing, to go on with in another call. Nothing follows the last page.
    pub async fn list_page(
        &self,
        prefix: &str,
        page: Option<&store::PageToken>,
    ) -> RepositoryResult<(Vec<(String, u64)>, Option<store::PageToken>)> {
        let listed = self.store.list(prefix, page).await?;
        Ok((listed.entries.into_iter().map(|entry| (entry.key, entry.bytes)).collect(), listed.next))
    }

    /// Looks an object up: is it there, with its size. One request.
    pub async fn inspect_length(&self, copy: Copy, object: &ObjectRef) -> RepositoryResult<Inspection> {
        Ok(match self.store.head(&copy.key(object)).await? {
            None => Inspection::Missing,
            Some(meta) if meta.bytes == object.bytes => Inspection::Whole,
            Some(meta) => Inspection::Length { found: meta.bytes },
        })
    }

    /// Reads an object through and compares its digest. With `scratch`, its bytes are left in that file, which is not
    /// synced and means nothing unless the object is whole.
    ///
    /// Boxed for the same reason as [`Self::put_object`].
    pub fn inspect_digest<'a>(
        &'a self,
        copy: Copy,
        object: &'a ObjectRef,
        scratch: Option<&'a Path>,
        progress: &'a dyn Progress,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, RepositoryResult<Inspection>> {
        Box::pin(async move {
            let key = copy.key(object);
            let to = scratch.map_or(Destination::Nowhere, Destination::Scratch);
            let read = transfer::read_through(&*self.store, &self.limits, &key, object, to, progress, cancel).await;
            match read {
                // Read in parts, what follows the last is not seen.
                Ok(found) if found == object.digest && object.bytes > PART_BYTES => {
                    self.inspect_length(copy, object).await
                }
                Ok(found) if found == object.digest => Ok(Inspection::Whole),
                Ok(found) => Ok(Inspection::Digest { found }),
                Err(error) if error.store_kind() == Some(StoreErrorKind::NotFound) => Ok(Inspection::Missing),
                // It is longer or shorter, or something that is no object stands in its place.
                Err(error) if error.is_corrupt_object() => match self.inspect_length(copy, object).await? {
                    Inspection::Whole => Err(error),
                    other => Ok(other),
                },
                Err(error) => Err(error),
            }
        })
    }

    /// Puts an object that is not whole in the repository: under its own name when that is free, else, unless what is
    /// there turns out to be right, beside it. When this returns, a reader gets the right bytes.
    ///
    /// Boxed for the same reason as [`Self::put_object`].
    pub fn mend_object<'a>(
        &'a self,
        object: &'a ObjectRef,
        path: &'a Path,
        progress: &'a dyn Progress,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, RepositoryResult<Put>> {
        Box::pin(async move {
            self.check_writable()?;
            for copy in [Copy::Original, Copy::Mended] {
                let key = copy.key(object);
                let put = transfer::upload(&*self.store, &self.limits, &key, object, path, progress, cancel).await;
                match put {
                    Ok(Put::Created) => {
                        tracing::info!(%key, "a damaged or missing object was put again");
                        return Ok(Put::Created);
                    }
                    Ok(Put::Exists) | Err(RepositoryError::CorruptObject { .. }) => {}
                    Err(error) => return Err(error),
                }
                if self.inspect_digest(copy, object, None, &(), cancel).await? == Inspection::Whole {
                    return Ok(Put::Exists);
                }
            }
            Err(damaged_twice(&Copy::Original.key(object), &Copy::Mended.key(object)))
        })
    }
}

impl Copy {
    /// The key of an object.
    fn key(self, object: &ObjectRef) -> ObjectKey {
        let key = layout::object(object.kind, &object.digest);
        match self {
            Copy::Original => key,
            Copy::Mended => layout::mended(&key),
        }
    }
}

/// There is no third name.
pub(super) fn damaged_twice(key: &ObjectKey, copy: &ObjectKey) -> RepositoryError {
    RepositoryError::CorruptObject {
        key: key.to_string(),
        detail: format!(
            "its bytes are not those that its name says, and neither are those of its copy '{copy}'; remove both, and \
             the next backup puts it again"
        ),
    }
}
