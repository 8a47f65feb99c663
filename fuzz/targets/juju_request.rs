//! A frame of a Juju client.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    server::parsers::juju_request(text);
});
