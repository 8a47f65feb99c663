//! Good inputs to begin with, for the targets that come by none of their own in a minute: `seeds FOLDER` writes them below a folder,
//! by target, as `cargo fuzz run` looks for them in fuzz/corpus.

use std::error::Error;
use std::fs;
use std::path::Path;

use lease::{Batch, Claim, Command, Entity, Holder, Instance, Key, Name, Namespace, Reason, Request};
use lease::{RevokeWhen, Seq, Table, Time, Token, Ttl, Value};
use replica::FrozenState;
use server::Secret;

type Failure = Box<dyn Error>;

/// A lease of Juju's, and its pin.
const SNAPSHOT: &str = "\
version: 1
entries:
  ? namespace: application-leadership
    model-uuid: 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11
    lease: mysql
  : holder: mysql/0
    start: 0001-01-01T00:00:10Z
    duration: 1m0s
pinned:
  ? namespace: application-leadership
    model-uuid: 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11
    lease: mysql
  : - machine-0
global-time: 0001-01-01T00:00:30Z
";

fn main() -> Result<(), Failure> {
    let folder = std::env::args().nth(1).ok_or("name a folder: seeds fuzz/corpus")?;
    let put = |target: &str, bytes: &[u8]| {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("seed"), bytes)
    };
    let batches = batches()?;
    let mut table = Table::new(0);
    batches.iter().for_each(|batch| drop(table.apply(1, batch)));
    let mut batch = Vec::new();
    batches[0].encode(&mut batch);
    put("batch", &batch)?;
    put("payload", &[&[1], &batch[..]].concat())?;
    let sections: Vec<Vec<u8>> = table.freeze().sections().collect();
    put(
        "table",
        &sections.iter().flat_map(|section| sized(&section[6..], &section[..2])).collect::<Vec<u8>>(),
    )?;
    let mut pieces = Vec::new();
    FrozenState::of(&table).give(7, 1, |piece| Ok::<(), Failure>(pieces.push(piece)))?;
    put("snapshot", &pieces.concat())?;
    let header = &pieces[0][..pieces[0].len() - 4];
    let plan = sections.iter().flat_map(|section| sized(section, &[]));
    put("sealed_snapshot", &header.iter().copied().chain(plan).collect::<Vec<u8>>())?;
    put("sealed_segment", &segment())?;
    put("config", b"data = \"d\"\nmember = 2\nsession = { ping_every = \"20s\", dead_after = \"41s\" }\n")?;
    put(
        "identity",
        b"format = 1\ncluster = \"000102030405060708090a0b0c0d0e0f\"\nmember = 1\nbegun = true\n",
    )?;
    // Of nobody: its secret is drawn here, and its hash is in no settings.
    let token = Secret::draw().reveal();
    put("bearer_token", token.as_bytes())?;
    put("sealed_bearer_token", format!("{}-{}", "07".repeat(8), "09".repeat(32)).as_bytes())?;
    put("client_frame", br#"{"id":1,"call":{"bulk":[{"claim":{"name":"a","holder":"h","ttl_ms":5000}}]}}"#)?;
    put("juju_request", br#"{"request-id":1,"type":"Pinger","version":1,"request":"Ping","params":{"Name":"unit-a-0"}}"#)?;
    put("server_frame", br#"{"id":2,"reply":{"bulk":["done",{"error":{"code":"held","message":"a"}}]}}"#)?;
    put("juju_snapshot", SNAPSHOT.as_bytes())?;
    Ok(put("duration", b"1h2m3.5s")?)
}

/// A length of two bytes, then `between`, then the bytes.
fn sized(bytes: &[u8], between: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes(), between, bytes].concat()
}

/// A checkpoint, votes and entries, as `replica::parsers::records` reads them: kind, flags, term, index, length.
fn segment() -> Vec<u8> {
    let checkpoint = [&[6, 128, 0, 0, 64], &[0; 64][..]].concat();
    let rest: [&[u8]; 5] = [
        &[2, 1, 5, 2, 0],
        &[1, 0, 5, 0, 2, b'h', b'i'],
        &[1, 128, 5, 1, 0],
        &[4, 2, 0, 0, 0],
        &[7, 0, 0, 2, 0],
    ];
    [&checkpoint[..], &rest.concat()].concat()
}

/// Leases that are held, pinned, revoked and over.
fn batches() -> Result<[Batch; 2], Failure> {
    let key = |name| Ok::<Key, Failure>(Key { namespace: Namespace::parse("n")?, name: Name::parse(name)? });
    let claim = |name, ttl| {
        Ok::<Command, Failure>(Command::Claim(Claim {
            key: key(name)?,
            holder: Holder::parse("mysql/0")?,
            instance: Instance(5),
            seq: Seq(6),
            ttl: Ttl::from_millis(ttl),
            value: Some(Value::parse("v")?),
        }))
    };
    let why = Reason::parse("repair")?;
    let pin = Command::Pin { key: key("c")?, entity: Entity::parse("machine-0")?, why: why.clone() };
    let revoke = Command::Revoke { token: Token::from_u64(2), why, when: RevokeWhen::AtDeadline, heir: None };
    let at = |millis, commands: Vec<Command>| {
        let requests = commands.into_iter().map(|command| Request { not_after: None, command }).collect();
        Batch { term: 1, stamp: Time::ZERO.after(Ttl::from_millis(millis)), sweep: 10, requests }
    };
    Ok([
        at(0, vec![claim("a", 1_000)?, claim("b", 60_000)?, pin, revoke]),
        at(2_000, vec![claim("d", 5_000)?]),
    ])
}
