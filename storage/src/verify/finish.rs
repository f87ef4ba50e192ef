//! What a verification stores: findings and counts, in one transaction with the job as it stands, and in the end what
//! they mean.

use std::collections::{BTreeSet, HashMap};

use super::census::{Census, Snapshots, WantedObject};
use super::inspect::{Verdict, finding};
use super::listing::Listed;
use super::owners::Needs;
use super::reader::Finding;
use super::{Depth, VerifyJob, VerifyState};
use crate::catalog::{
    DamagedObject, FileKind, FindingRow, Problem, ReadTransaction, SnapshotVerdict, WriteTransaction,
};
use crate::error::Result;
use crate::ids::JobId;
use crate::job::{JobContext, JobStatus, StatusCode};
use crate::repository::layout;

/// Findings of one job that are kept one by one; more are counted.
const FINDINGS_MAX: u64 = 10_000;

/// Damaged objects for which a table that still holds them is looked for.
const HOLDERS_MAX: usize = 1_000;

/// Snapshots and databases that a Status names.
const NAMED_MAX: usize = 3;

/// The state while findings are stored.
const VERIFYING: &str = "VERIFYING";

/// Stores what the tree and the listing told. Run again, it stores the same.
pub(super) async fn store_census(
    context: &JobContext,
    mut job: VerifyJob,
    census: &Census,
    listed: Listed,
) -> Result<VerifyJob> {
    job.counts.snapshots = census.snapshots;
    job.counts.tree_objects = census.tree_objects;
    job.counts.tree_bytes = census.tree_bytes;
    job.counts.unreferenced = listed.unreferenced;
    job.counts.unreferenced_bytes = listed.unreferenced_bytes;
    job.counts.foreign = listed.foreign;
    let tree = census.findings.iter().map(|(key, fault)| Finding { key: key.clone(), fault: fault.clone() });
    let mut findings: Vec<Finding> = tree.chain(listed.findings).collect();
    // Errors first: what is only foreign must not take their place.
    findings.sort_by_key(|finding| finding.fault.problem == Problem::Foreign);
    context
        .write(VERIFYING, move |write, row| {
            let beyond = put_findings(write, row.id, &findings)?;
            // A resumed job counts its tree again.
            job.counts.unlisted = job.counts.unlisted.max(beyond);
            job.tell_errors(write, row.id, &findings)?;
            job.store(write, row.id)?;
            Ok(job)
        })
        .await
}

/// Stores what was found in a batch, and that the job has come to its end.
pub(super) async fn store_batch(
    context: &JobContext,
    mut job: VerifyJob,
    batch: &[WantedObject],
    verdicts: &[Verdict],
) -> Result<VerifyJob> {
    let findings: Vec<Finding> =
        batch.iter().zip(verdicts).filter_map(|(wanted, verdict)| finding(wanted, verdict)).collect();
    for found in &findings {
        tracing::warn!(key = found.key, problem = %found.fault.problem, found = found.fault.found, "object is damaged");
        metrics::counter!("ebla_verify_errors_total", "problem" => found.fault.problem.to_string()).increment(1);
    }
    let bytes = batch.iter().map(|wanted| job.depth.bytes_read(wanted)).fold(0, u64::saturating_add);
    metrics::counter!("ebla_verified_objects_total").increment(batch.len() as u64);
    metrics::counter!("ebla_verified_bytes_total").increment(bytes);
    job.counts.objects += batch.len() as u64;
    job.counts.bytes = job.counts.bytes.saturating_add(bytes);
    job.counts.mended += verdicts.iter().filter(|verdict| **verdict == Verdict::Mended).count() as u64;
    job.checked_to = batch.last().map(WantedObject::place).or(job.checked_to);
    context
        .write(VERIFYING, move |write, row| {
            job.counts.unlisted += put_findings(write, row.id, &findings)?;
            job.tell_errors(write, row.id, &findings)?;
            job.store(write, row.id)?;
            Ok(job)
        })
        .await
}

/// Stores the end, with who needs what is damaged and who still holds it.
pub(super) async fn end(
    context: &JobContext,
    job: VerifyJob,
    snapshots: &Snapshots,
    census: &Census,
    needs: Option<Needs>,
) -> Result<VerifyJob> {
    let (id, repository) = (context.id, job.repository_id);
    let (mut findings, damage) = context.read(move |read| Ok((read.findings(id)?, read.damage(repository)?))).await?;
    let mended = found_whole(&job, census, &findings, &damage);
    let mut gone = Vec::new();
    if let Some(needs) = &needs {
        let is_needed = |finding: &FindingRow| {
            finding.problem == Problem::Foreign
                || needs.of_keys.get(&finding.object_key).is_some_and(|need| need.snapshots > 0)
                || finding.object_key == layout::repository_info().as_str()
        };
        gone.extend(findings.extract_if(.., |finding| !is_needed(finding)).map(|finding| finding.object_key));
        for finding in &mut findings {
            if let Some(need) = needs.of_keys.get(&finding.object_key) {
                finding.snapshots = need.snapshots;
                finding.needed_by = need.describe();
            }
        }
    }
    let findings = context
        .read(move |read| {
            let mut left = HOLDERS_MAX;
            for finding in findings.iter_mut().filter(|finding| finding.problem.is_damage()) {
                if let (Some((kind, digest)), true) = (layout::parse_object(&finding.object_key), left > 0) {
                    left -= 1;
                    finding.held_by = read.holder(kind, &digest)?.unwrap_or_default();
                }
            }
            Ok(findings)
        })
        .await?;
    let verdicts = verdicts(&job, id, snapshots, &findings, needs.unwrap_or_default());
    let mut job = job;
    job = context
        .write_unfinished(move |write, row| {
            for key in &gone {
                write.delete_finding(row.id, key)?;
            }
            for finding in &findings {
                write.put_finding(finding)?;
            }
            write.mend_findings(job.repository_id, &mended)?;
            if let Some(repository) = write.repository_by_id(job.repository_id)? {
                verdicts.iter().try_for_each(|verdict| write.judge_snapshot(&repository.identity, verdict))?;
            }
            let (_, errors) = write.finding_counts(row.id)?;
            job.counts.errors = errors + job.counts.unlisted;
            job.first_error = findings.iter().find(|row| row.problem != Problem::Foreign).map(describe);
            job.status = job.judge(&findings);
            job.state = VerifyState::Finished;
            job.store(write, row.id)?;
            Ok(job)
        })
        .await?;
    tracing::info!(
        snapshots = job.counts.snapshots,
        objects = job.counts.objects,
        errors = job.counts.errors,
        status = %job.status,
        "verification ended"
    );
    Ok(job)
}

/// What the job says of each snapshot that it was about.
fn verdicts(
    job: &VerifyJob,
    id: JobId,
    snapshots: &Snapshots,
    findings: &[FindingRow],
    mut needs: Needs,
) -> Vec<SnapshotVerdict> {
    let found: HashMap<&str, &FindingRow> = findings
        .iter()
        // A backup may have put it again while the job ran.
        .filter(|finding| finding.problem != Problem::Foreign && finding.mended_at_ms.is_none())
        .map(|finding| (finding.object_key.as_str(), finding))
        .collect();
    let damaged = |key: String| {
        let problem = found.get(key.as_str())?.problem;
        let depth = match problem {
            // Commit objects and nodes are read at every depth.
            _ if layout::parse_object(&key).is_none() => Depth::Exists,
            Problem::Missing => Depth::Exists,
            Problem::Length => Depth::Length,
            Problem::Digest => Depth::Digest,
            Problem::Content | Problem::Newer | Problem::Foreign => job.depth,
        };
        Some(DamagedObject { object_key: key, problem, depth: depth as u8 })
    };
    let of_snapshot = |listing: &crate::repository::SnapshotListing| {
        let snapshot = (listing.label.clone(), listing.timestamp.to_string());
        let (keys, more) = needs.of_snapshots.remove(&snapshot).unwrap_or_default();
        let objects: Vec<DamagedObject> = keys.into_iter().filter_map(damaged).collect();
        // Below a node that cannot be read nobody has looked.
        let complete = objects.iter().all(|object| layout::parse_object(&object.object_key).is_some());
        // Of what is beyond the limit of what is listed nobody knows which snapshots need it.
        let more = more || job.counts.unlisted > 0;
        SnapshotVerdict { snapshot, job_id: id, depth: job.depth as u8, complete, objects, more }
    };
    snapshots.listed.iter().map(of_snapshot).collect()
}

/// Keys that were damaged when somebody looked before, and that this job has found whole by looking as deep.
fn found_whole(job: &VerifyJob, census: &Census, findings: &[FindingRow], damage: &[FindingRow]) -> Vec<String> {
    let is_damaged = |key: &str| findings.iter().any(|finding| finding.object_key == key);
    let was_seen = |earlier: &&FindingRow| {
        let enough = match earlier.problem {
            Problem::Missing => true,
            Problem::Length => job.depth >= Depth::Length,
            _ => job.depth >= Depth::Digest,
        };
        match (layout::parse_object(&earlier.object_key), layout::parse_tree(&earlier.object_key)) {
            (Some((kind, digest)), _) => {
                enough && census.objects.binary_search_by_key(&(digest, kind), |wanted| wanted.place()).is_ok()
            }
            (None, Some(digest)) => census.nodes.contains(&digest),
            (None, None) => false,
        }
    };
    let whole = damage.iter().filter(was_seen).map(|earlier| earlier.object_key.clone());
    let mut whole: Vec<String> = whole.filter(|key| !is_damaged(key)).collect();
    whole.dedup();
    // Beyond the limit of what is listed nobody knows what this job has found damaged.
    if job.counts.unlisted > 0 { Vec::new() } else { whole }
}

/// Keeps as many findings as there is room for. Returns how many errors there was none for.
fn put_findings(write: &WriteTransaction<'_>, job: JobId, findings: &[Finding]) -> Result<u64> {
    let (mut kept, _) = write.finding_counts(job)?;
    let mut beyond = 0;
    for Finding { key, fault } in findings {
        if kept >= FINDINGS_MAX {
            beyond += u64::from(fault.problem != Problem::Foreign);
            continue;
        }
        kept += 1;
        write.put_finding(&FindingRow {
            job_id: job,
            object_key: key.clone(),
            problem: fault.problem,
            expected: fault.expected.clone(),
            found: fault.found.clone(),
            snapshots: 0,
            needed_by: String::new(),
            held_by: String::new(),
            found_at_ms: write.now_ms(),
            mended_at_ms: None,
        })?;
    }
    Ok(beyond)
}

/// One finding as one sentence.
fn describe(finding: &FindingRow) -> String {
    let FindingRow { object_key, problem, expected, found, .. } = finding;
    format!("{object_key}: {problem}, expected {expected}, found {found}")
}

impl VerifyJob {
    /// Counts the errors so far, and tells the first of them.
    fn tell_errors(&mut self, read: &ReadTransaction<'_>, id: JobId, found: &[Finding]) -> Result<()> {
        let (_, errors) = read.finding_counts(id)?;
        self.counts.errors = errors + self.counts.unlisted;
        if self.first_error.is_none() {
            let first = found.iter().find(|finding| finding.fault.problem != Problem::Foreign);
            self.first_error = first.map(|Finding { key, fault }| {
                format!("{key}: {}, expected {}, found {}", fault.problem, fault.expected, fault.found)
            });
        }
        Ok(())
    }

    /// The Status column of a job that has looked at everything.
    fn judge(&self, findings: &[FindingRow]) -> JobStatus {
        let errors: Vec<&FindingRow> = findings.iter().filter(|row| row.problem != Problem::Foreign).collect();
        if self.counts.errors == 0 {
            return JobStatus::OK;
        }
        let objects = self.counts.objects + self.counts.tree_objects;
        let mut text = format!(
            "{} of {} objects {} missing or damaged",
            self.counts.errors,
            objects.max(self.counts.errors),
            if self.counts.errors == 1 { "is" } else { "are" }
        );
        let held: Vec<&str> = errors.iter().map(|row| row.held_by.as_str()).filter(|table| !table.is_empty()).collect();
        if held.is_empty() {
            text.push_str(
                "; no table of this server holds them: put the objects back from another copy of the repository, or make \
                 a new snapshot and drop those that need them",
            );
        } else {
            let databases: BTreeSet<&str> = held.iter().filter_map(|table| table.split('.').next()).collect();
            let named: Vec<&str> = databases.iter().copied().take(NAMED_MAX).collect();
            let more = if databases.len() > NAMED_MAX { ", …" } else { "" };
            text.push_str(&format!(
                "; tables of this server still hold {} of them: the next BACKUP of {}{more} puts them again",
                held.len(),
                named.join(", ")
            ));
        }
        text.push_str("; information_schema.verify_findings lists each with the snapshots and tables that need it");
        JobStatus::new(StatusCode::BadFile, text)
    }
}

impl ReadTransaction<'_> {
    /// A live table that has an object, as `database.table`.
    fn holder(&self, kind: FileKind, digest: &crate::digest::Digest) -> Result<Option<String>> {
        for tablet in self.tablets_with_file(kind, digest)? {
            if let Some(owner) = self.tablet_owner(tablet)?.filter(|owner| owner.live && !owner.hidden) {
                return Ok(Some(format!("{}.{}", owner.database, owner.table.name)));
            }
        }
        Ok(None)
    }
}
