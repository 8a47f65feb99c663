//! From a line of a script to a command.

use std::error::Error;

use goldenscript::{ArgumentConsumer, Command as Line};
use lease::*;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The arguments of a line that are not consumed yet.
pub(crate) struct Args<'a>(ArgumentConsumer<'a>);

impl<'a> Args<'a> {
    pub(crate) fn new(line: &'a Line) -> Args<'a> {
        Args(line.consume_args())
    }

    pub(crate) fn key(&mut self, key: &str) -> Option<&'a str> {
        self.0.lookup(key).map(|argument| argument.value.as_str())
    }

    pub(crate) fn number(&mut self, key: &str) -> Result<Option<u64>> {
        self.0.lookup_parse(key)
    }

    pub(crate) fn positional(&mut self) -> Result<&'a str> {
        Ok(self.0.next_pos().map(|argument| argument.value.as_str()).ok_or("something is missing")?)
    }

    pub(crate) fn reject_rest(&self) -> Result<()> {
        self.0.reject_rest()
    }

    fn needed(&mut self, key: &str) -> Result<&'a str> {
        Ok(self.key(key).ok_or_else(|| format!("{key}= is missing"))?)
    }

    fn ttl(&mut self, key: &str) -> Result<Option<Ttl>> {
        self.key(key).map(|text| Ok(Ttl::from_nanos(nanos(text)?))).transpose()
    }

    fn token(&mut self) -> Result<Token> {
        Ok(Token::from_u64(self.positional()?.parse()?))
    }

    fn lease(&mut self) -> Result<Key> {
        key(self.positional()?)
    }

    fn entity(&mut self) -> Result<Entity> {
        Ok(Entity::parse(self.needed("entity")?)?)
    }

    fn why(&mut self) -> Result<Reason> {
        Ok(Reason::parse(self.key("why").unwrap_or(""))?)
    }

    fn instance(&mut self) -> Result<Instance> {
        Ok(Instance(self.number("i")?.unwrap_or(1)))
    }

    /// Whom `to=` names, if anyone.
    fn heir(&mut self) -> Result<Option<Heir>> {
        let Some(holder) = self.key("to") else { return Ok(None) };
        let ttl = self.ttl("ttl")?.unwrap_or(Ttl::from_millis(10_000));
        let confirm = self.ttl("confirm")?.unwrap_or(Ttl::from_millis(2_000));
        Ok(Some(Heir { holder: Holder::parse(holder)?, instance: self.instance()?, ttl, confirm }))
    }
}

/// `db/primary`: namespace, then name.
pub(crate) fn key(text: &str) -> Result<Key> {
    let (namespace, name) = text.split_once('/').ok_or("a key is namespace/name")?;
    Ok(Key { namespace: Namespace::parse(namespace)?, name: Name::parse(name)? })
}

pub(crate) fn time(text: &str) -> Result<Time> {
    Ok(Time::from_nanos(nanos(text)?))
}

/// `2s`, `1500ms`, `2s_1ns`.
fn nanos(text: &str) -> Result<u64> {
    text.split('_').map(part).sum()
}

fn part(text: &str) -> Result<u64> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).ok_or("a time has a unit")?;
    let number: u64 = text[..digits].parse()?;
    match &text[digits..] {
        "s" => Ok(number * 1_000_000_000),
        "ms" => Ok(number * 1_000_000),
        "ns" => Ok(number),
        unit => Err(format!("{unit} is no unit").into()),
    }
}

pub(crate) fn command(name: &str, args: &mut Args<'_>, seq: &mut u64) -> Result<Command> {
    Ok(match name {
        "claim" => claim(args, seq)?,
        "succeed" => {
            Command::Succeed(Succeed { key: args.lease()?, to: args.heir()?.ok_or("to= is missing")? })
        }
        "extend" => Command::Extend { token: args.token()?, ttl: args.ttl("ttl")?.ok_or("ttl= is missing")? },
        "release" => Command::Release { token: args.token()? },
        "transfer" => Command::Transfer { token: args.token()?, to: args.heir()?.ok_or("to= is missing")? },
        "revoke" => Command::Revoke {
            token: args.token()?,
            why: args.why()?,
            when: if args.number("now")? == Some(1) { RevokeWhen::Now } else { RevokeWhen::AtDeadline },
            heir: args.heir()?,
        },
        "pin" => Command::Pin { key: args.lease()?, entity: args.entity()?, why: args.why()? },
        "unpin" => Command::Unpin { key: args.lease()?, entity: args.entity()? },
        "set" => set(args)?,
        other => return Err(format!("there is no command {other}").into()),
    })
}

fn claim(args: &mut Args<'_>, next_seq: &mut u64) -> Result<Command> {
    let seq = args.number("seq")?.unwrap_or(*next_seq);
    *next_seq = seq + 1;
    Ok(Command::Claim(Claim {
        key: args.lease()?,
        holder: Holder::parse(args.needed("holder")?)?,
        instance: args.instance()?,
        seq: Seq(seq),
        ttl: args.ttl("ttl")?.unwrap_or(Ttl::from_millis(10_000)),
        value: args.key("value").map(Value::parse).transpose()?,
    }))
}

/// `set version=0 ns=db cooldown=5s`, `set version=1 ns=db default=1`, `set version=2 cluster=3`.
fn set(args: &mut Args<'_>) -> Result<Command> {
    let version = args.number("version")?.ok_or("version= is missing")?;
    let mut changes: Vec<_> =
        args.number("cluster")?.map(|version| Change::ClusterVersion(version as u32)).into_iter().collect();
    if let Some(namespace) = args.key("ns") {
        let default = NamespaceSettings::default();
        let is_default = args.number("default")?.is_some();
        let limits = NamespaceSettings {
            ttl_min: args.ttl("ttl_min")?.unwrap_or(default.ttl_min),
            ttl_max: args.ttl("ttl_max")?.unwrap_or(default.ttl_max),
            cooldown: args.ttl("cooldown")?.unwrap_or(default.cooldown),
            leases_max: args.number("leases")?.unwrap_or(default.leases_max),
            history_max: args.number("history")?.map_or(default.history_max, |most| most as u32),
        };
        changes.push(Change::Namespace(Namespace::parse(namespace)?, (!is_default).then_some(limits)));
    }
    Ok(Command::Set { version, changes })
}
