//! Looking at every object, several at a time, in the order of their digests, and storing after each batch what was
//! found and how far it has come.

use std::path::PathBuf;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::census::{Census, Role, WantedObject};
use super::reader::{Fault, Finding, Read, Reader};
use super::{Depth, VerifyJob, finish, rows, scratch_name};
use crate::disk;
use crate::error::{Error, Result};
use crate::job::{Amount, FailPoint, FileProgress};
use crate::repository::{Copy, Inspection, layout};

/// Objects that are decoded at the same time: each keeps a processor busy and a file on disk.
const ROWS_IN_FLIGHT_MAX: usize = 2;

/// Bytes after which a batch ends: what a crash can make read again.
const BATCH_BYTES: u64 = 2 << 30;

/// What was found out about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is whole, as far as was looked.
    Whole,
    /// It is damaged under its own name, and whole as its mended copy.
    Mended,
    /// It is not.
    Damaged(Fault),
}

/// What objects are looked at with.
pub(super) struct Inspector<'a> {
    reader: &'a Reader<'a>,
    census: &'a Census,
    depth: Depth,
    /// Where objects lie while they are decoded.
    scratch: Option<PathBuf>,
}

/// Looks at every object after the last one that was stored.
pub(super) async fn run(reader: &Reader<'_>, mut job: VerifyJob, census: &Census) -> Result<VerifyJob> {
    let context = reader.context;
    let start = job.checked_to.map_or(0, |to| census.objects.partition_point(|wanted| wanted.place() <= to));
    let mut rest = &census.objects[start..];
    let bytes = rest.iter().map(|wanted| job.depth.bytes_read(wanted)).fold(0, u64::saturating_add);
    let amount = Amount { files: rest.len() as u64, bytes };
    context.progress.begin(amount, amount, context.now_ms());
    let inspector = Inspector::new(reader, census, job.depth).await?;
    let concurrency = match job.depth {
        Depth::Rows => ROWS_IN_FLIGHT_MAX,
        _ => context.config.download_concurrency_max.max(1),
    };
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(batch_len(rest, job.depth, context.config.verify_batch_objects_max));
        let verdicts: Vec<Verdict> = stream::iter(0..batch.len())
            .map(|position| inspector.inspect(&batch[position]).boxed())
            .buffered(concurrency)
            .try_collect()
            .await?;
        job = finish::store_batch(context, job, batch, &verdicts).await?;
        context.reach(FailPoint::VerifyBatchStored).await?;
        rest = after;
    }
    context.progress.end();
    job.remove_scratch(context).await?;
    Ok(job)
}

fn batch_len(rest: &[WantedObject], depth: Depth, objects_max: usize) -> usize {
    let mut bytes = 0_u64;
    let fits = |wanted: &&WantedObject| {
        let before = bytes;
        bytes = bytes.saturating_add(depth.bytes_read(wanted));
        before < BATCH_BYTES
    };
    rest.iter().take(objects_max.max(1)).take_while(fits).count().max(1)
}

impl Depth {
    /// Bytes that looking at an object reads.
    pub(super) fn bytes_read(self, wanted: &WantedObject) -> u64 {
        if self >= Depth::Digest { wanted.object.bytes } else { 0 }
    }
}

impl<'a> Inspector<'a> {
    pub(super) async fn new(reader: &'a Reader<'a>, census: &'a Census, depth: Depth) -> Result<Inspector<'a>> {
        let scratch = if depth == Depth::Rows {
            let (roots, staging) = (Arc::clone(reader.context.storage.roots()), scratch_name(reader.context.id));
            let first = roots.configured().first().copied();
            let root = first.ok_or_else(|| Error::Internal("there is no storage root".to_owned()))?;
            Some(reader.context.blocking(move || roots.create_staging(root, &staging)).await?)
        } else {
            None
        };
        Ok(Inspector { reader, census, depth, scratch })
    }

    /// Looks at an object under its own name, then, when it is not whole there, at its mended copy.
    pub(super) async fn inspect(&self, wanted: &WantedObject) -> Result<Verdict> {
        let progress = FileProgress::new(&self.reader.context.progress, self.depth.bytes_read(wanted));
        let verdict = match self.fault_of(Copy::Original, wanted, &progress).await? {
            None => Verdict::Whole,
            Some(fault) if fault.problem.is_damage() => match self.fault_of(Copy::Mended, wanted, &progress).await? {
                None => Verdict::Mended,
                Some(_) => Verdict::Damaged(fault),
            },
            Some(fault) => Verdict::Damaged(fault),
        };
        progress.arrived();
        Ok(verdict)
    }

    async fn fault_of(&self, copy: Copy, wanted: &WantedObject, progress: &FileProgress<'_>) -> Result<Option<Fault>> {
        let inspected = match self.depth {
            Depth::Exists | Depth::Length => self.look_up(copy, wanted).await?,
            Depth::Digest | Depth::Rows => self.read_through(copy, wanted, progress).await?,
        };
        let inspection = match inspected {
            Read::Damaged(fault) => return Ok(Some(fault)),
            Read::Whole(Inspection::Length { .. }) if self.depth == Depth::Exists => Inspection::Whole,
            Read::Whole(inspection) => inspection,
        };
        let object = &wanted.object;
        let fault = Fault::of_inspection(inspection, &object.digest.to_string(), object.bytes);
        match (&self.scratch, fault) {
            (Some(_), None) => self.decode(copy, wanted).await,
            (_, fault) => Ok(fault),
        }
    }

    /// A listing that shows the object as it should be is enough; one that does not is asked about once more.
    async fn look_up(&self, copy: Copy, wanted: &WantedObject) -> Result<Read<Inspection>> {
        if copy == Copy::Original && wanted.listed == Some(wanted.object.bytes) {
            return Ok(Read::Whole(Inspection::Whole));
        }
        self.reader.read("look up object", || self.reader.repository.inspect_length(copy, &wanted.object)).await
    }

    async fn read_through(
        &self,
        copy: Copy,
        wanted: &WantedObject,
        progress: &FileProgress<'_>,
    ) -> Result<Read<Inspection>> {
        let context = self.reader.context;
        let scratch = self.scratch_path(copy, wanted);
        self.reader
            .read("read object", || async {
                let token = context.gate.token();
                let repository = &self.reader.repository;
                repository.inspect_digest(copy, &wanted.object, scratch.as_deref(), progress, token).await
            })
            .await
    }

    /// Decodes what was read into the scratch file, and removes it.
    async fn decode(&self, copy: Copy, wanted: &WantedObject) -> Result<Option<Fault>> {
        let Some(path) = self.scratch_path(copy, wanted) else { return Ok(None) };
        let WantedObject { object, role, .. } = *wanted;
        let definition = match role {
            Role::Segment { definition, .. } => self.census.definitions.get(definition as usize).cloned(),
            Role::Deletes { .. } => None,
        };
        let gate = Arc::clone(&self.reader.context.gate);
        let decoded = self
            .reader
            .context
            .blocking(move || {
                let decoded = rows::check(&path, &object, role, definition.as_deref(), &gate);
                // What cannot be removed goes with its directory.
                let _ = disk::remove_file(&path);
                Ok(decoded)
            })
            .await?;
        Ok(decoded.err().map(Fault::content))
    }

    fn scratch_path(&self, copy: Copy, wanted: &WantedObject) -> Option<PathBuf> {
        let name = match copy {
            Copy::Original => "original",
            Copy::Mended => "mended",
        };
        Some(self.scratch.as_ref()?.join(format!("{}.{}.{name}", wanted.object.digest, wanted.object.kind)))
    }
}

/// The finding of a verdict, when it is one.
pub(super) fn finding(wanted: &WantedObject, verdict: &Verdict) -> Option<Finding> {
    match verdict {
        Verdict::Whole | Verdict::Mended => None,
        Verdict::Damaged(fault) => {
            let key = layout::object(wanted.object.kind, &wanted.object.digest).to_string();
            Some(Finding { key, fault: fault.clone() })
        }
    }
}
