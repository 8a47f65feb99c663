//! Juju's names and tags: a name is what a thing is called, a tag says of what kind it is and fits into one word.
//!
//! ```text
//!  name          tag
//!  mysql         application-mysql
//!  mysql/0       unit-mysql-0          the slash becomes a dash
//!  0/lxd/1       machine-0-lxd-1
//!  admin@local   user-admin@local
//!  UUID          model-UUID, controller-UUID
//! ```

use std::fmt;

use api::is_model_uuid;

use crate::identity::is_number;

/// What a tag names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// An application, by its name.
    Application(String),
    /// A unit, by its name.
    Unit(String),
    /// A machine, by its id.
    Machine(String),
    /// A user, by name.
    User(String),
    /// A model, by its UUID.
    Model(String),
    /// A controller, by its UUID.
    Controller(String),
}

impl Tag {
    /// Reads a tag; none where it is not one.
    pub(super) fn parse(text: &str) -> Option<Tag> {
        let (kind, id) = text.split_once('-')?;
        match kind {
            "application" if is_application(id) => Some(Tag::Application(id.to_owned())),
            "unit" => {
                let (application, number) = id.rsplit_once('-')?;
                let name = format!("{application}/{number}");
                is_unit(&name).then_some(Tag::Unit(name))
            }
            "machine" if !id.contains('/') => {
                let id = id.replace('-', "/");
                is_machine(&id).then_some(Tag::Machine(id))
            }
            "user" if is_user(id) => Some(Tag::User(id.to_owned())),
            "model" if is_model_uuid(id) => Some(Tag::Model(id.to_owned())),
            "controller" if is_model_uuid(id) => Some(Tag::Controller(id.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tag::Application(name) => write!(f, "application-{name}"),
            Tag::Unit(name) => write!(f, "unit-{}", name.replace('/', "-")),
            Tag::Machine(id) => write!(f, "machine-{}", id.replace('/', "-")),
            Tag::User(name) => write!(f, "user-{name}"),
            Tag::Model(uuid) => write!(f, "model-{uuid}"),
            Tag::Controller(uuid) => write!(f, "controller-{uuid}"),
        }
    }
}

/// Whether it is an application's name: parts with dashes between, each with a letter, so that no unit's tag can be read in two ways.
pub(super) fn is_application(name: &str) -> bool {
    let is_small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part =
        |part: &str| part.bytes().all(is_small) && part.bytes().any(|byte| byte.is_ascii_lowercase());
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split('-').all(is_part)
}

/// Whether it is a unit's name.
pub(super) fn is_unit(name: &str) -> bool {
    name.split_once('/').is_some_and(|(application, number)| is_application(application) && is_number(number))
}

/// The application of a unit.
pub(super) fn application_of(unit: &str) -> &str {
    unit.split_once('/').map_or(unit, |(application, _)| application)
}

/// A number; and for each container in it, its kind and number.
fn is_machine(id: &str) -> bool {
    let mut parts = id.split('/');
    let is_kind = |kind: &str| !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase());
    parts.next().is_some_and(is_number)
        && std::iter::from_fn(|| {
            parts.next().map(|kind| is_kind(kind) && parts.next().is_some_and(is_number))
        })
        .all(|is_container| is_container)
}

fn is_user(name: &str) -> bool {
    let is_word = |word: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
        let is_end = |end: Option<&u8>| end.is_some_and(u8::is_ascii_alphanumeric);
        word.bytes().all(is_inner) && is_end(word.as_bytes().first()) && is_end(word.as_bytes().last())
    };
    name.splitn(2, '@').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "7ce2e5a5-4a8e-4c5e-8d7c-3a9e7f0b1c2d";

    #[test]
    fn tags_are_read_and_written_alike() {
        let tags = [
            ("application-mysql", Tag::Application("mysql".into())),
            ("application-ubuntu-lite", Tag::Application("ubuntu-lite".into())),
            ("unit-ubuntu-lite-0", Tag::Unit("ubuntu-lite/0".into())),
            ("unit-a01-10", Tag::Unit("a01/10".into())),
            ("machine-0", Tag::Machine("0".into())),
            ("machine-12-lxd-3-kvm-0", Tag::Machine("12/lxd/3/kvm/0".into())),
            ("user-admin", Tag::User("admin".into())),
            ("user-bob.o-neil@external", Tag::User("bob.o-neil@external".into())),
        ];
        for (text, tag) in tags {
            assert_eq!(Tag::parse(text), Some(tag.clone()), "{text}");
            assert_eq!(tag.to_string(), text);
        }
        for (kind, tag) in [("model", Tag::Model(UUID.into())), ("controller", Tag::Controller(UUID.into()))]
        {
            assert_eq!(Tag::parse(&format!("{kind}-{UUID}")), Some(tag));
        }
    }

    #[test]
    fn what_is_no_tag_is_none() {
        let wrong = [
            "",
            "mysql",
            "unit-",
            "unit-mysql",
            "unit-mysql-",
            "unit-mysql-01",
            "unit-mysql/0",
            "unit-mysql-0-0",
            "unit-Mysql-0",
            "unit-0mysql-0",
            "application-",
            "application-mysql-0",
            "application-a--b",
            "application-a/0",
            "application-é",
            "machine-",
            "machine-x",
            "machine-00",
            "machine-0-lxd",
            "machine-0-LXD-1",
            "machine-0-1",
            "machine-0/lxd/1",
            "user-",
            "user-a b",
            "user--a",
            "user-a@",
            "user-a@b@c",
            "model-x",
            "controller-",
            "volume-0",
        ];
        for text in wrong {
            assert_eq!(Tag::parse(text), None, "{text}");
        }
        let large = format!("model-{}", UUID.to_uppercase());
        assert_eq!(Tag::parse(&large), None, "a model has one name");
    }
}
