//! The batch in bytes, as drawn in the module above.

use crate::codec::{Reader, Writer};
use crate::{
    Batch, Change, Claim, Command, CredentialId, DecodeError, Entity, Holder, Instance, Namespace, Reason,
    Request, RevokeWhen, Seq, Succeed, Token, Value,
};

const VERSION: u8 = 1;
/// The fewest bytes of a request: a release without `not_after`.
const REQUEST_BYTES_MIN: usize = 1 + 1 + 8;
/// The fewest bytes of a change.
const CHANGE_BYTES_MIN: usize = 1 + 3;

const CLAIM: u8 = 1;
const SUCCEED: u8 = 2;
const EXTEND: u8 = 3;
const RELEASE: u8 = 4;
const TRANSFER: u8 = 5;
const REVOKE: u8 = 6;
const PIN: u8 = 7;
const UNPIN: u8 = 8;
const SET: u8 = 9;

const CLUSTER_VERSION: u8 = 1;
const NAMESPACE: u8 = 2;
const CREDENTIAL: u8 = 3;

impl Batch {
    /// Appends the batch's bytes: versioned and tagged, as docs/format.md draws them.
    pub fn encode(&self, into: &mut Vec<u8>) {
        let mut writer = Writer(into);
        writer.u8(VERSION);
        writer.u64(self.term);
        writer.time(self.stamp);
        writer.u32(self.sweep);
        writer.u32(self.requests.len() as u32);
        self.requests.iter().for_each(|request| writer.request(request));
    }

    /// The batch that [`Batch::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`], also for a version or a command that this program does not know.
    pub fn decode(bytes: &[u8]) -> Result<Batch, DecodeError> {
        let mut reader = Reader::new(bytes, "a batch");
        reader.version(VERSION)?;
        let (term, stamp, sweep) = (reader.u64()?, reader.time()?, reader.u32()?);
        let count = reader.count(REQUEST_BYTES_MIN)?;
        let requests = (0..count).map(|_| reader.request()).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Batch { term, stamp, sweep, requests })
    }
}

impl Request {
    /// Appends the request's bytes, as they stand in a batch.
    pub fn encode(&self, into: &mut Vec<u8>) {
        Writer(into).request(self);
    }

    /// The request that [`Request::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`], also for a command that this program does not know.
    pub fn decode(bytes: &[u8]) -> Result<Request, DecodeError> {
        let mut reader = Reader::new(bytes, "a request");
        let request = reader.request()?;
        reader.end()?;
        Ok(request)
    }
}

impl Writer<'_> {
    fn request(&mut self, request: &Request) {
        self.u8(kind_of(&request.command));
        self.option(request.not_after, Writer::time);
        self.command(&request.command);
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Claim(claim) => self.claim(claim),
            Command::Succeed(succeed) => {
                self.key(&succeed.key);
                self.heir(&succeed.to);
            }
            Command::Extend { token, ttl } => {
                self.u64(token.as_u64());
                self.ttl(*ttl);
            }
            Command::Release { token } => self.u64(token.as_u64()),
            Command::Transfer { token, to } => {
                self.u64(token.as_u64());
                self.heir(to);
            }
            Command::Revoke { token, why, when, heir } => {
                self.u64(token.as_u64());
                self.text(why.as_str());
                self.u8(u8::from(*when == RevokeWhen::Now));
                self.option(heir.as_ref(), Writer::heir);
            }
            Command::Pin { key, entity, why } => {
                self.key(key);
                self.text(entity.as_str());
                self.text(why.as_str());
            }
            Command::Unpin { key, entity } => {
                self.key(key);
                self.text(entity.as_str());
            }
            Command::Set { version, changes } => {
                self.u64(*version);
                self.u32(changes.len() as u32);
                changes.iter().for_each(|change| self.change(change));
            }
        }
    }

    fn claim(&mut self, claim: &Claim) {
        self.key(&claim.key);
        self.text(claim.holder.as_str());
        self.u64(claim.instance.0);
        self.u64(claim.seq.0);
        self.ttl(claim.ttl);
        self.option(claim.value.as_ref(), |writer, value| writer.text(value.as_str()));
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::ClusterVersion(version) => {
                self.u8(CLUSTER_VERSION);
                self.u32(*version);
            }
            Change::Namespace(namespace, limits) => {
                self.u8(NAMESPACE);
                self.text(namespace.as_str());
                self.option(limits.as_ref(), Writer::limits);
            }
            Change::Credential(id, credential) => {
                self.u8(CREDENTIAL);
                self.u64(id.0);
                self.option(credential.as_ref(), Writer::credential);
            }
        }
    }
}

fn kind_of(command: &Command) -> u8 {
    match command {
        Command::Claim(_) => CLAIM,
        Command::Succeed(_) => SUCCEED,
        Command::Extend { .. } => EXTEND,
        Command::Release { .. } => RELEASE,
        Command::Transfer { .. } => TRANSFER,
        Command::Revoke { .. } => REVOKE,
        Command::Pin { .. } => PIN,
        Command::Unpin { .. } => UNPIN,
        Command::Set { .. } => SET,
    }
}

impl Reader<'_> {
    fn request(&mut self) -> Result<Request, DecodeError> {
        let kind = self.u8()?;
        // A kind that this program does not know is the first thing wrong with a request, so it is told first.
        if !(CLAIM..=SET).contains(&kind) {
            return self.damaged_before(1);
        }
        let not_after = self.option(Reader::time)?;
        Ok(Request { not_after, command: self.command(kind)? })
    }

    fn command(&mut self, kind: u8) -> Result<Command, DecodeError> {
        Ok(match kind {
            CLAIM => Command::Claim(self.claim()?),
            SUCCEED => Command::Succeed(Succeed { key: self.key()?, to: self.heir()? }),
            EXTEND => Command::Extend { token: self.token()?, ttl: self.ttl()? },
            RELEASE => Command::Release { token: self.token()? },
            TRANSFER => Command::Transfer { token: self.token()?, to: self.heir()? },
            REVOKE => Command::Revoke {
                token: self.token()?,
                why: self.text(Reason::stored)?,
                when: if self.flag()? { RevokeWhen::Now } else { RevokeWhen::AtDeadline },
                heir: self.option(Reader::heir)?,
            },
            PIN => Command::Pin {
                key: self.key()?,
                entity: self.text(Entity::stored)?,
                why: self.text(Reason::stored)?,
            },
            UNPIN => Command::Unpin { key: self.key()?, entity: self.text(Entity::stored)? },
            SET => self.set()?,
            _ => return self.damaged(),
        })
    }

    fn claim(&mut self) -> Result<Claim, DecodeError> {
        Ok(Claim {
            key: self.key()?,
            holder: self.text(Holder::stored)?,
            instance: Instance(self.u64()?),
            seq: Seq(self.u64()?),
            ttl: self.ttl()?,
            value: self.option(|reader| reader.text(Value::stored))?,
        })
    }

    fn set(&mut self) -> Result<Command, DecodeError> {
        let version = self.u64()?;
        let count = self.count(CHANGE_BYTES_MIN)?;
        let changes = (0..count).map(|_| self.change()).collect::<Result<_, _>>()?;
        Ok(Command::Set { version, changes })
    }

    fn change(&mut self) -> Result<Change, DecodeError> {
        match self.u8()? {
            CLUSTER_VERSION => Ok(Change::ClusterVersion(self.u32()?)),
            NAMESPACE => Ok(Change::Namespace(self.text(Namespace::stored)?, self.option(Reader::limits)?)),
            CREDENTIAL => Ok(Change::Credential(CredentialId(self.u64()?), self.option(Reader::credential)?)),
            _ => self.damaged_before(1),
        }
    }

    pub(crate) fn token(&mut self) -> Result<Token, DecodeError> {
        self.u64().map(Token::from_u64)
    }
}
