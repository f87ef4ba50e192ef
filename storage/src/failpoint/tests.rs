//! Goal: whatever the process was doing when it died, the next one finds what was before or what was to come, never
//! something in between; work that was acknowledged is there; and nothing is left that nobody names.
//!
//! Method: a child process plays a [`Scenario`] once and says which places it came to and how often. For each of these
//! moments another child plays it from the same start and dies just there (`abort`: no destructor runs, nothing is
//! flushed). Then this process opens what is left, lets jobs come to their end, compares, collects garbage, holds every
//! file against the catalog, and does the work again, which must lead to where it would have led.

mod scenario;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use super::watch::{self, Moment};
use super::{DurableStep, FailPoint};
use crate::backup::BackupState;
use crate::job::bed::Bed;
use crate::restore::RestoreState;
use crate::testing::staged;
use crate::verify::VerifyState;
use scenario::{Scenario, State};

/// Tells a child what to play, where, and at which moment to die.
const ORDER: &str = "EBLA_TEST_CRASH";

/// A child's order to die nowhere.
const NOWHERE: &str = "-";

/// Between the parts of an order.
const SEPARATOR: char = '\n';

/// What a child says when its work is done.
const DONE: &str = "DONE";

/// What a child says before each moment it has seen.
const SEEN: &str = "SEEN ";

/// Turns of one place that are played: the first few and the last. A place that comes more often does so once a file or
/// once a tablet, and these are alike. `EBLA_TEST_CRASH_EVERYWHERE` plays all of them.
const FIRST_TURNS: u32 = 1;

/// The child: plays what it is told to, and says what it came to unless it dies.
#[test]
fn child_that_dies() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let mut parts = order.split(SEPARATOR);
    let mut part = || parts.next().expect("scenario, moment, directory");
    let (name, moment, place) = (part(), part(), part());
    let scenario = *Scenario::ALL.iter().find(|scenario| format!("{scenario:?}") == name).expect("a scenario");
    let death = (moment != NOWHERE).then(|| Moment::parse(moment).expect("a moment"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        if scenario.is_start() {
            watch::begin(death.clone());
        }
        let bed = scenario.open(Path::new(place));
        if !scenario.is_start() {
            watch::begin(death);
        }
        scenario.act(&bed).await;
        let seen = watch::end();
        println!("\n{DONE}");
        for moment in seen {
            println!("{SEEN}{moment}");
        }
        bed.close().await;
    });
}

/// What became of a child.
struct Ended {
    /// The moments it saw, when it came to the end of its work.
    seen: Option<Vec<Moment>>,
    log: String,
}

fn run_child(scenario: Scenario, place: &Path, death: Option<&Moment>) -> Ended {
    let death = death.map_or_else(|| NOWHERE.to_owned(), Moment::to_string);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "failpoint::tests::child_that_dies", "--nocapture", "--test-threads=1"])
        .env(ORDER, format!("{scenario:?}{SEPARATOR}{death}{SEPARATOR}{}", place.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let log = format!("{}\n{said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    let done = said.lines().any(|line| line == DONE);
    let seen = said.lines().filter_map(|line| Moment::parse(line.strip_prefix(SEEN)?)).collect();
    Ended { seen: done.then_some(seen), log }
}

/// Which of these moments are played.
fn chosen(seen: &[Moment]) -> Vec<&Moment> {
    let everywhere = std::env::var_os("EBLA_TEST_CRASH_EVERYWHERE").is_some();
    if everywhere { seen.iter().collect() } else { first_and_last(seen) }
}

fn first_and_last(seen: &[Moment]) -> Vec<&Moment> {
    let last = |moment: &Moment| !seen.iter().any(|other| other.point == moment.point && other.turn > moment.turn);
    seen.iter().filter(|moment| moment.turn <= FIRST_TURNS || last(moment)).collect()
}

/// Plays a scenario whole, and then once for each of its moments.
async fn dies_everywhere(scenario: Scenario) {
    let dir = tempfile::tempdir().unwrap();
    let (place, template) = (dir.path().join("place"), dir.path().join("template"));
    std::fs::create_dir(&place).unwrap();
    let before = scenario.prepare(&place).await;
    copy(&place, &template);

    let whole = run_child(scenario, &place, None);
    let seen = whole.seen.unwrap_or_else(|| panic!("{scenario:?} does not come to its end:\n{}", whole.log));
    let bed = scenario.open(&place);
    let after = State::of(&bed).await;
    assert!(scenario.is_end(&after), "{scenario:?} played whole leads to {after:?}");
    bed.close().await;
    let points: BTreeSet<&str> = seen.iter().map(|moment| moment.point.as_str()).collect();
    for step in scenario.steps() {
        let point = format!("{:?}", FailPoint::After(*step));
        assert!(points.contains(point.as_str()), "{scenario:?} does not come to {point}");
    }

    for moment in chosen(&seen) {
        std::fs::remove_dir_all(&place).unwrap();
        copy(&template, &place);
        let ended = run_child(scenario, &place, Some(moment));
        assert!(ended.seen.is_none(), "{scenario:?} does not die at {moment}:\n{}", ended.log);
        let bed = scenario.open(&place);
        settle(&bed).await;
        let found = State::of(&bed).await;
        let told = format!("{scenario:?} died at {moment}");
        assert!(
            scenario.is_possible(&before, &after, &found),
            "{told}: {found:?}\nis neither {before:?}\nnor {after:?}"
        );
        assert_clean(&bed, &told);
        scenario.check(&bed, &place, &told).await;
        scenario.act(&bed).await;
        let again = State::of(&bed).await;
        assert!(scenario.is_end(&again), "{told}, and done again it leads to {again:?}");
        assert_clean(&bed, &told);
        bed.close().await;
    }
}

/// Waits until every job has ended.
async fn settle(bed: &Bed) {
    for row in bed.storage.catalog().read(|read| read.running_jobs()).unwrap() {
        bed.ended(row.id).await;
    }
}

/// Errors unless every file is named, every name has its file, and nothing is left of work that is over.
fn assert_clean(bed: &Bed, told: &str) {
    let storage = &bed.storage;
    storage.sweep_orphans().unwrap();
    storage.repair_replicas().unwrap();
    storage.collect_garbage().unwrap();
    bed.assert_nothing_left();
    assert_eq!(storage.catalog().read(|read| read.garbage_count()).unwrap(), 0, "{told}: garbage");
    assert_eq!(staged(storage), Vec::<String>::new(), "{told}: staging");
    let tablets = storage.catalog().read(|read| read.replicas_by_tablet()).unwrap();
    for (tablet, replicas) in tablets {
        let named = storage.catalog().read(|read| read.tablet_files(tablet)).unwrap();
        let named: BTreeSet<_> = named.into_iter().map(|file| (file.digest, file.kind)).collect();
        for replica in replicas {
            let on_disk: BTreeSet<_> =
                storage.roots().files_on_disk(replica.root_id, tablet).unwrap().into_iter().collect();
            assert_eq!(on_disk, named, "{told}: files of tablet {tablet} on root {}", replica.root_id);
        }
    }
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// One test a scenario, so that they run side by side; the list holds them to being all.
macro_rules! scenarios {
    ($($test:ident: $scenario:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                dies_everywhere(Scenario::$scenario).await;
            }
        )+

        #[test]
        fn every_scenario_is_played() {
            assert_eq!(Scenario::ALL, [$(Scenario::$scenario),+]);
        }
    };
}

scenarios! {
    a_first_start: FirstStart,
    a_start_after_a_crash: StartAfterCrash,
    a_load: Load,
    a_load_that_spills: LoadThatSpills,
    an_overwrite: Overwrite,
    a_delete: Delete,
    a_compaction: Compact,
    creating_a_table: CreateTable,
    adding_partitions: AddPartitions,
    truncating: Truncate,
    dropping_a_table: DropTable,
    renaming: Rename,
    recovering: Recover,
    dropping_a_partition: DropPartition,
    creating_a_database: CreateDatabase,
    dropping_a_database: DropDatabase,
    creating_an_account: CreateAccount,
    making_root: FirstAccount,
    collecting_what_was_purged: Collect,
    sweeping_orphans: SweepOrphans,
    repairing_a_replica: Repair,
    creating_a_repository: CreateRepository,
    uploading_a_large_file: UploadLargeFile,
    a_backup: Backup,
    a_backup_that_is_resumed: ResumeBackup,
    a_backup_that_is_cancelled: CancelBackup,
    a_restore: Restore,
    a_restore_under_another_name: RestoreAs,
    a_restore_that_is_resumed: ResumeRestore,
    a_restore_that_is_cancelled: CancelRestore,
    a_verification: Verify,
    a_large_file_that_is_not_what_it_should_be: AbandonLargeFile,
    dropping_a_snapshot: DropSnapshot,
    a_snapshot_whose_time_is_over: ExpireSnapshot,
    collecting_in_a_repository: CollectRepository,
    altering_a_repository: AlterRepository,
    dropping_a_repository: DropRepository,
}

/// Goal: no place is forgotten. Method: play every scenario whole; together they must come to all there are.
#[tokio::test(flavor = "multi_thread")]
async fn every_place_is_come_to() {
    let mut come_to = BTreeSet::new();
    for scenario in Scenario::ALL {
        let dir = tempfile::tempdir().unwrap();
        scenario.prepare(dir.path()).await;
        let whole = run_child(*scenario, dir.path(), None);
        let seen = whole.seen.unwrap_or_else(|| panic!("{scenario:?} does not come to its end:\n{}", whole.log));
        come_to.extend(seen.into_iter().map(|moment| moment.point));
    }
    let mut wanted: Vec<String> = FailPoint::all().iter().map(|point| format!("{point:?}")).collect();
    let backup = BackupState::ALL.iter().map(|state| (state.as_str(), state.is_done()));
    let restore = RestoreState::ALL.iter().map(|state| (state.as_str(), state.is_done()));
    let verify = VerifyState::ALL.iter().map(|state| (state.as_str(), state.is_done()));
    let running = backup.chain(restore).chain(verify).filter(|(_, is_done)| !is_done);
    wanted.extend(running.map(|(state, _)| format!("{:?}", FailPoint::StepBegins(state))));
    let missing: Vec<&String> = wanted.iter().filter(|point| !come_to.contains(*point)).collect();
    assert!(missing.is_empty(), "no scenario comes to {missing:?}");
}

#[test]
fn the_turns_that_are_played_begin_and_end_each_place() {
    let moments: Vec<Moment> =
        ["A#1", "A#2", "B#1", "A#3", "A#4"].iter().filter_map(|text| Moment::parse(text)).collect();
    let chosen: Vec<String> = first_and_last(&moments).into_iter().map(Moment::to_string).collect();
    assert_eq!(chosen, ["A#1", "B#1", "A#4"]);
    assert_eq!(FailPoint::all().len(), 2 * DurableStep::ALL.len() + 11);
}
