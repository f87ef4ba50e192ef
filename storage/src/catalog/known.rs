//! Snapshots that are known to be in a repository, whatever its next listing says.

use super::{ReadTransaction, WriteTransaction};
use crate::error::Result;

/// The name of a snapshot: label and timestamp.
pub type SnapshotName = (String, String);

impl ReadTransaction<'_> {
    /// The snapshots known of the repository that carries this identity, by label and timestamp.
    pub fn known_snapshots(&self, identity: &str) -> Result<Vec<SnapshotName>> {
        let sql = "SELECT label, timestamp FROM known_snapshots WHERE repository = ?1 ORDER BY label, timestamp";
        let mut statement = self.prepare_cached(sql)?;
        let rows = statement.query_map([identity], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl WriteTransaction<'_> {
    /// From now on these are known. One that is known already stays so.
    pub fn know_snapshots(&self, identity: &str, names: &[SnapshotName]) -> Result<()> {
        let sql = "INSERT OR IGNORE INTO known_snapshots (repository, label, timestamp) VALUES (?1, ?2, ?3)";
        let mut statement = self.prepare_cached(sql)?;
        for (label, timestamp) in names {
            statement.execute((identity, label, timestamp))?;
        }
        Ok(())
    }

    /// From now on these are not known: they were looked for, and are gone.
    pub fn forget_snapshots(&self, identity: &str, names: &[SnapshotName]) -> Result<()> {
        let sql = "DELETE FROM known_snapshots WHERE repository = ?1 AND label = ?2 AND timestamp = ?3";
        let mut statement = self.prepare_cached(sql)?;
        for (label, timestamp) in names {
            statement.execute((identity, label, timestamp))?;
        }
        self.forget_damage(identity, names)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::catalog::Catalog;
    use crate::clock::{ManualClock, SystemRandom};

    #[test]
    fn what_is_known_is_of_one_repository_and_can_be_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&dir.path().join("c"), ManualClock::at(7), Arc::new(SystemRandom)).unwrap();
        let name = |label: &str, timestamp: &str| (label.to_owned(), timestamp.to_owned());
        let (a1, a2, b1) = (name("a", "1"), name("a", "2"), name("b", "1"));
        catalog.write(|write| write.know_snapshots("x", &[b1.clone(), a2.clone(), a1.clone()])).unwrap();
        catalog.write(|write| write.know_snapshots("x", std::slice::from_ref(&a1))).unwrap();
        catalog.write(|write| write.know_snapshots("y", std::slice::from_ref(&a1))).unwrap();
        let known = |identity: &str| catalog.read(|read| read.known_snapshots(identity)).unwrap();
        assert_eq!(known("x"), [a1.clone(), a2.clone(), b1.clone()]);
        catalog.write(|write| write.forget_snapshots("x", &[a1.clone(), name("c", "1")])).unwrap();
        assert_eq!(known("x"), [a2, b1]);
        assert_eq!(known("y"), [a1]);
    }
}
