//! What must hold of hellos of any bytes; see [`crate::parsers`].

use super::hello::{Answer, Call};

/// A hello of either side: read as what its bytes say, or refused.
pub fn hello(bytes: &[u8]) -> bool {
    let call = bytes.first_chunk().and_then(|bytes| Some((Call::decode(bytes)?.encode(), &bytes[..])));
    let answer = bytes.first_chunk().and_then(|bytes| Some((Answer::decode(bytes)?.encode(), &bytes[..])));
    for (again, bytes) in call.iter().chain(&answer) {
        assert!(again == bytes, "{bytes:?} is written as {again:?}");
    }
    call.is_some() || answer.is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Who;
    use super::super::frame::{self, Broken};
    use super::super::hello::Versions;
    use super::*;
    use crate::parsers::edits::{edited, edits, within_bounds};

    const ME: Who = Who { cluster: 0xabc, member: 1 };
    const VERSIONS: Versions = Versions { oldest: 1, newest: 3 };

    proptest! {
        #[test]
        fn a_hello_that_was_changed_is_what_it_says_then_or_none(edits in edits(), which in any::<bool>()) {
            let call = Call { versions: VERSIONS, caller: ME, meant: 2 }.encode();
            let answer = Answer { versions: VERSIONS, listener: ME, verdict: 6 }.encode();
            assert!(hello(&call) && hello(&answer));
            let bytes = edited(if which { &call } else { &answer }, &edits);
            within_bounds(bytes.len(), || hello(&bytes));
        }

        #[test]
        fn frames_take_no_more_memory_than_has_come_of_them(edits in edits(), more in any::<u8>()) {
            let mut bytes = Vec::new();
            for body in [&b"an ask"[..], &[more; 300]] {
                bytes.extend((body.len() as u32).to_le_bytes());
                bytes.extend(7_u64.to_le_bytes());
                bytes.extend(body);
            }
            let bytes = edited(&bytes, &edits);
            within_bounds(bytes.len(), || read_all(&bytes));
        }
    }

    /// Reads frames until there are no more, and how that ended.
    fn read_all(bytes: &[u8]) -> Broken {
        use futures_util::FutureExt as _;
        let (mut from, mut frame) = (bytes, Vec::new());
        loop {
            let read = frame::read(&mut from, &mut frame).now_or_never();
            if let Err(broken) = read.expect("a slice never makes one wait") {
                return broken;
            }
            assert!(bytes.windows(frame.len().max(1)).any(|window| window == frame) || frame.is_empty());
        }
    }

    #[test]
    fn a_frame_that_promises_gigabytes_is_refused_before_memory_is_taken() {
        let head = |length: u32| [&length.to_le_bytes()[..], &[0; 8], b"and a few bytes"].concat();
        let most = replica::PEER_FRAME_BYTES_MAX as u32;
        for (length, what) in
            [(u32::MAX, "TooLong(4294967295)"), (most + 1, "TooLong(67108865)"), (most, "Cut")]
        {
            let bytes = head(length);
            let broken = within_bounds(bytes.len(), || read_all(&bytes));
            assert_eq!(format!("{broken:?}"), what);
        }
    }
}
