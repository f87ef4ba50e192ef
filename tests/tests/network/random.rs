//! Several faults at once, each at some rate, on every operation: a repository is made, backed up to and restored from,
//! again and again until it works, and what is listed meanwhile is whole.

use std::sync::Arc;
use std::time::Duration;

use ebla_tests::proxy::{Operation, Rule, RuleHandle};
use ebla_tests::weed::Weed;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::bed::{Bed, Lane, Size, backup_end, restore_end};
use crate::site::Before;
use crate::trouble::Trouble;

/// Faults that are in force together.
const FAULTS: usize = 6;

/// Share of the requests that one of them befalls, at most.
const SHARE_MAX: f64 = 0.12;

/// Tries of a statement while faults are in force; after these they end.
const TRIES: usize = 8;

/// What faults befall.
const OPERATIONS: [Operation; 8] = [
    Operation::ListObjectsV2,
    Operation::GetObject,
    Operation::HeadObject,
    Operation::PutObject,
    Operation::CreateMultipartUpload,
    Operation::UploadPart,
    Operation::CompleteMultipartUpload,
    Operation::AbortMultipartUpload,
];

/// What may befall any operation; without bodies these pass. Listings that lie are left out: they are believed.
const TROUBLES: [Trouble; 13] = [
    Trouble::InternalError,
    Trouble::SlowDown,
    Trouble::Timeout,
    Trouble::Closed,
    Trouble::ResetUp,
    Trouble::ResetDown,
    Trouble::CutDown,
    Trouble::FlippedUp,
    Trouble::AnsweredTwice,
    Trouble::AskedTwice,
    Trouble::AnswerLost,
    Trouble::ErrorApplied,
    Trouble::Late,
];

pub async fn play(weed: Arc<Weed>, seed: u64, cases: u64) {
    let bed = Bed::new(weed, seed).await;
    let mut lane = Lane::new(&bed, 0, Size::Small).await;
    let mut large = Lane::new(&bed, 1, Size::Large).await;
    for case in 0..cases {
        // Each case alone is repeated by its own seed.
        let mut dice = StdRng::seed_from_u64(seed.wrapping_add(case));
        let lane = if dice.random_bool(0.25) { &mut large } else { &mut lane };
        let faults: Vec<(Operation, Trouble, f64)> = (0..FAULTS)
            .map(|_| {
                let operation = OPERATIONS[dice.random_range(0..OPERATIONS.len())];
                let trouble = TROUBLES[dice.random_range(0..TROUBLES.len())];
                (operation, trouble, dice.random_range(0.01..SHARE_MAX))
            })
            .collect();
        eprintln!("EBLA_NETWORK_SEED={} EBLA_NETWORK_CASES=1: {faults:?}", seed.wrapping_add(case));
        play_one(&bed, lane, &faults).await;
    }
}

async fn play_one(bed: &Bed, lane: &mut Lane, faults: &[(Operation, Trouble, f64)]) {
    let number = bed.number();
    let (proxy, bucket) = bed.liar(&format!("{faults:?}"));
    let database = lane.database(bed, Before::Nothing).await;
    let (repository, restored) = (format!("x{number}"), format!("x{number}"));
    let of = |(operation, trouble, share): &(Operation, Trouble, f64)| {
        proxy.rule(Rule::new(trouble.fault()).on(*operation).share(*share))
    };
    let rules: Vec<RuleHandle> = faults.iter().map(of).collect();
    let lift = || rules.iter().for_each(RuleHandle::lift);

    let create = bucket.create_repository(&repository, &repository);
    for attempt in 1.. {
        match lane.source.try_query(&create).await {
            Ok(_) => break,
            Err(error) if attempt > TRIES => panic!("nothing is wrong any more: {error}"),
            Err(_) if attempt == TRIES => lift(),
            Err(_) => {}
        }
    }
    for attempt in 1.. {
        assert!(attempt <= TRIES + 1, "nothing is wrong any more, and it does not work");
        if attempt > TRIES {
            lift();
        }
        let said = lane.source.try_query(&format!("BACKUP SNAPSHOT {}.s TO {repository}", database.name)).await;
        if said.is_ok() {
            let job = backup_end(&mut lane.source, &database.name).await;
            let listed = bed.is_published(&repository).await;
            assert!(listed || job.field("State") != "FINISHED", "{job}");
        }
        // A commit object may come late, of a job that has been given up: it is whole, or it must not be there.
        if bed.is_published(&repository).await {
            lane.verify(bed, &database, &repository, "s").await;
            break;
        }
    }
    let read_only = create.replacen("CREATE", "CREATE READ ONLY", 1);
    for attempt in 1.. {
        assert!(attempt <= TRIES + 1, "nothing is wrong any more, and it does not work");
        if attempt > TRIES {
            lift();
        }
        // It is there already after the first time that it worked.
        let attached = lane.target.try_query(&read_only).await;
        if attached.is_err_and(|error| !error.message.contains("exist")) {
            continue;
        }
        let said = lane.target.try_query(&format!("RESTORE SNAPSHOT {restored}.s FROM {repository}")).await;
        if said.is_ok() && restore_end(&mut lane.target, &restored).await.field("State") == "FINISHED" {
            break;
        }
    }
    database.assert_same(&mut lane.target, &restored).await;
    lift();
    tokio::time::timeout(Duration::from_secs(60), async {
        lane.target.query(&format!("DROP DATABASE {restored} FORCE")).await;
        lane.target.query(&format!("DROP REPOSITORY {repository}")).await;
        lane.source.query(&format!("DROP REPOSITORY {repository}")).await;
    })
    .await
    .unwrap();
}
