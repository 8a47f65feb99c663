//! A token that clients come by, under a checksum that is right.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    server::parsers::sealed_bearer_token(text);
});
