//! Repositories: where snapshots are kept.

use super::name::Properties;

/// `CREATE [READ ONLY] REPOSITORY r WITH … ON LOCATION "uri" [PROPERTIES (…)]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRepository {
    /// `READ ONLY`: restore from it, never back up to it.
    pub read_only: bool,
    /// `IF NOT EXISTS`, an extension.
    pub if_not_exists: bool,
    /// The repository's name in this server.
    pub name: String,
    /// What stands after WITH.
    pub storage: RepositoryStorage,
    /// The URI after `ON LOCATION`, as written.
    pub location: String,
    /// Credentials, endpoint and so on. Values may be secret: print a statement with `redacted()`, never with `Display`.
    pub properties: Properties,
}

/// Who talks to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepositoryStorage {
    /// `WITH BROKER [name]`
    Broker(Option<String>),
    /// `WITH S3`
    S3,
    /// `WITH HDFS`
    Hdfs,
}

/// `DROP REPOSITORY [IF EXISTS] r`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropRepository {
    /// `IF EXISTS`, an extension.
    pub if_exists: bool,
    /// The repository to forget. Its objects stay.
    pub name: String,
}

/// `ALTER REPOSITORY r [SET] PROPERTIES (…)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterRepository {
    /// The repository to change.
    pub name: String,
    /// The properties to set, the others stay.
    pub properties: Properties,
}

/// `VERIFY REPOSITORY r [PROPERTIES (…)]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyRepository {
    /// The repository to verify.
    pub name: String,
    /// `PROPERTIES (…)`, such as `"depth"`.
    pub properties: Properties,
}
