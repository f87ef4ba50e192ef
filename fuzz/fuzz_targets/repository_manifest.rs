//! Bytes that claim to be `repository.json` or a commit object: an error or a value, never a panic.
//!
//! The first byte chooses: even, and the rest is read as it is; odd, and it is sealed first, so that the fuzzer gets
//! past the digest.

#![no_main]

use ebla_storage::digest::Digest;
use ebla_storage::repository::format::{RepositoryInfo, SnapshotManifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if choice % 2 == 1 {
        let digest = Digest::of(&bytes);
        bytes.extend_from_slice(format!(",\"blake3\":\"{digest}\"}}\n").as_bytes());
    }
    let _ = RepositoryInfo::from_stored(&bytes);
    if let Ok(manifest) = SnapshotManifest::from_stored(&bytes) {
        // What was read can be written and reads back as the same.
        if let Ok(stored) = manifest.to_stored() {
            assert_eq!(SnapshotManifest::from_stored(&stored).as_ref(), Ok(&manifest));
        }
    }
});
