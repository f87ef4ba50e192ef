#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ebla_fuzz_targets::parquet_segment(data));
