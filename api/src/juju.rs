//! Where Juju's leases stand among ours: the one place that says so, for the door that speaks Juju's wire, for what operators read
//! of it, and for its snapshots.
//!
//! ```text
//!   Juju's key: namespace, model, lease                       ours: namespace, name
//!   application-leadership, 8e6e…, mysql        ◀──────▶      application-leadership:8e6e…, mysql
//!   singular-controller,    8e6e…, 8e6e…        ◀──────▶      singular-controller:8e6e…,    8e6e…
//! ```
//!
//! A model is part of the namespace, so that models never meet: quotas, tokens, lists and history are a model's own. The name is
//! the application's alone, as the rule of who may do what knows it: a unit owns what its application does. The longest of these
//! namespaces has 59 bytes of the 64 that one may have.

use lease::NAMESPACE_BYTES_MAX;

/// The instance that every holder of Juju's has: Juju knows a holder by its name alone.
pub const JUJU_INSTANCE: u64 = u64::from_be_bytes(*b"\0\0\0\0juju");

/// What stands between a namespace of Juju's and its model.
const BETWEEN: char = ':';
/// Bytes of a model's uuid.
const UUID_BYTES: usize = 36;

const _: () = assert!(
    JujuNamespace::ApplicationLeadership.as_str().len() + 1 + UUID_BYTES <= NAMESPACE_BYTES_MAX,
    "a model's leases must have a namespace"
);

/// A namespace of Juju's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JujuNamespace {
    /// Which unit leads its application.
    ApplicationLeadership,
    /// Which controller's machine is responsible for a model, or for the controller itself.
    SingularController,
}

impl JujuNamespace {
    /// Both.
    pub const ALL: [JujuNamespace; 2] =
        [JujuNamespace::ApplicationLeadership, JujuNamespace::SingularController];

    /// The namespace of this name.
    pub fn parse(text: &str) -> Option<JujuNamespace> {
        JujuNamespace::ALL.into_iter().find(|namespace| namespace.as_str() == text)
    }

    /// As Juju calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            JujuNamespace::ApplicationLeadership => "application-leadership",
            JujuNamespace::SingularController => "singular-controller",
        }
    }

    /// Our namespace of this one in a model.
    pub fn of_model(self, model: &str) -> String {
        format!("{}{BETWEEN}{model}", self.as_str())
    }

    /// The namespace and the model that our `namespace` stands for; none where it is not one of Juju's.
    pub fn read(namespace: &str) -> Option<(JujuNamespace, &str)> {
        let (juju, model) = namespace.split_once(BETWEEN)?;
        JujuNamespace::parse(juju).filter(|_| is_model_uuid(model)).map(|juju| (juju, model))
    }
}

/// Whether `text` is a model's uuid as Juju writes one: `8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11`, in lower case.
pub fn is_model_uuid(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == UUID_BYTES
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => is_digit(byte),
        })
}

/// A number of 128 bits, written so.
pub fn juju_uuid(number: u128) -> String {
    let digits = format!("{number:032x}");
    [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_as_a_uuid() {
        assert_eq!(juju_uuid(0x8e6e), "00000000-0000-0000-0000-000000008e6e");
        assert!(is_model_uuid(&juju_uuid(0)) && is_model_uuid(&juju_uuid(u128::MAX)));
    }

    const UUID: &str = "8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11";

    #[test]
    fn each_namespace_of_a_model_is_read_as_it_was_written() {
        for namespace in JujuNamespace::ALL {
            let ours = namespace.of_model(UUID);
            assert_eq!(JujuNamespace::read(&ours), Some((namespace, UUID)));
            assert!(lease::Namespace::parse(&ours).is_ok(), "{ours}");
        }
        assert_eq!(
            JujuNamespace::ApplicationLeadership.of_model(UUID),
            "application-leadership:8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11"
        );
    }

    #[test]
    fn what_is_not_jujus_is_none_of_it() {
        let others = [
            "default".to_owned(),
            "application-leadership".to_owned(),
            "application-leadership:".to_owned(),
            format!("application-leadership:{}", UUID.to_uppercase()),
            format!("application-leadership:{UUID}0"),
            format!("leadership:{UUID}"),
            format!(":{UUID}"),
            format!("application-leadership:{}", UUID.replace('-', "0")),
        ];
        for other in others {
            assert_eq!(JujuNamespace::read(&other), None, "{other}");
        }
    }
}
