//! A token to join by.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    server::parsers::join_token(text);
});
