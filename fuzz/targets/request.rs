//! What a member asks another.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    replica::parsers::request::<openraft_rt_tokio::TokioRuntime>(bytes);
});
