//! The delete vector file: which rows of one segment are deleted.
//!
//! ```text
//! offset  bytes  what
//!      0      4  "EBDV"
//!      4      4  format version, little-endian: 1
//!      8      8  rows it deletes, little-endian
//!     16      …  their positions in the segment, from 0: a bitmap in the portable Roaring format
//! ```
//!
//! The bytes depend on nothing but the positions, so equal vectors have one digest.

use roaring::RoaringBitmap;

use crate::digest::Digest;

const MAGIC: &[u8; 4] = b"EBDV";
const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;

/// The positions of deleted rows in one segment.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteVector;

impl DeleteVector {
    /// The file's bytes and their digest.
    pub fn encode(positions: &RoaringBitmap) -> (Vec<u8>, Digest) {
        let mut positions = positions.clone();
        // One form for one set: what is runs is kept as runs, whatever way the bitmap was built.
        positions.optimize();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + positions.serialized_size());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&positions.len().to_le_bytes());
        #[expect(clippy::expect_used, reason = "a vector takes every byte")]
        positions.serialize_into(&mut bytes).expect("writing to a vector cannot fail");
        let digest = Digest::of(&bytes);
        (bytes, digest)
    }

    /// The positions in a file for a segment of `rows` rows, or what is wrong with it.
    pub fn decode(bytes: &[u8], rows: u64) -> Result<RoaringBitmap, String> {
        let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err("the delete vector is shorter than its header".to_owned());
        };
        let (magic, numbers) = header.split_at(4);
        let (version, count) = numbers.split_at(4);
        if magic != MAGIC {
            return Err("the file is no delete vector".to_owned());
        }
        let version = u32::from_le_bytes(version.try_into().unwrap_or_default());
        if version != FORMAT_VERSION {
            return Err(format!(
                "the delete vector has format version {version}, this server reads version {FORMAT_VERSION}: use a newer server"
            ));
        }
        let count = u64::from_le_bytes(count.try_into().unwrap_or_default());
        let positions = RoaringBitmap::deserialize_from(body).map_err(|error| format!("bad bitmap: {error}"))?;
        if positions.len() != count {
            return Err(format!("the delete vector names {count} rows but holds {}", positions.len()));
        }
        match positions.max() {
            Some(last) if u64::from(last) >= rows => {
                Err(format!("the delete vector deletes row {last} of a segment of {rows} rows"))
            }
            _ => Ok(positions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_has_one_form() {
        let scattered: RoaringBitmap = (0..50_000).filter(|row| row % 3 == 0).collect();
        let (bytes, digest) = DeleteVector::encode(&scattered);
        assert_eq!(DeleteVector::decode(&bytes, 50_000).unwrap(), scattered);

        let mut grown = RoaringBitmap::new();
        for row in (0..50_000).rev().filter(|row| row % 3 == 0) {
            grown.insert(row);
        }
        assert_eq!(DeleteVector::encode(&grown), (bytes, digest));

        let mut range = RoaringBitmap::new();
        range.insert_range(0..10_000);
        let each: RoaringBitmap = (0..10_000).collect();
        assert_eq!(DeleteVector::encode(&range), DeleteVector::encode(&each));
        assert!(DeleteVector::encode(&range).0.len() < 64);
    }

    #[test]
    fn refuses_what_is_not_one() {
        let (bytes, _) = DeleteVector::encode(&(0..4).collect());
        for (bytes, rows, wants) in [
            (&bytes[..10], 4, "shorter"),
            (&bytes[..17], 4, "bad bitmap"),
            (&bytes[..], 3, "deletes row 3"),
            (&[b"EBDX", &bytes[4..]].concat(), 4, "no delete vector"),
            (&[&bytes[..4], &[9], &bytes[5..]].concat(), 4, "version 9"),
            (&[&bytes[..8], &[9], &bytes[9..]].concat(), 4, "names 9 rows"),
        ] {
            let error = DeleteVector::decode(bytes, rows).unwrap_err();
            assert!(error.contains(wants), "{error}");
        }
    }
}
