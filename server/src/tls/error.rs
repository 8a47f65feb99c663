//! What can be wrong with a certificate, a key or a CA: which file, what was found, what to do.

use std::fmt;
use std::path::PathBuf;

use time::OffsetDateTime;

/// Why a port cannot be secured with the files that it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// Others may read a key.
    Loose {
        /// The key.
        path: PathBuf,
        /// The file's mode.
        mode: u32,
    },
    /// There is no certificate in a file that should hold one.
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no key in a file that should hold one.
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A key is locked with a password.
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// What a file holds cannot be understood.
    Garbled {
        /// The file.
        path: PathBuf,
        /// What is said of it.
        cause: String,
    },
    /// A key is not that of the certificate.
    Mismatch {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// A certificate is no longer valid.
    Expired {
        /// The file.
        path: PathBuf,
        /// Until when it was, in seconds since 1970.
        until: i64,
        /// Now, by this machine's clock.
        now: i64,
    },
    /// A certificate is not yet valid.
    NotYet {
        /// The file.
        path: PathBuf,
        /// From when it is, in seconds since 1970.
        from: i64,
        /// Now, by this machine's clock.
        now: i64,
    },
    /// A certificate is another member's, or nobody's.
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What stands in it.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
}

impl TlsError {
    /// The same at another time: so that what is wrong for an hour is not news every minute.
    pub(super) fn timeless(mut self) -> TlsError {
        if let TlsError::Expired { now, .. } | TlsError::NotYet { now, .. } = &mut self {
            *now = 0;
        }
        self
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Unreadable { path, cause } => {
                write!(f, "{} cannot be read: {cause}; `tenure init` makes such files", path.display())
            }
            TlsError::Loose { path, mode } => write!(
                f,
                "the key {} has mode {mode:04o}, so that others may read or change it; mode 0600 is wanted: chmod 600 {}",
                path.display(),
                path.display()
            ),
            TlsError::NoCertificate { path } => write!(
                f,
                "{} holds no certificate: one in PEM is wanted, which begins with -----BEGIN CERTIFICATE-----",
                path.display()
            ),
            TlsError::NoKey { path } => write!(
                f,
                "{} holds no key: one in PEM is wanted, which begins with -----BEGIN PRIVATE KEY-----",
                path.display()
            ),
            TlsError::Encrypted { path } => write!(
                f,
                "the key {} is locked with a password, and a server that starts by itself has none: store it without one, \
                 with mode 0600",
                path.display()
            ),
            TlsError::Garbled { path, cause } => {
                write!(f, "{} cannot be understood: {cause}; put the right file there", path.display())
            }
            TlsError::Mismatch { cert, key } => write!(
                f,
                "the key {} is not that of the certificate {}: give the pair that was made together",
                key.display(),
                cert.display()
            ),
            TlsError::Expired { path, until, now } => write!(
                f,
                "the certificate {} was valid until {}, and it is {} by this machine's clock: make a new one, or correct \
                 the clock",
                path.display(),
                Date(*until),
                Date(*now)
            ),
            TlsError::NotYet { path, from, now } => write!(
                f,
                "the certificate {} is valid from {} on, and it is {} by this machine's clock: correct the clock, or make a \
                 new one",
                path.display(),
                Date(*from),
                Date(*now)
            ),
            TlsError::NotOurs { path, found, wanted } => write!(
                f,
                "{} is {found}, and this member's is wanted, {wanted}: give the one that was made for it, or correct cluster \
                 and member",
                path.display()
            ),
        }
    }
}

impl std::error::Error for TlsError {}

/// Now, by this machine's wall clock, as RFC 3339 has it: for people, and for nothing else.
pub(crate) fn instant_now() -> String {
    let at = OffsetDateTime::now_utc();
    let (month, day) = (u8::from(at.month()), at.day());
    let (hour, minute, second, millis) = (at.hour(), at.minute(), at.second(), at.millisecond());
    format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z", at.year())
}

/// A time as people read it, from seconds since 1970.
pub(super) struct Date(pub(super) i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match OffsetDateTime::from_unix_timestamp(self.0) {
            Ok(at) => {
                let (month, minute) = (u8::from(at.month()), at.minute());
                write!(f, "{}-{month:02}-{:02} {:02}:{minute:02} UTC", at.year(), at.day(), at.hour())
            }
            Err(_) => write!(f, "{} s after 1970", self.0),
        }
    }
}
