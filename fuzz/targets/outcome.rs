//! What the leader answers a member.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::outcome(bytes);
});
