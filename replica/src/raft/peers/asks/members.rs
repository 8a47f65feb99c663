//! Changes of the members, and what came of them, in bytes.
//!
//! ```text
//! change   1 list   2 add  id u64 │ text address   3 promote ids   4 remove ids   5 replace  old u64 │ new u64
//!          6 move   id u64 │ text address          7 lead    to u64?
//!          8 join   id u64 │ text address          9 drain   id u64 │ on u8
//!         10 knows   version u32
//! ids      count u32, each u64, ascending
//! done     1 members    count u32, each: id u64 │ text address │ voter u8 │ flags u8: 1 leads, 2 draining │ lacks u64? │ heard ago u64 ns?
//!          2 no leader      3 unknown      4 refused    text: why
//! ```

use std::collections::BTreeSet;

use lease::{DecodeError, Ttl};

use super::{many, option, put_option, put_text, put_u32, put_u64, text};
use crate::members::{MemberChange, MemberView, Unchanged};
use crate::raft::codec::Reader;

pub(super) type Done = Result<Vec<MemberView>, Unchanged>;

/// How much of a refusal or an address crosses the wire, in bytes.
const WHY_BYTES_MAX: usize = 4_096;

pub(super) fn put_change(change: &MemberChange, to: &mut Vec<u8>) {
    match change {
        MemberChange::List => to.push(1),
        MemberChange::Add { id, address } => put_at(2, *id, address, to),
        MemberChange::Promote(ids) => put_ids(3, ids, to),
        MemberChange::Remove(ids) => put_ids(4, ids, to),
        MemberChange::Replace { old, new } => {
            to.push(5);
            put_u64(*old, to);
            put_u64(*new, to);
        }
        MemberChange::Move { id, address } => put_at(6, *id, address, to),
        MemberChange::Join { id, address } => put_at(8, *id, address, to),
        MemberChange::Drain { id, on } => {
            to.push(9);
            put_u64(*id, to);
            to.push(u8::from(*on));
        }
        MemberChange::Knows(version) => {
            to.push(10);
            to.extend(version.to_le_bytes());
        }
        MemberChange::Lead(lead) => {
            to.push(7);
            put_option(lead.as_ref(), to, |id, to| put_u64(*id, to));
        }
    }
}

pub(super) fn change(from: &mut Reader<'_>) -> Result<MemberChange, DecodeError> {
    Ok(match from.u8()? {
        1 => MemberChange::List,
        2 => MemberChange::Add { id: from.u64()?, address: address(from)? },
        3 => MemberChange::Promote(ids(from)?),
        4 => MemberChange::Remove(ids(from)?),
        5 => MemberChange::Replace { old: from.u64()?, new: from.u64()? },
        6 => MemberChange::Move { id: from.u64()?, address: address(from)? },
        7 => MemberChange::Lead(option(from, |from| from.u64())?),
        9 => MemberChange::Drain { id: from.u64()?, on: from.flag()? },
        10 => MemberChange::Knows(from.u32()?),
        8 => MemberChange::Join { id: from.u64()?, address: address(from)? },
        _ => return Err(from.damaged()),
    })
}

pub(super) fn put_done(done: &Done, to: &mut Vec<u8>) {
    match done {
        Ok(members) => {
            to.push(1);
            put_u32(members.len(), to);
            members.iter().for_each(|member| put_member(member, to));
        }
        Err(Unchanged::NoLeader) => to.push(2),
        Err(Unchanged::Unknown) => to.push(3),
        Err(Unchanged::Refused(why)) => {
            to.push(4);
            put_text(&why[..why.floor_char_boundary(WHY_BYTES_MAX)], to);
        }
    }
}

pub(super) fn done(from: &mut Reader<'_>) -> Result<Done, DecodeError> {
    Ok(match from.u8()? {
        1 => Ok(many(from, member)?),
        2 => Err(Unchanged::NoLeader),
        3 => Err(Unchanged::Unknown),
        4 => Err(Unchanged::Refused(address(from)?)),
        _ => return Err(from.damaged()),
    })
}

fn put_member(member: &MemberView, to: &mut Vec<u8>) {
    put_u64(member.id, to);
    put_text(&member.address, to);
    to.push(u8::from(member.is_voter));
    // Programs from before know the lowest bit alone, and one that drains from none of them.
    to.push(u8::from(member.leads) | u8::from(member.drains) << 1);
    put_option(member.lacks.as_ref(), to, |lacks, to| put_u64(*lacks, to));
    put_option(member.heard_ago.as_ref(), to, |ago, to| put_u64(ago.as_nanos(), to));
}

fn member(from: &mut Reader<'_>) -> Result<MemberView, DecodeError> {
    let (id, address, is_voter, flags) = (from.u64()?, address(from)?, from.flag()?, from.u8()?);
    if flags > 3 {
        return Err(from.damaged());
    }
    Ok(MemberView {
        id,
        address,
        is_voter,
        leads: flags & 1 != 0,
        drains: flags & 2 != 0,
        lacks: option(from, |from| from.u64())?,
        heard_ago: option(from, |from| from.u64().map(Ttl::from_nanos))?,
    })
}

fn put_at(kind: u8, id: u64, address: &str, to: &mut Vec<u8>) {
    to.push(kind);
    put_u64(id, to);
    put_text(&address[..address.floor_char_boundary(WHY_BYTES_MAX)], to);
}

fn address(from: &mut Reader<'_>) -> Result<String, DecodeError> {
    text(from, |text| if text.len() <= WHY_BYTES_MAX { Ok(text.to_owned()) } else { Err(()) })
}

fn put_ids(kind: u8, ids: &BTreeSet<u64>, to: &mut Vec<u8>) {
    to.push(kind);
    put_u32(ids.len(), to);
    ids.iter().for_each(|id| put_u64(*id, to));
}

fn ids(from: &mut Reader<'_>) -> Result<BTreeSet<u64>, DecodeError> {
    let count = from.u32()? as usize;
    from.ids(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_and_what_came_of_them_come_back_as_they_were() {
        let address = "host:7401".to_owned();
        let changes = [
            MemberChange::List,
            MemberChange::Add { id: 4, address: address.clone() },
            MemberChange::Promote(BTreeSet::from([4, 5])),
            MemberChange::Remove(BTreeSet::new()),
            MemberChange::Replace { old: 1, new: 4 },
            MemberChange::Move { id: 2, address: address.clone() },
            MemberChange::Join { id: 9, address: address.clone() },
            MemberChange::Drain { id: 2, on: true },
            MemberChange::Knows(3),
            MemberChange::Lead(None),
            MemberChange::Lead(Some(3)),
        ];
        for it in changes {
            let mut bytes = Vec::new();
            put_change(&it, &mut bytes);
            let mut from = Reader::new(&bytes, "a test");
            assert_eq!((change(&mut from), from.is_at_end()), (Ok(it), true));
        }
        let view = MemberView {
            id: 1,
            address,
            is_voter: true,
            leads: false,
            drains: false,
            lacks: Some(7),
            heard_ago: Some(Ttl::from_millis(8)),
        };
        let other =
            MemberView { id: 2, lacks: None, heard_ago: None, leads: true, drains: true, ..view.clone() };
        let all = [
            Ok(vec![view, other]),
            Err(Unchanged::NoLeader),
            Err(Unchanged::Unknown),
            Err(Unchanged::Refused("no".to_owned())),
        ];
        for it in all {
            let mut bytes = Vec::new();
            put_done(&it, &mut bytes);
            let mut from = Reader::new(&bytes, "a test");
            assert_eq!((done(&mut from), from.is_at_end()), (Ok(it), true));
        }
    }
}
