#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(diffeo_fuzz::sounds::wav(bytes)));
