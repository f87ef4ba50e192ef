//! Numbers out of text, exactly where the type is exact.

use std::str::FromStr as _;

use datafusion::arrow::array::{Decimal128Array, Decimal256Array, StringArray};
use datafusion::arrow::datatypes::i256;
use datafusion::arrow::error::ArrowError;

/// Digits of the wide decimal that texts are read into.
const WIDE_PRECISION: u8 = 76;

/// Reads a DOUBLE; `None` for anything but one whole number text. `-0` is zero like any other.
pub(crate) fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim_ascii();
    // The standard parser also takes "inf" and "nan", which are no numbers in SQL.
    let starts_well = text.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !starts_well {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| value + 0.0)
}

/// The integer towards zero; `None` out of range.
pub(crate) fn double_to_int(value: f64) -> Option<i64> {
    let whole = value.trunc();
    // 2^63 is exact in a double, i64::MAX is not.
    ((-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&whole)).then_some(whole as i64)
}

/// Texts as decimals of this scale, half away from zero; NULL for what is no number or too large.
pub(crate) fn decimals_of(strings: &StringArray, scale: i8) -> Result<Decimal256Array, ArrowError> {
    let values: Decimal256Array = strings.iter().map(|text| text.and_then(|text| parse_decimal(text, scale))).collect();
    values.with_precision_and_scale(WIDE_PRECISION, scale)
}

/// The digits before the point; NULL for what has more of them than 128 bits hold.
pub(crate) fn whole_of(wide: &Decimal256Array) -> Result<Decimal128Array, ArrowError> {
    let unit = i256::from_i128(10).checked_pow(u32::try_from(wide.scale()).unwrap_or(0)).unwrap_or(i256::ONE);
    let whole: Decimal128Array =
        wide.iter().map(|value| value.and_then(|value| value.checked_div(unit)).and_then(i256::to_i128)).collect();
    whole.with_precision_and_scale(38, 0)
}

/// Texts as whole numbers: what is behind the point is left out, as it is where a number becomes an integer. NULL for
/// what is no number or too large.
pub(crate) fn integers_of(strings: &StringArray) -> Result<Decimal256Array, ArrowError> {
    let values: Decimal256Array =
        strings.iter().map(|text| text.and_then(|text| parse_digits(text, 0, Rest::Dropped))).collect();
    values.with_precision_and_scale(WIDE_PRECISION, 0)
}

/// Wide decimals without the digits behind the point.
pub(crate) fn integers_of_decimals(wide: &Decimal256Array) -> Result<Decimal256Array, ArrowError> {
    let unit = i256::from_i128(10).checked_pow(u32::try_from(wide.scale()).unwrap_or(0)).unwrap_or(i256::ONE);
    let whole: Decimal256Array = wide.iter().map(|value| value.and_then(|value| value.checked_div(unit))).collect();
    whole.with_precision_and_scale(WIDE_PRECISION, 0)
}

/// What becomes of digits that a scale has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Half away from zero.
    Rounded,
    /// They are left out.
    Dropped,
}

/// Reads `-12.345e6` into digits at a scale, half away from zero.
pub(crate) fn parse_decimal(text: &str, scale: i8) -> Option<i256> {
    parse_digits(text, scale, Rest::Rounded)
}

fn parse_digits(text: &str, scale: i8, rest: Rest) -> Option<i256> {
    let text = text.trim_ascii();
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    // How many of the digits are kept: those before the point, moved by the exponent, and `scale` after it.
    let kept = i64::try_from(whole.len()).ok()? + exponent.clamp(-10_000, 10_000) + i64::from(scale);
    let length = i64::try_from(digits.len()).ok()?;
    let value = if kept < 0 {
        i256::ZERO
    } else if kept >= length {
        let zeros = usize::try_from(kept - length).ok()?;
        let significant = digits.trim_start_matches('0');
        if significant.is_empty() {
            i256::ZERO
        } else if significant.len() + zeros > usize::from(WIDE_PRECISION) {
            return None;
        } else {
            i256::from_str(&format!("{significant}{}", "0".repeat(zeros))).ok()?
        }
    } else {
        let kept = usize::try_from(kept).ok()?;
        let round_up = rest == Rest::Rounded && digits.as_bytes()[kept] >= b'5';
        let significant = digits[..kept].trim_start_matches('0');
        if significant.len() > usize::from(WIDE_PRECISION) {
            return None;
        }
        let value = if significant.is_empty() { i256::ZERO } else { i256::from_str(significant).ok()? };
        if round_up { value.checked_add(i256::ONE)? } else { value }
    };
    Some(if negative { value.wrapping_neg() } else { value })
}

/// Digits and scale of a plain number text (no exponent); `None` for anything else.
pub(crate) fn plain_decimal(text: &str) -> Option<(i256, i8)> {
    let trimmed = text.trim_ascii();
    if trimmed.contains(['e', 'E']) {
        return None;
    }
    let fraction = trimmed.split_once('.').map_or("", |(_, fraction)| fraction);
    let scale = i8::try_from(fraction.len()).ok().filter(|scale| *scale <= 38)?;
    parse_decimal(trimmed, scale).map(|digits| (digits, scale))
}
