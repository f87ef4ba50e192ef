//! ADMIN statements, and statements of StarRocks that Ebla knows by name only.

use super::name::Properties;

/// `ADMIN …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    /// `ADMIN SHOW FRONTEND CONFIG [LIKE 'pattern']`
    ShowConfig {
        /// `LIKE 'pattern'`
        like: Option<String>,
    },
    /// `ADMIN SET FRONTEND CONFIG ("k" = "v") [WITH PERSISTENT]`
    SetConfig {
        /// What to set.
        properties: Properties,
        /// `WITH PERSISTENT`: also after a restart.
        persistent: bool,
    },
    /// `ADMIN CLEAN REPOSITORY r`: one turn of collecting what no snapshot refers to.
    CleanRepository {
        /// The repository.
        name: String,
    },
}

/// A statement of StarRocks that Ebla recognises and does not do yet. The server answers with its name, which is
/// friendlier than a syntax error.
#[derive(Clone, PartialEq, Eq)]
pub struct NotYet {
    /// Its leading words in upper case, for example `CREATE MATERIALIZED VIEW`.
    pub name: &'static str,
    /// Its text as the client sent it, comments left out. May hold secrets; `Debug` leaves it out.
    pub text: String,
}

impl std::fmt::Debug for NotYet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NotYet").field("name", &self.name).finish_non_exhaustive()
    }
}
