//! A snapshot or a backup.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    replica::parsers::snapshot(bytes);
});
