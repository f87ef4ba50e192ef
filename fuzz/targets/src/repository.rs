//! Bytes that claim to be something of a repository: its description, a commit object, a node.

use ebla_storage::digest::Digest;
use ebla_storage::repository::format::{
    NodeRef, PartitionNode, RepositoryInfo, SnapshotManifest, TableNode, decode_node, encode_node,
};

/// `repository.json` or a commit object: an error or a value that writes and reads back as the same.
///
/// The first byte chooses: even, and the rest is read as it is; odd, and it is sealed first, so that the fuzzer gets
/// past the digest.
pub fn repository_manifest(data: &[u8]) {
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
}

/// A table or partition node: an error or a value that writes and reads back as the same, within bounded memory.
///
/// The first byte chooses: even, and the rest is what is stored; odd, and it is the JSON inside, compressed here. The
/// digest is always right, because without it nothing is read.
pub fn repository_node(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let stored = match choice % 2 {
        0 => bytes.to_vec(),
        _ => zstd::bulk::compress(bytes, 1).unwrap_or_default(),
    };
    let node = NodeRef { digest: Digest::of(&stored), bytes: stored.len() as u64 };
    if let Ok(table) = decode_node::<TableNode>(&node, &stored) {
        let again = encode_node(&table).expect("what was read can be written");
        let read = decode_node::<TableNode>(&again.node, &again.stored).expect("what was written can be read");
        assert_eq!(encode_node(&read).expect("it was written before"), again);
    }
    if let Ok(partition) = decode_node::<PartitionNode>(&node, &stored) {
        let again = encode_node(&partition).expect("what was read can be written");
        let read = decode_node::<PartitionNode>(&again.node, &again.stored).expect("what was written can be read");
        assert_eq!(encode_node(&read).expect("it was written before"), again);
    }
}
