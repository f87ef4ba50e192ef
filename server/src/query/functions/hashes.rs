//! Digests and hashes.

use std::fmt::Write as _;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};
use sha1::{Digest as _, Sha1};

use super::bytes::Bytes;
use super::support::{Args, MANY, Returns, Scalar, Strings};
use crate::query::error::QueryError;

/// The seed StarRocks starts MURMUR_HASH3_32 with.
const MURMUR_SEED: u32 = 104_729;

pub(super) fn functions() -> Vec<Scalar> {
    vec![
        Scalar::text("md5", 1, 1, |args| digest(args, &datafusion::functions::crypto::md5())),
        Scalar::text("md5sum", 1, MANY, |args| {
            let parts: Result<Vec<Strings>> = (0..args.len()).map(|index| args.strings(index)).collect();
            let parts = parts?;
            let joined = args.build_strings(|row, out| {
                parts.iter().filter_map(|part| part.get(row)).for_each(|part| out.push_str(part));
                Some(())
            })?;
            hex_digest(joined, &datafusion::functions::crypto::md5())
        }),
        Scalar::text("sha1", 1, 1, |args| {
            let bytes = Bytes::of(args, 0)?;
            args.build_strings(|row, out| {
                Sha1::digest(bytes.get(row)?).iter().try_for_each(|byte| write!(out, "{byte:02x}")).ok()
            })
        })
        .alias(&["sha"]),
        Scalar::text("sha2", 2, 2, sha2),
        Scalar::int("crc32", 1, 1, |args| {
            let bytes = Bytes::of(args, 0)?;
            Ok(args.build::<Int64Type>(|row| Some(i64::from(crc32(bytes.get(row)?)))))
        }),
        Scalar::new("murmur_hash3_32", 1, MANY, Returns::Type(datafusion::arrow::datatypes::DataType::Int32), |args| {
            let parts: Result<Vec<Strings>> = (0..args.len()).map(|index| args.strings(index)).collect();
            let parts = parts?;
            Ok(args.build::<Int32Type>(|row| {
                let mut hash = MURMUR_SEED;
                for part in &parts {
                    hash = murmur3(part.get(row)?.as_bytes(), hash);
                }
                Some(hash as i32)
            }))
        }),
    ]
}

/// A digest of the engine's, as lower-case hex.
fn digest(args: &Args<'_>, function: &ScalarUDF) -> Result<ArrayRef> {
    let texts = match Bytes::of(args, 0)? {
        Bytes::Binary(..) => return hex_digest(args.array(0)?, function),
        Bytes::Text(texts) => texts,
    };
    let column = args.build_strings(|row, out| {
        out.push_str(texts.get(row)?);
        Some(())
    })?;
    hex_digest(column, function)
}

fn hex_digest(column: ArrayRef, function: &ScalarUDF) -> Result<ArrayRef> {
    let rows = column.len();
    let field = std::sync::Arc::new(datafusion::arrow::datatypes::Field::new("", column.data_type().clone(), true));
    let return_type = function.return_type(&[column.data_type().clone()])?;
    let result = function.invoke_with_args(ScalarFunctionArgs {
        args: vec![ColumnarValue::Array(column)],
        arg_fields: vec![field],
        number_rows: rows,
        return_field: std::sync::Arc::new(datafusion::arrow::datatypes::Field::new("", return_type, true)),
        config_options: std::sync::Arc::new(ConfigOptions::default()),
    })?;
    let array = result.into_array(rows)?;
    if let Some(bytes) = array.as_binary_opt::<i32>() {
        let mut builder = datafusion::arrow::array::StringBuilder::new();
        for value in bytes {
            builder
                .append_option(value.map(|value| value.iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
        }
        return Ok(std::sync::Arc::new(builder.finish()));
    }
    Ok(std::sync::Arc::new(crate::query::convert::to_strings(&array)?))
}

/// SHA2(text, 224 | 256 | 384 | 512 | 0).
fn sha2(args: &Args<'_>) -> Result<ArrayRef> {
    let bits = args.ints(1)?;
    if !args.is_single(1) {
        return Err(QueryError::Semantic("sha2: the length must be a constant".to_owned()).wrap());
    }
    use datafusion::functions::crypto;
    let function = match bits.get(0) {
        Some(224) => crypto::sha224(),
        Some(0 | 256) => crypto::sha256(),
        Some(384) => crypto::sha384(),
        Some(512) => crypto::sha512(),
        _ => return ScalarValue::Utf8(None).to_array_of_size(args.rows()),
    };
    digest(args, &function)
}

/// The checksum of zip and Ethernet.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc_table();
    !bytes.iter().fold(!0, |crc: u32, byte| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8))
}

const fn crc_table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

/// MurmurHash3, the 32-bit variant.
fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    let scramble = |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = seed;
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        let block = tail.iter().rev().fold(0u32, |block, byte| block << 8 | u32::from(*byte));
        hash ^= scramble(block);
    }
    hash ^= bytes.len() as u32;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}
