//! The table in a snapshot.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::table(bytes);
});
