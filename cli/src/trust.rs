//! What members are known by, and what this program is known by: three files, for endpoints that are reached by TLS.

use std::path::PathBuf;

use clap::Args;
use client::{Endpoint, OwnFiles, Tls, TlsFiles};

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
}

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

    /// As a command's environment names them, so that it reaches the same cluster from wherever it goes.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let named = [("TENURE_CA", &self.ca), ("TENURE_CERT", &self.cert), ("TENURE_KEY", &self.key)];
        named.into_iter().filter_map(|(name, path)| {
            let path = path.as_ref()?;
            Some((name, std::path::absolute(path).unwrap_or_else(|_| path.clone())))
        })
    }
}

fn half(given: &str, missing: &str, variable: &str) -> Failure {
    Failure::usage(format!("{given} is given, and {missing} is not: give both, {missing} also as {variable}"))
}
