//! What was made of some files, kept up to date: who needs it asks for the newest, and a bad file changes nothing.

use std::sync::{Mutex, PoisonError};

use super::error::Date;
use super::files::Texts;
use super::{TlsError, TlsFiles, wall_seconds};

const DAY: i64 = 24 * 60 * 60;
/// So many days before its end a certificate is worth a word.
const WARN_DAYS: i64 = 30;

/// What was made of one port's files.
pub(crate) struct Kept<T> {
    port: &'static str,
    files: TlsFiles,
    make: Make<T>,
    state: Mutex<State<T>>,
}

/// Makes it of what the files hold.
type Make<T> = Box<dyn Fn(&TlsFiles, &Texts) -> Result<T, TlsError> + Send + Sync>;

struct State<T> {
    texts: Texts,
    made: T,
    /// What was last said of files that are wrong, so that it is said once and not every minute.
    complaint: Option<TlsError>,
}

/// What came of reading the files again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reread {
    /// They hold what they held.
    Same,
    /// They hold something new, which is used from now on.
    New,
    /// Something is wrong with them: the old stays.
    Wrong(TlsError),
    /// The same is wrong with them as the last time.
    StillWrong(TlsError),
}

impl<T: Clone> Kept<T> {
    /// Reads the files of the port that messages call `port`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn read(
        port: &'static str,
        files: TlsFiles,
        make: impl Fn(&TlsFiles, &Texts) -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Kept<T>, TlsError> {
        let texts = Texts::read(&files)?;
        let made = make(&files, &texts)?;
        Ok(Kept {
            port,
            files,
            make: Box::new(make),
            state: Mutex::new(State { texts, made, complaint: None }),
        })
    }

    /// The newest.
    pub(crate) fn get(&self) -> T {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).made.clone()
    }

    /// Reads the files again.
    pub(crate) fn reread(&self) -> Reread {
        let read = Texts::read(&self.files);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let made = match read {
            Ok(texts) if texts == state.texts => {
                state.complaint = None;
                return Reread::Same;
            }
            Ok(texts) => (self.make)(&self.files, &texts).map(|made| (texts, made)),
            Err(error) => Err(error),
        };
        match made {
            Ok((texts, made)) => {
                *state = State { texts, made, complaint: None };
                Reread::New
            }
            Err(error) => {
                let complaint = Some(error.clone().timeless());
                match std::mem::replace(&mut state.complaint, complaint.clone()) == complaint {
                    true => Reread::StillWrong(error),
                    false => Reread::Wrong(error),
                }
            }
        }
    }
}

/// Files that are read again: of whichever port.
pub(crate) trait Rereads: Send + Sync {
    /// Reads them, and logs what changed; where it was `asked` for, also that nothing did.
    fn reread_aloud(&self, asked: bool);

    /// Logs where the certificate that is used ends soon, or has ended: then new connections fail, and open ones go on.
    fn warn_of_end(&self);
}

impl<T: Clone + Send> Rereads for Kept<T> {
    fn reread_aloud(&self, asked: bool) {
        let port = self.port;
        match self.reread() {
            Reread::New => {
                tracing::info!(port, "new certificates: new connections have them, open ones go on")
            }
            Reread::Same if asked => tracing::info!(port, "the certificates are as they were"),
            Reread::Wrong(error) => {
                tracing::error!(port, %error, "the certificates' files are wrong; the old ones stay");
            }
            Reread::StillWrong(error) if asked => {
                tracing::error!(port, %error, "the certificates' files are still wrong; the old ones stay");
            }
            Reread::Same | Reread::StillWrong(_) => {}
        }
    }

    fn warn_of_end(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = state.texts.until(&self.files).and_then(|until| ends_soon(until, wall_seconds()));
        if let Some(ends) = ends {
            let (port, path) = (self.port, self.files.cert.display());
            tracing::warn!(port, %path, "the certificate {ends}: put a new one in its place");
        }
    }
}

/// When a certificate ends, where that is soon enough to be said.
fn ends_soon(until: i64, now: i64) -> Option<String> {
    match (until - now).div_euclid(DAY) {
        ..0 => Some(format!("ended at {}", Date(until))),
        0 => Some(format!("ends within a day, at {}", Date(until))),
        days if days < WARN_DAYS => Some(format!("ends in {days} days, at {}", Date(until))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_said_in_the_last_month_and_not_before() {
        let said = |days: i64, seconds: i64| ends_soon(days * DAY + seconds, 0);
        assert_eq!(said(WARN_DAYS, 0), None);
        assert_eq!(said(WARN_DAYS, -1).unwrap(), "ends in 29 days, at 1970-01-30 23:59 UTC");
        assert_eq!(said(0, 60).unwrap(), "ends within a day, at 1970-01-01 00:01 UTC");
        assert_eq!(ends_soon(60, 61).unwrap(), "ended at 1970-01-01 00:01 UTC");
    }
}
