//! Free loopback ports for programs that cannot choose one themselves.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::{LazyLock, Mutex};

/// Below the range from which the kernel takes the ports of outgoing connections: nobody takes one of ours
/// while a killed program is being restarted on it.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

static GIVEN: LazyLock<Mutex<BTreeSet<u16>>> = LazyLock::new(Mutex::default);

/// As many different ports as asked for, free just now and never given twice by this process.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let mut given = GIVEN.lock().unwrap();
    std::array::from_fn(|_| {
        loop {
            let port = rand::random_range(RANGE);
            if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
                given.insert(port);
                return port;
            }
        }
    })
}
