//! Tombstones: what stands at the key of a commit object that is gone or must never come.
//!
//! Commit objects are created, never replaced. So whoever wants that a backup can no longer publish puts a tombstone at the
//! key of its commit object: the store decides which of the two comes to be. A tombstone has exactly
//! [`TOMBSTONE_BYTES`] bytes, which no commit object has, so a listing tells them apart.

use bytes::Bytes;
use serde::Deserialize;

/// Size of every tombstone. A commit object's seal alone is longer.
pub const TOMBSTONE_BYTES: u64 = 64;

/// Why there is no snapshot, and never will be, at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tombstone {
    /// The snapshot was dropped.
    Dropped,
    /// The backup did not end in its time, and somebody who collects garbage would wait no longer.
    Fenced,
    /// The backup was cancelled, and said so.
    Withdrawn,
}

/// What a tombstone says.
#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "format_version")]
    _format_version: u32,
    tombstone: Tombstone,
}

impl Tombstone {
    /// The bytes to store.
    #[must_use]
    pub fn to_stored(self) -> Bytes {
        Bytes::from_static(match self {
            Tombstone::Dropped => b"{\"format_version\":1,\"tombstone\":\"dropped\"}                     \n",
            Tombstone::Fenced => b"{\"format_version\":1,\"tombstone\":\"fenced\"}                      \n",
            Tombstone::Withdrawn => b"{\"format_version\":1,\"tombstone\":\"withdrawn\"}                   \n",
        })
    }

    /// The tombstone that these bytes are; `None` when they are none.
    #[must_use]
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        if bytes.len() as u64 != TOMBSTONE_BYTES {
            return None;
        }
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        Some(stored.tombstone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_has_one_size() {
        for tombstone in [Tombstone::Dropped, Tombstone::Fenced, Tombstone::Withdrawn] {
            let stored = tombstone.to_stored();
            assert_eq!(stored.len() as u64, TOMBSTONE_BYTES, "{tombstone:?}");
            assert_eq!(Tombstone::from_stored(&stored), Some(tombstone));
        }
        assert_eq!(Tombstone::from_stored(&[b' '; 64]), None);
        assert_eq!(Tombstone::from_stored(b"{\"format_version\":1,\"tombstone\":\"dropped\"}"), None);
    }
}
