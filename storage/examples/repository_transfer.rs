//! What moving bytes to and from a repository costs: seconds, megabytes a second, CPU seconds per gigabyte.
//!
//! `cargo run --release -p ebla-storage --example repository_transfer -- LOCATION [KEY=VALUE …]`, the properties as
//! CREATE REPOSITORY takes them. It makes its own files, leaves them in the repository, and compares with BLAKE3 alone.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use ebla_storage::catalog::FileKind;
use ebla_storage::digest::Digest;
use ebla_storage::repository::{Access, Location, ObjectRef, Put, Repository, RepositoryContext, RepositoryProperties};
use futures::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

const FILES: u64 = 12;
const FILE_BYTES: u64 = 24 * 1024 * 1024;
const FILES_AT_ONCE: usize = 4;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let location = Location::parse(&arguments.next().ok_or("which location?")?)?;
    let properties = RepositoryProperties::parse(
        arguments.filter_map(|pair| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))),
    )?;
    let context = RepositoryContext::default();
    let repository = Repository::create_or_attach(&location, &properties, Access::ReadWrite, &context).await?;
    println!("{:?}", repository.attachment().capabilities);

    let folder = std::env::temp_dir().join(format!("ebla-transfer-{}", context.random.identifier()));
    std::fs::create_dir(&folder)?;
    let moved = move_files(&repository, &folder, &context).await;
    std::fs::remove_dir_all(&folder)?;
    println!("{:#?}", repository.counts());
    moved
}

async fn move_files(repository: &Repository, folder: &Path, context: &RepositoryContext) -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for number in 0..FILES {
        let mut state = context.random.next_u64() | 1;
        let mut content = Vec::with_capacity(usize::try_from(FILE_BYTES)?);
        while (content.len() as u64) < FILE_BYTES {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            content.extend_from_slice(&state.to_le_bytes());
        }
        let path = folder.join(number.to_string());
        std::fs::write(&path, &content)?;
        files.push((ObjectRef { kind: FileKind::Segment, digest: Digest::of(&content), bytes: FILE_BYTES }, path));
    }
    let never = CancellationToken::new();

    let stopwatch = Stopwatch::start()?;
    for (_, path) in &files {
        Digest::of_file(path)?;
    }
    stopwatch.report("BLAKE3 alone")?;

    let stopwatch = Stopwatch::start()?;
    let puts = files.iter().map(|(object, path)| repository.put_object(object, path, &(), &never));
    let outcomes: Vec<Put> = futures::stream::iter(puts).buffer_unordered(FILES_AT_ONCE).try_collect().await?;
    stopwatch.report("upload")?;
    println!("created: {}", outcomes.iter().filter(|put| **put == Put::Created).count());

    let stopwatch = Stopwatch::start()?;
    let gets = files.iter().map(|(object, path)| {
        let (back, never) = (path.with_extension("back"), &never);
        async move { repository.get_object(object, &back, &(), never).await }
    });
    futures::stream::iter(gets).buffer_unordered(FILES_AT_ONCE).try_collect::<()>().await?;
    stopwatch.report("download")
}

struct Stopwatch {
    start: Instant,
    cpu_seconds: f64,
}

impl Stopwatch {
    fn start() -> Result<Self, Box<dyn Error>> {
        Ok(Self { start: Instant::now(), cpu_seconds: cpu_seconds()? })
    }

    fn report(&self, what: &str) -> Result<(), Box<dyn Error>> {
        let (seconds, cpu) = (self.start.elapsed().as_secs_f64(), cpu_seconds()? - self.cpu_seconds);
        let gigabytes = (FILES * FILE_BYTES) as f64 / 1e9;
        println!("{what}: {seconds:.2} s, {:.0} MB/s, {:.2} CPU-s/GB", gigabytes * 1e3 / seconds, cpu / gigabytes);
        Ok(())
    }
}

/// CPU seconds this process has used so far.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |field: usize| fields.get(field).unwrap_or(&"0").parse::<f64>();
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}
