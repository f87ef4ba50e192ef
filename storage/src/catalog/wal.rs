//! The write-ahead log, looked at before SQLite opens it.
//!
//! SQLite checks every frame of the log and takes the first that does not fit for the end: what a power cut tore is
//! dropped, as it should be, but so is every transaction behind a byte that changed on the disk. This module tells the
//! two apart. Each commit is synced before the next begins, so a power cut can only tear the last one. Whole
//! transactions behind a frame that does not fit mean that the log has been damaged.
//!
//! The format is SQLite's (section "The WAL File Format" of its documentation): a header of 32 bytes, then frames of 24
//! bytes and a page. Checksums run on from frame to frame, each stored in its frame, so frames behind a broken one can
//! be checked against the checksum stored before them.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// The two magic numbers, but for their last bit, which tells the order of bytes in checksums.
const MAGIC: u32 = 0x377f_0682;

/// Page sizes that SQLite knows.
const PAGE_BYTES: std::ops::RangeInclusive<u32> = 512..=65_536;

/// What is wrong with the log at `path`; `None` when nothing is, or there is none.
pub(super) fn check(path: &Path) -> io::Result<Option<String>> {
    match File::open(path) {
        Ok(file) => check_log(BufReader::with_capacity(1 << 20, file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn check_log(mut log: impl Read) -> io::Result<Option<String>> {
    let mut header = [0; HEADER_BYTES];
    if !read_whole(&mut log, &mut header)? {
        return Ok(None);
    }
    let Some(log_header) = LogHeader::parse(&header) else {
        // A log begins anew by writing its header, and only then is a frame synced. Frames that fit each other below a
        // header that fits nothing were synced below a good one.
        return Ok(frames_fit_without_header(&header, &mut log)?
            .then(|| "the header of the write-ahead log is damaged".to_owned()));
    };
    let mut frame = vec![0; FRAME_HEADER_BYTES + log_header.page_bytes];
    // What the next frame may go on from: what is stored in the one before it, and, when that one is broken, what should be.
    let mut sums = [log_header.sum; 2];
    let mut number = 0_u64;
    let mut broken: Option<u64> = None;
    let mut behind = false;
    while read_whole(&mut log, &mut frame)? {
        number += 1;
        let goes_on = sums.into_iter().any(|before| log_header.fits(before, &frame));
        let is_of_this_log = frame[8..16] == header[16..24];
        let fits = goes_on && is_of_this_log;
        match broken {
            None if !fits => broken = Some(number),
            // The broken transaction may end whole; a frame of the next is more than a power cut leaves.
            Some(first) if fits && behind => {
                return Ok(Some(format!(
                    "frame {first} of the write-ahead log is damaged, and transactions behind it are whole"
                )));
            }
            _ => {}
        }
        // Of frames of an earlier log nothing fits. Of one that is broken by a byte, that byte may be of the salts, or the mark.
        let has_lost_mark = || broken == Some(number) && is_of_this_log && log_header.has_lost_mark(sums[0], &frame);
        let commits = (number_at(&frame, 4) != 0 && (is_of_this_log || goes_on)) || has_lost_mark();
        behind |= broken.is_some() && commits;
        let stored = (number_at(&frame, 16), number_at(&frame, 20));
        sums = [stored, if fits { stored } else { log_header.sum_of(sums[0], &frame) }];
    }
    Ok(None)
}

struct LogHeader {
    big_endian: bool,
    page_bytes: usize,
    sum: (u32, u32),
}

impl LogHeader {
    fn parse(header: &[u8; HEADER_BYTES]) -> Option<LogHeader> {
        let magic = number_at(header, 0);
        let page_bytes = number_at(header, 8);
        if magic & !1 != MAGIC || !PAGE_BYTES.contains(&page_bytes) || !page_bytes.is_power_of_two() {
            return None;
        }
        let big_endian = magic & 1 == 1;
        let sum = checksum((0, 0), &header[..24], big_endian);
        let page_bytes = page_bytes as usize;
        (sum == (number_at(header, 24), number_at(header, 28))).then_some(LogHeader { big_endian, page_bytes, sum })
    }

    /// Whether a frame's checksum goes on from the one before.
    fn fits(&self, before: (u32, u32), frame: &[u8]) -> bool {
        self.sum_of(before, frame) == (number_at(frame, 16), number_at(frame, 20))
    }

    /// The checksum that a frame should have.
    fn sum_of(&self, before: (u32, u32), frame: &[u8]) -> (u32, u32) {
        let sum = checksum(before, &frame[..8], self.big_endian);
        checksum(sum, &frame[FRAME_HEADER_BYTES..], self.big_endian)
    }

    /// Whether one byte of the mark of a commit has become zero: with another value there the frame would fit. Without its mark
    /// two transactions would look like one that was being written.
    fn has_lost_mark(&self, before: (u32, u32), frame: &[u8]) -> bool {
        if number_at(frame, 4) != 0 {
            return false;
        }
        // The checksum is linear: what a mark adds to it is the mark times what 1 adds.
        let mut marked = frame.to_vec();
        marked[if self.big_endian { 7 } else { 4 }] = 1;
        let (without, with) = (self.sum_of(before, frame), self.sum_of(before, &marked));
        let one = (with.0.wrapping_sub(without.0), with.1.wrapping_sub(without.1));
        let stored = (number_at(frame, 16), number_at(frame, 20));
        let lacks = (stored.0.wrapping_sub(without.0), stored.1.wrapping_sub(without.1));
        let mut marks = (0..4).flat_map(|byte| (1..=255_u32).map(move |value| value << (8 * byte)));
        marks.any(|mark| (one.0.wrapping_mul(mark), one.1.wrapping_mul(mark)) == lacks)
    }
}

/// Whether the second frame goes on from the first, below a header that does not parse, for either order of bytes.
fn frames_fit_without_header(header: &[u8; HEADER_BYTES], log: &mut impl Read) -> io::Result<bool> {
    // Of the page size one byte may be wrong; the catalog has SQLite's default.
    const DEFAULT_PAGE_BYTES: usize = 4096;
    let mut frames = vec![0; 2 * (FRAME_HEADER_BYTES + DEFAULT_PAGE_BYTES)];
    let one = FRAME_HEADER_BYTES + DEFAULT_PAGE_BYTES;
    if !read_whole(log, &mut frames[..one])? {
        return Ok(false);
    }
    let first = (number_at(&frames, 16), number_at(&frames, 20));
    let header_sum = (number_at(header, 24), number_at(header, 28));
    let second = read_whole(log, &mut frames[one..])?;
    let salts_fit = frames[8..16] == header[16..24];
    Ok([false, true].into_iter().any(|big_endian| {
        let header = LogHeader { big_endian, page_bytes: DEFAULT_PAGE_BYTES, sum: (0, 0) };
        // Frames of an earlier log have other salts: they may lie below a header that a power cut tore.
        header.fits(header_sum, &frames[..one]) || (second && salts_fit && header.fits(first, &frames[one..]))
    }))
}

/// SQLite's checksum of a multiple of eight bytes, going on from `sum`.
fn checksum(mut sum: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let word = |bytes: &[u8]| {
        let bytes: [u8; 4] = bytes.try_into().unwrap_or_default();
        if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    for pair in bytes.chunks_exact(8) {
        sum.0 = sum.0.wrapping_add(word(&pair[..4])).wrapping_add(sum.1);
        sum.1 = sum.1.wrapping_add(word(&pair[4..])).wrapping_add(sum.0);
    }
    sum
}

fn number_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap_or_default())
}

/// Fills the buffer; false when the log ends before.
fn read_whole(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
