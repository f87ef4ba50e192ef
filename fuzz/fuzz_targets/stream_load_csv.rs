#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ebla_fuzz_targets::stream_load_csv(data));
