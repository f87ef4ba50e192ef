//! Goal: what fuzzing once found stays found, on the compiler everybody has.
//! Method: every target gets each of its seeds, and inputs that grow from them by chance from a fixed seed.
//!
//! `EBLA_FUZZ_INPUTS` is the number of grown inputs a target gets, `EBLA_FUZZ_TARGET` the only target to run.
//! `EBLA_FUZZ_SEEDS=write` writes the binary seeds anew, when a format has changed.

#![allow(clippy::unwrap_used, reason = "a failing helper is a failing test")]

use std::fs;
use std::panic::{catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use ebla_fuzz_targets::{TARGETS, segment_table};
use ebla_storage::clock::{ManualClock, SystemRandom};
use ebla_storage::schema::TableDefinition;
use ebla_storage::segment::{DeleteVector, SegmentFormat, write_segments};
use ebla_storage::{Storage, StorageConfig};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rusqlite::Connection;

/// Grown inputs a target gets when nothing else is said.
const INPUTS: usize = 300;

/// Bytes that mean something to some reader: limits of numbers, marks of formats.
const TELLING: &[&[u8]] = &[
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"PAR1",
    b"-1",
    b"18446744073709551616",
    b"../../../etc/passwd",
    b"\"",
    b"{",
    b"[[[[[[[[",
    b"\n",
];

#[test]
fn every_target_has_seeds_and_holds() {
    let inputs = std::env::var("EBLA_FUZZ_INPUTS").map_or(INPUTS, |count| count.parse().unwrap());
    let only = std::env::var("EBLA_FUZZ_TARGET").ok();
    for (name, target) in TARGETS {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let seeds = seeds_of(name);
        assert!(!seeds.is_empty(), "fuzz/seeds/{name} has no file");
        for seed in &seeds {
            target(seed);
        }
        let mut random = SmallRng::seed_from_u64(4_100);
        for _ in 0..inputs {
            let input = grow(&seeds, &mut random);
            if let Err(panic) = catch_unwind(|| target(&input)) {
                eprintln!("{name} with {:?}", input.escape_ascii().to_string());
                resume_unwind(panic);
            }
        }
    }
}

#[test]
fn every_target_is_a_program_of_the_fuzzer() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut programs: Vec<String> = fs::read_dir(fuzz.join("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    programs.sort();
    assert_eq!(programs, TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in programs {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml lacks {name}");
    }
}

/// The seeds of the formats no editor writes are what the product itself writes.
#[test]
fn binary_seeds_are_of_today() {
    let (bytes, _) = DeleteVector::encode(&(0..90_000).filter(|row| row % 7 == 0 || row % 1_000 < 300).collect());
    seed_is("delete_vector", "runs_and_single_rows", &bytes);

    for compression in ["zstd", "lz4", "snappy", "gzip", "none"] {
        let bytes = segment(compression);
        seed_is("parquet_segment", compression, &[b"\0", &bytes[..]].concat());
        // Without the magics and the length of the footer, which leads.
        let (rest, tail) = bytes.split_at(bytes.len() - 8);
        seed_is(
            "parquet_segment",
            &format!("{compression}_to_put_together"),
            &[b"\x01", &tail[..2], &rest[4..]].concat(),
        );
    }

    if writes_seeds() {
        // Not compared: it holds a random cluster id.
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        let mut config = StorageConfig::new(&data_dir);
        config.encode_threads = 1;
        let storage = Storage::open(config, ManualClock::at(1_700_000_000_000), Arc::new(SystemRandom)).unwrap();
        storage.catalog().write(|write| write.create_database("d", &Default::default())).unwrap();
        drop(storage);
        // Everything in the one file: what the log still holds goes there, and the log goes.
        let catalog = Connection::open(data_dir.join("catalog.db")).unwrap();
        catalog.pragma_update(None, "journal_mode", "DELETE").unwrap();
        drop(catalog);
        fs::write(seed_folder("catalog_file").join("one_database"), fs::read(data_dir.join("catalog.db")).unwrap())
            .unwrap();
    }
}

/// The segment that the product writes of 40 rows.
fn segment(compression: &str) -> Vec<u8> {
    let mut definition = TableDefinition::clone(&segment_table());
    definition.properties.insert("compression".to_owned(), compression.to_owned());
    definition.properties.insert("bloom_filter_columns".to_owned(), "c2".to_owned());
    let rows = 0..40_i32;
    let mut lists =
        ListBuilder::new(Int64Builder::new()).with_field(match definition.to_arrow().field(3).data_type() {
            arrow_schema::DataType::List(item) => Arc::clone(item),
            other => unreachable!("an array is {other}"),
        });
    for row in rows.clone() {
        lists.append_option((row % 5 > 0).then(|| (0..i64::from(row % 5 - 1)).map(Some)));
    }
    let decimals = rows.clone().map(|row| (row % 7 > 0).then(|| i128::from(row) * 10_000_000_000_000_000_000_000));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.clone().collect::<Int32Array>()),
        Arc::new(rows.clone().map(|row| (row % 3 > 0).then(|| format!("text {}", row % 4))).collect::<StringArray>()),
        Arc::new(decimals.collect::<Decimal128Array>().with_precision_and_scale(30, 4).unwrap()),
        Arc::new(lists.finish()),
        Arc::new(rows.clone().map(|row| Some(f64::from(row) / 7.0)).collect::<Float64Array>()),
        Arc::new(rows.clone().map(|row| (row % 4 > 0).then_some(row % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(rows.map(|row| Some(1_700_000_000_000_000 + i64::from(row))).collect::<TimestampMicrosecondArray>()),
    ];
    let batch = RecordBatch::try_new(definition.to_arrow(), columns).unwrap();
    let format = SegmentFormat::new(&Arc::new(definition), &StorageConfig::new("unused")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let written =
        write_segments(&format, directory.path(), "s", Box::new([Ok(batch)].into_iter()), 40, 1 << 30).unwrap();
    fs::read(&written[0].path).unwrap()
}

fn seed_is(target: &str, name: &str, bytes: &[u8]) {
    let path = seed_folder(target).join(name);
    if writes_seeds() {
        fs::write(&path, bytes).unwrap();
    }
    assert!(fs::read(&path).is_ok_and(|seed| seed == bytes), "{} is not what is written today", path.display());
}

fn writes_seeds() -> bool {
    std::env::var("EBLA_FUZZ_SEEDS").is_ok_and(|what| what == "write")
}

fn seed_folder(target: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds").join(target);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn seeds_of(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(seed_folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A seed with a few changes: a byte turned, a piece taken out, doubled or taken from another seed, a telling one put in.
fn grow(seeds: &[Vec<u8>], random: &mut SmallRng) -> Vec<u8> {
    let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(1..=6) {
        let at = random.random_range(0..=bytes.len());
        let end = (at + random.random_range(0..64)).min(bytes.len());
        match random.random_range(0..6) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.random_range(0..8)),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.random()),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let other = &seeds[random.random_range(0..seeds.len())];
                let from = random.random_range(0..=other.len());
                let piece = &other[from..(from + random.random_range(0..64)).min(other.len())];
                bytes.splice(at..end, piece.iter().copied());
            }
            _ => {
                let telling = TELLING[random.random_range(0..TELLING.len())];
                let over = (at + telling.len()).min(bytes.len());
                bytes.splice(at..over, telling.iter().copied());
            }
        }
    }
    bytes
}
