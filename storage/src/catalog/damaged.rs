//! Snapshots in which a VERIFY of this server has found damage, until something clears it: a later VERIFY that looks as deep
//! and finds nothing, a backup that puts the objects again, or that the snapshot is gone.
//!
//! Findings are of jobs and go with their history; this stays. It is what SHOW SNAPSHOT says, and nothing decides by it.

use std::collections::BTreeMap;

use rusqlite::Row;

use super::known::SnapshotName;
use super::{Problem, ReadTransaction, WriteTransaction};
use crate::error::Result;
use crate::ids::{JobId, RepositoryId};

/// Objects of one snapshot that are kept one by one; that there are more is kept as one row.
const OBJECTS_MAX: usize = 16;

/// The key of the row that stands for what is not kept.
const MORE: &str = "";

/// What a verification says of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotVerdict {
    /// Label and timestamp.
    pub snapshot: SnapshotName,
    /// The job that looked.
    pub job_id: JobId,
    /// How deep it looked: what it did not find is cleared as far as this.
    pub depth: u8,
    /// Whether it saw all that the snapshot refers to. Nothing is cleared else: what it could not see may be damaged as before.
    pub complete: bool,
    /// What the snapshot needs and does not have.
    pub objects: Vec<DamagedObject>,
    /// Whether there is, or may be, more of it.
    pub more: bool,
}

/// An object that a snapshot needs and does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedObject {
    /// Its key below the repository's location.
    pub object_key: String,
    /// What is wrong with it.
    pub problem: Problem,
    /// How deep a look must go to see it.
    pub depth: u8,
}

/// What is known to be wrong with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotDamage {
    /// The job that found it last.
    pub job_id: JobId,
    /// When.
    pub found_at_ms: i64,
    /// How many objects.
    pub objects: u64,
    /// Whether there is, or may be, more.
    pub more: bool,
    /// The first of the objects and what is wrong with it, when one is kept.
    pub first: Option<(String, Problem)>,
}

impl ReadTransaction<'_> {
    /// What is damaged of the repository that carries this identity; of one label's snapshots when one is given.
    pub fn damaged_snapshots(
        &self,
        identity: &str,
        label: Option<&str>,
    ) -> Result<BTreeMap<SnapshotName, SnapshotDamage>> {
        let sql = "SELECT label, timestamp, object_key, problem, job_id, found_at_ms FROM damaged_snapshots
                   WHERE repository = ?1 AND (?2 IS NULL OR label = ?2) ORDER BY label, timestamp, object_key";
        let mut statement = self.prepare_cached(sql)?;
        let read = |row: &Row<'_>| -> rusqlite::Result<(SnapshotName, String, String, JobId, i64)> {
            Ok(((row.get(0)?, row.get(1)?), row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        };
        let mut damaged: BTreeMap<SnapshotName, SnapshotDamage> = BTreeMap::new();
        for row in statement.query_map((identity, label), read)? {
            let (snapshot, key, problem, job_id, found_at_ms) = row?;
            let damage = damaged.entry(snapshot).or_insert(SnapshotDamage {
                job_id,
                found_at_ms,
                objects: 0,
                more: false,
                first: None,
            });
            (damage.job_id, damage.found_at_ms) = (damage.job_id, damage.found_at_ms).max((job_id, found_at_ms));
            if key == MORE {
                damage.more = true;
                continue;
            }
            damage.objects += 1;
            if damage.first.is_none() {
                damage.first = Some((key, problem.parse()?));
            }
        }
        Ok(damaged)
    }
}

impl WriteTransaction<'_> {
    /// From now on this is what is known of a snapshot of a repository; what only a deeper look would see stays.
    pub fn judge_snapshot(&self, identity: &str, verdict: &SnapshotVerdict) -> Result<()> {
        let (label, timestamp) = &verdict.snapshot;
        if verdict.complete {
            self.prepare_cached(
                "DELETE FROM damaged_snapshots WHERE repository = ?1 AND label = ?2 AND timestamp = ?3 AND depth <= ?4",
            )?
            .execute((identity, label, timestamp, verdict.depth))?;
        }
        let (kept, beyond) = verdict.objects.split_at(verdict.objects.len().min(OBJECTS_MAX));
        let more = DamagedObject { object_key: MORE.to_owned(), problem: Problem::Missing, depth: verdict.depth };
        let more = (verdict.more || !beyond.is_empty()).then_some(&more);
        let mut insert = self.prepare_cached(
            "INSERT OR REPLACE INTO damaged_snapshots (repository, label, timestamp, object_key, problem, depth, job_id,
                 found_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        for DamagedObject { object_key, problem, depth } in kept.iter().chain(more) {
            let (problem, now_ms) = (problem.to_string(), self.now_ms());
            insert.execute((identity, label, timestamp, object_key, problem, depth, verdict.job_id, now_ms))?;
        }
        Ok(())
    }

    /// Objects of a repository that have been put again damage no snapshot any more.
    pub(super) fn clear_damage(&self, repository: RepositoryId, object_keys: &[String]) -> Result<()> {
        let mut statement = self.prepare_cached(
            "DELETE FROM damaged_snapshots WHERE object_key = ?2
             AND repository = (SELECT identity FROM repositories WHERE id = ?1)",
        )?;
        for key in object_keys {
            statement.execute((repository, key))?;
        }
        Ok(())
    }

    /// What was wrong with snapshots that are gone.
    pub(super) fn forget_damage(&self, identity: &str, names: &[SnapshotName]) -> Result<()> {
        let sql = "DELETE FROM damaged_snapshots WHERE repository = ?1 AND label = ?2 AND timestamp = ?3";
        let mut statement = self.prepare_cached(sql)?;
        for (label, timestamp) in names {
            statement.execute((identity, label, timestamp))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::{Catalog, NewRepository};
    use crate::clock::{ManualClock, SystemRandom};

    fn verdict(label: &str, depth: u8, keys: &[(&str, u8)]) -> SnapshotVerdict {
        let object = |(key, depth): &(&str, u8)| DamagedObject {
            object_key: (*key).to_owned(),
            problem: Problem::Digest,
            depth: *depth,
        };
        SnapshotVerdict {
            snapshot: (label.to_owned(), "1".to_owned()),
            job_id: JobId(i64::from(depth)),
            depth,
            complete: true,
            objects: keys.iter().map(object).collect(),
            more: false,
        }
    }

    #[test]
    fn what_is_damaged_stays_so_until_it_was_looked_at_as_deep_or_put_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c");
        let open = || Catalog::open(&path, ManualClock::at(7), Arc::new(SystemRandom)).unwrap();
        let catalog = open();
        let new = NewRepository {
            name: "r".into(),
            identity: "x".into(),
            location: String::new(),
            read_only: false,
            broker: String::new(),
            properties: String::new(),
            created_at_ms: 1,
        };
        let id = catalog.write(|write| write.create_repository(&new)).unwrap();
        let judge = |catalog: &Catalog, verdict: SnapshotVerdict| {
            catalog.write(|write| write.judge_snapshot("x", &verdict)).unwrap();
        };
        let said = |catalog: &Catalog, identity: &str| -> Vec<(String, u64, bool)> {
            let damaged = catalog.read(|read| read.damaged_snapshots(identity, None)).unwrap();
            damaged.into_iter().map(|((label, _), damage)| (label, damage.objects, damage.more)).collect()
        };
        judge(&catalog, verdict("a", 2, &[("k", 2), ("l", 0)]));
        judge(&catalog, verdict("b", 2, &[("k", 2)]));
        drop(catalog);
        let catalog = open();
        assert_eq!(said(&catalog, "x"), [("a".to_owned(), 2, false), ("b".to_owned(), 1, false)]);
        assert!(said(&catalog, "y").is_empty());
        let of_b = catalog.read(|read| read.damaged_snapshots("x", Some("b"))).unwrap();
        assert_eq!(of_b.len(), 1);
        assert_eq!(of_b.values().next().unwrap().first, Some(("k".to_owned(), Problem::Digest)));

        // One that could not see everything clears nothing. A look that is not as deep clears what it would have seen; a deep one clears the rest.
        judge(&catalog, SnapshotVerdict { complete: false, ..verdict("a", 3, &[]) });
        assert_eq!(said(&catalog, "x")[0], ("a".to_owned(), 2, false));
        judge(&catalog, verdict("a", 0, &[]));
        assert_eq!(said(&catalog, "x")[0], ("a".to_owned(), 1, false));
        catalog.write(|write| write.mend_findings(id, &["k".to_owned()])).unwrap();
        assert!(said(&catalog, "x").is_empty(), "k has been put again");
        judge(&catalog, verdict("a", 2, &[("k", 2)]));
        judge(&catalog, verdict("a", 3, &[]));
        assert!(said(&catalog, "x").is_empty());

        // More than is kept is not whole when that which is kept has been put again.
        let keys: Vec<String> = (0..40).map(|number| format!("k{number:02}")).collect();
        let many: Vec<(&str, u8)> = keys.iter().map(|key| (key.as_str(), 2)).collect();
        judge(&catalog, verdict("a", 2, &many));
        assert_eq!(said(&catalog, "x"), [("a".to_owned(), OBJECTS_MAX as u64, true)]);
        catalog.write(|write| write.mend_findings(id, &keys)).unwrap();
        assert_eq!(said(&catalog, "x"), [("a".to_owned(), 0, true)]);
        let gone = [("a".to_owned(), "1".to_owned())];
        catalog.write(|write| write.forget_snapshots("x", &gone)).unwrap();
        assert!(said(&catalog, "x").is_empty());
    }
}
