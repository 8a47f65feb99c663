//! Outcomes in bytes, for members that ask the leader on a client's behalf.
//!
//! ```text
//! kind 1  granted    grant                    2  extended   grant
//!      3  released   token u64                4  ending     token u64, deadline u64 ns
//!      5  done                                6  set        version u64
//!      7  refused    refusal
//!
//! grant     token u64, ttl u64 ns, deadline u64 ns, confirmed u8
//! refusal   1  held         holder text, token u64, remaining u64 ns, by you u8
//!           2  cooldown     holder: option text, remaining u64 ns
//!           3  stale token  current u64            4  lost         end: option, as in a snapshot
//!           5  never given  newest: option u64     6  ending       deadline u64 ns
//!           7  late                                8  retry
//!           9  ttl          ttl, min, max: each u64 ns
//!          10  full         what u8, limit u64    11  version      current u64
//!          12  settings     text
//! ```

use super::{Reader, Writer};
use crate::{DecodeError, Full, Granted, Holder, Outcome, Refusal, Token};

/// How much of a settings refusal's text crosses the wire, in bytes.
const SETTINGS_TEXT_MAX: usize = 4_096;

impl Outcome {
    /// Appends the outcome's bytes.
    pub fn encode(&self, into: &mut Vec<u8>) {
        let mut to = Writer(into);
        match self {
            Outcome::Granted(granted) => to.granted(1, granted),
            Outcome::Extended(granted) => to.granted(2, granted),
            Outcome::Released { token } => {
                to.u8(3);
                to.u64(token.as_u64());
            }
            Outcome::Ending { token, deadline } => {
                to.u8(4);
                to.u64(token.as_u64());
                to.time(*deadline);
            }
            Outcome::Done => to.u8(5),
            Outcome::Set { version } => {
                to.u8(6);
                to.u64(*version);
            }
            Outcome::Refused(refusal) => {
                to.u8(7);
                to.refusal(refusal);
            }
        }
    }

    /// The outcome that [`Outcome::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`], also for an outcome that this program does not know.
    pub fn decode(bytes: &[u8]) -> Result<Outcome, DecodeError> {
        let mut from = Reader::new(bytes, "an outcome");
        let outcome = match from.u8()? {
            1 => Outcome::Granted(from.granted()?),
            2 => Outcome::Extended(from.granted()?),
            3 => Outcome::Released { token: from.token()? },
            4 => Outcome::Ending { token: from.token()?, deadline: from.time()? },
            5 => Outcome::Done,
            6 => Outcome::Set { version: from.u64()? },
            7 => Outcome::Refused(from.refusal()?),
            _ => return from.damaged_before(1),
        };
        from.end()?;
        Ok(outcome)
    }
}

impl Writer<'_> {
    fn granted(&mut self, kind: u8, granted: &Granted) {
        self.u8(kind);
        self.u64(granted.token.as_u64());
        self.ttl(granted.ttl);
        self.time(granted.deadline);
        self.u8(u8::from(granted.confirmed));
    }

    fn refusal(&mut self, refusal: &Refusal) {
        match refusal {
            Refusal::Held { holder, token, remaining, by_you } => {
                self.u8(1);
                self.text(holder.as_str());
                self.u64(token.as_u64());
                self.ttl(*remaining);
                self.u8(u8::from(*by_you));
            }
            Refusal::Cooldown { holder, remaining } => {
                self.u8(2);
                self.option(holder.as_ref(), |writer, holder| writer.text(holder.as_str()));
                self.ttl(*remaining);
            }
            Refusal::StaleToken { current } => {
                self.u8(3);
                self.u64(current.as_u64());
            }
            Refusal::Lost { end } => {
                self.u8(4);
                self.option(end.as_ref(), Writer::ended);
            }
            Refusal::NeverGiven { newest } => {
                self.u8(5);
                self.option(*newest, |writer, token| writer.u64(token.as_u64()));
            }
            Refusal::Ending { deadline } => {
                self.u8(6);
                self.time(*deadline);
            }
            Refusal::Late => self.u8(7),
            Refusal::Retry => self.u8(8),
            Refusal::Ttl { ttl, min, max } => {
                self.u8(9);
                [ttl, min, max].into_iter().for_each(|ttl| self.ttl(*ttl));
            }
            Refusal::Full { what, limit } => {
                self.u8(10);
                self.u8(match what {
                    Full::Leases => 0,
                    Full::Pins => 1,
                    Full::Namespaces => 2,
                });
                self.u64(*limit);
            }
            Refusal::Version { current } => {
                self.u8(11);
                self.u64(*current);
            }
            Refusal::Settings(why) => {
                self.u8(12);
                self.text(&why[..why.floor_char_boundary(SETTINGS_TEXT_MAX)]);
            }
        }
    }
}

impl Reader<'_> {
    fn granted(&mut self) -> Result<Granted, DecodeError> {
        Ok(Granted {
            token: self.token()?,
            ttl: self.ttl()?,
            deadline: self.time()?,
            confirmed: self.flag()?,
        })
    }

    fn refusal(&mut self) -> Result<Refusal, DecodeError> {
        Ok(match self.u8()? {
            1 => Refusal::Held {
                holder: self.text(Holder::stored)?,
                token: self.token()?,
                remaining: self.ttl()?,
                by_you: self.flag()?,
            },
            2 => Refusal::Cooldown {
                holder: self.option(|reader| reader.text(Holder::stored))?,
                remaining: self.ttl()?,
            },
            3 => Refusal::StaleToken { current: self.token()? },
            4 => Refusal::Lost { end: self.option(Reader::ended)? },
            5 => Refusal::NeverGiven { newest: self.option(|reader| reader.u64().map(Token::from_u64))? },
            6 => Refusal::Ending { deadline: self.time()? },
            7 => Refusal::Late,
            8 => Refusal::Retry,
            9 => Refusal::Ttl { ttl: self.ttl()?, min: self.ttl()?, max: self.ttl()? },
            10 => {
                let what = match self.u8()? {
                    0 => Full::Leases,
                    1 => Full::Pins,
                    2 => Full::Namespaces,
                    _ => return self.damaged_before(1),
                };
                Refusal::Full { what, limit: self.u64()? }
            }
            11 => Refusal::Version { current: self.u64()? },
            12 => {
                let fits = |text: &str| (text.len() <= SETTINGS_TEXT_MAX).then(|| text.to_owned());
                Refusal::Settings(self.text(fits)?)
            }
            _ => return self.damaged_before(1),
        })
    }
}
