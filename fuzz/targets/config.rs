//! A configuration's file.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    server::parsers::config(text);
});
