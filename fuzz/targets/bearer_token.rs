//! A token that clients come by.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    server::parsers::bearer_token(text);
});
