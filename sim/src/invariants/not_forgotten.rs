//! Nothing that was acknowledged is forgotten: the same log gives the same table to the byte, from the start or from a
//! snapshot, on every member.

use lease::Table;

use super::Kept;

pub(crate) fn same_bytes(a: &Table, b: &Table, whose: &str) -> Kept {
    match a.freeze().sections().eq(b.freeze().sections()) {
        true => Ok(()),
        false => Err(format!("{whose} is another table than the log makes")),
    }
}
