//! What one client does with the snapshots that there are: has them verified, and drops them.
//!
//! Whoever says DROP SNAPSHOT does not count on the snapshot any more, whether there is an answer or not; said again
//! after a death, it must be gone.

use std::time::Instant;

use ebla_tests::client::{Client, Record};

use super::jobs::{JOB_PATIENCE, POLL, number};
use super::{Verifying, Worker};
use crate::look::Blind;

impl Worker {
    /// Has a snapshot verified, unless another client's verification runs.
    pub(super) async fn verify(&mut self, client: &mut Client, index: usize) -> Result<(), Blind> {
        let label = self.snapshots[index].label.clone();
        let after_job = last_verification(client, &label).await?.map_or(0, |job| number(&job, "JobId"));
        let statement = format!("VERIFY SNAPSHOT {label} ON repo PROPERTIES (\"depth\" = \"rows\")");
        self.verifying = Some(Verifying { label, after_job, accepted: false });
        match client.try_query(&statement).await {
            Err(error) if error.message.contains("Can only run one verify job") => {
                self.verifying = None;
                return Ok(());
            }
            said => said?,
        };
        self.verifying.iter_mut().for_each(|verifying| verifying.accepted = true);
        self.await_verification(client).await
    }

    /// Waits for the end of the verification that was begun, if it was: nothing may be wrong with a snapshot that is listed.
    pub(super) async fn await_verification(&mut self, client: &mut Client) -> Result<(), Blind> {
        let Some(Verifying { label, after_job, accepted }) = self.verifying.clone() else { return Ok(()) };
        let begun = Instant::now();
        loop {
            let job = last_verification(client, &label).await?.filter(|job| number(job, "JobId") > after_job);
            match job {
                None if accepted => {
                    return Err(Blind::Wrong(format!("a verification of {label} was accepted, and is not known")));
                }
                None => break,
                Some(job) if matches!(job.field("State"), "FINISHED" | "CANCELLED") => {
                    if (job.field("State"), job.field("Errors"), job.field("Status")) != ("FINISHED", "0", "[OK]") {
                        return Err(Blind::Wrong(format!("a verification of {label} ends with\n{job}")));
                    }
                    self.seen.verified += 1;
                    break;
                }
                Some(job) if begun.elapsed() > JOB_PATIENCE => {
                    return Err(Blind::Wrong(format!("a verification does not end:\n{job}")));
                }
                Some(_) => tokio::time::sleep(POLL).await,
            }
        }
        self.verifying = None;
        Ok(())
    }

    /// Drops a snapshot.
    pub(super) async fn drop_snapshot(&mut self, client: &mut Client, index: usize) -> Result<(), Blind> {
        let label = self.snapshots.remove(index).label;
        let statement = format!("DROP SNAPSHOT {label} ON repo");
        self.dropping = Some(label);
        client.try_query(&statement).await?;
        self.see_it_gone(client).await
    }

    /// Drops what was being dropped, in the form that is fine with a snapshot that is gone.
    pub(super) async fn finish_drop(&mut self, client: &mut Client) -> Result<(), Blind> {
        let Some(label) = &self.dropping else { return Ok(()) };
        client.try_query(&format!("DROP SNAPSHOT ON repo WHERE SNAPSHOT = \"{label}\"")).await?;
        self.see_it_gone(client).await
    }

    async fn see_it_gone(&mut self, client: &mut Client) -> Result<(), Blind> {
        let Some(label) = &self.dropping else { return Ok(()) };
        let listed = client.try_query(&format!("SHOW SNAPSHOT ON repo WHERE SNAPSHOT = \"{label}\"")).await?;
        if !listed.rows.is_empty() {
            return Err(Blind::Wrong(format!("snapshot {label} was dropped, and is listed: {listed}")));
        }
        self.dropping = None;
        self.seen.dropped += 1;
        Ok(())
    }
}

/// The last verification of a snapshot.
async fn last_verification(client: &mut Client, label: &str) -> Result<Option<Record>, Blind> {
    let shown = client.try_query(&format!("SHOW VERIFY ON repo LIKE \"{label}\"")).await?;
    Ok(shown.rows.len().checked_sub(1).and_then(|last| shown.record(last)))
}
