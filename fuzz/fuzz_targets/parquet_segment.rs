#![no_main]

// Decoders panic on some of these bytes, and what reads segments bears it: only a panic that leaves the target ends the
// fuzzer, which otherwise takes every panic for a finding.
libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |data: &[u8]| {
    ebla_fuzz_targets::parquet_segment(data);
});
