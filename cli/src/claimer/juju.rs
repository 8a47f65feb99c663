//! `--target juju`: where Juju's wire is spoken, and as whom.
//!
//! The flags are those of Juju's own load tool, and so are what they leave open: hosts at port 17070, by TLS, whoever has which
//! certificate. `--ca` has the certificates checked, `--no-tls` or an endpoint without `https://` goes without.

use api::is_model_uuid;
use api::rules::Quoted;
use claimer::juju::{CLAIM_SECONDS, Login};
use claimer::workload;
use client::{Endpoint, Tls, TlsFiles};

use super::{Claimer, at_port, parse_hosts};
use crate::exit::Failure;
use crate::output::say;

/// Where Juju's controllers listen.
const PORT: u16 = 17_070;
const HOSTS_DEFAULT: &str = "localhost";

/// Where to, trusted by what, and as whom.
type Reached = (Vec<Endpoint>, Option<workload::Trust>, Option<Login>);

pub(super) fn reached(args: &Claimer) -> Result<Reached, Failure> {
    check_claim_time(args)?;
    let endpoints = endpoints(args)?;
    let login = login(args, &endpoints)?;
    let is_tls = !args.embedded && endpoints.iter().any(Endpoint::is_tls);
    let ca = args.trust.ca().filter(|_| is_tls);
    if ca.is_none() && is_tls {
        say("whoever answers is taken for the server: its certificate is not checked without --ca");
    }
    if let Some(ca) = ca {
        // Read now too: what is wrong with a file is the command's fault, and not each holder's.
        let files = TlsFiles { ca: ca.to_owned(), own: None };
        Tls::load(files).map_err(|error| Failure::usage(format!("{error}; --ca names such a file")))?;
    }
    let trust = ca.map(|ca| workload::Trust { ca: ca.to_owned(), own: None });
    Ok((endpoints, trust, Some(login)))
}

fn endpoints(args: &Claimer) -> Result<Vec<Endpoint>, Failure> {
    match (args.named(), &args.hosts) {
        (Some(endpoints), _) => Ok(endpoints.to_vec()),
        (None, hosts) => {
            let scheme = if args.no_tls { "" } else { "https://" };
            let hosts = hosts.as_deref().unwrap_or(HOSTS_DEFAULT);
            parse_hosts(&at_port(hosts, scheme, args.port.unwrap_or(PORT)))
        }
    }
}

fn login(args: &Claimer, endpoints: &[Endpoint]) -> Result<Login, Failure> {
    if !is_model_uuid(&args.uuid) {
        return Err(Failure::usage(format!(
            "--uuid {} is no model's: --target juju logs in to a model; give its uuid, as in 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11",
            Quoted(&args.uuid)
        )));
    }
    let password = match args.password.as_str() {
        // What this shell has set for other servers is not for our own node.
        "" if args.embedded => String::new(),
        "" => args.trust.secret(endpoints)?.unwrap_or_default(),
        password => password.to_owned(),
    };
    Ok(Login { model: args.uuid.clone(), unit: args.unit.clone(), password })
}

/// Else every claim would be refused, and the run end at the first.
fn check_claim_time(args: &Claimer) -> Result<(), Failure> {
    let seconds = args.claimtime.div_f64(args.scale_time).as_secs_f64();
    let (least, most) = (*CLAIM_SECONDS.start(), *CLAIM_SECONDS.end());
    match (least as f64..=most as f64).contains(&seconds) {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "--claimtime comes to {seconds} s, and Juju takes claims of {least} s to {most} s; give another, or another --scale-time"
        ))),
    }
}
