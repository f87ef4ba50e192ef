//! What VERIFY found in repositories: one row an object and job.

use rusqlite::Row;

use super::load::text_enum;
use super::{ReadTransaction, WriteTransaction};
use crate::error::{Error, Result};
use crate::ids::{JobId, RepositoryId};
use std::fmt;
use std::str::FromStr;

/// What is wrong with an object of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Problem {
    /// It is not there.
    Missing,
    /// It is there with another size.
    Length,
    /// Its bytes are not those that its name or its seal says.
    Digest,
    /// Its bytes are those that were written, and contradict themselves or what refers to them.
    Content,
    /// It was written by a newer version, so that this one cannot tell.
    Newer,
    /// It is none of a repository's. No error: others may keep what they like beside a repository.
    Foreign,
}

text_enum!(
    Problem,
    Missing = "missing",
    Length = "length",
    Digest = "digest",
    Content = "content",
    Newer = "newer",
    Foreign = "foreign"
);

/// One object that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingRow {
    /// The job that found it.
    pub job_id: JobId,
    /// The object's key below the repository's location.
    pub object_key: String,
    /// What is wrong.
    pub problem: Problem,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
    /// How many snapshots need it.
    pub snapshots: u64,
    /// Some of them with their tables, for people.
    pub needed_by: String,
    /// A table here that holds the same bytes; empty when none does.
    pub held_by: String,
    /// When it was found.
    pub found_at_ms: i64,
    /// When it was found to be whole again, or a backup put it again.
    pub mended_at_ms: Option<i64>,
}

const COLUMNS: &str = "findings.job_id, findings.object_key, findings.problem, findings.expected, findings.found, \
                       findings.snapshots, findings.needed_by, findings.held_by, findings.found_at_ms, \
                       findings.mended_at_ms";

impl Problem {
    /// Whether the object has to be put again to be of use.
    #[must_use]
    pub fn is_damage(self) -> bool {
        matches!(self, Problem::Missing | Problem::Length | Problem::Digest)
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<FindingRow>> {
    let problem = match row.get_ref(2)?.as_str()?.parse() {
        Ok(problem) => problem,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(FindingRow {
        job_id: row.get(0)?,
        object_key: row.get(1)?,
        problem,
        expected: row.get(3)?,
        found: row.get(4)?,
        snapshots: row.get::<_, i64>(5)?.unsigned_abs(),
        needed_by: row.get(6)?,
        held_by: row.get(7)?,
        found_at_ms: row.get(8)?,
        mended_at_ms: row.get(9)?,
    }))
}

impl ReadTransaction<'_> {
    /// What a job has found, in the order of the keys.
    pub fn findings(&self, job: JobId) -> Result<Vec<FindingRow>> {
        let sql = format!("SELECT {COLUMNS} FROM findings WHERE job_id = ?1 ORDER BY object_key");
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map([job], from_row)?;
        rows.map(|row| row?).collect()
    }

    /// How many rows a job has found, and how many of them are errors.
    pub fn finding_counts(&self, job: JobId) -> Result<(u64, u64)> {
        let sql = "SELECT count(*), count(*) FILTER (WHERE problem <> 'foreign') FROM findings WHERE job_id = ?1";
        let count = |row: &Row<'_>, column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok(self.prepare_cached(sql)?.query_row([job], |row| Ok((count(row, 0)?, count(row, 1)?)))?)
    }

    /// What is damaged in a repository and was not mended yet, as far as any job has found it.
    pub fn damage(&self, repository: RepositoryId) -> Result<Vec<FindingRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM findings JOIN jobs ON jobs.id = findings.job_id
             WHERE jobs.repository_id = ?1 AND findings.mended_at_ms IS NULL
               AND findings.problem IN ('missing', 'length', 'digest')
             ORDER BY findings.object_key, findings.job_id"
        );
        let mut statement = self.prepare_cached(&sql)?;
        let rows = statement.query_map([repository], from_row)?;
        rows.map(|row| row?).collect()
    }
}

impl WriteTransaction<'_> {
    /// Keeps a finding; one of the same job and key is replaced.
    pub fn put_finding(&self, finding: &FindingRow) -> Result<()> {
        self.prepare_cached(
            "INSERT OR REPLACE INTO findings (job_id, object_key, problem, expected, found, snapshots, needed_by,
                 held_by, found_at_ms, mended_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute((
            finding.job_id,
            &finding.object_key,
            finding.problem.to_string(),
            &finding.expected,
            &finding.found,
            i64::try_from(finding.snapshots).unwrap_or(i64::MAX),
            &finding.needed_by,
            &finding.held_by,
            finding.found_at_ms,
            finding.mended_at_ms,
        ))?;
        Ok(())
    }

    /// Forgets a finding that turned out to be none.
    pub fn delete_finding(&self, job: JobId, object_key: &str) -> Result<()> {
        self.prepare_cached("DELETE FROM findings WHERE job_id = ?1 AND object_key = ?2")?
            .execute((job, object_key))?;
        Ok(())
    }

    /// From now on these objects of a repository are whole, whoever had found them damaged.
    pub fn mend_findings(&self, repository: RepositoryId, object_keys: &[String]) -> Result<()> {
        let mut statement = self.prepare_cached(
            "UPDATE findings SET mended_at_ms = ?3 WHERE object_key = ?2 AND mended_at_ms IS NULL
             AND job_id IN (SELECT id FROM jobs WHERE repository_id = ?1)",
        )?;
        for key in object_keys {
            statement.execute((repository, key, self.now_ms()))?;
        }
        self.clear_damage(repository, object_keys)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::{Catalog, JobKind, NewJob};
    use crate::clock::{ManualClock, SystemRandom};

    fn job(kind: JobKind, database: &str, repository: i64) -> NewJob {
        NewJob {
            targets: Vec::new(),
            kind,
            database: database.into(),
            label: String::new(),
            repository_id: RepositoryId(repository),
            state: "PENDING".into(),
            payload: String::new(),
            timeout_ms: 1,
            created_at_ms: 1,
        }
    }

    fn finding(job_id: JobId, key: &str, problem: Problem) -> FindingRow {
        FindingRow {
            job_id,
            object_key: key.into(),
            problem,
            expected: "e".into(),
            found: "f".into(),
            snapshots: 1,
            needed_by: "s".into(),
            held_by: String::new(),
            found_at_ms: 1,
            mended_at_ms: None,
        }
    }

    #[test]
    fn damage_is_of_a_repository_until_it_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&dir.path().join("c"), ManualClock::at(7), Arc::new(SystemRandom)).unwrap();
        let (one, other) = catalog
            .write(|write| {
                let one = write.create_job(&job(JobKind::Verify, "", 1))?;
                let other = write.create_job(&job(JobKind::Verify, "", 2))?;
                for key in ["a", "b"] {
                    write.put_finding(&finding(one, key, Problem::Missing))?;
                }
                write.put_finding(&finding(one, "b", Problem::Digest))?;
                write.put_finding(&finding(one, "c", Problem::Foreign))?;
                write.put_finding(&finding(other, "a", Problem::Length))?;
                Ok((one, other))
            })
            .unwrap();
        let damage = |repository| -> Vec<(String, Problem)> {
            let rows = catalog.read(|read| read.damage(RepositoryId(repository))).unwrap();
            rows.into_iter().map(|row| (row.object_key, row.problem)).collect()
        };
        assert_eq!(damage(1), [("a".to_owned(), Problem::Missing), ("b".to_owned(), Problem::Digest)]);
        assert_eq!(catalog.read(|read| read.finding_counts(one)).unwrap(), (3, 2));
        catalog.write(|write| write.mend_findings(RepositoryId(1), &["a".to_owned()])).unwrap();
        assert_eq!(damage(1), [("b".to_owned(), Problem::Digest)]);
        assert_eq!(damage(2).len(), 1, "another repository's object of the same key");
        assert_eq!(catalog.read(|read| read.findings(one)).unwrap()[0].mended_at_ms, Some(7));
        catalog.write(|write| write.delete_finding(other, "a")).unwrap();
        assert!(damage(2).is_empty());
    }

    #[test]
    fn a_job_of_a_repository_takes_no_databases_slot() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&dir.path().join("c"), ManualClock::at(7), Arc::new(SystemRandom)).unwrap();
        let submit =
            |kind, database, repository| catalog.write(|write| write.create_job(&job(kind, database, repository)));
        submit(JobKind::Verify, "", 1).unwrap();
        submit(JobKind::Verify, "", 2).unwrap();
        submit(JobKind::Backup, "d", 1).unwrap();
        assert!(submit(JobKind::Restore, "d", 2).unwrap_err().to_string().contains("of a database at same time"));
        assert!(submit(JobKind::Verify, "", 1).unwrap_err().to_string().contains("of a repository at same time"));
        assert_eq!(catalog.read(|read| read.last_jobs()).unwrap().len(), 1, "only those of databases");
    }
}
