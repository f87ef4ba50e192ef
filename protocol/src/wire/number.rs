//! Numbers as MySQL prints them.
//!
//! Floating point numbers have the fewest digits that read back as the same number, in plain notation from
//! 1e-15 up to (not including) 1e15 and with an exponent (`1.5e20`, `1e-16`) beyond. Exact numbers keep
//! their scale.

use std::fmt::Display;
use std::io::Write;

/// From this power of ten on a number is written with an exponent; likewise below its reciprocal.
const PLAIN_EXPONENT_MAX: i32 = 15;
/// Longer than any number's text: an i256 has 77 digits.
const TEXT_BYTES_MAX: usize = 96;

/// Appends anything whose text is short.
pub(super) fn put_display(out: &mut Vec<u8>, value: impl Display) {
    // Writing to memory does not fail.
    let _ = write!(out, "{value}");
}

/// Appends a floating point number; both widths, each with its own shortest digits.
pub(super) fn put_float<F: std::fmt::LowerExp>(out: &mut Vec<u8>, value: F) {
    let mut text = [0; TEXT_BYTES_MAX];
    let text = short_text(&mut text, format_args!("{value:e}"));
    let (sign, unsigned) = split_sign(text);
    let Some((mantissa, exponent)) = unsigned.split_once('e') else {
        // NaN and the infinities have no exponent; MySQL has none of them.
        out.extend_from_slice(text.to_ascii_lowercase().as_bytes());
        return;
    };
    let exponent = exponent.parse::<i32>().unwrap_or_default();
    out.extend_from_slice(sign.as_bytes());
    if !(-PLAIN_EXPONENT_MAX..PLAIN_EXPONENT_MAX).contains(&exponent) {
        out.extend_from_slice(unsigned.as_bytes());
        return;
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.bytes().chain(fraction.bytes());
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
        out.extend(digits);
    } else {
        let whole_digits = exponent as usize + 1;
        let missing = whole_digits.saturating_sub(1 + fraction.len());
        for (index, digit) in digits.enumerate() {
            if index == whole_digits {
                out.push(b'.');
            }
            out.push(digit);
        }
        out.extend(std::iter::repeat_n(b'0', missing));
    }
}

/// Appends an exact number: `unscaled` times ten to the power of `-scale`.
pub(super) fn put_decimal(out: &mut Vec<u8>, unscaled: impl Display, scale: i8) {
    let mut text = [0; TEXT_BYTES_MAX];
    let text = short_text(&mut text, format_args!("{unscaled}"));
    let (sign, digits) = split_sign(text);
    out.extend_from_slice(sign.as_bytes());
    match usize::try_from(scale) {
        Ok(0) => out.extend_from_slice(digits.as_bytes()),
        Ok(scale) => {
            let whole_digits = digits.len().saturating_sub(scale);
            match whole_digits {
                0 => out.push(b'0'),
                _ => out.extend_from_slice(&digits.as_bytes()[..whole_digits]),
            }
            out.push(b'.');
            out.extend(std::iter::repeat_n(b'0', scale.saturating_sub(digits.len())));
            out.extend_from_slice(&digits.as_bytes()[whole_digits..]);
        }
        Err(_) => {
            out.extend_from_slice(digits.as_bytes());
            if digits != "0" {
                let zeros = usize::from(scale.unsigned_abs());
                out.extend(std::iter::repeat_n(b'0', zeros));
            }
        }
    }
}

/// Formats into a buffer on the stack, once per cell instead of one allocation per cell.
fn short_text<'a>(buffer: &'a mut [u8; TEXT_BYTES_MAX], text: std::fmt::Arguments<'_>) -> &'a str {
    let mut rest = &mut buffer[..];
    // What does not fit is cut off; nothing that long is ever passed.
    let _ = rest.write_fmt(text);
    let unused = rest.len();
    std::str::from_utf8(&buffer[..TEXT_BYTES_MAX - unused]).unwrap_or_default()
}

fn split_sign(text: &str) -> (&str, &str) {
    text.split_at(usize::from(text.starts_with('-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(value: f64) -> String {
        let mut out = Vec::new();
        put_float(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    fn decimal(unscaled: i128, scale: i8) -> String {
        let mut out = Vec::new();
        put_decimal(&mut out, unscaled, scale);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_look_like_mysqls() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (123456.789, "123456.789"),
            (100000.0, "100000"),
            (1e14, "100000000000000"),
            (123456789012345.6, "123456789012345.6"),
            (1e15, "1e15"),
            (1e20, "1e20"),
            (-1.5e300, "-1.5e300"),
            (0.00001, "0.00001"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float(value), text);
        }
        let mut single = Vec::new();
        put_float(&mut single, 0.1_f32);
        assert_eq!(single, b"0.1");
    }

    #[test]
    fn decimals_keep_their_scale() {
        for (unscaled, scale, text) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (12345, 2, "123.45"),
            (-100, 2, "-1.00"),
            (7, -3, "7000"),
            (0, -3, "0"),
            (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
        ] {
            assert_eq!(decimal(unscaled, scale), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn floats_read_back(value: f64) {
            proptest::prop_assume!(value.is_finite());
            proptest::prop_assert_eq!(float(value).parse::<f64>().unwrap(), value);
        }

        #[test]
        fn singles_read_back(value: f32) {
            proptest::prop_assume!(value.is_finite());
            let mut out = Vec::new();
            put_float(&mut out, value);
            proptest::prop_assert_eq!(String::from_utf8(out).unwrap().parse::<f32>().unwrap(), value);
        }
    }
}
