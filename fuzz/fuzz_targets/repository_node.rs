//! Bytes that claim to be a table or partition node: an error or a value, never a panic, within bounded memory.
//!
//! The first byte chooses: even, and the rest is what is stored; odd, and it is the JSON inside, compressed here. The
//! digest is always right, because without it nothing is read.

#![no_main]

use ebla_storage::digest::Digest;
use ebla_storage::repository::format::{NodeRef, PartitionNode, TableNode, decode_node, encode_node};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
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
});
