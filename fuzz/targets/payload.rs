//! What an entry of the log carries.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    replica::parsers::payload(bytes);
});
