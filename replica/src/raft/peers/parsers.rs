//! What must hold of frames and payloads of any bytes; see [`crate::parsers`].

use openraft::async_runtime::AsyncRuntime;

use super::wire::{Reply, Request};
use crate::raft::codec::{decode_payload, encode_payload};

/// What a member asks another.
pub fn request<R: AsyncRuntime>(bytes: &[u8]) -> bool {
    let Ok(request) = Request::<R>::decode(bytes) else { return false };
    assert!(request.encode() == bytes, "{bytes:?} was accepted as {request:?}");
    true
}

/// What it is answered.
pub fn reply<R: AsyncRuntime>(bytes: &[u8]) -> bool {
    let Ok(reply) = Reply::<R>::decode(bytes) else { return false };
    assert!(reply.encode() == bytes, "{bytes:?} was accepted as {reply:?}");
    true
}

/// What an entry of the log carries.
pub fn payload(bytes: &[u8]) -> bool {
    let Ok(payload) = decode_payload(bytes) else { return false };
    let mut again = Vec::new();
    encode_payload(&payload, &mut again);
    assert!(again == bytes, "{bytes:?} was accepted as {payload:?}");
    true
}
