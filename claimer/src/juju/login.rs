//! As whom holders log in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The agent that every holder's connection logs in as, and the model. Its password goes to the processes of a run, over their
/// stdin, and to the servers; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The model's uuid.
    pub model: String,
    /// The agent's unit: `ubuntu-lite/0`.
    pub unit: String,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({} of model {}, …)", self.unit, self.model)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_password_is_never_shown() {
        let login =
            super::Login { model: "m".to_owned(), unit: "u/0".to_owned(), password: "sesame".to_owned() };
        assert_eq!(format!("{login:?}"), "Login(u/0 of model m, …)");
    }
}
