//! A segment of the log.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    replica::parsers::segment(bytes);
});
