//! Fetching what no replica has whole from a repository: objects are named by their content, so any repository that has
//! one of the name has the file, whoever put it there.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::catalog::TabletFile;
use crate::disk;
use crate::error::IoContext;
use crate::error::Result;
use crate::repositories::Repositories;
use crate::repository::ObjectRef;
use crate::storage::{Storage, blocking};

/// Where files are had that no replica has.
pub(crate) trait Rescue: fmt::Debug + Send + Sync {
    /// Fetches a file, checked and synced, to `to`, which is not there. False when it cannot be had.
    fn fetch<'a>(
        &'a self,
        file: &'a TabletFile,
        to: &'a Path,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<bool>>;
}

impl Storage {
    /// Fetches a file from a repository. False when there is none that has it, or none is known. Blocks a thread for
    /// blocking work.
    pub(super) fn fetch_from_repositories(&self, file: &TabletFile, to: &Path) -> Result<bool> {
        let rescue = self.rescue().get().and_then(Weak::upgrade);
        // Without a runtime nobody can be asked: a check of a stopped directory has none.
        let (Some(rescue), Ok(runtime)) = (rescue, tokio::runtime::Handle::try_current()) else { return Ok(false) };
        disk::remove_file_if_there(to).at("remove", to)?;
        runtime.block_on(rescue.fetch(file, to, self.background().stopping()))
    }
}

impl Repositories {
    /// From here on repair fetches from these repositories what no replica has.
    pub fn rescue_lost_files(self: &Arc<Self>) {
        let this: Weak<dyn Rescue> = Arc::<Repositories>::downgrade(self);
        // A second call says the same.
        let _ = self.storage().rescue().set(this);
    }
}

impl Rescue for Repositories {
    fn fetch<'a>(
        &'a self,
        file: &'a TabletFile,
        to: &'a Path,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<bool>> {
        let object = ObjectRef { kind: file.kind, digest: file.digest, bytes: file.bytes };
        async move {
            let catalog = Arc::clone(self.storage().catalog());
            let rows = blocking(move || catalog.read(|read| read.repositories())).await?;
            for row in rows {
                let fetched = async {
                    let repository = self.get_interactive(row.id).await?;
                    if !repository.has_object(&object).await? {
                        return Ok(false);
                    }
                    repository.get_object(&object, to, &(), &cancel).await?;
                    Ok::<bool, crate::Error>(true)
                };
                match fetched.await {
                    Ok(true) => {
                        tracing::info!(repository = row.name, file = %object.digest, "fetched a file that no replica has");
                        return Ok(true);
                    }
                    Ok(false) => {}
                    Err(crate::Error::Cancelled) => return Err(crate::Error::Cancelled),
                    // The next may have it; this one is asked again at the next turn.
                    Err(error) => {
                        tracing::warn!(repository = row.name, file = %object.digest, %error, "cannot fetch a lost file");
                    }
                }
            }
            Ok(false)
        }
        .boxed()
    }
}
