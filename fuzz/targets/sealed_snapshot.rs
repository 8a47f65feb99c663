//! The same, under checksums that are right.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    replica::parsers::sealed_snapshot(bytes);
});
