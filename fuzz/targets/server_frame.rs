//! A frame of a session's server, at the client.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzz::server_frame(text);
});
