//! A duration in Go's form.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    fuzz::duration(text);
});
