//! A snapshot of Juju's leases.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzz::juju_snapshot(text);
});
