//! What a member is answered by another.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    replica::parsers::reply::<openraft_rt_tokio::TokioRuntime>(bytes);
});
