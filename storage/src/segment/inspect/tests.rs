//! Goal: whatever bytes a repository gives for a segment, they are refused, or reading them is an error or rows; what
//! this version writes is never refused. Method: files of the writer, as they are, with lies put into their
//! descriptions one at a time, and with changes by chance.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use flate2::write::GzEncoder;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::metadata::{
    ColumnChunkMetaDataBuilder, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use super::super::tests::{batch_of_every_type, definition, every_type, format, numbers, stream};
use super::*;
use crate::Error;
use crate::ids::TabletId;
use crate::schema::{Column, ColumnId, DataType, TableDefinition};
use crate::segment::{SegmentReader, write_segments};
use crate::testing::column;

const COMPRESSIONS: [&str; 5] = ["ZSTD", "LZ4", "SNAPPY", "GZIP", "NONE"];

/// Changed files of the last test.
const CHANGED_FILES: usize = 6_000;

/// A folder with one file that is written again and again.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("segment")
    }

    fn inspect(&self, bytes: &[u8], definition: &TableDefinition) -> Result<u64, String> {
        fs::write(self.path(), bytes).unwrap();
        inspect(&self.path(), definition)
    }

    /// The bytes of the segment that has these rows.
    fn segment(&self, definition: &Arc<TableDefinition>, rows: arrow_array::RecordBatch) -> Vec<u8> {
        let written =
            write_segments(&format(definition), self.dir.path(), "s", stream(vec![rows]), 1 << 20, 1 << 30).unwrap();
        let bytes = fs::read(&written[0].path).unwrap();
        fs::remove_file(&written[0].path).unwrap();
        bytes
    }

    fn refused(&self, bytes: &[u8], definition: &TableDefinition, words: &str) {
        let refusal = self.inspect(bytes, definition).expect_err(words);
        assert!(refusal.contains(words), "{refusal:?} instead of {words:?}");
    }
}

/// A key and a text; `compression` as in CREATE TABLE.
fn two_columns(compression: &str) -> Arc<TableDefinition> {
    let text = Column { nullable: true, ..column(2, "v", DataType::Varchar { length: 40 }) };
    definition(
        vec![Column { nullable: false, ..column(1, "k", DataType::Int) }, text],
        &[("compression", compression), ("bloom_filter_columns", "v")],
    )
}

fn metadata_of(bytes: &[u8]) -> ParquetMetaData {
    ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::copy_from_slice(bytes)).unwrap()
}

/// The file with another footer: the first column of its first row group as `change` makes it.
fn with_column(bytes: &[u8], change: impl FnOnce(ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder) -> Vec<u8> {
    let metadata = metadata_of(bytes);
    let mut groups = metadata.row_groups().to_vec();
    let mut columns = groups[0].columns().to_vec();
    columns[0] = change(columns[0].clone().into_builder()).build().unwrap();
    groups[0] = groups[0].clone().into_builder().set_column_metadata(columns).build().unwrap();
    let tail = bytes.len() - 8;
    let footer = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize;
    with_metadata(&bytes[..tail - footer], &metadata.into_builder().set_row_groups(groups).build())
}

fn with_metadata(data: &[u8], metadata: &ParquetMetaData) -> Vec<u8> {
    let mut file = data.to_vec();
    ParquetMetaDataWriter::new(&mut file, metadata).finish().unwrap();
    file
}

/// A Thrift number.
fn zigzag(number: i64) -> Vec<u8> {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

/// The header of a page: type 0 has values, 2 a dictionary.
fn header(page_type: i64, uncompressed: i64, compressed: i64, values: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [page_type, uncompressed, compressed] {
        bytes.push(0x15);
        bytes.extend(zigzag(number));
    }
    bytes.extend([if page_type == 2 { 0x4c } else { 0x2c }, 0x15]);
    bytes.extend(zigzag(values));
    // The encoding is PLAIN, that of levels RLE.
    bytes.extend(if page_type == 2 { &[0x15, 0, 0, 0][..] } else { &[0x15, 0, 0x15, 6, 0x15, 6, 0, 0] });
    bytes
}

/// A file of one column of 25 rows, NOT NULL and INT, whose chunk is these bytes, without a dictionary.
fn file_of(bench: &Bench, chunk: &[u8], compression: Compression) -> Vec<u8> {
    file_with(bench, chunk, compression, 4, None)
}

fn file_with(
    bench: &Bench,
    chunk: &[u8],
    compression: Compression,
    data_at: i64,
    dictionary_at: Option<i64>,
) -> Vec<u8> {
    let whole = bench.segment(&keys(), keys_batch());
    let data = [&MAGIC[..], chunk].concat();
    let metadata = metadata_of(&whole);
    let column = metadata.row_group(0).column(0).clone().into_builder();
    let column = column
        .set_compression(compression)
        .set_data_page_offset(data_at)
        .set_dictionary_page_offset(dictionary_at)
        .set_total_compressed_size(chunk.len() as i64)
        .set_offset_index_offset(None)
        .set_offset_index_length(None)
        .set_column_index_offset(None)
        .set_column_index_length(None)
        .build()
        .unwrap();
    let group = metadata.row_group(0).clone().into_builder().set_column_metadata(vec![column]).build().unwrap();
    with_metadata(&data, &metadata.into_builder().set_row_groups(vec![group]).build())
}

fn keys() -> Arc<TableDefinition> {
    definition(vec![Column { nullable: false, ..column(1, "k", DataType::Int) }], &[])
}

fn keys_batch() -> arrow_array::RecordBatch {
    let keys_of: arrow_array::ArrayRef = Arc::new((0..25).collect::<arrow_array::Int32Array>());
    arrow_array::RecordBatch::try_new(keys().to_arrow(), vec![keys_of]).unwrap()
}

#[test]
fn what_the_writer_writes_is_sound() {
    let bench = Bench::new();
    for compression in COMPRESSIONS {
        let mut every_type = TableDefinition::clone(&every_type());
        every_type.properties.insert("compression".to_owned(), compression.to_owned());
        let every_type = Arc::new(every_type);
        let bytes = bench.segment(&every_type, batch_of_every_type(&every_type));
        assert_eq!(bench.inspect(&bytes, &every_type), Ok(2), "{compression}");
        // Several pages of each column, and dictionaries that are given up.
        let two = two_columns(compression);
        let bytes = bench.segment(&two, numbers(&two, 0..150_000));
        assert_eq!(bench.inspect(&bytes, &two), Ok(150_000), "{compression}");
    }
    // Several row groups.
    let mut config = crate::StorageConfig::new("unused");
    config.row_group_rows_max = 20_000;
    let two = two_columns("ZSTD");
    let format = crate::segment::SegmentFormat::new(&two, &config).unwrap();
    let rows = stream(vec![numbers(&two, 0..90_000)]);
    let written = write_segments(&format, bench.dir.path(), "groups", rows, 90_000, 1 << 30).unwrap();
    assert_eq!(metadata_of(&fs::read(&written[0].path).unwrap()).num_row_groups(), 5);
    assert_eq!(inspect(&written[0].path, &two), Ok(90_000));
    // What can be made by hand is sound as well, so that the lies below are what is refused.
    let page = [header(0, 100, 100, 25), (0..25).flat_map(i32::to_le_bytes).collect()].concat();
    assert_eq!(bench.inspect(&file_of(&bench, &page, Compression::UNCOMPRESSED), &keys()), Ok(25));
}

#[test]
fn another_table_is_not_mistaken_for_it() {
    let bench = Bench::new();
    let two = two_columns("ZSTD");
    let bytes = bench.segment(&two, numbers(&two, 0..25));
    let with = |change: fn(&mut TableDefinition)| {
        let mut other = TableDefinition::clone(&two);
        change(&mut other);
        other
    };
    bench.refused(
        &bytes,
        &with(|table| table.columns[0].data_type = DataType::Double),
        "column 'k' is Int32 in it and Float64",
    );
    bench.refused(
        &bytes,
        &with(|table| table.columns[1].data_type = DataType::Varbinary { length: 4 }),
        "column 'v' is Utf8",
    );
    bench.refused(&bytes, &with(|table| table.columns[0].id = ColumnId(7)), "column 'k' is missing");
    assert_eq!(bench.inspect(&bytes, &with(|table| table.columns[1].id = ColumnId(7))), Ok(25));
    let twice = definition(vec![column(1, "k", DataType::Int), column(1, "v", DataType::Varchar { length: 40 })], &[]);
    let bytes = bench.segment(&twice, numbers(&twice, 0..25));
    bench.refused(&bytes, &two, "column 'k' is in it twice");
}

#[test]
fn a_footer_that_lies_is_refused() {
    let bench = Bench::new();
    let two = two_columns("ZSTD");
    let whole = bench.segment(&two, numbers(&two, 0..25));
    for cut in [0, 3, 11, whole.len() / 2, whole.len() - 1] {
        bench.refused(&whole[..cut], &two, "it is no Parquet file");
    }
    for length in [u32::MAX, whole.len() as u32 - 11, 1 << 30] {
        let tail = whole.len() - 8;
        let lie = [&whole[..tail], &length.to_le_bytes(), MAGIC].concat();
        bench.refused(&lie, &two, "it says that its footer has");
    }
    let lies: [(&str, fn(ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder); 15] = [
        ("in another file", |column| column.set_file_path("../../../etc/passwd".to_owned())),
        ("it has 26 values in 25 rows", |column| column.set_num_values(26)),
        ("it has less than no values", |column| column.set_num_values(-25)),
        ("it has -1 bytes", |column| column.set_total_uncompressed_size(-1)),
        ("outside", |column| column.set_data_page_offset(-4).set_dictionary_page_offset(None)),
        ("outside", |column| column.set_data_page_offset(0).set_dictionary_page_offset(None)),
        ("outside", |column| column.set_total_compressed_size(1 << 60)),
        ("outside", |column| column.set_total_compressed_size(-1)),
        ("it says that it has", |column| column.set_total_compressed_size(20)),
        ("which no segment is", |column| column.set_compression(Compression::LZO)),
        ("its offset index: ", |column| column.set_offset_index_offset(Some(4))),
        ("outside", |column| column.set_offset_index_length(Some(i32::MAX))),
        ("its column index: ", |column| column.set_column_index_offset(Some(4))),
        ("its bloom filter has no length", |column| column.set_bloom_filter_offset(Some(4))),
        ("its bloom filter: ", |column| column.set_bloom_filter_offset(Some(4)).set_bloom_filter_length(Some(40))),
    ];
    for (words, lie) in lies {
        bench.refused(&with_column(&whole, lie), &two, words);
    }
    let metadata = metadata_of(&whole);
    let group = metadata.row_group(0).clone().into_builder().set_num_rows(-1).build().unwrap();
    let lie = metadata.into_builder().set_row_groups(vec![group]).build();
    bench.refused(&with_metadata(&whole, &lie), &two, "a row group has -1 rows");
}

/// Goal: what would make the decoder overflow its stack, or make room for what is not there, never reaches it.
#[test]
fn a_schema_without_bounds_is_refused() {
    let bench = Bench::new();
    let schema = |elements: usize, children: i64, claimed: &[u8]| {
        let mut footer = vec![0x15, 2, 0x19];
        footer.extend(claimed);
        for _ in 0..elements {
            footer.extend([0x48, 1, b'a', 0x15]);
            footer.extend(zigzag(children));
            footer.push(0);
        }
        footer.extend([0x16, 0, 0x19, 0x0c, 0]);
        let length = (footer.len() as u32).to_le_bytes();
        [MAGIC, &footer[..], &length, MAGIC].concat()
    };
    let deep = schema(50_000, 1, &[0xfc, 0xd0, 0x86, 0x03]);
    bench.refused(&deep, &keys(), "its schema is nested too deeply");
    bench.refused(&schema(2, i64::from(i32::MAX), &[0x2c]), &keys(), "its schema names more columns than it has");
    bench.refused(&schema(2, -1, &[0x2c]), &keys(), "its schema names more columns than it has");
    bench.refused(&schema(2, 1, &[0xfc, 0xff, 0xff, 0xff, 0xff, 0x07]), &keys(), "it ends too early");
    bench.refused(&schema(100_001, 0, &[0xfc, 0xa1, 0x8d, 0x06]), &keys(), "its schema has too many elements");
}

#[test]
fn a_page_that_lies_is_refused() {
    let bench = Bench::new();
    let values: Vec<u8> = (0..25).flat_map(i32::to_le_bytes).collect();
    let refuse = |chunk: &[u8], compression, words: &str| {
        bench.refused(&file_of(&bench, chunk, compression), &keys(), words);
    };
    let plain = Compression::UNCOMPRESSED;
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let page = |page_type, uncompressed, compressed, count| {
        [header(page_type, uncompressed, compressed, count), values.clone()].concat()
    };
    refuse(&page(0, 100, 100, 24), plain, "its pages have 24 values, it says 25");
    refuse(&page(0, 100, 100, -25), plain, "it does not count its values");
    refuse(&page(0, 100, 101, 25), plain, "it says that it has 101 bytes, 100 are left");
    refuse(&page(0, 100, -1, 25), plain, "it says that its -1 bytes become 100");
    refuse(&page(0, 99, 100, 25), plain, "and it is not compressed");
    refuse(&page(0, i64::from(i32::MAX), 100, 25), zstd, "at most 268435456 are read");
    for compression in [Compression::LZ4_RAW, Compression::SNAPPY] {
        refuse(&page(0, 100 << 20, 100, 25), compression, "which they cannot");
    }
    let dictionary = page(2, 250 << 20, 100, 25);
    let file = file_with(
        &bench,
        &[&dictionary[..], &page(0, 250 << 20, 100, 25)].concat(),
        zstd,
        4 + dictionary.len() as i64,
        Some(4),
    );
    bench.refused(&file, &keys(), "the largest pages of its columns become 524288000 bytes");
    refuse(&page(3, 100, 100, 25), plain, "its type is 3");
    refuse(&page(1, 100, 100, 25), plain, "its type is 1");
    let dictionary = |count| [header(2, 4, 4, count), vec![0; 4]].concat();
    refuse(&[dictionary(1), page(0, 100, 100, 25), dictionary(1)].concat(), plain, "a second dictionary");
    refuse(
        &[dictionary(i64::from(i32::MAX)), page(0, 100, 100, 25)].concat(),
        plain,
        "2147483647 values are in 4 bytes",
    );
    refuse(&[0x15; 40], plain, "makes no sense");
}

/// Goal: a page of gzip makes room for no more than it says. The other codecs keep to that by themselves.
#[test]
fn a_bomb_does_not_go_off() {
    let bench = Bench::new();
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    for _ in 0..64 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let chunk = [header(0, 100, bomb.len() as i64, 25), bomb].concat();
    let file = file_of(&bench, &chunk, Compression::GZIP(GzipLevel::default()));
    bench.refused(&file, &keys(), "it becomes other than the 100 bytes it says");

    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    let chunk = [header(0, 100, bomb.len() as i64, 25), bomb].concat();
    let file = file_of(&bench, &chunk, Compression::ZSTD(ZstdLevel::default()));
    assert_eq!(bench.inspect(&file, &keys()), Ok(25));
    let mut reader = SegmentReader::open(TabletId(1), &bench.path(), &keys().to_arrow()).unwrap();
    assert!(matches!(reader.next(), Some(Err(Error::Corrupt { .. }))));
    assert!(reader.next().is_none(), "a decoder that has failed is not used again");
}

/// Goal: no change of any byte leads to a panic, or to rows that the file does not say it has. Method: change files by
/// chance, in what describes them most of all; open and read those that are not refused.
#[test]
fn a_changed_file_is_refused_or_gives_an_error_or_rows() {
    let bench = Bench::new();
    let every_type = every_type();
    let mut tables = vec![(Arc::clone(&every_type), bench.segment(&every_type, batch_of_every_type(&every_type)))];
    for compression in COMPRESSIONS {
        let two = two_columns(compression);
        tables.push((Arc::clone(&two), bench.segment(&two, numbers(&two, 0..300))));
    }
    let mut random = SmallRng::seed_from_u64(58);
    let (mut refused, mut failed, mut gave_up, mut read) = (0, 0, 0, 0);
    for _ in 0..CHANGED_FILES {
        let (definition, whole) = &tables[random.random_range(0..tables.len())];
        let mut bytes = whole.clone();
        for _ in 0..random.random_range(1..4) {
            let at = match random.random_range(0..3) {
                0 => random.random_range(bytes.len() / 2..bytes.len()),
                1 => random.random_range(0..bytes.len().min(200)),
                _ => random.random_range(0..bytes.len()),
            };
            bytes[at] = match random.random_range(0..4) {
                0 => bytes[at] ^ (1 << random.random_range(0..8)),
                1 => 0,
                2 => 0xff,
                _ => random.random(),
            };
        }
        let Ok(rows) = bench.inspect(&bytes, definition) else {
            refused += 1;
            continue;
        };
        let schema = definition.to_arrow();
        let rows_read = SegmentReader::open(TabletId(1), &bench.path(), &schema)
            .and_then(|mut reader| reader.try_fold(0, |sum, batch| Ok(sum + batch?.rows.num_rows() as u64)));
        match rows_read {
            Ok(rows_read) => {
                assert_eq!(rows_read, rows);
                read += 1;
            }
            Err(error) => {
                failed += 1;
                gave_up += usize::from(error.to_string().contains("the decoder gave up"));
            }
        }
    }
    eprintln!("{refused} refused, {failed} failed, {gave_up} of them by a panic, {read} read");
    assert!(refused > 100 && failed > 100 && read > 100, "the changes go everywhere");
}
