//! Good bytes, changed a little: what bytes drawn at random never come near.

use allocation_counter::measure;
use proptest::prelude::*;
use proptest::sample::Index;

/// One change of a row of bytes.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    /// Four bytes that promise more than there can be.
    Promise(Index),
}

pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let byte = prop_oneof![any::<u8>(), 0_u8..4, Just(0xff)];
    let at = any::<Index>;
    let edit = prop_oneof![
        8 => (at(), byte.clone()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        1 => (at(), byte).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        1 => at().prop_map(Edit::Remove),
        1 => at().prop_map(Edit::Cut),
        1 => at().prop_map(Edit::Promise),
    ];
    proptest::collection::vec(edit, 0..4)
}

pub(crate) fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let length = bytes.len();
        match edit {
            Edit::Insert(at, byte) => bytes.insert(at.index(length + 1), *byte),
            _ if length == 0 => {}
            Edit::Set(at, byte) => bytes[at.index(length)] = *byte,
            Edit::Remove(at) => drop(bytes.remove(at.index(length))),
            Edit::Cut(at) => bytes.truncate(at.index(length)),
            Edit::Promise(at) => bytes[at.index(length)..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
        }
    }
    bytes
}

/// What reading takes of memory at most, for each byte that is read: numbers and texts are larger in memory than on the wire, and a
/// vector that grows is there twice.
const MEMORY_PER_BYTE: u64 = 64;
/// And for what does not depend on the bytes: errors and their words.
const MEMORY: u64 = 4 * 1024;

/// Reads `bytes`, and fails where that took more memory than they account for.
pub(crate) fn within_bounds<T>(bytes: &[u8], read: impl FnOnce(&[u8]) -> T) -> T {
    let mut result = None;
    let taken = measure(|| result = Some(read(bytes))).bytes_max;
    let most = MEMORY_PER_BYTE * bytes.len() as u64 + MEMORY;
    assert!(taken <= most, "{} bytes took {taken} bytes of memory: {bytes:?}", bytes.len());
    result.unwrap_or_else(|| panic!("it was read"))
}

#[test]
#[should_panic = "1 bytes took"]
fn a_reader_that_believes_a_length_is_found_out() {
    within_bounds(&[1], |_| vec![0_u8; 1 << 20].len());
}
