//! Many small pieces in one file: the nodes of a snapshot, kept beside a job.
//!
//! A file each would have to be synced each, which takes longer than everything else a job without much to move does.
//! A bundle is the pieces one after the other, then an index of fixed entries (digest, offset, length, checksum) in the
//! order of the digests, then how many there are; a piece is found by bisection, so no reader holds the index in memory.
//! The checksum is over the digest and the piece: what is found is what was added under that digest, or an error.
//! A bundle is written once, from its beginning to its end, and never changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::files::damaged;
use crate::digest::{DIGEST_LEN, Digest, DigestHasher};
use crate::disk;
use crate::error::{Error, IoContext, Result};
use crate::roots::{create_file, sync_file};

/// Bytes of a number, the last eight of which a file ends with.
const NUMBER_LEN: usize = 8;

/// Bytes of an entry of the index.
const ENTRY_LEN: usize = DIGEST_LEN + 2 * NUMBER_LEN + DIGEST_LEN;

/// A bundle that is being written. Dropped before its end, it is as if it had never been begun.
#[derive(Debug)]
pub struct BundleWriter {
    file: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    bytes: u64,
    /// Where each piece begins, how long it is, and its checksum.
    places: BTreeMap<Digest, (u64, u64, Digest)>,
}

impl BundleWriter {
    /// Begins to write what is going to be the file `path`, in a new file `temporary` beside it.
    pub(super) fn create(temporary: PathBuf, path: PathBuf) -> Result<BundleWriter> {
        let file = BufWriter::new(create_file(&temporary)?);
        Ok(BundleWriter { file, temporary, path, bytes: 0, places: BTreeMap::new() })
    }

    /// Adds a piece under a digest, which need not be its own. Pieces of one digest are one piece.
    pub fn add(&mut self, digest: Digest, piece: &[u8]) -> Result<()> {
        let place = (self.bytes, piece.len() as u64, checksum(&digest, piece));
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.places.entry(digest) {
            self.file.write_all(piece).at("write", &self.temporary)?;
            vacant.insert(place);
            self.bytes += place.1;
        }
        Ok(())
    }

    /// Writes the index. When this returns, the bytes are on disk under their name; the name is durable once its
    /// directory is synced.
    pub fn finish(mut self) -> Result<()> {
        for (digest, (offset, len, checksum)) in &self.places {
            let numbers = [offset.to_le_bytes(), len.to_le_bytes()].concat();
            let entry = [&digest.as_bytes()[..], &numbers, checksum.as_bytes()].concat();
            self.file.write_all(&entry).at("write", &self.temporary)?;
        }
        let count = self.places.len() as u64;
        let written = self.file.write_all(&count.to_le_bytes()).and_then(|()| self.file.flush());
        written.at("write", &self.temporary)?;
        sync_file(self.file.get_ref(), &self.temporary)?;
        disk::rename(&self.temporary, &self.path).at("rename to", &self.path)
    }
}

/// Reads the piece of a digest from the bundle at `path`.
pub(super) fn read_piece(path: &Path, digest: &Digest) -> Result<Vec<u8>> {
    let file = File::open(path).at("open", path)?;
    let piece = find_piece(&file, digest).at("read", path)?;
    piece.ok_or_else(|| Error::Internal(format!("{} has nothing under {digest}", path.display())))
}

fn find_piece(file: &File, digest: &Digest) -> io::Result<Option<Vec<u8>>> {
    let cut_short = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let index_end = file.metadata()?.len().checked_sub(NUMBER_LEN as u64).ok_or_else(cut_short)?;
    let count = read_number(file, index_end)?;
    let index_bytes = count.checked_mul(ENTRY_LEN as u64).ok_or_else(cut_short)?;
    let index_start = index_end.checked_sub(index_bytes).ok_or_else(cut_short)?;
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        let entry = index_start + middle * ENTRY_LEN as u64;
        let mut found = [0; DIGEST_LEN];
        file.read_exact_at(&mut found, entry)?;
        match found.cmp(digest.as_bytes()) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => {
                let offset = read_number(file, entry + DIGEST_LEN as u64)?;
                let len = read_number(file, entry + (DIGEST_LEN + NUMBER_LEN) as u64)?;
                if offset.checked_add(len).is_none_or(|end| end > index_start) {
                    return Err(cut_short());
                }
                let mut piece = vec![0; usize::try_from(len).map_err(|_| cut_short())?];
                file.read_exact_at(&mut piece, offset)?;
                let mut wanted = [0; DIGEST_LEN];
                file.read_exact_at(&mut wanted, entry + (DIGEST_LEN + 2 * NUMBER_LEN) as u64)?;
                return if *checksum(digest, &piece).as_bytes() == wanted { Ok(Some(piece)) } else { Err(damaged()) };
            }
        }
    }
    Ok(None)
}

fn checksum(digest: &Digest, piece: &[u8]) -> Digest {
    let mut hasher = DigestHasher::new();
    hasher.update(digest.as_bytes());
    hasher.update(piece);
    hasher.finish().0
}

fn read_number(file: &File, offset: u64) -> io::Result<u64> {
    let mut bytes = [0; NUMBER_LEN];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle");
        for count in [0_usize, 1, 2, 7, 100] {
            let mut writer = BundleWriter::create(dir.path().join("temporary"), path.clone()).unwrap();
            let pieces: Vec<Vec<u8>> = (0..count).map(|number| vec![b'x'; number * 37 % 11]).collect();
            let digest = |number: usize| Digest::of(&number.to_le_bytes());
            for _ in 0..2 {
                for (number, piece) in pieces.iter().enumerate() {
                    writer.add(digest(number), piece).unwrap();
                }
            }
            writer.finish().unwrap();
            for (number, piece) in pieces.iter().enumerate() {
                assert_eq!(&read_piece(&path, &digest(number)).unwrap(), piece);
            }
            assert!(read_piece(&path, &digest(count)).is_err());
        }
    }

    #[test]
    fn a_bundle_that_is_cut_short_never_gives_another_piece() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle");
        let mut writer = BundleWriter::create(dir.path().join("temporary"), path.clone()).unwrap();
        let digests: Vec<Digest> = (0..5_u8).map(|number| Digest::of(&[number])).collect();
        digests.iter().for_each(|digest| writer.add(*digest, b"a piece").unwrap());
        writer.finish().unwrap();
        let whole = std::fs::read(&path).unwrap();
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            for digest in &digests {
                assert!(read_piece(&path, digest).is_err(), "{len} of {} bytes", whole.len());
            }
        }
    }
}
