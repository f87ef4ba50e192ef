//! The repositories of this cluster as handles: one for each row of the catalog and each patience, made when it is
//! first asked for and shared by every job and statement, because a handle keeps its connections and the counts of its
//! requests.
//!
//! CREATE and ALTER REPOSITORY come here too: the location is proven first, then the row is written; handles that are
//! in use are led over to the new properties, so that a running job has them from its next request on.
//!
//! The catalog holds credentials sealed ([`Vault`]); those of a catalog that was written before are sealed when it is
//! opened.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::catalog::{Catalog, NewRepository, RepositoryRow};
use crate::error::{Error, Noun, Result};
use crate::ids::RepositoryId;
use crate::repository::{
    Access, Attachment, Location, Patience, Repository, RepositoryContext, RepositoryError, RepositoryPolicy,
    RepositoryProperties, Secret, TransferLimits, Vault, VaultError, store,
};
use crate::storage::turns::Turns;
use crate::storage::{Storage, blocking};

/// How long somebody who has no deadline waits for his turn.
const TURN_WAIT: Duration = Duration::from_secs(10);

/// The repositories of this cluster.
pub struct Repositories {
    storage: Arc<Storage>,
    context: RepositoryContext,
    vault: Arc<Vault>,
    handles: Mutex<HashMap<(RepositoryId, Patience), Handle>>,
    /// One ALTER of a repository at a time, so that none proves what another is about to replace.
    altering: Turns<RepositoryId>,
}

/// A handle and the row it was made of: when the row says something else, a new handle is made.
struct Handle {
    row: RepositoryRow,
    repository: Arc<Repository>,
}

/// What all repositories are opened with.
#[derive(Debug, Default)]
pub struct RepositoriesConfig {
    /// What all of them together may use.
    pub limits: Arc<TransferLimits>,
    /// Where they may lie, and how long requests are tried for.
    pub policy: Arc<RepositoryPolicy>,
    /// A key for credentials at rest that takes the place of `<data-dir>/secret.key`.
    pub secret_key: Option<Secret>,
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
    /// No handle is made yet. Credentials that lie open in the catalog are sealed.
    pub fn open(storage: Arc<Storage>, config: RepositoriesConfig) -> Result<Repositories> {
        let vault = Vault::new(&storage.config().data_dir, config.secret_key);
        seal_what_lies_open(storage.catalog(), &vault)?;
        let context = RepositoryContext {
            clock: Arc::clone(storage.clock()),
            random: Arc::clone(storage.catalog().random()),
            limits: config.limits,
            policy: config.policy,
        };
        Ok(Repositories {
            storage,
            context,
            vault: Arc::new(vault),
            handles: Mutex::default(),
            altering: Turns::default(),
        })
    }

    /// The storage whose repositories these are.
    pub(crate) fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// Does what a statement asks of repositories, whose user waits: it gives up when no store has answered for the time
    /// that a statement's request has, also when it has not come to its request yet.
    pub async fn promptly<'a, T>(&'a self, work: impl Future<Output = T> + Send + 'a) -> T {
        // Boxed, so that whoever awaits it need not know how deep it goes.
        store::within(self.context.policy.requests.statement_timeout, work.boxed()).await
    }

    /// Proves the location, makes or attaches to the repository there, and keeps it under its name.
    pub async fn create(&self, spec: RepositorySpec) -> Result<Arc<Repository>> {
        self.promptly(self.prove_and_keep(spec)).await
    }

    async fn prove_and_keep(&self, spec: RepositorySpec) -> Result<Arc<Repository>> {
        let (catalog, name) = (Arc::clone(self.storage.catalog()), spec.name.clone());
        let taken = blocking(move || catalog.read(|read| read.find_repository(&name))).await?;
        if taken.is_some() {
            return Err(Error::already_exists(Noun::Repository, spec.name));
        }
        let location: Location = spec.location.parse().map_err(RepositoryError::from)?;
        let (catalog, vault) = (Arc::clone(self.storage.catalog()), Arc::clone(&self.vault));
        // Before anything is written elsewhere: without a key nothing could be kept.
        blocking(move || ready_to_seal(&catalog, &vault)).await?;
        let attachment = Repository::prove(&location, &spec.properties, spec.access, None, &self.context).await?;
        let identity = attachment.info.repository_id.clone();
        let new = NewRepository {
            name: spec.name,
            properties: self.vault.seal(&identity, &attachment.to_catalog_json()).map_err(RepositoryError::from)?,
            identity,
            location: spec.location,
            read_only: spec.access == Access::ReadOnly,
            broker: spec.broker,
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
        self.handle(row, Patience::Job).await
    }

    /// Proves the repository with `changes` on top of its properties, then keeps them. Until they are proven the old
    /// ones hold; from then on every handle uses the new ones, those of running jobs too.
    pub async fn alter(&self, name: &str, changes: Vec<(String, String)>) -> Result<()> {
        self.promptly(self.prove_and_change(name, changes)).await
    }

    async fn prove_and_change(&self, name: &str, changes: Vec<(String, String)>) -> Result<()> {
        let turn = self.altering.alone(self.row(name).await?.id);
        let _turn = in_time("another ALTER of the repository", turn).await.ok_or_else(|| {
            Error::Conflict(format!("Another ALTER REPOSITORY of {name} is under way. Please wait and try again"))
        })?;
        // As whoever had the turn before has left it.
        let row = self.row(name).await?;
        let old = self.attachment(&row)?;
        let properties = old.properties.with_changes(changes).map_err(RepositoryError::from)?;
        let location: Location = row.location.parse().map_err(RepositoryError::from)?;
        let expected = Some(old.info.repository_id.as_str());
        let proven = Repository::prove(&location, &properties, access(&row), expected, &self.context).await?;
        let sealed = self.vault.seal(&row.identity, &proven.to_catalog_json()).map_err(RepositoryError::from)?;
        let (catalog, id) = (Arc::clone(self.storage.catalog()), row.id);
        let row = blocking(move || {
            catalog.write(|write| {
                write.set_repository_properties(id, &sealed)?;
                write.set_repository_error(id, None)?;
                write.repository_by_id(id)?.ok_or_else(|| Error::not_found(Noun::Repository, row.name))
            })
        })
        .await?;
        for patience in [Patience::Job, Patience::Interactive] {
            let handle = self.handles.lock().get(&(id, patience)).map(|handle| Arc::clone(&handle.repository));
            if let Some(repository) = handle {
                repository.adopt(proven.clone(), &self.context).await?;
                let handle = Handle { row: row.clone(), repository };
                self.handles.lock().insert((id, patience), handle);
            }
        }
        Ok(())
    }

    /// The repository of this id for a job, connected. Makes no request.
    pub async fn get(&self, id: RepositoryId) -> Result<Arc<Repository>> {
        self.get_with(id, Patience::Job).await
    }

    /// The repository of this id for a statement, whose user waits. Makes no request.
    pub async fn get_interactive(&self, id: RepositoryId) -> Result<Arc<Repository>> {
        self.get_with(id, Patience::Interactive).await
    }

    /// The repository of this name with its row, for a statement, whose user waits. Makes no request.
    pub async fn find(&self, name: &str) -> Result<(RepositoryRow, Arc<Repository>)> {
        let row = self.row(name).await?;
        let repository = self.handle(row.clone(), Patience::Interactive).await?;
        Ok((row, repository))
    }

    /// Asks a repository, for a statement whose user waits, who it is: before work on it begins that has all day and would
    /// try for long what cannot be. Errors when it cannot be reached or is not the one it was. One request.
    pub async fn reach(&self, name: &str) -> Result<()> {
        let work = async {
            let (_, repository) = self.find(name).await?;
            Ok(repository.verify_identity().await?)
        };
        self.promptly(work).await
    }

    /// Looks whether each repository can be reached and is the one it was, and keeps what is wrong for SHOW REPOSITORIES.
    /// One request a repository.
    pub async fn look(&self) -> Result<()> {
        let catalog = Arc::clone(self.storage.catalog());
        for row in blocking(move || catalog.read(|read| read.repositories())).await? {
            let found = match self.handle(row.clone(), Patience::Interactive).await {
                Ok(repository) => repository.verify_identity().await.err().map(|error| error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            if found == row.error {
                continue;
            }
            let catalog = Arc::clone(self.storage.catalog());
            let keep = move || {
                catalog.write(|write| match write.repository_by_id(row.id)? {
                    // What was found of properties that have been altered since says nothing of the new ones.
                    Some(now) if now.properties == row.properties => {
                        write.set_repository_error(row.id, found.as_deref())
                    }
                    _ => Ok(()),
                })
            };
            blocking(keep).await?;
        }
        Ok(())
    }

    /// What a row says of how its repository is reached.
    pub fn attachment(&self, row: &RepositoryRow) -> Result<Attachment> {
        let opened = self.vault.open(&row.identity, &row.properties).map_err(RepositoryError::from)?;
        Ok(Attachment::from_catalog_json(&opened).map_err(RepositoryError::from)?)
    }

    async fn row(&self, name: &str) -> Result<RepositoryRow> {
        let (catalog, owned) = (Arc::clone(self.storage.catalog()), name.to_owned());
        let row = blocking(move || catalog.read(|read| read.find_repository(&owned))).await?;
        row.ok_or_else(|| Error::invalid(format!("Repository [{name}] does not exist")))
    }

    async fn get_with(&self, id: RepositoryId, patience: Patience) -> Result<Arc<Repository>> {
        let catalog = Arc::clone(self.storage.catalog());
        let row = blocking(move || catalog.read(|read| read.repository_by_id(id))).await?;
        self.handle(row.ok_or_else(dropped_meanwhile)?, patience).await
    }

    /// The handle of a row, made when there is none.
    async fn handle(&self, row: RepositoryRow, patience: Patience) -> Result<Arc<Repository>> {
        let key = (row.id, patience);
        if let Some(handle) = self.handles.lock().get(&key)
            && handle.row.properties == row.properties
            && handle.row.location == row.location
        {
            return Ok(Arc::clone(&handle.repository));
        }
        let attachment = self.attachment(&row)?;
        let location: Location = row.location.parse().map_err(RepositoryError::from)?;
        let opened = Repository::open(&location, &attachment, access(&row), patience, &self.context).await;
        let opened = opened.map_err(|error| what_to_alter(&row.name, error))?;
        let repository = Arc::new(opened);
        self.handles.lock().insert(key, Handle { row, repository: Arc::clone(&repository) });
        Ok(repository)
    }
}

impl fmt::Debug for Repositories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repositories").field("handles", &self.handles.lock().len()).finish_non_exhaustive()
    }
}

/// Waits for a turn at something that only waits for stores, for half of the time at most that the statement may wait for
/// those: when it has its turn, there is time left for its own store. `what` says whose end it waits for.
pub(crate) async fn in_time<T>(what: &str, turn: impl Future<Output = T>) -> Option<T> {
    let (deadline, begun) = (store::Deadline::current(), Instant::now());
    let by = deadline.as_ref().map_or_else(|| begun + TURN_WAIT, |deadline| deadline.turn_by());
    let turn = tokio::time::timeout_at(by, turn).await.ok()?;
    if let Some(deadline) = deadline {
        deadline.note_wait(what, begun.elapsed());
    }
    Some(turn)
}

/// Somebody has dropped the repository between two looks at it. Its name is gone with it, and its id would tell nobody anything.
pub(crate) fn dropped_meanwhile() -> Error {
    Error::invalid("the repository was dropped meanwhile: create it again, or use another, and run the statement again")
}

/// What is kept and cannot be used, because an older version took it, with the statement that mends it.
fn what_to_alter(name: &str, error: RepositoryError) -> Error {
    match error {
        RepositoryError::Properties(source) => Error::invalid(format!(
            "the properties that repository {name} was made with cannot be used: {source}. ALTER REPOSITORY {name} PROPERTIES \
             (\"property\" = \"value\") sets what is wrong or missing, and \"\" takes a property away"
        )),
        other => other.into(),
    }
}

fn access(row: &RepositoryRow) -> Access {
    if row.read_only { Access::ReadOnly } else { Access::ReadWrite }
}

/// Makes a key when there is none and nothing that a lost one has sealed. A key that does not open what is kept is refused:
/// what it would seal could not be opened by the right one, and nobody has both.
fn ready_to_seal(catalog: &Catalog, vault: &Vault) -> Result<()> {
    let rows = catalog.read(|read| read.repositories())?;
    let sealed: Vec<&RepositoryRow> = rows.iter().filter(|row| Vault::is_sealed(&row.properties)).collect();
    match vault.check_key() {
        Err(VaultError::KeyMissing { .. }) if sealed.is_empty() => vault.make_key(),
        checked => checked,
    }
    .map_err(RepositoryError::from)?;
    for row in sealed {
        if let Err(wrong @ VaultError::WrongKey { .. }) = vault.open(&row.identity, &row.properties) {
            let name = &row.name;
            return Err(Error::invalid(format!(
                "The credentials of repository {name} cannot be opened, and no others are sealed before they can or it is \
                 dropped: {wrong}"
            )));
        }
    }
    Ok(())
}

/// Seals the credentials of a catalog that was written before there were seals. A key that is missing or wrong does not
/// keep a server from starting: its tables need none, and every use of a repository says what is the matter.
fn seal_what_lies_open(catalog: &Catalog, vault: &Vault) -> Result<()> {
    let rows = catalog.read(|read| read.repositories())?;
    for row in rows.iter().filter(|row| Vault::is_sealed(&row.properties)) {
        if let Err(error) = vault.open(&row.identity, &row.properties) {
            tracing::error!(repository = row.name, %error, "credentials cannot be opened");
        }
    }
    let open: Vec<&RepositoryRow> = rows.iter().filter(|row| !Vault::is_sealed(&row.properties)).collect();
    if open.is_empty() {
        return Ok(());
    }
    ready_to_seal(catalog, vault)?;
    let mut sealed = Vec::with_capacity(open.len());
    for row in open {
        let text = vault.seal(&row.identity, &Secret::new(row.properties.clone())).map_err(RepositoryError::from)?;
        sealed.push((row.id, text));
    }
    catalog.write(|write| sealed.iter().try_for_each(|(id, text)| write.set_repository_properties(*id, text)))?;
    catalog.erase_deleted()?;
    tracing::info!(repositories = sealed.len(), "sealed credentials that lay open in the catalog");
    Ok(())
}

#[cfg(test)]
mod tests;
