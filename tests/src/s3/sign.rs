//! AWS Signature Version 4 for a request whose body is at hand.

use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::S3Endpoint;

/// Bytes in a block of SHA-256, which HMAC pads its key to.
const BLOCK_BYTES: usize = 64;

/// What is signed beside the request itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Further<'a> {
    /// Another service than S3.
    pub(super) service: Option<&'a str>,
    /// Headers; their names are in lower case.
    pub(super) headers: &'a [(&'a str, &'a str)],
}

/// What to send so that the store believes it.
#[derive(Debug)]
pub(super) struct Signed {
    /// Path and query, encoded.
    pub(super) target: String,
    /// `Host`, the date, the body's digest and the signature.
    pub(super) headers: Vec<(String, String)>,
}

/// Signs a request as of `now`.
pub(super) fn sign(
    endpoint: &S3Endpoint,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
    further: Further<'_>,
    body: &[u8],
    now: SystemTime,
) -> Signed {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (date, time) = date_and_time(seconds);
    let instant = format!("{date}T{time}Z");
    let digest = hex(&Sha256::digest(body));
    let host = endpoint.addr();

    let path = encode(path, true);
    let mut query: Vec<String> =
        query.iter().map(|(k, v)| format!("{}={}", encode(k, false), encode(v, false))).collect();
    query.sort();
    let query = query.join("&");
    let mut headers = vec![("host", host), ("x-amz-content-sha256", &digest), ("x-amz-date", &instant)];
    headers.extend(further.headers);
    headers.sort_unstable();
    let signed_headers = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let listed: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("{method}\n{path}\n{query}\n{listed}\n{signed_headers}\n{digest}");
    let service = further.service.unwrap_or("s3");
    let scope = format!("{date}/{}/{service}/aws4_request", endpoint.region);
    let to_sign = format!("AWS4-HMAC-SHA256\n{instant}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let mut key = format!("AWS4{}", endpoint.secret_key).into_bytes();
    for part in [date.as_str(), &endpoint.region, service, "aws4_request"] {
        key = hmac(&key, part.as_bytes());
    }
    let signature = hex(&hmac(&key, to_sign.as_bytes()));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed_headers}, Signature={signature}",
        endpoint.access_key
    );
    let target = if query.is_empty() { path } else { format!("{path}?{query}") };
    headers.push(("authorization", &authorization));
    Signed { target, headers: headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect() }
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0u8; BLOCK_BYTES];
    if key.len() > BLOCK_BYTES {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode(text: &str, keep_slash: bool) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            b'/' if keep_slash => encoded.push('/'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// `YYYY-MM-DDThh:mm:ssZ`.
pub(crate) fn instant(at: SystemTime) -> String {
    let (date, time) = date_and_time(at.duration_since(UNIX_EPOCH).unwrap().as_secs());
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    format!("{year}-{month}-{day}T{}:{}:{}Z", &time[..2], &time[2..4], &time[4..])
}

/// `YYYYMMDD` and `hhmmss` of seconds since 1970, by counting days in eras of 400 years that begin in March.
fn date_and_time(seconds: u64) -> (String, String) {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (format!("{year:04}{month:02}{day:02}"), format!("{:02}{:02}{:02}", rest / 3600, rest / 60 % 60, rest % 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        for (seconds, date, time) in [
            (0, "19700101", "000000"),
            (951_782_399, "20000228", "235959"),
            (951_782_400, "20000229", "000000"),
            (1_709_251_199, "20240229", "235959"),
            (4_107_542_400, "21000301", "000000"),
        ] {
            assert_eq!(date_and_time(seconds), (date.to_string(), time.to_string()));
        }
    }

    #[test]
    fn hmac_agrees_with_rfc_4231() {
        // Test case 2, and case 6 with its key longer than a block.
        let short = hex(&hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(short, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let long = hex(&hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"));
        assert_eq!(long, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }
}
