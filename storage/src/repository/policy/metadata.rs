//! Addresses that serve this machine's own secrets: link-local ones, and the metadata services of clouds, in every form
//! in which an address can be written or carried within another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metadata services by name, for a message before anything is resolved. What else leads there is found out when a name
/// is resolved.
const SERVICES: &[&str] = &[
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "instance-data",
    "instance-data.ec2.internal",
];

/// Metadata services whose addresses are not link-local: Azure, Alibaba Cloud, Oracle Cloud.
const SERVICES_V4: &[Ipv4Addr] =
    &[Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];

/// Google Cloud over IPv6.
const SERVICE_OF_GOOGLE: Ipv6Addr = Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254);

/// How a host is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// A name that is to be resolved.
    Name,
    /// An address as everybody reads it.
    Address(IpAddr),
    /// Numbers in a form that resolvers of old take for an address, and which one; `None` when they are too many or too
    /// large. `2852039166`, `0xa9fea9fe` and `0251.0376.0251.0376` are 169.254.169.254.
    OldNumbers(Option<Ipv4Addr>),
}

/// How `host`, in lower case and without brackets and a dot at its end, is written.
pub(super) fn spelled(host: &str) -> Spelling {
    if let Ok(address) = host.parse() {
        return Spelling::Address(address);
    }
    let parts: Vec<&str> = host.split('.').collect();
    let is_number = |part: &&str| match part.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()),
    };
    if parts.iter().all(is_number) { Spelling::OldNumbers(old_numbers(&parts)) } else { Spelling::Name }
}

/// One to four numbers; the last stands for all bytes that are left.
fn old_numbers(parts: &[&str]) -> Option<Ipv4Addr> {
    let (last, first) = parts.split_last()?;
    let mut bits: u32 = 0;
    for (nth, part) in first.iter().enumerate() {
        let byte = u8::try_from(old_number(part)?).ok()?;
        bits |= u32::from(byte).checked_shl(24_u32.checked_sub(8 * u32::try_from(nth).ok()?)?)?;
    }
    let left = 32_u32.checked_sub(8 * u32::try_from(first.len()).ok()?).filter(|left| *left > 0)?;
    let last = old_number(last)?;
    (u64::from(last) < 1_u64 << left).then(|| Ipv4Addr::from_bits(bits | last))
}

/// A number in base 16 after `0x`, in base 8 after `0`, else in base 10.
fn old_number(part: &str) -> Option<u32> {
    match (part.strip_prefix("0x"), part.strip_prefix('0')) {
        (Some(""), _) | (_, Some("")) => Some(0),
        (Some(hex), _) => u32::from_str_radix(hex, 16).ok(),
        (_, Some(octal)) => u32::from_str_radix(octal, 8).ok(),
        _ => part.parse().ok(),
    }
}

/// Whether `host`, in lower case, is a metadata service by its name.
pub(super) fn is_service(host: &str) -> bool {
    SERVICES.contains(&host)
}

/// Whether nothing is connected to at this address.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_forbidden_v4(address),
        IpAddr::V6(address) => is_forbidden_v6(address) || carried(address).is_some_and(is_forbidden_v4),
    }
}

fn is_forbidden_v4(address: Ipv4Addr) -> bool {
    address.is_link_local() || SERVICES_V4.contains(&address)
}

fn is_forbidden_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // AWS's own services for instances: metadata, credentials of pods, time, names.
        [0xfd00, 0xec2, ..] => true,
        // What a translator of the local network does with these is its affair: they may lead anywhere.
        [0x64, 0xff9b, 1, ..] => true,
        _ => address.is_unicast_link_local() || address == SERVICE_OF_GOOGLE,
    }
}

/// The IPv4 address that this one leads to.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let last = Ipv4Addr::from_bits(u32::try_from(address.to_bits() & u128::from(u32::MAX)).ok()?);
    match address.segments() {
        // ::a.b.c.d, ::ffff:a.b.c.d and ::ffff:0:a.b.c.d
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => Some(last),
        // 64:ff9b::a.b.c.d
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(last),
        // 6to4
        [0x2002, high, low, ..] => Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))),
        // Teredo hides the client's in its complement.
        [0x2001, 0, ..] => Some(Ipv4Addr::from_bits(!last.to_bits())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_forbidden() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "169.254.0.1",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fe80::1",
            "fd00:ec2::23",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "::ffff:168.63.129.16",
            "::100.100.100.200",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::169.254.170.23",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
            "2002:a9fe:a9fe::1",
            "2001:0:1:2:3:4:5601:5601",
        ] {
            assert!(is_forbidden(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn addresses_that_are_not() {
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "169.253.255.255",
            "168.63.129.17",
            "100.100.100.201",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "fd00:ec3::254",
            "fd20:ce::255",
            "64:ff9b::a00:1",
            "64:ff9b:2::a9fe:a9fe",
            "2001:db8::a9fe:a9fe",
            "2002:a00:1::a9fe:a9fe",
        ] {
            assert!(!is_forbidden(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn spellings() {
        let metadata = Some(Ipv4Addr::new(169, 254, 169, 254));
        for host in [
            "2852039166",
            "0xa9fea9fe",
            "025177524776",
            "0251.0376.0251.0376",
            "0xa9.0xfe.0xa9.0xfe",
            "0xa9.254.0251.254",
            "169.16689662",
            "169.254.43518",
            "169.254.0xa9fe",
            "0x00000000a9fea9fe",
        ] {
            assert_eq!(spelled(host), Spelling::OldNumbers(metadata), "{host}");
        }
        assert_eq!(spelled("127.1"), Spelling::OldNumbers(Some(Ipv4Addr::LOCALHOST)));
        assert_eq!(spelled("0x"), Spelling::OldNumbers(Some(Ipv4Addr::UNSPECIFIED)));
        for host in ["1.2.3.4.5", "256.1", "4294967296", "1.2.3.256", "09", "1.2.65536", "99999999999999999999"] {
            assert_eq!(spelled(host), Spelling::OldNumbers(None), "{host}");
        }
        for host in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"] {
            assert_eq!(spelled(host), Spelling::Address(host.parse().unwrap()), "{host}");
        }
        for host in ["s3.example.com", "0xg", "169.254.169.254.example", "", "a..b"] {
            assert_eq!(spelled(host), Spelling::Name, "{host}");
        }
    }
}
