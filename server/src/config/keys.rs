//! Every setting, in one table: what the file and the environment may say, and what the documentation prints.

/// One setting. Its place in the file is its key; in the environment it is `TENURE_` and the key in capitals, with `_` for
/// each dot.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its key in the file, with the table's name before a dot.
    pub key: &'static str,
    /// What it means, its unit, its bounds and its default.
    pub doc: &'static str,
    /// Its value where nobody sets it, as TOML.
    pub default: Default,
}

/// A setting's value where nobody sets it, as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// Always this.
    Fixed(&'static str),
    /// There is none, or it varies, as with `--dev`: this is how one looks.
    Varies(&'static str),
}

macro_rules! keys {
    ($($key:literal = $kind:ident($value:literal): $doc:literal;)*) => {
        /// Every setting, by key.
        pub const KEYS: &[Setting] = &[$(Setting { key: $key, doc: $doc, default: Default::$kind($value) }),*];
    };
}

keys! {
    "data" = Varies(r#""tenure-data""#): "The data folder: identity, log and snapshots. Made with mode 0700 where it is missing. A path in the file that does not start with / begins at the file's own folder. Default with --dev: tenure-data; without it, none: it must be given.";
    "listen" = Fixed(r#""127.0.0.1:7400""#): "Where clients connect, as ADDRESS:PORT; port 0 takes a free one. Default 127.0.0.1:7400.";
    "peer.listen" = Varies(r#""127.0.0.1:7401""#): "Where the other members connect, as ADDRESS:PORT; port 0 takes a free one. Default 127.0.0.1:7401 where peer.voters or peer.join is set; without them, nowhere.";
    "peer.voters" = Varies(r#""1=127.0.0.1:7401""#): "The first voters of a new cluster, and where the others reach each, as ID=HOST:PORT with commas between, such as \"1=a:7401,2=b:7401,3=c:7401\": the same at each of them, an odd number up to 7, with cluster and member. The cluster begins once all of them are there. Of no account once there is a log. Default: this member alone.";
    "peer.join" = Fixed(r#"false"#): "A new member waits until an operator adds it to a cluster, with `tenure members add`. Needs cluster and member, an id that no member has had. Of no account once there is a log. true or false, default false.";
    "insecure_plain_listener" = Fixed(r#"false"#): "Let clients and members connect from other machines, although there is no TLS, and so no identity: whoever reaches the port may take any lease. true or false, default false.";
    "insecure_no_authentication" = Fixed(r#"false"#): "Ask nobody who comes by the client port who they are, although there is TLS or a token to come by: whoever reaches it may do anything. true or false, default false.";
    "auth.first_token" = Varies(r#""0123456789abcdef-00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff-admin""#): "The hash of the token that `tenure init` has made for the first operator: ID-HASH-NAME. It becomes good once, when the cluster has no other. Default: none. Without TLS, whoever comes is asked for a token where this is set, and nobody is where it is not.";
    "audit.file" = Varies(r#""audit.jsonl""#): "Where who did what is written down, a JSON object a line. Opened anew at SIGHUP, so that it can be rotated. Default: none, and nothing is.";
    "audit.bytes_max" = Fixed(r#""256MiB""#): "At so many bytes the audit log is put aside as its name with .older behind it, in the place of the one before, and begun anew: twice this is all that it takes of its disk. A size such as \"256MiB\", 1 MiB to 64 GiB. Default 256MiB.";
    "audit.lease_log" = Varies(r#""lease.log""#): "Where each grant and its end are written down by the member that leads, a line each, as Juju's lease.log has them. At 30MiB it is put aside as its name with .older behind it, and ten of these are kept, the older ones .older.2 to .older.10. Opened anew at SIGHUP. Default: none, and nothing is.";
    "tls.cert" = Varies(r#""node/server.crt""#): "The client port's certificate, PEM, with the chain behind it: the port then speaks TLS 1.3 and nothing else. Needs tls.key. Read again at SIGHUP, and within a minute of a change. Default: none, no TLS.";
    "tls.key" = Varies(r#""node/server.key""#): "The key of tls.cert, PEM without a password, in a file that others cannot read: mode 0600. Default: none.";
    "tls.client_ca" = Varies(r#""ca/client.crt""#): "Clients may come by a certificate issued by one of the CAs in this PEM file, instead of by a token: its URI name says who they are. One that another CA issued is refused. Default: none; they come by tokens.";
    "peer.tls.cert" = Varies(r#""node/peer.crt""#): "What this member presents to the others, PEM: a certificate for tenure://CLUSTER/member/N. The peer port then speaks TLS 1.3 both ways, and each side believes the other's certificate alone. All members have it, or none. Needs peer.tls.key and peer.tls.ca. Read again like tls.cert. Default: none, no TLS.";
    "peer.tls.key" = Varies(r#""node/peer.key""#): "The key of peer.tls.cert, like tls.key. Default: none.";
    "peer.tls.ca" = Varies(r#""ca/peer.crt""#): "The other members must present a certificate issued by one of the CAs in this PEM file, which must issue to members alone: not the one of tls.client_ca. Default: none.";
    "allow_volatile_data" = Varies(r#"false"#): "Let the data folder be on tmpfs (gone at a reboot) or NFS (its syncs promise less). true or false, default false, with --dev true.";
    "accept_torn_tail" = Varies(r#"false"#): "Let a single voter cut the end of its log where it cannot prove whether that was acknowledged. true or false, default false, with --dev true where there are no other voters.";
    "cluster" = Varies(r#""000102030405060708090a0b0c0d0e0f""#): "The cluster that the data folder must belong to: its id, 32 hexadecimal digits. Default: whichever it belongs to.";
    "member" = Varies(r#"1"#): "The member that the data folder must belong to, from 1. Default: whichever it belongs to, and 1 where it is new.";
    "log.level" = Fixed(r#""info""#): "How much is logged: error, warn, info, debug or trace. Default info. SIGHUP changes it in a running server.";
    "log.format" = Fixed(r#""text""#): "How it is logged: text, or json (one object a line). Default text.";
    "limits.connections" = Fixed(r#"18000"#): "Client connections at a time, 1 to 18000. Default 18000, or what the limit on open files leaves.";
    "limits.commands" = Fixed(r#"65536"#): "Commands of a kind that may wait for their turn at this member, 1 to 65536: extends, releases, acquires, claims; what is more is answered overloaded at once. Of claims no more than it carries out in half a second are let in, but always 10000 of a bulk frame, where this allows it. Default 65536.";
    "session.ping_every" = Fixed(r#""20s""#): "A session whose client is silent for so long is pinged: a duration such as \"20s\". A connection whose client's machine answers nothing is given up sooner: within 0.8 of it, but not within 4 s, nor before session.stall_after. Default 20s.";
    "session.dead_after" = Fixed(r#""40s""#): "A session whose client is silent for so long is closed: a duration, at least twice session.ping_every. Default 40s.";
    "session.stall_after" = Fixed(r#""10s""#): "A session whose client reads nothing for so long, while something is written to it, is closed: a duration. Default 10s.";
    "start.within" = Fixed(r#""5m""#): "How long a start may take to read the log and the snapshot before the process gives up: a duration. A million leases take seconds; a disk that hangs takes for ever. Default 5m.";
    "stop.within" = Fixed(r#""2s""#): "How long an orderly stop delivers answers before it closes what is left: a duration. Default 2s.";
    "snapshot.log_bytes" = Fixed(r#""64MiB""#): "Bytes of log after which a snapshot is made; the first after a start comes earlier, at each member at another place. A size such as \"64MiB\", 1 MiB to 64 GiB. Default 64MiB.";
    "juju.enabled" = Fixed(r#"false"#): "Serve Juju's agents too, over WebSockets at /model/UUID/api, /api and / of the client port, as Juju 2.5 does. true or false, default false.";
    "juju.agent_ratelimit_max" = Fixed(r#"10"#): "Logins of Juju's agents that may come at once; more are told to try again, and users never are. A whole number, 0 for any number. Changes at SIGHUP. Default 10, as Juju has it.";
    "juju.agent_ratelimit_rate" = Fixed(r#""250ms""#): "How often one login more may come, where juju.agent_ratelimit_max bounds them: a duration, 1ms to 1m. Changes at SIGHUP. Default 250ms.";
    "juju.agent_login_rate_limit" = Fixed(r#"0"#): "Juju 2.5's own way to throttle agents, beside the one above: so many logins under way at a time, each for a while drawn between the next two. A whole number, 0 for any number. Changes at SIGHUP. Default 0; Juju 2.5 had 10.";
    "juju.agent_login_min_pause" = Fixed(r#""100ms""#): "The shortest time that a login takes where juju.agent_login_rate_limit bounds them: a duration. Changes at SIGHUP. Default 100ms.";
    "juju.agent_login_max_pause" = Fixed(r#""1s""#): "And the longest. Changes at SIGHUP. Default 1s.";
    "juju.agent_login_retry_pause" = Fixed(r#""5s""#): "How long one too many waits before it is told to try again: a duration. Changes at SIGHUP. Default 5s.";
    "juju.ping_timeout" = Fixed(r#""3m""#): "A Juju agent that does not ping for so long is closed, and so is whoever does not log in: a duration. Default 3m.";
    "juju.load_test_any_holder" = Varies(r#"false"#): "Let any Juju agent claim for any holder, for load tools: only with --dev. true or false, default false.";
    "watch.bytes" = Fixed(r#""48MiB""#): "About how much memory the events kept for watches may take: a size such as \"48MiB\", 1 MiB to 64 GiB. Default 48MiB, about 350,000 events.";
}

impl Setting {
    /// The setting's name in the environment.
    pub fn env(&self) -> String {
        format!("TENURE_{}", self.key.replace('.', "_").to_uppercase())
    }
}

/// What this program reads from the environment beside the settings, or gives to a command that runs under a lease.
const ENV_ELSE: [&str; 10] = [
    "TENURE_CA",
    "TENURE_CERT",
    "TENURE_CONFIG",
    "TENURE_ENDPOINTS",
    "TENURE_HOLDER",
    "TENURE_KEY",
    "TENURE_LEASE",
    "TENURE_NAMESPACE",
    "TENURE_TOKEN",
    "TENURE_TOKEN_FILE",
];

/// The first of `names` that is most likely a misspelt variable of ours, and the one that was meant. Others that start with
/// TENURE_ are not ours to judge: Kubernetes sets some for a service of that name.
pub fn misspelt_env(names: impl Iterator<Item = String>) -> Option<(String, String)> {
    let settings: Vec<String> = KEYS.iter().map(Setting::env).collect();
    let known = || {
        settings.iter().map(String::as_str).chain(ENV_ELSE).filter_map(|name| name.strip_prefix("TENURE_"))
    };
    names.filter(|name| !known().any(|known| name.strip_prefix("TENURE_") == Some(known))).find_map(|name| {
        let meant = nearest(name.strip_prefix("TENURE_")?, known())?;
        let meant = format!("TENURE_{meant}");
        Some((name, meant))
    })
}

/// Every setting with what it means and its default, as a file that [`Config::load`](crate::Config::load) reads.
pub fn print_config() -> String {
    let mut toml = String::from(
        "# Every setting of `tenure serve` with its default. Those behind a # have none, or another one with --dev.\n",
    );
    for setting in KEYS {
        let line = match setting.default {
            Default::Fixed(value) => format!("{} = {value}", setting.key),
            Default::Varies(value) => format!("# {} = {value}", setting.key),
        };
        toml += &format!("\n# {}\n# In the environment: {}.\n{line}\n", setting.doc, setting.env());
    }
    toml
}

/// The known word that `word` is most likely meant to be, if any is near.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|known| (distance(word, known), known)).min()?;
    // Of a short word one letter: PORT is two from CERT, and means something else.
    (near.0 <= (near.1.len() / 3).max(1)).then_some(near.1)
}

/// How many letters to add, drop or change from one word to the other: Levenshtein's distance.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    // A word far longer than any key is near none, and is not measured whole.
    for (above, letter) in from.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}
