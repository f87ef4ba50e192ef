//! Goal: the model loses what a disk may lose, and nothing else.
//! Method: short lists of operations, every loss of them by many lots, and what must and may be left.

use std::collections::BTreeSet;
use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

fn create(path: &str, inode: u64) -> Operation {
    Operation::Create { path: path.to_string(), inode, mode: 0o644 }
}

fn write(inode: u64, offset: u64, bytes: &[u8]) -> Operation {
    Operation::Write { inode, offset, bytes: bytes.to_vec() }
}

fn mkdir(path: &str, inode: u64) -> Operation {
    Operation::Mkdir { path: path.to_string(), inode }
}

fn rename(from: &str, to: &str) -> Operation {
    Operation::Rename { from: from.to_string(), to: to.to_string() }
}

fn sync(inode: u64) -> Operation {
    Operation::Sync { inode }
}

const ROOT_INODE: u64 = 1;

fn disk(operations: &[Operation]) -> Disk {
    let mut disk = Disk::new();
    disk.by_inode.insert(ROOT_INODE, ROOT);
    operations.iter().for_each(|operation| disk.apply(operation));
    disk
}

/// What a file may hold after a loss, over many lots; `None` when it is not there.
fn outcomes(operations: &[Operation], path: &str, order: Order) -> BTreeSet<Option<Vec<u8>>> {
    let disk = disk(operations);
    let mut rng = StdRng::seed_from_u64(7);
    let mut found = BTreeSet::new();
    for _ in 0..400 {
        let loss = Loss { order, ..Loss::random(&mut rng) };
        let image = disk.power_loss(loss, &mut rng);
        let node = image.paths().into_iter().find(|(found, _)| found == Path::new(path)).map(|(_, node)| node);
        found.insert(node.map(|node| image.files[&node].1.clone()));
    }
    found
}

fn set(outcomes: &[Option<&[u8]>]) -> BTreeSet<Option<Vec<u8>>> {
    outcomes.iter().map(|bytes| bytes.map(<[u8]>::to_vec)).collect()
}

#[test]
fn what_is_synced_with_its_directory_stays() {
    let operations = [create("f", 2), write(2, 0, b"abc"), sync(2), sync(ROOT_INODE)];
    for order in [Order::Letter, Order::Journal] {
        assert_eq!(outcomes(&operations, "f", order), set(&[Some(b"abc")]));
    }
}

#[test]
fn a_synced_file_has_a_name_only_when_its_directory_is_synced() {
    let operations = [create("f", 2), write(2, 0, b"abc"), sync(2)];
    assert_eq!(outcomes(&operations, "f", Order::Letter), set(&[None, Some(b"abc")]));
    // A journal takes the name along.
    assert_eq!(outcomes(&operations, "f", Order::Journal), set(&[Some(b"abc")]));
    // The directory itself may be what is missing.
    let below = [mkdir("d", 3), create("d/f", 2), write(2, 0, b"abc"), sync(2), sync(3)];
    assert!(outcomes(&below, "d/f", Order::Letter).contains(&None));
}

#[test]
fn a_rename_before_the_sync_of_its_file_may_leave_an_empty_one() {
    let operations = [create("t", 2), write(2, 0, b"abc"), rename("t", "f"), sync(ROOT_INODE)];
    let expected = set(&[Some(b""), Some(b"abc"), Some(b"\0\0\0")]);
    assert_eq!(outcomes(&operations, "f", Order::Letter), expected);
    assert_eq!(outcomes(&operations, "t", Order::Letter), set(&[None]));
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_one() {
    let old = [create("f", 2), write(2, 0, b"old"), sync(2), sync(ROOT_INODE)];
    let new = [create("t", 3), write(3, 0, b"new"), sync(3), rename("t", "f")];
    let operations = [&old[..], &new[..]].concat();
    assert_eq!(outcomes(&operations, "f", Order::Letter), set(&[Some(b"old"), Some(b"new")]));
}

#[test]
fn writes_are_torn_at_sectors() {
    let operations = [create("f", 2), write(2, 0, &[1; 1024]), sync(2), sync(ROOT_INODE), write(2, 256, &[2; 768])];
    let found = outcomes(&operations, "f", Order::Letter);
    let halves: BTreeSet<(u8, u8, u8)> =
        found.iter().flatten().map(|bytes| (bytes[0], bytes[256], bytes[1023])).collect();
    assert_eq!(halves, BTreeSet::from([(1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 2, 2)]));
    for bytes in found.iter().flatten() {
        assert!(bytes[256..512].iter().all(|byte| *byte == bytes[256]), "a sector is torn");
    }
}

#[test]
fn what_is_written_beyond_a_cut_comes_after_it() {
    let operations = [
        create("f", 2),
        write(2, 0, b"old"),
        sync(2),
        sync(ROOT_INODE),
        Operation::SetLen { inode: 2, len: 0 },
        write(2, 0, b"new"),
    ];
    let found = outcomes(&operations, "f", Order::Letter);
    let expected = set(&[Some(b"old"), Some(b""), Some(b"new"), Some(b"\0\0\0")]);
    assert_eq!(found, expected);
}

#[test]
fn a_sync_after_one_that_failed_saves_only_what_was_written_since() {
    let failed = [create("f", 2), sync(ROOT_INODE), write(2, 0, b"one"), Operation::SyncFailed { inode: 2 }];
    let again = [&failed[..], &[sync(2)]].concat();
    assert_eq!(outcomes(&again, "f", Order::Letter), set(&[Some(b"\0\0\0")]));
    let anew = [&failed[..], &[write(2, 0, b"two"), sync(2)]].concat();
    assert_eq!(outcomes(&anew, "f", Order::Letter), set(&[Some(b"two")]));
    let directory = [create("f", 2), Operation::SyncFailed { inode: ROOT_INODE }, sync(ROOT_INODE)];
    assert_eq!(outcomes(&directory, "f", Order::Letter), set(&[Some(b"")]));
}

#[test]
fn a_directory_goes_after_what_was_in_it() {
    let operations = [
        mkdir("d", 3),
        sync(ROOT_INODE),
        create("d/t", 2),
        write(2, 0, b"abc"),
        sync(2),
        sync(3),
        rename("d/t", "f"),
        Operation::Rmdir { path: "d".to_string() },
        sync(ROOT_INODE),
    ];
    assert_eq!(outcomes(&operations, "f", Order::Letter), set(&[Some(b"abc")]));
}

#[test]
fn an_image_is_written_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let operations = [
        mkdir("d", 3),
        create("d/f", 2),
        write(2, 0, b"abc"),
        Operation::Link { from: "d/f".to_string(), to: "g".to_string() },
        create("x-shm", 4),
    ];
    let image = disk(&operations).image();
    image.write(folder.path());
    assert_eq!(image.difference(folder.path()), None);
    assert!(!folder.path().join("x-shm").exists());
    std::fs::write(folder.path().join("g"), b"abd").unwrap();
    assert!(image.difference(folder.path()).unwrap().contains("is not what the log says"));
    std::fs::remove_file(folder.path().join("g")).unwrap();
    std::fs::write(folder.path().join("d/f"), b"abc").unwrap();
    assert_eq!(image.difference(folder.path()).unwrap(), "g is only in the log");
}
