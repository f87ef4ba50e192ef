//! Random changes, pins, readers, passes of the collector and restarts, against what must hold after each of them:
//! a file is on disk if and only if a row, the list of garbage or a pin names it, everything a reader or a job was
//! promised is there, and garbage ends at zero.

use proptest::prelude::*;

use super::*;
use crate::TableSnapshot;

#[derive(Debug, Clone)]
enum Step {
    Create(u8),
    Load(u8, u8),
    Delete(u8, u8),
    Truncate(u8),
    Overwrite(u8),
    Drop(u8),
    Recover(u8),
    Pin(u8),
    Release,
    Read(u8),
    StopReading,
    Collect,
    Expire,
    Crash(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let table = 0..2_u8;
    // Few contents, so that the same file is often named again after it became garbage.
    let content = 0..3_u8;
    let step = prop_oneof![
        2 => table.clone().prop_map(Step::Create),
        6 => (table.clone(), content.clone()).prop_map(|(table, content)| Step::Load(table, content)),
        3 => (table.clone(), content.clone()).prop_map(|(table, content)| Step::Delete(table, content)),
        2 => table.clone().prop_map(Step::Truncate),
        2 => table.clone().prop_map(Step::Overwrite),
        1 => table.clone().prop_map(Step::Drop),
        1 => table.clone().prop_map(Step::Recover),
        2 => table.clone().prop_map(Step::Pin),
        2 => Just(Step::Release),
        2 => table.clone().prop_map(Step::Read),
        2 => Just(Step::StopReading),
        4 => Just(Step::Collect),
        1 => Just(Step::Expire),
        1 => (table, content).prop_map(|(table, content)| Step::Crash(table, content)),
    ];
    prop::collection::vec(step, 1..40)
}

struct World {
    bench: Bench,
    jobs: Vec<(JobId, BTreeSet<(TabletId, Digest)>)>,
    readers: Vec<(Arc<TableSnapshot>, BTreeSet<(TabletId, Digest)>)>,
    jobs_begun: usize,
}

impl World {
    fn table(&self, number: u8) -> Option<TableId> {
        let catalog = self.bench.storage.catalog();
        catalog.read(|read| read.find_table(read.database("d")?.id, &name(number))).unwrap().map(|table| table.id)
    }

    fn files_of(&self, table: TableId) -> BTreeSet<(TabletId, Digest)> {
        let tablets = self.bench.tablets(table);
        let files = |tablet: TabletId| self.bench.storage.catalog().read(|read| read.tablet_files(tablet)).unwrap();
        tablets.iter().flat_map(|row| files(row.id).into_iter().map(|file| (row.id, file.digest))).collect()
    }

    fn take(&mut self, step: &Step) {
        let bench = &self.bench;
        let catalog = bench.storage.catalog();
        match step {
            Step::Create(number) => {
                if self.table(*number).is_none() {
                    bench.create_table(&name(*number));
                }
            }
            Step::Load(number, content) => {
                if let Some(table) = self.table(*number) {
                    bench.load(table, &format!("segment {content}"));
                }
            }
            Step::Delete(number, content) => {
                if let Some(table) = self.table(*number) {
                    bench.delete(table, &format!("vector {content}"));
                }
            }
            Step::Truncate(number) => {
                if self.table(*number).is_some() {
                    bench.storage.truncate("d", &name(*number), None).unwrap();
                }
            }
            Step::Overwrite(number) => {
                if let Some(table) = self.table(*number) {
                    catalog
                        .write(|write| {
                            let before = write.partition(table, &name(*number))?;
                            write.drop_partition(before.id, false)?;
                            let roots = bench.storage.roots().configured();
                            write.create_partition(table, &partition(&name(*number)), roots, None)
                        })
                        .unwrap();
                }
            }
            Step::Drop(number) => {
                if let Some(table) = self.table(*number) {
                    catalog.write(|write| write.drop_table(table)).unwrap();
                }
            }
            Step::Recover(number) => {
                catalog
                    .write(|write| {
                        let database = write.database("d")?.id;
                        match write.dropped_table(database, &name(*number))? {
                            Some(table) if write.find_table(database, &table.name)?.is_none() => {
                                write.recover_table(&table)
                            }
                            _ => Ok(()),
                        }
                    })
                    .unwrap();
            }
            Step::Pin(number) => {
                if let Some(table) = self.table(*number) {
                    let job = bench.begin_job(self.jobs_begun);
                    catalog
                        .write(|write| {
                            for partition in write.partitions(table)? {
                                write.pin_partition(job, partition.id)?;
                            }
                            Ok(())
                        })
                        .unwrap();
                    self.jobs.push((job, self.files_of(table)));
                    self.jobs_begun += 1;
                }
            }
            Step::Release => {
                if !self.jobs.is_empty() {
                    let (job, _) = self.jobs.remove(0);
                    self.bench.storage.catalog().write(|write| write.release_pins(job)).unwrap();
                }
            }
            Step::Read(number) => {
                if let Some(table) = self.table(*number) {
                    let snapshot = bench.storage.table_snapshot("d", &name(*number)).unwrap();
                    self.readers.push((snapshot, self.files_of(table)));
                }
            }
            Step::StopReading => {
                if !self.readers.is_empty() {
                    self.readers.remove(0);
                }
            }
            Step::Collect => self.collect(),
            Step::Expire => bench.expire(),
            Step::Crash(number, content) => {
                // The process dies between installing files and naming them.
                if let Some(table) = self.table(*number) {
                    for tablet in bench.tablets(table) {
                        bench.install(tablet.id, &format!("segment {content}"), FileKind::Segment);
                    }
                }
                self.reopen();
                self.bench.storage.sweep_orphans().unwrap();
            }
        }
    }

    fn collect(&self) {
        let report = self.bench.storage.collect_garbage().unwrap();
        let promised = self.promised();
        let left: BTreeSet<(TabletId, Digest)> = self
            .bench
            .storage
            .catalog()
            .read(|read| {
                let mut statement = read.prepare("SELECT tablet_id, digest FROM garbage")?;
                let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .unwrap();
        assert!(left.is_subset(&promised), "garbage is left that nobody needs");
        assert_eq!(report.failure, None);
    }

    fn reopen(&mut self) {
        self.readers.clear();
        // The lock is taken again only once the old storage is gone.
        let idle = Bench::new();
        let Bench { dir, clock, storage } = std::mem::replace(&mut self.bench, idle);
        drop(storage);
        let storage = Bench::open(dir.path(), &clock);
        self.bench = Bench { dir, clock, storage };
    }

    fn promised(&self) -> BTreeSet<(TabletId, Digest)> {
        let jobs = self.jobs.iter().flat_map(|(_, files)| files);
        jobs.chain(self.readers.iter().flat_map(|(_, files)| files)).copied().collect()
    }

    fn check(&self) {
        let named: BTreeSet<File> = self
            .bench
            .storage
            .catalog()
            .read(|read| {
                let mut statement = read.prepare(
                    "SELECT root_id, tablet_id, digest FROM replicas JOIN rowsets USING (tablet_id)
                     JOIN segments ON segments.rowset_id = rowsets.id
                     UNION
                     SELECT root_id, tablet_id, deletes_digest FROM replicas JOIN rowsets USING (tablet_id)
                     JOIN segments ON segments.rowset_id = rowsets.id WHERE deletes_digest IS NOT NULL
                     UNION SELECT root_id, tablet_id, digest FROM garbage
                     UNION SELECT root_id, tablet_id, digest FROM replicas JOIN pins USING (tablet_id)",
                )?;
                let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .unwrap();
        let on_disk = self.bench.on_disk();
        assert_eq!(on_disk, named);
        for (tablet, digest) in self.promised() {
            for root in self.bench.storage.roots().configured() {
                assert!(on_disk.contains(&(*root, tablet, digest)), "{digest} of tablet {tablet} is gone");
            }
        }
    }

    fn finish(mut self) {
        for (job, _) in std::mem::take(&mut self.jobs) {
            self.bench.storage.catalog().write(|write| write.release_pins(job)).unwrap();
        }
        self.readers.clear();
        self.collect();
        assert_eq!(self.bench.garbage(), 0);
        self.check();
        for number in 0..2 {
            self.take(&Step::Drop(number));
        }
        self.bench.expire();
        self.collect();
        self.check();
        assert_eq!((self.bench.garbage(), self.bench.on_disk().len(), self.bench.tablet_dirs()), (0, 0, 0));
    }
}

fn name(number: u8) -> String {
    format!("t{number}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn files_are_there_exactly_as_long_as_they_are_named(steps in steps()) {
        let mut world = World { bench: Bench::new(), jobs: Vec::new(), readers: Vec::new(), jobs_begun: 0 };
        for step in &steps {
            world.take(step);
            world.check();
        }
        world.finish();
    }
}
