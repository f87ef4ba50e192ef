//! One load from its transaction to its commit.
//!
//! The body is read here and handed, piece by piece, to a thread that cuts, converts and writes rows. That thread
//! knows the body is complete only by being told; when it is not told, nothing is committed. The timeout covers everything
//! but the commit, which is never left half way.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ebla_storage::catalog::LoadKind;
use ebla_storage::load::{Load, LoadSpec};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::super::Shared;
use super::super::body::{LimitedBody, Unpacker};
use super::super::options::Compression;
use super::{LoadReport, LoadRequest, millis_since};
use crate::load::LoadError;
use crate::load::assemble::AssembleContext;
use crate::load::columns::LoadSession;
use crate::load::rows::{ReadyBatch, TableRows};

/// Pieces of a body between the socket and the thread that reads rows. A piece is what one read of the socket gave, at
/// most the connection's buffer; a few keep both sides busy.
const PIECES_IN_FLIGHT: usize = 8;

/// A load and what it works on.
pub(super) struct LoadRun<'a> {
    shared: &'a Arc<Shared>,
    request: &'a LoadRequest,
    report: &'a mut LoadReport,
    deadline: tokio::time::Instant,
}

/// What travels from the socket to the thread that reads rows.
enum Piece {
    Bytes(Bytes),
    /// The body is complete.
    End,
}

impl<'a> LoadRun<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, request: &'a LoadRequest, report: &'a mut LoadReport) -> LoadRun<'a> {
        let deadline = tokio::time::Instant::now() + request.options.timeout;
        LoadRun { shared, request, report, deadline }
    }

    /// Runs the load. When this errors, nothing of it is visible and its label is free.
    pub(super) async fn run(mut self, body: &mut LimitedBody) -> Result<(), LoadError> {
        let shared = Arc::clone(self.shared);
        let Ok(permit) = tokio::time::timeout_at(self.deadline, shared.load_permits.acquire()).await else {
            return Err(self.timed_out("while it waited for other loads"));
        };
        let _permit = permit.map_err(|error| LoadError::Internal(error.to_string()))?;

        let started = Instant::now();
        let rows = self.plan().await?;
        self.report.plan_ms = millis_since(started);

        let started = Instant::now();
        let load = self.begin().await?;
        self.report.begin_ms = millis_since(started);

        let worked = self.feed(body, rows, load).await?;
        self.report.counts = worked.rows.counts();
        self.report.write_ms = worked.busy_ms;
        let filtered = self.report.counts.filtered;
        if filtered > 0 {
            let random = shared.state.storage.catalog().random().as_ref();
            self.report.error_log = Some(shared.error_log.keep(worked.rows.bad_rows(), filtered, random));
        }
        let mut load = worked.load;
        load.add_filtered(worked.filtered_before_storage);
        match worked.outcome.and_then(|()| self.check_filter_ratio()) {
            Ok(()) => self.commit(load).await,
            Err(error) => {
                load.abort(&error.to_string()).await;
                Err(error)
            }
        }
    }

    /// Checks privilege, table and headers, and compiles expressions.
    async fn plan(&self) -> Result<TableRows, LoadError> {
        let shared = Arc::clone(self.shared);
        let (database, table) = (self.request.database.clone(), self.request.table.clone());
        let identity = self.request.identity.clone();
        let options = self.request.options.clone();
        let plan = move || {
            let state = &shared.state;
            state.privileges.check_insert(&identity, &database, &table)?;
            let snapshot = state.storage.table_snapshot(&database, &table)?;
            let session = LoadSession {
                database,
                user: format!("'{}'@'{}'", identity.user, identity.host),
                time_zone: options.time_zone,
                now_ms: state.storage.clock().now_ms(),
            };
            let environment = state.environments.open(&session)?;
            let storage = Arc::clone(&state.storage);
            let table_id = snapshot.table().id;
            let context = AssembleContext {
                now_micros: environment.now_micros,
                random: Arc::clone(state.storage.catalog().random()),
                auto_increment: Some(Box::new(move |count| {
                    let count = i64::try_from(count).unwrap_or(i64::MAX);
                    Ok(storage.take_auto_increment(table_id, count)?)
                })),
            };
            TableRows::new(snapshot.definition(), options.rows, environment.expressions.as_ref(), context)
        };
        tokio::task::spawn_blocking(plan).await.map_err(|error| LoadError::Internal(error.to_string()))?
    }

    /// Takes the label.
    async fn begin(&mut self) -> Result<Load, LoadError> {
        let options = &self.request.options;
        let spec = LoadSpec {
            database: self.request.database.clone(),
            table: self.request.table.clone(),
            label: options.label.clone(),
            kind: LoadKind::StreamLoad,
            partitions: (!options.partitions.is_empty()).then(|| options.partitions.clone()),
            max_filter_ratio: options.max_filter_ratio,
        };
        let load = self.shared.state.storage.begin_load(spec).await?;
        self.report.txn_id = Some(load.transaction_id().0);
        self.report.label = load.label().to_owned();
        Ok(load)
    }

    /// Feeds the body to the thread that reads rows, until either ends.
    async fn feed(&mut self, body: &mut LimitedBody, rows: TableRows, load: Load) -> Result<Worked, LoadError> {
        let (sender, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
        let options = &self.request.options;
        let worker = Worker {
            unpacker: Unpacker::new(options.compression),
            rows,
            load,
            runtime: Handle::current(),
            one_bad_row_fails: options.max_filter_ratio == 0.0,
            filtered_by_storage: 0,
        };
        let worker = tokio::task::spawn_blocking(move || worker.run(receiver));
        let started = Instant::now();
        let read = self.read_body(body, sender).await;
        self.report.read_ms = millis_since(started);
        let mut worked =
            worker.await.map_err(|error| LoadError::Internal(format!("reading rows ended early: {error}")))?;
        // What the thread found wrong comes first: reading stopped because of it.
        if worked.outcome.is_ok() {
            worked.outcome = match read {
                Err(error) => Err(error),
                Ok(()) if worked.complete => Ok(()),
                Ok(()) => Err(LoadError::Internal("the end of the body was lost".to_owned())),
            };
        }
        Ok(worked)
    }

    /// Reads the body to its end. Returns early when nobody takes the pieces any more.
    async fn read_body(&self, body: &mut LimitedBody, sender: mpsc::Sender<Piece>) -> Result<(), LoadError> {
        let read = async {
            while let Some(bytes) = body.next().await? {
                if sender.send(Piece::Bytes(bytes)).await.is_err() {
                    return Ok(());
                }
            }
            // Not taken only when the thread has failed, which it tells itself.
            let _ = sender.send(Piece::End).await;
            Ok(())
        };
        tokio::select! {
            read = tokio::time::timeout_at(self.deadline, read) => {
                read.unwrap_or_else(|_| Err(self.timed_out("while its body was read")))
            }
            () = self.shared.stop_loads.cancelled() => {
                Err(LoadError::Interrupted("the server is stopping: load again when it is back".to_owned()))
            }
        }
    }

    fn timed_out(&self, when: &str) -> LoadError {
        let seconds = self.request.options.timeout.as_secs();
        LoadError::Interrupted(format!("the load took longer than its timeout of {seconds} seconds, {when}"))
    }

    /// Rows that `where` left out count neither as good nor as bad.
    fn check_filter_ratio(&self) -> Result<(), LoadError> {
        let counts = self.report.counts;
        let ratio = self.request.options.max_filter_ratio;
        let seen = counts.loaded + counts.filtered;
        if counts.filtered as f64 > ratio * seen as f64 {
            return Err(LoadError::Input(format!(
                "too many filtered rows: {} of {seen} rows do not fit the table, and max_filter_ratio is {ratio}",
                counts.filtered
            )));
        }
        Ok(())
    }

    async fn commit(&mut self, load: Load) -> Result<(), LoadError> {
        let started = Instant::now();
        let receipt = load.commit().await?; // Commit point.
        self.report.commit_ms = millis_since(started);
        self.report.counts.loaded = receipt.rows;
        Ok(())
    }
}

/// Cuts, converts and writes rows, on a thread of its own.
struct Worker {
    unpacker: Unpacker,
    rows: TableRows,
    load: Load,
    runtime: Handle,
    one_bad_row_fails: bool,
    filtered_by_storage: u64,
}

/// What a [`Worker`] leaves behind.
struct Worked {
    rows: TableRows,
    load: Load,
    outcome: Result<(), LoadError>,
    /// Whether the end of the body was reached.
    complete: bool,
    /// Bad rows that storage has not seen.
    filtered_before_storage: u64,
    busy_ms: u64,
}

impl Worker {
    fn run(mut self, mut pieces: mpsc::Receiver<Piece>) -> Worked {
        let mut busy = std::time::Duration::ZERO;
        let mut complete = false;
        let mut outcome = Ok(());
        while let Some(piece) = pieces.blocking_recv() {
            let started = Instant::now();
            complete = matches!(piece, Piece::End);
            outcome = match piece {
                Piece::Bytes(bytes) => self.take(&bytes),
                Piece::End => self.finish(),
            };
            busy += started.elapsed();
            if complete || outcome.is_err() {
                break;
            }
        }
        Worked {
            filtered_before_storage: self.rows.counts().filtered.saturating_sub(self.filtered_by_storage),
            rows: self.rows,
            load: self.load,
            outcome,
            complete,
            busy_ms: u64::try_from(busy.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        // Taken out while it calls back into the rest of the worker.
        let mut unpacker = std::mem::replace(&mut self.unpacker, Unpacker::new(Compression::None));
        let taken = unpacker.unpack(bytes, &mut |bytes| self.read_rows(bytes));
        self.unpacker = unpacker;
        taken
    }

    fn finish(&mut self) -> Result<(), LoadError> {
        let mut unpacker = std::mem::replace(&mut self.unpacker, Unpacker::new(Compression::None));
        unpacker.finish(&mut |bytes| self.read_rows(bytes))?;
        let last = self.rows.finish()?;
        last.into_iter().try_for_each(|ready| self.write(ready))
    }

    fn read_rows(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        let ready = self.rows.push(bytes)?;
        ready.into_iter().try_for_each(|ready| self.write(ready))
    }

    /// Writes a batch. When the load has failed already and only goes on to count its bad rows, those are counted that
    /// only the table knows, too, so that they need not be mended kind by kind.
    fn write(&mut self, ready: ReadyBatch) -> Result<(), LoadError> {
        let refused = if self.one_bad_row_fails && self.rows.counts().filtered > 0 {
            self.load.refuse(&ready.batch)?
        } else {
            self.runtime.block_on(self.load.write(ready.batch.clone()))?
        };
        if refused.count > 0 {
            self.filtered_by_storage += refused.count;
            let described = refused.rows.iter().map(|row| (row.index, row.reason.as_str()));
            self.rows.refuse(&ready, refused.count, described);
        }
        Ok(())
    }
}
