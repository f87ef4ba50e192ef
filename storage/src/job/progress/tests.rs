//! What is told of a running phase: its words, and that its numbers only grow, up to the total and no further.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::repository::Progress as _;
use crate::repository::store::{Passage, watched};

fn begun(files: u64, bytes: u64, now_ms: i64) -> Progress {
    let (progress, total) = (Progress::default(), Amount { files, bytes });
    assert_eq!(progress.counts(), None);
    progress.begin(total, total, now_ms);
    progress
}

#[test]
fn progress_keeps_the_known_words_and_adds_the_useful_ones() {
    let progress = begun(6, 40_100_000, 1_000);
    let text = |now_ms| progress.counts().unwrap().describe(JobId(10440), now_ms);
    assert_eq!(text(1_000), "[ task id: 10440 -> finished part:0/ total number of subtasks:6, 0 B of 40.1 MB (0%)]");
    FileProgress::new(&progress, 10_000_000).arrived();
    FileProgress::new(&progress, 300_000).arrived();
    let under_way = FileProgress::new(&progress, 29_000_000);
    under_way.moved(2_000_000);
    assert_eq!(
        text(2_500),
        "[ task id: 10440 -> finished part:2/ total number of subtasks:6, 12.3 MB of 40.1 MB (30%), 8.2 MB/s, \
         ETA 4 s]"
    );
    progress.end();
    assert_eq!(progress.counts(), None);
    assert_eq!(progress.moved(), Amount { files: 2, bytes: 12_300_000 });
}

#[test]
fn a_file_that_begins_again_counts_once() {
    let progress = begun(1, 1_000, 0);
    let done = || progress.counts().unwrap().bytes_done;
    let file = FileProgress::new(&progress, 1_000);
    file.moved(600);
    file.moved_in_vain(600);
    assert_eq!(done(), 600);
    file.moved(500);
    assert_eq!(done(), 600);
    file.moved(200);
    assert_eq!(done(), 700);
    // An object that was there already moves no byte more.
    file.arrived();
    assert_eq!((done(), progress.moved().files), (1_000, 1));
}

/// Goal: after a restart what was moved before counts, and the rate is that of this process. Method: two of three files
/// are there when the phase begins.
#[test]
fn a_phase_that_is_resumed_begins_where_it_stood() {
    let progress = Progress::default();
    progress.begin(Amount { files: 3, bytes: 30_000 }, Amount { files: 1, bytes: 10_000 }, 0);
    let file = FileProgress::new(&progress, 10_000);
    file.moved(1_000);
    assert_eq!(
        progress.counts().unwrap().describe(JobId(1), 1_000),
        "[ task id: 1 -> finished part:2/ total number of subtasks:3, 21.0 KB of 30.0 KB (70%), 1.0 KB/s, ETA 9 s]"
    );
}

/// What befalls one attempt at a file.
#[derive(Debug, Clone)]
struct Trial {
    /// Of the file: requests that fail, each after some steps.
    failures: Vec<Vec<u64>>,
    /// Steps of the request that succeeds; what they lack comes with its end.
    steps: Vec<u64>,
    /// Whether the whole attempt is in vain: a digest that is wrong, a connection that is lost at the end.
    spoiled: bool,
}

fn trial() -> impl Strategy<Value = Trial> {
    let steps = || prop::collection::vec(0..400_u64, 0..6);
    (prop::collection::vec(steps(), 0..3), steps(), any::<bool>()).prop_map(|(failures, steps, spoiled)| Trial {
        failures,
        steps,
        spoiled,
    })
}

/// Moves a file as transfers do: requests that are begun again, attempts that are taken back whole.
async fn transfer(progress: &Progress, bytes: u64, trials: &[Trial], look: &(dyn Fn() + Sync)) {
    let file = FileProgress::new(progress, bytes);
    let request = async |steps: &[u64], end: Result<(), ()>| {
        let passage = Passage::current().expect("it is watched");
        passage.begin();
        for step in steps {
            passage.pass(*step);
            tokio::task::yield_now().await;
            look();
        }
        end
    };
    for trial in trials {
        for steps in &trial.failures {
            watched(&file, bytes, request(steps, Err(()))).await.unwrap_err();
            look();
        }
        watched(&file, bytes, request(&trial.steps, Ok(()))).await.unwrap();
        look();
        if !trial.spoiled {
            break;
        }
        file.moved_in_vain(bytes);
        look();
    }
    file.arrived();
    look();
}

proptest! {
    /// Goal: whatever fails and begins again, what is told never falls and never exceeds the total, and the end is the
    /// total. Method: several files at a time, each with failures of every kind, looked at after every step.
    #[test]
    fn what_is_told_only_grows_up_to_the_total(
        files in prop::collection::vec((1..1_000_u64, prop::collection::vec(trial(), 0..4)), 1..6),
        moved_before in 0..500_u64,
    ) {
        let left = Amount { files: files.len() as u64, bytes: files.iter().map(|(bytes, _)| bytes).sum() };
        let total = Amount { files: left.files + 1, bytes: left.bytes + moved_before };
        let progress = Progress::default();
        progress.begin(total, left, 0);
        let last = Arc::new(Mutex::new(Amount { files: 1, bytes: moved_before }));
        let look = || {
            let counts = progress.counts().expect("a phase runs");
            let (now, mut last) = (progress.moved(), last.lock());
            assert!(now.bytes >= last.bytes && now.files >= last.files, "{last:?}, then {now:?}");
            assert!(now.bytes <= total.bytes && now.files <= total.files, "{now:?} of {total:?}");
            assert_eq!((now.bytes, now.files), (counts.bytes_done, counts.files_done));
            *last = now;
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let transfers = files.iter().map(|(bytes, trials)| transfer(&progress, *bytes, trials, &look));
        runtime.block_on(futures::future::join_all(transfers));
        prop_assert_eq!(progress.moved(), total);
    }
}

#[test]
fn sizes_and_durations_read_well() {
    let sizes = [0, 999, 1_000, 999_949, 999_950, 12_345_678, u64::MAX].map(human_bytes);
    assert_eq!(sizes, ["0 B", "999 B", "1.0 KB", "999.9 KB", "1.0 MB", "12.3 MB", "18446.7 PB"]);
    assert_eq!([3, 250, 7_500].map(human_seconds), ["3 s", "4 min 10 s", "2 h 5 min"]);
}
