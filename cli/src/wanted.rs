//! What a claim and an acquire want alike: which lease, for whom, for how long.

use std::time::Duration;

use clap::Args;
use client::Session;

use crate::connect::holder_default;
use crate::doubt::Signature;
use crate::output::say;
use crate::parse;

#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    pub(crate) name: String,
    /// How long the grant lasts, from now and from each extend: 15s, 1m30s, 1500ms. At least 1s unless the namespace says
    /// otherwise; 200ms is the least that any namespace may allow.
    #[arg(long, default_value = "15s", allow_hyphen_values = true, value_parser = parse::ttl())]
    pub(crate) ttl: Duration,
    /// What readers of the lease shall see, such as where to reach its holder.
    #[arg(long, value_parser = parse::value())]
    pub(crate) value: Option<String>,
    /// Who holds it [default: unique, host:process:chance].
    #[arg(long, env = "TENURE_HOLDER", value_parser = parse::holder())]
    holder: Option<String>,
    /// Which life of the holder, from 1: the same for a repetition, and for transfer [default: a random number].
    #[arg(long, requires = "seq", allow_negative_numbers = true, value_parser = parse::instance())]
    pub(crate) instance: Option<u64>,
    /// This call's number within its instance: the same for a repetition, higher for a new one.
    #[arg(long, requires = "instance", allow_negative_numbers = true, value_parser = parse::number("a seq"))]
    pub(crate) seq: Option<u64>,
}

impl Wanted {
    /// For whom; a holder made up here is told.
    pub(crate) fn holder(&self) -> String {
        self.holder.clone().unwrap_or_else(|| {
            let holder = holder_default();
            say(format!("holder {holder} (choose one with --holder or TENURE_HOLDER)"));
            holder
        })
    }

    /// By what the call is known when it is repeated: what was given, or what the session gives its first.
    pub(crate) fn signature(&self, session: &Session, holder: String) -> Signature {
        let instance = self.instance.unwrap_or(session.instance());
        Signature { holder, instance, seq: self.seq.unwrap_or(1) }
    }
}
