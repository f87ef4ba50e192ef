//! Goal: what was acknowledged survives a loss of power, exactly once and whole; nothing else is half there; and the
//! server starts again without help.
//! Method: a server works below a layer that records what it does to its disk (see `ebla_tests::disk`). Then, for many
//! places of the record, the disk is put back as a loss of power may have left it, catalog, segments, staging, keys and
//! a `file://` repository alike; a server starts on it and is held against what its clients had been told by then. The
//! files: `load` is what the clients do, `check` what must be there.
//!
//! Places and losses are drawn from `EBLA_POWER_SEED`; `EBLA_POWER_POINTS` is their number. With `EBLA_KEEP` the
//! disk of the place that failed stays, with the record beside it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing helper is a failing test")]

mod check;
mod load;

use std::panic::AssertUnwindSafe;

use ebla_tests::disk::log::Event;
use ebla_tests::disk::model::{Disk, Loss};
use ebla_tests::disk::{Layer, Watched};
use ebla_tests::folder::Folder;
use ebla_tests::s3sfs::S3sFs;
use ebla_tests::server::{ROOT_PASSWORD, Server};
use futures::FutureExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use load::History;

/// Places of one recording, together well under a minute in a debug build on an idle machine.
const POINTS: usize = 60;

/// Places of a first start.
const START_POINTS: usize = 40;

/// Places that may be tried until a forgotten sync has cost something.
const POINTS_UNTIL_LOSS: usize = 60;

/// A server, its disk, and what was done to it.
struct Recording {
    server: Server,
    watched: Watched,
    events: Vec<Event>,
    histories: Vec<History>,
    /// Holds the repository whose keys are sealed; not on the disk.
    _s3: Option<S3sFs>,
}

impl Recording {
    async fn of_a_load(name: &str, layer: &Layer, rng: &mut StdRng) -> Recording {
        let folder = Folder::new(name);
        let watched = Watched::new(layer, folder.path());
        // So short that what was marked is swept within the recording.
        let builder = Server::configure(name).data("disk/data").env("EBLA_REPOSITORY_COLLECTION_GRACE_S", "1");
        let mut server = watched.record(builder).start_in(folder).await;
        let s3 = S3sFs::start();
        let histories = load::run(&server, &watched, &s3, rng).await;
        // Not killed: that might come between an operation and its record.
        server.terminate().await;
        server.reconfigure(Watched::leave);
        let events = watched.events();
        let recording = Recording { server, watched, events, histories, _s3: Some(s3) };
        recording.check_complete();
        recording
    }

    /// Nothing has passed the layer by: the record, played to its end, is what lies on the disk.
    fn check_complete(&self) {
        let mut disk = Disk::new();
        disk.know_root(self.watched.root());
        disk.play(&self.events);
        if let Some(difference) = disk.image().difference(self.watched.root()) {
            panic!("the record of the disk is not complete: {difference}");
        }
    }

    /// Places worth a look, in their order: how many events have been done there.
    fn places(&self, count: usize, rng: &mut StdRng) -> Vec<usize> {
        let turns = self.events.iter().enumerate().filter(|(_, event)| event.operation.is_turning_point());
        let turns: Vec<usize> = turns.map(|(index, _)| index).collect();
        let told: Vec<u64> = self.histories.iter().flat_map(|history| history.acknowledged()).collect();
        let mut places: Vec<usize> = (0..count)
            .map(|_| match rng.random_range(0..10) {
                // Just before something is made durable or named, or just after.
                0..6 => turns.choose(rng).unwrap() + rng.random_range(0..2),
                // When somebody has just been told.
                6..8 if !told.is_empty() => {
                    let told = told.choose(rng).unwrap();
                    self.events.partition_point(|event| event.end <= *told)
                }
                _ => rng.random_range(0..=self.events.len()),
            })
            .collect();
        places.sort_unstable();
        places
    }

    /// Builds the disk of each place, and has it checked. Gives the first complaint.
    async fn replay(
        &mut self,
        mut disk: Disk,
        places: &[(usize, Loss)],
        rng: &mut StdRng,
        check: impl AsyncFn(&mut Server, &[History], u64, &mut StdRng),
    ) -> Result<(), String> {
        disk.know_root(self.watched.root());
        let mut done = 0;
        for (place, loss) in places {
            disk.play(&self.events[done..*place]);
            done = *place;
            disk.power_loss(*loss, rng).write(self.watched.root());
            let position = done.checked_sub(1).map_or(0, |last| self.events[last].end);
            let checked = async {
                self.server.restart().await;
                check(&mut self.server, &self.histories, position, rng).await;
            };
            let outcome = AssertUnwindSafe(checked).catch_unwind().await;
            self.server.kill9();
            if let Err(panic) = outcome {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text");
                let before: Vec<String> =
                    self.events[done.saturating_sub(12)..done].iter().map(|event| disk.describe(event)).collect();
                return Err(format!(
                    "{text}\nafter {done} of {} events (position {position}), {loss:?}; the last of them:\n{}",
                    self.events.len(),
                    before.join("\n")
                ));
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_loss_of_power() {
    let Some(layer) = Layer::get() else { return };
    let mut rng = seeded();
    // Two recordings, so that different moments meet.
    for round in 0..2 {
        let mut recording = Recording::of_a_load(&format!("power-{round}"), &layer, &mut rng).await;
        let places = recording.places(number("EBLA_POWER_POINTS", POINTS), &mut rng);
        let places: Vec<(usize, Loss)> = places.into_iter().map(|place| (place, Loss::random(&mut rng))).collect();
        let outcome = recording.replay(Disk::new(), &places, &mut rng, check::everything).await;
        outcome.unwrap_or_else(|complaint| panic!("{complaint}"));
    }
}

/// The test above is worth what it finds: with the syncs of one kind of file taken out of the record, it finds a loss.
#[tokio::test]
async fn a_sync_that_is_forgotten_is_found() {
    let Some(layer) = Layer::get() else { return };
    let mut rng = seeded();
    let mut recording = Recording::of_a_load("forgotten", &layer, &mut rng).await;
    type Deaf = fn(&str) -> bool;
    let forgotten: [(&str, Deaf); 5] = [
        ("the catalog", |path| path.contains("data/catalog.db")),
        ("segments and delete vectors", |path| path.contains("storage/") && path.contains(['.', '-'])),
        ("directories of tablets", |path| path.contains("/tablets/")),
        ("objects of the repository", |path| path.contains("repository/.ebla-staging/")),
        ("directories of the repository", |path| path.starts_with("repository/ebla")),
    ];
    let told: Vec<u64> = recording.histories.iter().flat_map(|history| history.acknowledged()).collect();
    for (what, deaf) in forgotten {
        let mut places: Vec<usize> = (0..POINTS_UNTIL_LOSS)
            .map(|_| {
                let told = *told.choose(&mut rng).unwrap();
                recording.events.partition_point(|event| event.end <= told)
            })
            .collect();
        places.sort_unstable();
        let places: Vec<(usize, Loss)> = places.into_iter().map(|place| (place, Loss::HARDEST)).collect();
        let outcome = recording.replay(Disk::deaf_to(deaf), &places, &mut rng, check::everything).await;
        let found = outcome.expect_err(what);
        eprintln!("without the syncs of {what}: {}", found.lines().next().unwrap_or_default());
    }
}

/// A first start that is cut off anywhere is made good by the next one, and the password it has written down is right.
#[tokio::test]
async fn a_first_start_survives_a_loss_of_power() {
    let Some(layer) = Layer::get() else { return };
    let mut rng = seeded();
    let folder = Folder::new("first");
    let watched = Watched::new(&layer, folder.path());
    // An empty password is none: the server makes one up.
    let builder = Server::configure("first").data("disk/data").env("EBLA_ROOT_PASSWORD", "");
    let mut server = watched.record(builder).start_in(folder).await;
    server.terminate().await;
    server.reconfigure(Watched::leave);
    let events = watched.events();
    let mut recording = Recording { server, watched, events, histories: Vec::new(), _s3: None };
    recording.check_complete();
    let places = recording.places(number("EBLA_POWER_POINTS", START_POINTS), &mut rng);
    let mut losses: Vec<(usize, Loss)> = places.into_iter().map(|place| (place, Loss::random(&mut rng))).collect();
    losses.push((recording.events.len(), Loss::HARDEST));
    let outcome = recording.replay(Disk::new(), &losses, &mut rng, check::password).await;
    outcome.unwrap_or_else(|complaint| panic!("{complaint}"));
}

fn seeded() -> StdRng {
    let seed = std::env::var("EBLA_POWER_SEED").ok().map_or_else(rand::random, |seed| seed.parse().unwrap());
    eprintln!("EBLA_POWER_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().map_or(default, |text| text.parse().unwrap())
}

/// What root's password is on every server here.
fn root() -> (&'static str, &'static str) {
    ("root", ROOT_PASSWORD)
}
