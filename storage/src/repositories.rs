//! The repositories of this cluster as handles: one for each row of the catalog, made when it is first asked for and
//! shared by every job and statement, because a handle keeps its connections and the counts of its requests.
//!
//! CREATE REPOSITORY comes here too: the location is proven first, then the row is written.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::{NewRepository, RepositoryRow};
use crate::error::{Error, Noun, Result};
use crate::ids::RepositoryId;
use crate::repository::{
    Access, Attachment, Location, Patience, Repository, RepositoryContext, RepositoryProperties, Secret, TransferLimits,
};
use crate::storage::{Storage, blocking};

/// The repositories of this cluster.
pub struct Repositories {
    storage: Arc<Storage>,
    context: RepositoryContext,
    handles: Mutex<HashMap<RepositoryId, Handle>>,
}

/// A handle and the row it was made of: when the row says something else, a new handle is made.
struct Handle {
    row: RepositoryRow,
    repository: Arc<Repository>,
}

/// What CREATE REPOSITORY asks for.
#[derive(Debug)]
pub struct RepositorySpec {
    /// Its name.
    pub name: String,
    /// Where it lies, as the user wrote it.
    pub location: String,
    /// READ ONLY, or not.
    pub access: Access,
    /// The broker's name; empty when none was given.
    pub broker: String,
    /// How to reach it.
    pub properties: RepositoryProperties,
}

impl Repositories {
    /// No handle is made yet. `limits` is what all of them together may use.
    pub fn new(storage: Arc<Storage>, limits: Arc<TransferLimits>) -> Repositories {
        let context = RepositoryContext {
            clock: Arc::clone(storage.clock()),
            random: Arc::clone(storage.catalog().random()),
            limits,
        };
        Repositories { storage, context, handles: Mutex::default() }
    }

    /// Proves the location, makes or attaches to the repository there, and keeps it under its name.
    pub async fn create(&self, spec: RepositorySpec) -> Result<Arc<Repository>> {
        let (catalog, name) = (Arc::clone(self.storage.catalog()), spec.name.clone());
        let taken = blocking(move || catalog.read(|read| read.find_repository(&name))).await?;
        if taken.is_some() {
            return Err(Error::already_exists(Noun::Repository, spec.name));
        }
        let location: Location = spec.location.parse().map_err(crate::repository::RepositoryError::from)?;
        let repository = Repository::create_or_attach(&location, &spec.properties, spec.access, &self.context).await?;
        let attachment = repository.attachment();
        let new = NewRepository {
            name: spec.name,
            identity: attachment.info.repository_id.clone(),
            location: spec.location,
            read_only: spec.access == Access::ReadOnly,
            broker: spec.broker,
            properties: attachment.to_catalog_json().expose().to_owned(),
            created_at_ms: attachment.info.created_at_ms,
        };
        let catalog = Arc::clone(self.storage.catalog());
        let row = blocking(move || {
            catalog.write(|write| {
                let id = write.create_repository(&new)?;
                write.repository_by_id(id)?.ok_or_else(|| Error::not_found(Noun::Repository, &new.name))
            })
        })
        .await?;
        let repository = Arc::new(repository);
        self.handles.lock().insert(row.id, Handle { row, repository: Arc::clone(&repository) });
        Ok(repository)
    }

    /// The repository of this id, connected. Makes no request.
    pub async fn get(&self, id: RepositoryId) -> Result<Arc<Repository>> {
        let catalog = Arc::clone(self.storage.catalog());
        let row = blocking(move || catalog.read(|read| read.repository_by_id(id))).await?;
        self.open(row.ok_or_else(|| Error::not_found(Noun::Repository, id.to_string()))?).await
    }

    /// The repository of a row, connected. Makes no request.
    pub async fn open(&self, row: RepositoryRow) -> Result<Arc<Repository>> {
        if let Some(handle) = self.handles.lock().get(&row.id)
            && handle.row.properties == row.properties
            && handle.row.location == row.location
        {
            return Ok(Arc::clone(&handle.repository));
        }
        let attachment = Attachment::from_catalog_json(&Secret::new(row.properties.clone()))
            .map_err(crate::repository::RepositoryError::from)?;
        let location: Location = row.location.parse().map_err(crate::repository::RepositoryError::from)?;
        let access = if row.read_only { Access::ReadOnly } else { Access::ReadWrite };
        let repository =
            Arc::new(Repository::open(&location, &attachment, access, Patience::Job, &self.context).await?);
        self.handles.lock().insert(row.id, Handle { row, repository: Arc::clone(&repository) });
        Ok(repository)
    }

    /// The repository of this name with its row, connected. Makes no request.
    pub async fn find(&self, name: &str) -> Result<(RepositoryRow, Arc<Repository>)> {
        let (catalog, owned) = (Arc::clone(self.storage.catalog()), name.to_owned());
        let row = blocking(move || catalog.read(|read| read.find_repository(&owned))).await?;
        let row = row.ok_or_else(|| Error::invalid(format!("Repository [{name}] does not exist")))?;
        let repository = self.open(row.clone()).await?;
        Ok((row, repository))
    }
}

impl fmt::Debug for Repositories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repositories").field("handles", &self.handles.lock().len()).finish_non_exhaustive()
    }
}
