//! Which encoding each column of a segment gets, guessed from its first rows.
//!
//! A dictionary pays when values come again; numbers that differ little from their neighbours, or have few bits, are
//! smaller as deltas, and texts that hardly repeat are better compressed as they are. The guess is a rough price in
//! bits a row of either form. It depends on the rows alone, so that the same rows give the same bytes.

use std::collections::HashSet;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType as ArrowType, TimeUnit};
use parquet::basic::Encoding;

/// Bytes beyond which the writer gives a dictionary up.
const DICTIONARY_BYTES_MAX: f64 = (1 << 20) as f64;

/// Fewer rows say too little, and what they weigh does not matter.
const SAMPLE_ROWS_MIN: usize = 512;

/// Deltas that share a width.
const MINIBLOCK: usize = 32;

/// What texts shrink to when they are compressed.
const TEXT_COMPRESSION: f64 = 0.4;

/// How a column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ColumnEncoding {
    /// Whether to try a dictionary.
    pub(super) dictionary: bool,
    /// The form without one, or beyond its size; `None` is plain.
    pub(super) fallback: Option<Encoding>,
}

/// The encoding of a column of which `sample` is the beginning, in a segment of about `rows` rows. `leading` is whether
/// the segment is sorted by it before all others.
pub(super) fn choose(sample: &ArrayRef, rows: u64, leading: bool) -> ColumnEncoding {
    let fallback = fallback_of(sample.data_type(), leading);
    let dictionary = match fallback {
        // Neighbours of a sorted number differ by little: no dictionary beats that.
        Some(Encoding::DELTA_BINARY_PACKED) if leading => false,
        Some(fallback) if sample.len() >= SAMPLE_ROWS_MIN => is_dictionary_smaller(sample, rows, fallback),
        _ => true,
    };
    ColumnEncoding { dictionary, fallback }
}

fn fallback_of(data_type: &ArrowType, leading: bool) -> Option<Encoding> {
    match data_type {
        ArrowType::Int8
        | ArrowType::Int16
        | ArrowType::Int32
        | ArrowType::Int64
        | ArrowType::Date32
        | ArrowType::Timestamp(..) => Some(Encoding::DELTA_BINARY_PACKED),
        // Up to 18 digits, Parquet keeps a decimal as an integer.
        ArrowType::Decimal128(precision, _) if *precision <= 18 => Some(Encoding::DELTA_BINARY_PACKED),
        ArrowType::Utf8 | ArrowType::Binary if leading => Some(Encoding::DELTA_BYTE_ARRAY),
        ArrowType::Utf8 | ArrowType::Binary => Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
        ArrowType::Float32 | ArrowType::Float64 => Some(Encoding::BYTE_STREAM_SPLIT),
        _ => None,
    }
}

fn is_dictionary_smaller(sample: &ArrayRef, rows: u64, fallback: Encoding) -> bool {
    let Some(seen) = distinct(sample) else { return true };
    let sampled = (sample.len() - sample.null_count()) as f64;
    if sampled == 0.0 {
        return true;
    }
    let rows = (rows as f64).max(sampled);
    let values = expected_distinct(seen as f64, sampled, rows);
    // Bits of one value in a dictionary, and of one row without.
    let (value_bits, plain_bits) = match fallback {
        Encoding::DELTA_BINARY_PACKED => {
            let Some(numbers) = numbers(sample) else { return true };
            let width = if rows_are_wide(sample.data_type()) { 64.0 } else { 32.0 };
            (width, delta_bits(&numbers))
        }
        Encoding::BYTE_STREAM_SPLIT => {
            let width = if sample.data_type() == &ArrowType::Float32 { 32.0 } else { 64.0 };
            (width, width)
        }
        _ => {
            let bits = (text_bytes(sample) as f64 / sampled) * 8.0 * TEXT_COMPRESSION;
            (bits, bits)
        }
    };
    if values * value_bits / 8.0 > DICTIONARY_BYTES_MAX {
        return false;
    }
    let dictionary_bits = values.log2().max(1.0) + values * value_bits / rows;
    dictionary_bits <= plain_bits
}

/// Different values of the sample; `None` for types that are not compared.
fn distinct(sample: &ArrayRef) -> Option<usize> {
    let converter = RowConverter::new(vec![SortField::new(sample.data_type().clone())]).ok()?;
    let rows = converter.convert_columns(std::slice::from_ref(sample)).ok()?;
    let mut seen = HashSet::with_capacity(rows.num_rows());
    for (position, row) in rows.iter().enumerate() {
        if sample.is_valid(position) {
            seen.insert(row.data());
        }
    }
    Some(seen.len())
}

/// Different values of the whole, if `sampled` of its rows, drawn from values that are equally likely, have `seen`:
/// the number `n` for which `n (1 - e^(-sampled/n))` is `seen`.
fn expected_distinct(seen: f64, sampled: f64, rows: f64) -> f64 {
    let (mut low, mut high) = (seen, rows.max(seen));
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if middle * (1.0 - (-sampled / middle).exp()) < seen {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

fn rows_are_wide(data_type: &ArrowType) -> bool {
    match data_type {
        ArrowType::Int64 | ArrowType::Timestamp(..) => true,
        // Up to nine digits, Parquet keeps a decimal in 32 bits.
        ArrowType::Decimal128(precision, _) => *precision > 9,
        _ => false,
    }
}

fn numbers(sample: &ArrayRef) -> Option<Vec<i128>> {
    macro_rules! collect {
        ($type:ty) => {
            sample.as_primitive::<$type>().iter().flatten().map(i128::from).collect()
        };
    }
    Some(match sample.data_type() {
        ArrowType::Int8 => collect!(Int8Type),
        ArrowType::Int16 => collect!(Int16Type),
        ArrowType::Int32 => collect!(Int32Type),
        ArrowType::Int64 => collect!(Int64Type),
        ArrowType::Date32 => collect!(Date32Type),
        ArrowType::Timestamp(TimeUnit::Microsecond, None) => collect!(TimestampMicrosecondType),
        ArrowType::Decimal128(..) => collect!(Decimal128Type),
        _ => return None,
    })
}

/// Bits a row as deltas: each miniblock has the width of its widest delta.
fn delta_bits(numbers: &[i128]) -> f64 {
    let deltas: Vec<i128> = numbers.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    let mut bits = 0;
    for block in deltas.chunks(MINIBLOCK) {
        let (Some(least), Some(greatest)) = (block.iter().min(), block.iter().max()) else { continue };
        let range = greatest.saturating_sub(*least).unsigned_abs();
        bits += (u128::BITS - range.leading_zeros()) as usize * block.len();
    }
    bits as f64 / deltas.len().max(1) as f64
}

fn text_bytes(sample: &ArrayRef) -> usize {
    let span = |offsets: &[i32]| match (offsets.first(), offsets.last()) {
        // Offsets of an array never fall.
        (Some(first), Some(last)) => (last - first) as usize,
        _ => 0,
    };
    match sample.data_type() {
        ArrowType::Utf8 => span(sample.as_string::<i32>().offsets()),
        ArrowType::Binary => span(sample.as_binary::<i32>().offsets()),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{BooleanArray, Float64Array, Int32Array, Int64Array, StringArray};
    use std::sync::Arc;

    /// Numbers without order, the same every time.
    fn scattered(below: u64) -> impl Iterator<Item = u64> {
        (0..8192_u64).map(move |row| row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20).map(move |number| number % below)
    }

    fn dictionary(sample: ArrayRef, rows: u64) -> bool {
        choose(&sample, rows, false).dictionary
    }

    #[test]
    fn a_dictionary_is_for_values_that_come_again() {
        let ints = |below| Arc::new(scattered(below).map(|number| Some(number as i32)).collect::<Int32Array>());
        assert!(!dictionary(ints(200_000), 400_000), "keys of another table");
        assert!(dictionary(
            Arc::new(scattered(50).map(|n| Some((n * n * 9973) as i32)).collect::<Int32Array>()),
            400_000
        ));
        // Few values of many bits: deltas would be as wide as the values.
        let wide = scattered(5000).map(|number| Some((number as i64).wrapping_mul(0x5851_f42d_4c95_7f2d)));
        assert!(dictionary(Arc::new(wide.collect::<Int64Array>()), 1 << 20));
        // Rows in steps of one.
        assert!(!dictionary(Arc::new((0..8192).map(|row| row % 4096).collect::<Int32Array>()), 1 << 20));

        let texts = |below| -> ArrayRef {
            Arc::new(
                scattered(below).map(|number| Some(format!("carefully final text {number}"))).collect::<StringArray>(),
            )
        };
        assert!(dictionary(texts(100), 1 << 20));
        assert!(!dictionary(texts(u64::MAX), 1 << 20));
        let floats =
            |below| Arc::new(scattered(below).map(|number| Some(number as f64 / 7.0)).collect::<Float64Array>());
        assert!(dictionary(floats(100), 1 << 20));
        assert!(!dictionary(floats(u64::MAX), 1 << 20));
        assert!(dictionary(Arc::new(BooleanArray::from(vec![true; 8192])), 8192));
        assert!(dictionary(Arc::new(Int32Array::from(vec![None; 8192])), 8192));
    }

    #[test]
    fn the_leading_column_is_deltas() {
        let sorted: ArrayRef = Arc::new((0..8192).collect::<Int32Array>());
        let deltas = ColumnEncoding { dictionary: false, fallback: Some(Encoding::DELTA_BINARY_PACKED) };
        assert_eq!(choose(&sorted, 8192, true), deltas);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"; 10]));
        assert_eq!(choose(&texts, 10, true).fallback, Some(Encoding::DELTA_BYTE_ARRAY));
    }

    #[test]
    fn distinct_values_are_estimated() {
        let close = |estimate: f64, wanted: f64| (estimate / wanted - 1.0).abs() < 0.05;
        let seen = |values: f64| values * (1.0 - (-8192.0 / values).exp());
        for values in [10.0, 1000.0, 20_000.0, 200_000.0] {
            assert!(close(expected_distinct(seen(values), 8192.0, 1e6), values), "{values}");
        }
        assert!(close(expected_distinct(8192.0, 8192.0, 1e6), 1e6));
    }
}
