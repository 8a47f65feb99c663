//! A frame of a session's client, at the server.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    server::parsers::client_frame(bytes);
});
