//! Texts in quotes that are not UTF-8: bytes, as dumps write those of VARBINARY columns.
//!
//! Statements are UTF-8 here, and everything behind the wire may rely on it. An INSERT whose quoted values are not is
//! given on with these values in the form `x'00FF'`, which means the same bytes. Anything else that is not UTF-8, and any
//! byte outside of quotes, is refused as before.

/// The statement with its values of bytes in hexadecimal; `None` when that does not make it UTF-8.
pub(super) fn in_hexadecimal(sql: &[u8]) -> Option<String> {
    if !is_insert(sql) {
        return None;
    }
    let mut out = Vec::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(first) = rest.first() {
        let length = match first {
            quote @ (b'\'' | b'"' | b'`') => quoted_bytes(rest, *quote)?,
            _ => 1,
        };
        let (piece, behind) = rest.split_at(length);
        match first {
            b'\'' | b'"' if std::str::from_utf8(piece).is_err() => push_hexadecimal(&mut out, piece),
            _ => out.extend_from_slice(piece),
        }
        rest = behind;
    }
    String::from_utf8(out).ok()
}

fn is_insert(sql: &[u8]) -> bool {
    let sql = sql.trim_ascii_start();
    [&b"INSERT"[..], b"REPLACE"]
        .iter()
        .any(|word| sql.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word)))
}

/// The bytes of what stands in quotes here, the quotes included; `None` when it does not end. A quote that is doubled
/// ends one text and begins another, which is as good.
fn quoted_bytes(text: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'\\' if quote != b'`' => at += 2,
            byte if *byte == quote && text.get(at + 1) == Some(&quote) => at += 2,
            byte if *byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// Appends a text in quotes as `x'…'`.
fn push_hexadecimal(out: &mut Vec<u8>, quoted: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let Some((quote, inner)) = quoted.split_first() else { return };
    let mut bytes = inner.strip_suffix(&[*quote]).unwrap_or(inner).iter().copied();
    out.extend_from_slice(b"x'");
    let mut push = |byte: u8| {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    };
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(b'0') => push(0),
                Some(b'b') => push(8),
                Some(b't') => push(b'\t'),
                Some(b'n') => push(b'\n'),
                Some(b'r') => push(b'\r'),
                Some(b'Z') => push(26),
                // LIKE reads these, so they keep their backslash.
                Some(escaped @ (b'%' | b'_')) => {
                    push(b'\\');
                    push(escaped);
                }
                Some(escaped) => push(escaped),
                None => push(b'\\'),
            },
            doubled if doubled == *quote => {
                bytes.next();
                push(doubled);
            }
            byte => push(byte),
        }
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_bytes_become_hexadecimal() {
        for (sql, read) in [
            (&b"INSERT INTO t VALUES (1,'a\xff\\'','\xc3\xbc')"[..], Some("INSERT INTO t VALUES (1,x'61FF27','ü')")),
            (b" insert into `t\"` values (\"\xff''\"\"\")", Some(" insert into `t\"` values (x'FF272722')")),
            (b"INSERT INTO t VALUES ('\\0\\b\\t\\n\\r\\Z\\%\\_\\\\\xff''')", {
                Some("INSERT INTO t VALUES (x'0008090A0D1A5C255C5F5CFF27')")
            }),
            (b"REPLACE INTO t VALUES ('\xe2\x82')", Some("REPLACE INTO t VALUES (x'E282')")),
            // Not in quotes, without an end, and not an INSERT.
            (b"INSERT INTO t VALUES (\xff)", None),
            (b"INSERT INTO `\xff` VALUES (1)", None),
            (b"INSERT INTO t VALUES ('\xff", None),
            (b"INSERT INTO t VALUES ('\xff\\", None),
            (b"SELECT '\xff'", None),
        ] {
            assert_eq!(in_hexadecimal(sql).as_deref(), read, "{}", sql.escape_ascii());
        }
    }
}
