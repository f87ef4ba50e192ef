//! Replays the seeds of the fuzzer, so that what it once found stays found on a toolchain that cannot fuzz.

use std::path::Path;

use super::properties::check;

#[test]
fn the_seeds_of_the_fuzzer_hold() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/sql_parse");
    let mut texts = 0;
    for entry in std::fs::read_dir(seeds).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        check(&String::from_utf8_lossy(&bytes));
        texts += 1;
    }
    assert!(texts >= 20, "{texts} texts");
}
