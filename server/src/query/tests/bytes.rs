//! VARBINARY in functions: bytes that are no text are counted, summed up, cut and joined like any others.

use std::sync::Arc;

use arrow::array::{BinaryArray, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

use super::support::{Fixture, check_rows};

#[test]
fn bytes_that_are_no_text_are_bytes() {
    let f = Fixture::new();
    let fields = vec![Field::new("k", DataType::Int32, true), Field::new("b", DataType::Binary, true)];
    let bytes = BinaryArray::from(vec![Some(&[0xff, 0, 0xab][..]), Some(b"abc"), None]);
    let columns: Vec<arrow::array::ArrayRef> = vec![Arc::new(Int32Array::from(vec![1, 2, 3])), Arc::new(bytes)];
    f.table("t", &[RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()]);
    check_rows(
        &f,
        &[
            (
                "SELECT length(b), octet_length(b), bit_length(b), ascii(b) FROM t ORDER BY k",
                &["3|3|24|255", "3|3|24|97", "NULL|NULL|NULL|NULL"],
            ),
            (
                "SELECT md5(b) FROM t ORDER BY k",
                &["eca4cebff485fc2678cb225773094c06", "900150983cd24fb0d6963f7d28e17f72", "NULL"],
            ),
            (
                "SELECT sha1(b), crc32(b), to_base64(b) FROM t WHERE k = 1",
                &["6908f80f5015ce6494677657853aea112f010cd3|14522271|/wCr"],
            ),
            (
                "SELECT sha2(b, 256) FROM t WHERE k = 1",
                &["4ec267c25c6b1f9e3d54b0079c4c857c1fcb0f6727b2b22ff94ec4c9aed4ac5f"],
            ),
            (
                "SELECT hex(left(b, 1)), hex(right(b, 2)), hex(left(b, -1)), hex(right(b, 9)) FROM t ORDER BY k",
                &["FF|00AB||FF00AB", "61|6263||616263", "NULL|NULL|NULL|NULL"],
            ),
            (
                "SELECT hex(concat(b, 'a', 1)), length(concat(b, b)) FROM t ORDER BY k",
                &["FF00AB6131|6", "6162636131|6", "NULL|NULL"],
            ),
            (
                "SELECT concat(b, '!'), left(b, 2), md5(left(b, 2)) FROM t WHERE k = 2",
                &["abc!|ab|187ef4436122d1cc2f40dc2b92f0eba0"],
            ),
            ("SELECT k FROM t WHERE left(b, 1) = 'a'", &["2"]),
            (
                "SELECT length('añ'), left('añb', 2), concat('a', 1), md5('abc')",
                &["3|añ|a1|900150983cd24fb0d6963f7d28e17f72"],
            ),
        ],
    );
}
