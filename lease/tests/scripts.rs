//! Golden scripts: each file of `tests/scripts` shows one behaviour, which its name states.
//!
//! A command is a batch of its own, at the lease clock's present reading or at `at=`, with a sweep of 1,024 or of
//! `sweep=`; between `begin` and `commit` the commands make one batch. Times are written `2s`, `1500ms`,
//! `2s_1ns`. After each batch the whole table is checked, and must survive its own bytes.
//! `UPDATE_GOLDENFILES=1`, as `just fix` sets it, rewrites the expectations; read the diff as if
//! someone else had written it.

#![allow(clippy::unwrap_used, reason = "a failed test is what an unwrap is for here")]

#[path = "script/parse.rs"]
mod parse;
#[path = "script/show.rs"]
mod show;

use std::error::Error;
use std::fmt::Write;

use goldenscript::{Command as Line, Runner};
use lease::{Batch, Filter, Outcome, Recovery, Request, SWEEP_MAX, Table, Time, Token};
use parse::{Args, command, key, time};

/// The term of the entries, unless a line says otherwise.
const TERM: u64 = 1;

struct Script {
    table: Table,
    /// The seq of the next claim that names none.
    seq: u64,
    /// The requests of the batch that was begun.
    begun: Option<Vec<Request>>,
}

impl Runner for Script {
    fn run(&mut self, line: &Line) -> Result<String, Box<dyn Error>> {
        let mut args = Args::new(line);
        let output = match line.name.as_str() {
            "begin" => {
                self.begun = Some(Vec::new());
                String::new()
            }
            "commit" => {
                let requests = self.begun.take().ok_or("nothing was begun")?;
                self.apply(requests, &mut args)?
            }
            "tick" => self.apply(Vec::new(), &mut args)?,
            "ask" => self.ask(&mut args)?,
            "recover" => self.recover(&mut args)?,
            "restore" => self.restore()?,
            "show" => self.show(&mut args)?,
            "list" => self.list(&mut args)?,
            "history" => self.history(&mut args)?,
            "next" => show::moment(self.table.next_deadline()),
            "status" => self.status(),
            name => self.request(name, &mut args)?,
        };
        args.reject_rest()?;
        Ok(output)
    }
}

impl Script {
    fn new() -> Script {
        Script { table: Table::new(0), seq: 1, begun: None }
    }

    fn request(&mut self, name: &str, args: &mut Args<'_>) -> Result<String, Box<dyn Error>> {
        let not_after = args.key("not_after").map(time).transpose()?;
        let command = command(name, args, &mut self.seq)?;
        let request = Request { not_after, command };
        match &mut self.begun {
            Some(requests) => {
                requests.push(request);
                Ok(String::new())
            }
            None => self.apply(vec![request], args),
        }
    }

    fn apply(&mut self, requests: Vec<Request>, args: &mut Args<'_>) -> Result<String, Box<dyn Error>> {
        let batch = Batch {
            term: args.number("term")?.unwrap_or(TERM),
            stamp: args.key("at").map(time).transpose()?.unwrap_or(self.table.now()),
            sweep: args.number("sweep")?.map_or(SWEEP_MAX, |limit| limit as u32),
            requests,
        };
        let applied = self.table.apply(args.number("entry_term")?.unwrap_or(TERM), &batch);
        self.table.check()?;
        restored(&self.table)?.check()?;
        Ok(show::applied(&applied))
    }

    /// What a command would be refused with.
    fn ask(&mut self, args: &mut Args<'_>) -> Result<String, Box<dyn Error>> {
        let now = args.key("at").map(time).transpose()?.unwrap_or(self.table.now());
        let name = args.positional()?.to_string();
        let command = command(&name, args, &mut self.seq)?;
        let refusal = self.table.refusal(now, &command);
        Ok(refusal.map_or("it would take effect".into(), |refusal| show::outcome(&Outcome::Refused(refusal))))
    }

    fn recover(&mut self, args: &mut Args<'_>) -> Result<String, Box<dyn Error>> {
        let epoch = args.number("epoch")?.unwrap_or(0) as u32;
        let how = match args.positional()? {
            "restore" => Recovery::Restore,
            "sole_survivor" => Recovery::SoleSurvivor,
            "discard_grants" => Recovery::DiscardGrants,
            other => return Err(format!("{other} is no recovery").into()),
        };
        let applied = self.table.recover(epoch, how);
        self.table.check()?;
        Ok(show::applied(&applied))
    }

    /// Goes on with the table that the bytes of this one give.
    fn restore(&mut self) -> Result<String, Box<dyn Error>> {
        self.table = restored(&self.table)?;
        Ok("restored: the same bytes again".into())
    }

    fn show(&mut self, args: &mut Args<'_>) -> Result<String, Box<dyn Error>> {
        let key = key(args.positional()?)?;
        let free = if self.table.is_free(&key) { "free" } else { "not free" };
        let view = self.table.get(&key).map_or("nothing is known of it".into(), |view| show::view(&view));
        Ok(format!("{free}\n{view}"))
    }

    fn list(&mut self, args: &mut Args<'_>) -> Result<String, Box<dyn Error>> {
        let filter = Filter {
            namespace: args.key("ns").map(lease::Namespace::parse).transpose()?,
            prefix: args.key("prefix").map(Into::into),
            holder: args.key("holder").map(lease::Holder::parse).transpose()?,
        };
        let after = args.key("after").map(key).transpose()?;
        let limit = args.number("limit")?.map_or(usize::MAX, |limit| limit as usize);
        let views = self.table.list(&filter, after.as_ref(), limit);
        let mut lines: String =
            views.iter().fold(String::new(), |lines, view| lines + &show::view(view) + "\n");
        write!(lines, "{} held", self.table.count(&filter))?;
        Ok(lines)
    }

    fn history(&mut self, args: &mut Args<'_>) -> Result<String, Box<dyn Error>> {
        let limit = args.number("limit")?.map_or(usize::MAX, |limit| limit as usize);
        let name = args.key("name").map(lease::Name::parse).transpose()?;
        let namespace = lease::Namespace::parse(args.positional()?)?;
        let ends = self.table.history(&namespace, name.as_ref(), limit);
        let lines: Vec<_> = ends.iter().map(|(key, end)| format!("{key} {}", show::end(end))).collect();
        Ok(if lines.is_empty() { "nothing".into() } else { lines.join("\n") })
    }

    fn status(&mut self) -> String {
        let table = &mut self.table;
        let (now, next) = (show::time(table.now()), show::moment(table.next_deadline()));
        let ticks = if table.needs_ticks() { "needs ticks" } else { "needs no ticks" };
        let settings = table.settings().version;
        let token = show::token(table.next_token());
        format!(
            "now {now}, revision {}, next token {token}, settings {settings}, {ticks}, next deadline {next}",
            table.revision().0
        )
    }
}

/// The table after its own bytes; they must be the same again.
fn restored(table: &Table) -> Result<Table, Box<dyn Error>> {
    let sections: Vec<_> = table.freeze().sections().collect();
    let restored = Table::thaw(sections.iter().cloned().map(Ok))?;
    match restored.freeze().sections().eq(sections) {
        true => Ok(restored),
        false => Err("a restored table writes other bytes".into()),
    }
}

#[test]
fn every_script_does_what_its_name_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 40, "only {} scripts were found in {folder}", paths.len());
    for path in paths {
        println!("{}", path.display());
        goldenscript::run(&mut Script::new(), &path).unwrap();
    }
}

#[test]
fn tokens_of_an_epoch_lie_above_those_of_the_one_before() {
    assert!(Table::new(7).next_token() > Token::from_u64(u64::from(6u32) << 32 | u64::from(u32::MAX)));
    assert_eq!(Table::new(0).now(), Time::ZERO);
}
