//! Juju's leases as `juju_leases` prints them: those of controllers first, then a model each.
//!
//! ```text
//! controller-leases:
//!   8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11:
//!     holder: machine-0
//!     lease-acquired: 10s ago          since its last extend, in whole seconds
//!     lease-expires: 50s
//! model-leases:
//!   8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11:
//!     mysql: …
//! ```
//!
//! Written a page of the table at a time, however many there are: our keys stand in the order of this text, but that the controllers'
//! come first.

use std::fmt::Write as _;

use api::{JujuNamespace, Span, YamlText};
use lease::{Key, LeaseView, Name, Namespace, Time};

/// Which leases are asked for: parts of names, as Juju matches them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Only models whose uuid has this in it.
    pub(crate) model: String,
    /// Only applications whose name has one of these in it; then no controllers' leases.
    pub(crate) apps: Vec<String>,
}

/// Where the text stands: between two pages.
#[derive(Clone, Debug)]
pub(crate) struct LeasesPage {
    wanted: Wanted,
    section: JujuNamespace,
    /// The last key that was read.
    after: Option<Key>,
    /// Whether the section's title is written, and the last model's.
    titled: bool,
    model: String,
    /// Whether anything is written.
    any: bool,
    done: bool,
}

impl LeasesPage {
    /// Before the first page.
    pub(crate) fn first(wanted: Wanted) -> LeasesPage {
        let section = match wanted.apps.is_empty() {
            true => JujuNamespace::SingularController,
            false => JujuNamespace::ApplicationLeadership,
        };
        LeasesPage {
            wanted,
            section,
            after: None,
            titled: false,
            model: String::new(),
            any: false,
            done: false,
        }
    }

    /// Whether the text is at its end.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Behind which key of the table to read on.
    pub(crate) fn after(&self) -> Option<Key> {
        self.after.clone().or_else(|| {
            // Nothing stands between this and the section's first key.
            let namespace = Namespace::parse(&format!("{}:", self.section.as_str())).ok()?;
            Some(Key { namespace, name: Name::parse("0").ok()? })
        })
    }

    /// The next part of the text: of the leases behind [`LeasesPage::after`], of which there are no more where `is_last`.
    pub(crate) fn take(&mut self, views: &[LeaseView], is_last: bool, now: Time) -> String {
        let mut text = String::new();
        let mut left = is_last;
        for view in views {
            match JujuNamespace::read(view.key.namespace.as_str()) {
                Some((section, model)) if section == self.section => self.write(&mut text, model, view, now),
                // Another namespace that begins so, and is none of Juju's.
                _ if view.key.namespace.as_str().starts_with(&format!("{}:", self.section.as_str())) => {}
                _ => {
                    left = true;
                    break;
                }
            }
        }
        self.after = views.last().map(|view| view.key.clone()).or(self.after.take());
        if left {
            self.leave_section(&mut text);
        }
        text
    }

    fn leave_section(&mut self, text: &mut String) {
        self.titled = false;
        self.after = None;
        match self.section {
            JujuNamespace::SingularController => self.section = JujuNamespace::ApplicationLeadership,
            JujuNamespace::ApplicationLeadership => {
                self.done = true;
                if !self.any {
                    text.push_str("{}\n");
                }
            }
        }
    }

    fn write(&mut self, text: &mut String, model: &str, view: &LeaseView, now: Time) {
        let Some(grant) = view.grant.as_ref().filter(|_| self.wants(model, view.key.name.as_str())) else {
            return;
        };
        let (title, indent) = match self.section {
            JujuNamespace::SingularController => ("controller-leases", "  "),
            JujuNamespace::ApplicationLeadership => ("model-leases", "    "),
        };
        let remaining = now.until(grant.deadline).as_millis();
        // In whole seconds, as it is told.
        let acquired = (grant.ttl.as_millis().saturating_sub(remaining) + 500) / 1_000;
        let expires = Span(grant.ttl.as_millis().saturating_sub(acquired * 1_000));
        if !self.titled {
            text.push_str(title);
            text.push_str(":\n");
            self.model.clear();
        }
        if self.section == JujuNamespace::ApplicationLeadership && self.model != model {
            let _ = writeln!(text, "  {}:", YamlText(model));
            model.clone_into(&mut self.model);
        }
        let _ = write!(
            text,
            "{indent}{}:\n{indent}  holder: {}\n{indent}  lease-acquired: {} ago\n{indent}  lease-expires: {expires}\n",
            YamlText(view.key.name.as_str()),
            YamlText(grant.holder.as_str()),
            Span(acquired * 1_000),
        );
        (self.titled, self.any) = (true, true);
    }

    fn wants(&self, model: &str, name: &str) -> bool {
        let Wanted { model: part, apps } = &self.wanted;
        match self.section {
            // A controller's lease is known by what is controlled.
            JujuNamespace::SingularController => name.contains(part.as_str()),
            JujuNamespace::ApplicationLeadership => {
                model.contains(part.as_str())
                    && (apps.is_empty() || apps.iter().any(|app| name.contains(app.as_str())))
            }
        }
    }
}

#[cfg(test)]
mod tests;
