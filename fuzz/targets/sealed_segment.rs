//! Records of any kind in any order, under checksums that are right.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    replica::parsers::records(bytes);
});
