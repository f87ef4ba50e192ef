//! Bytes that claim to be the delete vector of a segment.

use ebla_storage::segment::DeleteVector;

/// Rows of the segment.
const SEGMENT_ROWS: u64 = 100_000;

/// An error or positions within the segment that encode to a vector that reads back as the same.
pub fn delete_vector(data: &[u8]) {
    let Ok(positions) = DeleteVector::decode(data, SEGMENT_ROWS) else {
        return;
    };
    assert!(positions.max().is_none_or(|last| u64::from(last) < SEGMENT_ROWS));
    let (bytes, _) = DeleteVector::encode(&positions);
    assert_eq!(DeleteVector::decode(&bytes, SEGMENT_ROWS).as_ref(), Ok(&positions));
}
