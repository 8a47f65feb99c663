//! Good texts and bytes, changed a little: what is drawn at random never comes near.

use allocation_counter::measure;
use proptest::prelude::*;
use proptest::sample::Index;

/// One change of a row of bytes: a few put in the place of a few.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    at: Index,
    gone: usize,
    put: Vec<u8>,
}

/// Changes of bytes.
pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    of(proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xff), 0..4_u8], 0..3))
}

/// Changes of a text, with words that its readers look for.
pub(crate) fn edits_of_text(words: &'static [&'static str]) -> impl Strategy<Value = Vec<Edit>> {
    let word = proptest::sample::select(words).prop_map(str::to_owned);
    let put = prop_oneof![3 => word, 2 => "[ -~]{0,3}", 1 => "\\PC{0,2}", 1 => "[\u{0}-\u{1f}]{0,2}"];
    of(put.prop_map(String::into_bytes))
}

fn of(put: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<Edit>> {
    let edit = (any::<Index>(), 0..4_usize, put).prop_map(|(at, gone, put)| Edit { at, gone, put });
    proptest::collection::vec(edit, 0..4)
}

pub(crate) fn edited(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for Edit { at, gone, put } in edits {
        let from = at.index(bytes.len() + 1);
        let to = (from + gone).min(bytes.len());
        bytes.splice(from..to, put.iter().copied());
    }
    bytes
}

/// As [`edited`], made a text again.
pub(crate) fn edited_text(text: &str, edits: &[Edit]) -> String {
    String::from_utf8_lossy(&edited(text.as_bytes(), edits)).into_owned()
}

/// What reading takes of memory at most, for each byte that is read: what it makes, the same again, and their texts.
const MEMORY_PER_BYTE: u64 = 32;
/// And for what does not depend on it: messages, and the tables of what is known.
const MEMORY: u64 = 64 * 1024;

/// Reads, and fails where that took more memory than `length` bytes account for.
pub(crate) fn within_bounds<T>(length: usize, read: impl FnOnce() -> T) -> T {
    let mut result = None;
    let taken = measure(|| result = Some(read())).bytes_max;
    let most = MEMORY_PER_BYTE * length as u64 + MEMORY;
    assert!(taken <= most, "{length} bytes took {taken} bytes of memory");
    result.unwrap()
}

#[test]
#[should_panic = "1 bytes took"]
fn a_reader_that_believes_a_length_is_found_out() {
    within_bounds(1, || vec![0_u8; 1 << 20].len());
}
