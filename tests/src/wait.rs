//! Waiting for conditions: poll often, give up at a deadline, say what was seen last.

use std::time::{Duration, Instant};

use crate::client::{Client, Record};

/// Between two looks: short beside anything worth waiting for, long beside the cost of a look.
const POLL: Duration = Duration::from_millis(20);

/// How long a backup or restore of the tests' data may take. It is far above any that succeeds, also on a busy machine.
pub const JOB_PATIENCE: Duration = Duration::from_secs(300);

/// Calls `look` until it gives `Ok`, and gives that. Panics after `patience` with the last `Err`.
#[track_caller]
pub fn wait_until<T, F>(patience: Duration, look: F) -> impl Future<Output = T>
where
    F: AsyncFnMut() -> Result<T, String>,
{
    // Taken here, so that the panic names the test's line and not this one.
    let caller = std::panic::Location::caller();
    poll(patience, look, caller)
}

async fn poll<T, F>(patience: Duration, mut look: F, caller: &std::panic::Location<'_>) -> T
where
    F: AsyncFnMut() -> Result<T, String>,
{
    let start = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if start.elapsed() > patience => {
                panic!("{caller}: waited {:.1} s in vain; last seen: {seen}", start.elapsed().as_secs_f64())
            }
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// Waits until the last backup of the database has ended, and gives its row of SHOW BACKUP.
pub async fn wait_backup(client: &mut Client, db: &str) -> Record {
    wait_job(client, &format!("SHOW BACKUP FROM `{db}`"), is_final).await
}

/// Waits until the last restore of the database has ended, and gives its row of SHOW RESTORE.
pub async fn wait_restore(client: &mut Client, db: &str) -> Record {
    wait_job(client, &format!("SHOW RESTORE FROM `{db}`"), is_final).await
}

/// Waits until the last backup of the database is in this state, or has ended.
pub async fn wait_backup_state(client: &mut Client, db: &str, wanted: &str) -> Record {
    wait_job(client, &format!("SHOW BACKUP FROM `{db}`"), |state| state == wanted || is_final(state)).await
}

/// Waits until the last restore of the database is in this state, or has ended.
pub async fn wait_restore_state(client: &mut Client, db: &str, wanted: &str) -> Record {
    wait_job(client, &format!("SHOW RESTORE FROM `{db}`"), |state| state == wanted || is_final(state)).await
}

/// Checks that a job has finished, and shows its whole row when it has not.
#[track_caller]
pub fn assert_finished(job: &Record) {
    assert!(job.field("State") == "FINISHED" && job.field("Status") == "[OK]", "the job did not finish:\n{job}");
}

fn is_final(state: &str) -> bool {
    matches!(state, "FINISHED" | "CANCELLED")
}

async fn wait_job(client: &mut Client, show: &str, done: impl Fn(&str) -> bool) -> Record {
    wait_until(JOB_PATIENCE, async || {
        let rows = client.query(show).await;
        let Some(job) = rows.record(0) else {
            return Err(format!("{show} is empty"));
        };
        if done(job.field("State")) { Ok(job) } else { Err(format!("{show}:\n{job}")) }
    })
    .await
}
