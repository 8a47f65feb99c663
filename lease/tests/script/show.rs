//! What scripts show of outcomes, events and leases.

use lease::*;

pub(crate) fn applied(applied: &Applied) -> String {
    let mut lines: Vec<String> = applied.outcomes.iter().map(outcome).collect();
    lines.extend(applied.events.iter().map(|event| format!("  #{} {}", event.revision.0, what(&event.what))));
    lines.extend(applied.freed.iter().map(|key| format!("  freed {key}")));
    if lines.is_empty() { "nothing happened".into() } else { lines.join("\n") }
}

pub(crate) fn time(time: Time) -> String {
    span(time.as_nanos())
}

pub(crate) fn moment(at: Option<Time>) -> String {
    at.map_or("none".into(), time)
}

/// The token, with its epoch where it has one.
pub(crate) fn token(token: Token) -> String {
    match (token.as_u64() >> 32, token.as_u64() as u32) {
        (0, number) => number.to_string(),
        (epoch, number) => format!("{epoch}.{number}"),
    }
}

fn ttl(ttl: Ttl) -> String {
    span(ttl.as_nanos())
}

fn span(nanos: u64) -> String {
    let units = [(nanos / 1_000_000_000, "s"), (nanos / 1_000_000 % 1_000, "ms"), (nanos % 1_000_000, "ns")];
    let parts: Vec<_> = units.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if parts.is_empty() { "0s".into() } else { parts.join("_") }
}

pub(crate) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Granted(it) => format!("granted {}", granted(it)),
        Outcome::Extended(it) => format!("extended {}", granted(it)),
        Outcome::Released { token: it } => format!("released token={}", token(*it)),
        Outcome::Ending { token: it, deadline } => {
            format!("ending token={} deadline={}", token(*it), time(*deadline))
        }
        Outcome::Done => "done".into(),
        Outcome::Set { version } => format!("settings version={version}"),
        Outcome::Refused(refusal) => format!("refused: {}", refused(refusal)),
    }
}

fn granted(it: &Granted) -> String {
    let confirmed = if it.confirmed { "" } else { " unconfirmed" };
    format!("token={} ttl={} deadline={}{confirmed}", token(it.token), ttl(it.ttl), time(it.deadline))
}

fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Held { holder, token: it, remaining, by_you } => {
            let by_you = if *by_you { ", by you in another life" } else { "" };
            format!("held by {holder} token={} for {}{by_you}", token(*it), ttl(*remaining))
        }
        Refusal::Cooldown { holder: Some(holder), remaining } => {
            format!("cooldown for {holder}, {}", ttl(*remaining))
        }
        Refusal::Cooldown { holder: None, remaining } => format!("unclaimable for {}", ttl(*remaining)),
        Refusal::StaleToken { current } => format!("stale token, current={}", token(*current)),
        Refusal::Lost { end: Some(it) } => format!("lost, {}", end(it)),
        Refusal::Lost { end: None } => "lost, nothing is known of it".into(),
        Refusal::NeverGiven { newest: Some(newest) } => format!("never given, the newest is {newest}"),
        Refusal::NeverGiven { newest: None } => "never given, nor was any other".into(),
        Refusal::Ending { deadline } => format!("ending at {}", time(*deadline)),
        Refusal::Late => "late".into(),
        Refusal::Retry => "retry".into(),
        Refusal::Ttl { ttl: it, min, max } => {
            format!("ttl {} is not in {}..{}", ttl(*it), ttl(*min), ttl(*max))
        }
        Refusal::Full { what, limit } => format!("full, {what:?} {limit}"),
        Refusal::Version { current } => format!("settings are at version {current}"),
        Refusal::Settings(why) => format!("settings: {why}"),
    }
}

pub(crate) fn end(end: &End) -> String {
    let why = match &end.why {
        Why::Revoked(reason) => format!("revoked {:?}", reason.as_str()),
        why => format!("{why:?}").to_lowercase(),
    };
    let (who, at, left) = (&end.holder, time(end.at), ttl(end.remained));
    format!(
        "{why} token={} {who} i={} seq={} at={at} remained={left}",
        token(end.token),
        end.instance.0,
        end.seq.0
    )
}

fn what(what: &What) -> String {
    match what {
        What::Granted { key, holder, token: it, confirmed, value } => {
            let confirmed = if *confirmed { "" } else { " unconfirmed" };
            let value = value.as_ref().map_or(String::new(), |value| format!(" value={value}"));
            format!("granted {key} {holder} token={}{confirmed}{value}", token(*it))
        }
        What::Confirmed { key, token: it } => format!("confirmed {key} token={}", token(*it)),
        What::Valued { key, token: it, value } => format!("valued {key} token={} value={value}", token(*it)),
        What::Ended { key, end: it } => format!("ended {key} {}", end(it)),
        What::Ending { key, token: it, why, heir } => {
            format!("ending {key} token={} {:?}{}", token(*it), why.as_str(), next(heir.as_ref()))
        }
        What::Pinned { key, entity } => format!("pinned {key} {entity}"),
        What::Unpinned { key, entity } => format!("unpinned {key} {entity}"),
        What::Settings { version } => format!("settings {version}"),
    }
}

fn next(heir: Option<&Holder>) -> String {
    heir.map_or(String::new(), |heir| format!(" heir={heir}"))
}

pub(crate) fn view(view: &LeaseView) -> String {
    let mut line = view.key.to_string();
    if let Some(it) = &view.grant {
        line += &format!(" {} i={} seq={} token={}", it.holder, it.instance.0, it.seq.0, token(it.token));
        line += &format!(" ttl={} deadline={}", ttl(it.ttl), time(it.deadline));
        line += if it.confirmed { "" } else { " unconfirmed" };
        line += &it.ending.as_ref().map_or(String::new(), |why| format!(" ending={:?}", why.as_str()));
        line += &next(it.heir.as_ref());
        line += &it.value.as_ref().map_or(String::new(), |value| format!(" value={value}"));
    }
    if let Some(it) = &view.cooldown {
        let admitted = it.admitted.as_ref().map_or("nobody", |holder| holder.as_str());
        line += &format!(" cooldown={} admits {admitted}", time(it.until));
    }
    for (entity, why) in &view.pins {
        line += &format!(" pin={entity}{:?}", why.as_str());
    }
    view.last_end.iter().fold(line, |line, it| format!("{line}\n  last {}", end(it)))
}
