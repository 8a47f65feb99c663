//! The same, under a checksum that is right.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    server::parsers::sealed_join_token(bytes);
});
