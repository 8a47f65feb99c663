//! Whose grant a command names by its token, in bytes: drawn in the module above.

use lease::{DecodeError, Holder, Instance};

use super::{key, put_key, put_text, put_u64, text};
use crate::handle::Named;
use crate::raft::codec::Reader;

pub(super) fn put_named(named: Option<&Named>, to: &mut Vec<u8>) {
    let Some(Named { key, instance, holder }) = named else { return to.push(0) };
    // A holder is named only where there are credentials, and so no member from before.
    to.push(1 + u8::from(instance.is_some()) + 2 * u8::from(holder.is_some()));
    put_key(key, to);
    instance.iter().for_each(|instance| put_u64(instance.0, to));
    holder.iter().for_each(|holder| put_text(holder.as_str(), to));
}

pub(super) fn named(from: &mut Reader<'_>) -> Result<Option<Named>, DecodeError> {
    let kind = match from.u8()? {
        0 => return Ok(None),
        kind @ 1..=4 => kind,
        _ => return Err(from.damaged()),
    };
    Ok(Some(Named {
        key: key(from)?,
        instance: if kind % 2 == 0 { Some(Instance(from.u64()?)) } else { None },
        holder: if kind > 2 { Some(text(from, Holder::parse)?) } else { None },
    }))
}
