//! What was made of some files, kept up to date: who needs it asks for the newest, and a bad file changes nothing.

use std::sync::{Mutex, PoisonError};

use super::files::Texts;
use super::{TlsError, TlsFiles};

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
}
