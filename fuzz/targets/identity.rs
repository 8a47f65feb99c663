//! A data folder's identity.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    server::parsers::identity(text);
});
