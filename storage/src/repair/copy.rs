//! Copying a file while checking that it is what it should be.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::catalog::TabletFile;
use crate::digest::DigestReader;
use crate::disk;
use crate::error::{Error, IoContext};
use crate::roots::{create_file, sync_file};

/// Why there is no copy.
#[derive(Debug)]
pub(super) enum Failure {
    /// The source is not there.
    Missing,
    /// The source is not what it should be, or cannot be read.
    Damaged(String),
    /// The copy cannot be written.
    Write(Error),
}

/// Copies `from` to `to` and syncs it. On a failure there is no `to`; one that is there before is replaced.
pub(super) fn copy_checked(from: &Path, to: &Path, file: &TabletFile) -> Result<(), Failure> {
    let source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Failure::Missing),
        Err(error) => return Err(Failure::Damaged(error.to_string())),
    };
    let _ = disk::remove_file(to);
    let copied = copy(source, to, file);
    if copied.is_err() {
        let _ = disk::remove_file(to);
    }
    copied
}

fn copy(source: File, to: &Path, file: &TabletFile) -> Result<(), Failure> {
    let mut target = create_file(to).map_err(Failure::Write)?;
    let mut reader = DigestReader::new(source);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = match io::Read::read(&mut reader, &mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Damaged(error.to_string())),
        };
        io::Write::write_all(&mut target, &buffer[..read]).at("write", to).map_err(Failure::Write)?;
    }
    let (digest, bytes) = reader.digest();
    if digest != file.digest || bytes != file.bytes {
        return Err(Failure::Damaged("the bytes do not match their digest".to_owned()));
    }
    sync_file(&target, to).map_err(Failure::Write)
}
