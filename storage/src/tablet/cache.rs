//! What has been read of immutable files lately, by digest: the least recently used goes first.
//!
//! An entry is what a digest says, so it never grows stale; only memory bounds it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::digest::Digest;

/// An entry counts at least so many bytes: what the map takes, and a bound to the number of entries.
const ENTRY_BYTES_MIN: usize = 1 << 10;

/// Values by digest, up to a number of bytes.
#[derive(Debug)]
pub(super) struct DigestCache<V>(Mutex<Entries<V>>);

#[derive(Debug)]
struct Entries<V> {
    entries: HashMap<Digest, Entry<V>>,
    bytes: usize,
    bytes_max: usize,
    turn: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: Arc<V>,
    bytes: usize,
    last_used: u64,
}

impl<V> DigestCache<V> {
    pub(super) fn new(bytes_max: usize) -> Self {
        DigestCache(Mutex::new(Entries { entries: HashMap::new(), bytes: 0, bytes_max, turn: 0 }))
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<V>> {
        let mut this = self.0.lock();
        this.turn += 1;
        let turn = this.turn;
        let entry = this.entries.get_mut(digest)?;
        entry.last_used = turn;
        Some(Arc::clone(&entry.value))
    }

    pub(super) fn put(&self, digest: Digest, value: Arc<V>, bytes: usize) {
        let mut guard = self.0.lock();
        let this = &mut *guard;
        this.turn += 1;
        let bytes = bytes.max(ENTRY_BYTES_MIN);
        this.bytes += bytes;
        if let Some(before) = this.entries.insert(digest, Entry { value, bytes, last_used: this.turn }) {
            this.bytes -= before.bytes;
        }
        while this.bytes > this.bytes_max {
            let oldest = this.entries.iter().min_by_key(|(_, entry)| entry.last_used).map(|(digest, _)| *digest);
            let Some(removed) = oldest.and_then(|digest| this.entries.remove(&digest)) else { break };
            this.bytes -= removed.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let cache = DigestCache::new(3 << 10);
        let digests: Vec<Digest> = (0..4_u8).map(|number| Digest::of(&[number])).collect();
        for (number, digest) in digests.iter().enumerate().take(3) {
            cache.put(*digest, Arc::new(number), 1);
        }
        assert!(cache.get(&digests[0]).is_some());
        cache.put(digests[3], Arc::new(3), 1);
        let kept: Vec<bool> = digests.iter().map(|digest| cache.get(digest).is_some()).collect();
        assert_eq!(kept, [true, false, true, true]);
        cache.put(digests[0], Arc::new(0), 4 << 10);
        assert!(digests.iter().all(|digest| cache.get(digest).is_none()), "one that is too large is not kept");
    }
}
