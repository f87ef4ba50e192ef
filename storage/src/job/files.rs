//! What a job keeps beside its row: `<data-dir>/jobs/<id>/`.
//!
//! A row must stay small whatever the size of a database, so what a job decided about millions of files (the cut of a
//! backup, the plan of a restore) is kept in files here. Each is written whole, synced and renamed, so that a name
//! that is there holds everything; what comes in many small pieces goes into one file ([`BundleWriter`]). The directory
//! goes when the job has ended; what a crash left of ended jobs is swept at start.
//!
//! A file ends with the digest of what is in it, so a byte that changed on the disk fails the job and misleads nobody.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bundle::{self, BundleWriter};
use crate::digest::{DIGEST_LEN, Digest};
use crate::disk;
use crate::error::{Error, IoContext, Result};
use crate::ids::JobId;
use crate::roots::{create_dir_durable, create_file, sync_dir, sync_file};

const JOBS: &str = "jobs";

/// The directory of one job. Its methods block.
#[derive(Debug, Clone)]
pub struct JobFiles {
    directory: PathBuf,
    next_temporary: Arc<AtomicU64>,
}

impl JobFiles {
    /// The directory of a job, whether it is there or not.
    pub fn new(data_dir: &Path, job: JobId) -> JobFiles {
        JobFiles { directory: data_dir.join(JOBS).join(job.to_string()), next_temporary: Arc::default() }
    }

    /// Begins with an empty directory: what an earlier attempt left is gone.
    pub fn reset(&self) -> Result<()> {
        self.remove()?;
        create_dir_durable(&self.directory)
    }

    /// Writes a file whole, replacing one of that name. When this returns it is there to stay, and so is every bundle
    /// that was finished before.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name)?;
        let temporary = self.temporary()?;
        let mut file = create_file(&temporary)?;
        let digest = Digest::of(bytes);
        let written =
            io::Write::write_all(&mut file, bytes).and_then(|()| io::Write::write_all(&mut file, digest.as_bytes()));
        written.at("write", &temporary)?;
        sync_file(&file, &temporary)?;
        disk::rename(&temporary, &path).at("rename to", &path)?;
        sync_dir(&self.directory)
    }

    /// Begins a bundle, which replaces one of that name. It is there to stay once a later [`JobFiles::put`] returns.
    pub fn bundle(&self, name: &str) -> Result<BundleWriter> {
        BundleWriter::create(self.temporary()?, self.path(name)?)
    }

    /// Reads one piece of a bundle.
    pub fn get_piece(&self, name: &str, digest: &Digest) -> Result<Vec<u8>> {
        bundle::read_piece(&self.path(name)?, digest)
    }

    /// Reads a file.
    pub fn get(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name)?;
        fs::read(&path).and_then(checked).at("read", &path)
    }

    /// Reads a file that may be missing.
    pub fn find(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(name)?;
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.and_then(checked).at("read", &path).map(Some),
        }
    }

    /// Removes the directory with all that is in it; a missing one is no error.
    pub fn remove(&self) -> Result<()> {
        match disk::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", &self.directory),
            _ => Ok(()),
        }
    }

    /// Removes the directories of all jobs but `running`. Returns how many.
    pub fn sweep(data_dir: &Path, running: &[JobId]) -> Result<usize> {
        let directory = data_dir.join(JOBS);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries.at("list", &directory)?,
        };
        let mut swept = 0;
        for entry in entries {
            let entry = entry.at("list", &directory)?;
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(JobId);
            if id.is_some_and(|id| !running.contains(&id)) {
                disk::remove_dir_all(&entry.path()).at("remove", entry.path())?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// A name that no other writer uses; what an earlier process left under it is removed.
    fn temporary(&self) -> Result<PathBuf> {
        let turn = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.directory.join(format!(".{turn}.tmp"));
        disk::remove_file_if_there(&temporary).at("remove", &temporary)?;
        Ok(temporary)
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        // Names are ours, a digest or a constant; whatever else came here must not leave the directory.
        let plain = !name.is_empty()
            && !name.starts_with('.')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        if !plain {
            return Err(Error::Internal(format!("'{name}' is no name for a file of a job")));
        }
        Ok(self.directory.join(name))
    }
}

/// What was put, without the digest behind it.
fn checked(mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let put = bytes.len().checked_sub(DIGEST_LEN).map(|end| bytes.split_off(end));
    match put {
        Some(digest) if digest == Digest::of(&bytes).as_bytes() => Ok(bytes),
        _ => Err(damaged()),
    }
}

/// A file of a job is not what was written.
pub(super) fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it has changed on the disk: look at the disk, then start the job anew")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_swept_when_the_job_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let files = JobFiles::new(dir.path(), JobId(7));
        files.reset().unwrap();
        files.put("plan.json", b"one").unwrap();
        files.put("plan.json", b"two").unwrap();
        assert_eq!(files.get("plan.json").unwrap(), b"two");
        assert_eq!(files.find("other").unwrap(), None);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| files.put("shared", b"the same bytes").unwrap());
            }
        });
        assert_eq!(files.get("shared").unwrap(), b"the same bytes");
        for name in ["", "../x", ".hidden", "a/b"] {
            assert!(files.put(name, b"").is_err(), "{name:?}");
        }
        let digest = Digest::of(b"a name");
        let mut bundle = files.bundle("pieces").unwrap();
        bundle.add(digest, b"a piece").unwrap();
        assert!(files.get_piece("pieces", &digest).is_err(), "it is not there before it is whole");
        bundle.finish().unwrap();
        assert_eq!(files.get_piece("pieces", &digest).unwrap(), b"a piece");
        for name in ["plan.json", "pieces"] {
            let path = dir.path().join("jobs/7").join(name);
            let good = fs::read(&path).unwrap();
            for at in 0..good.len() {
                let mut flipped = good.clone();
                flipped[at] ^= 1;
                fs::write(&path, flipped).unwrap();
                let read = if name == "pieces" { files.get_piece(name, &digest) } else { files.get(name) };
                assert!(read.is_err(), "byte {at} of {name}");
            }
            fs::write(&path, good).unwrap();
        }
        assert_eq!(JobFiles::sweep(dir.path(), &[JobId(7)]).unwrap(), 0);
        assert_eq!(JobFiles::sweep(dir.path(), &[JobId(8)]).unwrap(), 1);
        assert_eq!(files.find("plan.json").unwrap(), None);
        files.remove().unwrap();
        files.reset().unwrap();
        files.reset().unwrap();
    }
}
