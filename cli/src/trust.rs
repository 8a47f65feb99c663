//! What members are known by, and what this program is known by: files with certificates, for endpoints that are reached by TLS, and
//! one with a token.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use client::{BEARER_START, Bearer, Endpoint, OwnFiles, Tls, TlsFiles};

use crate::exit::Failure;

/// The certificates of a verb that reaches a cluster.
#[derive(Clone, Debug, Args)]
pub(crate) struct Trust {
    /// The CA that issued the members' certificates, in PEM; for endpoints that begin with https://.
    #[arg(long, env = "TENURE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate that this program is known by, in PEM, where the members ask for one.
    #[arg(long, env = "TENURE_CERT", value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The key of --cert, in PEM; a file that others cannot read.
    #[arg(long, env = "TENURE_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
    /// A file with the token that this program is known by, which others cannot read; without it, the token may stand in TENURE_TOKEN.
    /// A token decides, also where there is a certificate.
    #[arg(long, env = "TENURE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The token itself, where it stands in no file. Under `tenure run` it is the grant's, a number, and no secret.
const TOKEN_VARIABLE: &str = "TENURE_TOKEN";

impl Trust {
    /// The files, where one of the endpoints needs them.
    pub(crate) fn files(&self, endpoints: &[Endpoint]) -> Result<Option<TlsFiles>, Failure> {
        let own = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some(OwnFiles { cert: cert.clone(), key: key.clone() }),
            (None, None) => None,
            (Some(_), None) => return Err(half("--cert", "--key", "TENURE_KEY")),
            (None, Some(_)) => return Err(half("--key", "--cert", "TENURE_CERT")),
        };
        let secured = endpoints.iter().find(|endpoint| endpoint.is_tls());
        match (secured, &self.ca) {
            (Some(_), Some(ca)) => Ok(Some(TlsFiles { ca: ca.clone(), own })),
            (Some(endpoint), None) => Err(Failure::usage(format!(
                "{endpoint} is reached by TLS, and no CA is given to know it by: give the cluster's own with --ca or TENURE_CA"
            ))),
            (None, None) if own.is_none() => Ok(None),
            // Else somebody would believe that what he says is said in private.
            (None, _) => Err(Failure::usage(format!(
                "certificates are given (--ca, --cert, --key, or TENURE_CA, TENURE_CERT, TENURE_KEY), and no endpoint is \
                 reached by TLS: write https://{}, or leave them away",
                endpoints.first().map_or_else(|| api::ADDRESS_DEFAULT.to_owned(), ToString::to_string)
            ))),
        }
    }

    /// What the files hold, where one of the endpoints needs them.
    pub(crate) fn load(&self, endpoints: &[Endpoint]) -> Result<Option<Tls>, Failure> {
        let tls = self.files(endpoints)?.map(Tls::load).transpose();
        tls.map_err(|error| Failure::usage(format!("{error}; --ca, --cert and --key name such files")))
    }

    /// The CA's file, where one is given.
    pub(crate) fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// The token to come by, where there is one.
    pub(crate) fn token(&self, endpoints: &[Endpoint]) -> Result<Option<Bearer>, Failure> {
        let Some((text, from)) = self.checked(endpoints)? else { return Ok(None) };
        Bearer::parse(&text).map(Some).map_err(|why| wrong(&from, &why))
    }

    /// The same as a text, for a door where it is a password.
    pub(crate) fn secret(&self, endpoints: &[Endpoint]) -> Result<Option<String>, Failure> {
        Ok(self.checked(endpoints)?.map(|(text, _)| text.trim().to_owned()))
    }

    /// The token's text, and where it stands.
    fn checked(&self, endpoints: &[Endpoint]) -> Result<Option<(String, String)>, Failure> {
        let (text, from) = match (&self.token_file, std::env::var(TOKEN_VARIABLE)) {
            (Some(path), _) => (secret_in(path)?, path.display().to_string()),
            (None, Ok(text)) if text.trim_start().starts_with(BEARER_START) => {
                (text, TOKEN_VARIABLE.to_owned())
            }
            _ => return Ok(None),
        };
        // The checksum tells a mistyped one here, without asking anybody.
        text.parse::<server::Secret>().map_err(|why| wrong(&from, &why))?;
        if let Some(clear) = endpoints.iter().find(|endpoint| !endpoint.is_tls() && !is_here(endpoint)) {
            return Err(Failure::usage(format!(
                "a token is given, and {clear} is reached without TLS: it would cross the network for all to read; write https://, or leave the \
                 token away"
            )));
        }
        Ok(Some((text, from)))
    }

    /// As a command's environment names them, so that it reaches the same cluster from wherever it goes.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let named = [
            ("TENURE_CA", &self.ca),
            ("TENURE_CERT", &self.cert),
            ("TENURE_KEY", &self.key),
            ("TENURE_TOKEN_FILE", &self.token_file),
        ];
        named.into_iter().filter_map(|(name, path)| {
            let path = path.as_ref()?;
            Some((name, std::path::absolute(path).unwrap_or_else(|_| path.clone())))
        })
    }
}

fn wrong(from: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!("the token in {from}: {why}"))
}

/// What a file holds that others must not read.
fn secret_in(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let mode = std::fs::metadata(path).map_or(0, |found| found.permissions().mode() & 0o777);
    if mode & 0o037 != 0 {
        return Err(Failure::usage(format!(
            "others may read or change the token in {shown}, by its mode {mode:04o}: chmod 600 {shown}"
        )));
    }
    std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("the token in {shown} cannot be read: {error}; --token-file and TENURE_TOKEN_FILE name such a file"))
    })
}

/// Whether what is sent there stays on this machine.
fn is_here(endpoint: &Endpoint) -> bool {
    let address = endpoint.host().parse::<std::net::IpAddr>();
    endpoint.host() == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn half(given: &str, missing: &str, variable: &str) -> Failure {
    Failure::usage(format!("{given} is given, and {missing} is not: give both, {missing} also as {variable}"))
}
