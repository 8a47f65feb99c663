//! Who may do what: one function, pure, that every door asks before anything is read or proposed.
//!
//! ```text
//!              claim extend     wait get check  list       revoke     see: members, change each
//!              release transfer watch history   count      pin unpin  tokens,       of these;
//!                                                                    namespaces    back up
//!  unit        its own          its own         -          -          -             -
//!  reader      -                namespace       namespace  -          -             -
//!  app-admin   its units'       namespace       namespace  namespace  -             -
//!  auditor     -                namespace       namespace  -          cluster       -
//!  operator    namespace        namespace       namespace  namespace  cluster       cluster
//! ```
//!
//! *Its own*: leases that the unit's application owns, in its namespace, and under its own name as the holder. *Its units'*: leases that
//! the application of the app-admin's name owns, in its namespace, and with one of that application's units as the holder, `mysql/0` of
//! `mysql`. *Namespace*: the principal's, or all where it has none. *Cluster*: of a principal that has no namespace. What no line
//! allows is denied.
//!
//! A call that names no holder is about the grant of a token. A unit's goes on with its name, and the leader refuses it a grant of
//! another's. Whose grant it is is not looked at for an app-admin, which may revoke and pin every grant of its namespace anyway; but in
//! its application's leases it names nobody but that one's units, nor as the heir of a revoke, which its own extend would confirm.

use std::fmt;

use lease::{Quoted, Role};

use super::Principal;
use super::principal::is_unit_of;

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $words:literal;)*) => {
        /// What is asked for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Verb { $($(#[$doc])* $name,)* }

        impl Verb {
            /// Every verb: the tests' tables are asked of each, so that none is left out.
            #[cfg(test)]
            pub(crate) const ALL: &[Verb] = &[$(Verb::$name,)*];

            /// The verb in words, as it stands behind "may not" and in the audit log.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Verb::$name => $words,)* }
            }
        }
    };
}

verbs! {
    /// Take a lease, or wait in line for it.
    Claim = "claim";
    /// Keep a grant.
    Extend = "extend";
    /// End a grant.
    Release = "release";
    /// Hand a grant on.
    Transfer = "transfer";
    /// Take a grant away.
    Revoke = "revoke";
    /// Keep a lease from expiring.
    Pin = "pin";
    /// Take a pin away.
    Unpin = "unpin";
    /// Be told when a lease is free.
    Wait = "wait";
    /// See one lease.
    Get = "get";
    /// Ask whether a token is that of a lease's grant.
    Check = "check";
    /// See many leases.
    List = "list";
    /// Count leases.
    Count = "count";
    /// See how grants ended.
    History = "history";
    /// See changes as they happen.
    Watch = "watch";
    /// See the members.
    Members = "see members";
    /// Change the members.
    ChangeMembers = "change members";
    /// Have the whole state.
    Backup = "back up";
    /// See what namespaces allow.
    Namespaces = "see namespaces";
    /// Change what a namespace allows: its quotas, which are not its own operators' to raise.
    ChangeNamespaces = "change namespaces";
    /// See the tokens.
    Tokens = "see tokens";
    /// Make, revoke or forget tokens.
    ChangeTokens = "change tokens";
}

/// What it is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// The cluster.
    Cluster,
    /// A namespace; none is all of them.
    Namespace(Option<&'a str>),
    /// One lease.
    Lease {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
        /// Who would hold it, or hold it next, where the call says so.
        holder: Option<&'a str>,
    },
}

/// It may not be done. What is asked for stands in it as it was asked, and nothing of what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    verb: Verb,
    principal: String,
}

/// Whether `principal` may do `verb` to `scope`.
///
/// # Errors
/// It may not.
pub(crate) fn authorize(principal: &Principal, verb: Verb, scope: Scope<'_>) -> Result<(), Denied> {
    let here = is_within(principal, scope);
    let may = match principal.role {
        Role::Unit => {
            let of_one = is_read(verb) && !matches!(verb, Verb::List | Verb::Count);
            here && owns(principal, scope) && (is_holders(verb) || of_one)
        }
        Role::Reader => here && is_read(verb),
        Role::AppAdmin => {
            let manages = matches!(verb, Verb::Revoke | Verb::Pin | Verb::Unpin);
            let may = match scope {
                Scope::Lease { name, holder, .. } if is_under(&principal.name, name) => {
                    let is_its_units = holder.is_none_or(|holder| is_unit_of(&principal.name, holder));
                    is_its_units && (manages || is_holders(verb))
                }
                _ => manages,
            };
            here && (is_read(verb) || may)
        }
        Role::Auditor => {
            here && (is_read(verb) || matches!(verb, Verb::Members | Verb::Namespaces | Verb::Tokens))
        }
        Role::Operator => here,
    };
    match may && fits(verb, scope) {
        true => Ok(()),
        false => Err(Denied { verb, principal: principal.to_string() }),
    }
}

/// What a holder does.
fn is_holders(verb: Verb) -> bool {
    matches!(verb, Verb::Claim | Verb::Extend | Verb::Release | Verb::Transfer)
}

fn is_read(verb: Verb) -> bool {
    use Verb::{Check, Count, Get, History, List, Wait, Watch};
    matches!(verb, Wait | Get | Check | History | Watch | List | Count)
}

fn is_of_the_cluster(verb: Verb) -> bool {
    use Verb::{Backup, ChangeMembers, ChangeNamespaces, ChangeTokens, Members, Namespaces, Tokens};
    matches!(verb, Members | ChangeMembers | Backup | Namespaces | ChangeNamespaces | Tokens | ChangeTokens)
}

/// A verb of the cluster is asked of the cluster, and no other is: a door that mistook one for the other must not open.
fn fits(verb: Verb, scope: Scope<'_>) -> bool {
    is_of_the_cluster(verb) == (scope == Scope::Cluster)
}

/// Whether the scope lies in the principal's namespace.
fn is_within(principal: &Principal, scope: Scope<'_>) -> bool {
    let Some(own) = principal.namespace.as_deref() else { return true };
    match scope {
        Scope::Cluster | Scope::Namespace(None) => false,
        Scope::Namespace(Some(namespace)) | Scope::Lease { namespace, .. } => namespace == own,
    }
}

/// Whether the scope is a lease of the unit's, and nobody else is named as its holder.
fn owns(principal: &Principal, scope: Scope<'_>) -> bool {
    let (Scope::Lease { name, holder, .. }, Some(own)) = (scope, principal.lease.as_deref()) else {
        return false;
    };
    is_under(own, name) && holder.is_none_or(|holder| holder == &*principal.name)
}

/// Whether a lease is `own`, or one of those under it.
fn is_under(own: &str, name: &str) -> bool {
    name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Verb {
    /// Whether it changes something: then it is in the audit log also where it is allowed.
    pub(crate) fn changes(self) -> bool {
        !is_read(self) && !matches!(self, Verb::Members | Verb::Namespaces | Verb::Tokens)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} may not {} that: an operator's `tenure token create` gives a token that may",
            self.principal, self.verb
        )
    }
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Cluster => f.write_str("the cluster"),
            Scope::Namespace(None) => f.write_str("every namespace"),
            Scope::Namespace(Some(namespace)) => write!(f, "namespace {}", Quoted(namespace)),
            Scope::Lease { namespace, name, .. } => write!(f, "{} {}", Quoted(namespace), Quoted(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Source;

    fn who(role: Role, namespace: Option<&str>) -> Principal {
        let lease = (role == Role::Unit).then(|| "mysql".into());
        let namespace = namespace.map(Into::into);
        let name = if role == Role::AppAdmin { "mysql" } else { "mysql/0" };
        Principal {
            name: name.into(),
            role,
            namespace,
            lease,
            claims_per_second: None,
            source: Source::Certificate { until: 9 },
        }
    }

    /// Who may be named as the holder: a unit of mysql's, or something that only looks like one.
    const HOLDERS: [Option<&str>; 14] = [
        None,
        Some("mysql/0"),
        Some("mysql/1"),
        Some("mysql/10"),
        Some("mysql"),
        Some("mysql/"),
        Some("mysql/0/x"),
        Some("mysql/0/1"),
        Some("mysql/01"),
        Some("mysql/+1"),
        Some("mysql/x"),
        Some("mysql2/0"),
        Some("redis/0"),
        Some("0"),
    ];

    /// Every scope that decides otherwise than another.
    fn scopes() -> Vec<Scope<'static>> {
        let mut scopes = vec![Scope::Cluster, Scope::Namespace(None)];
        for namespace in ["mine", "theirs"] {
            scopes.push(Scope::Namespace(Some(namespace)));
            for name in ["mysql", "mysql/backup", "mysql2", "redis", "my"] {
                for holder in HOLDERS {
                    scopes.push(Scope::Lease { namespace, name, holder });
                }
            }
        }
        scopes
    }

    /// Where a verb stands in the table of the module's head. One that is new has to be placed here before anything is tested.
    #[derive(PartialEq)]
    enum Column {
        Holders,
        SeesOne,
        SeesMany,
        Manages,
        SeesCluster,
        ChangesCluster,
    }

    fn column(verb: Verb) -> Column {
        match verb {
            Verb::Claim | Verb::Extend | Verb::Release | Verb::Transfer => Column::Holders,
            Verb::Wait | Verb::Get | Verb::Check | Verb::Watch | Verb::History => Column::SeesOne,
            Verb::List | Verb::Count => Column::SeesMany,
            Verb::Revoke | Verb::Pin | Verb::Unpin => Column::Manages,
            Verb::Members | Verb::Namespaces | Verb::Tokens => Column::SeesCluster,
            Verb::ChangeMembers | Verb::Backup | Verb::ChangeNamespaces | Verb::ChangeTokens => {
                Column::ChangesCluster
            }
        }
    }

    /// The table itself, written a second time and in another way: by what is allowed, a line each.
    fn told(role: Role, scoped: bool, verb: Verb, scope: Scope<'_>) -> bool {
        use Column::*;
        let (of_cluster, mine, mysqls, held_by) = match scope {
            Scope::Cluster => (true, false, false, None),
            Scope::Namespace(namespace) => (false, namespace == Some("mine"), false, None),
            Scope::Lease { namespace, name, holder } => {
                let mine = namespace == "mine";
                (false, mine, mine && matches!(name, "mysql" | "mysql/backup"), holder)
            }
        };
        let own = mysqls && matches!(held_by, None | Some("mysql/0"));
        let its_units = mysqls && matches!(held_by, None | Some("mysql/0" | "mysql/1" | "mysql/10"));
        let inside = !of_cluster && (mine || !scoped);
        let whole = of_cluster && !scoped;
        match (role, column(verb)) {
            (Role::Unit, Holders | SeesOne) => own,
            (Role::AppAdmin, Holders) => its_units,
            (Role::AppAdmin, Manages) => inside && (!mysqls || its_units),
            (Role::Operator, Holders | Manages) => inside,
            (Role::Reader | Role::AppAdmin | Role::Auditor | Role::Operator, SeesOne | SeesMany) => inside,
            (Role::Auditor, SeesCluster) | (Role::Operator, SeesCluster | ChangesCluster) => whole,
            (Role::Unit, SeesMany | Manages)
            | (Role::Reader | Role::Auditor, Holders)
            | (Role::Reader | Role::Auditor, Manages)
            | (Role::Unit | Role::Reader | Role::AppAdmin, SeesCluster)
            | (Role::Unit | Role::Reader | Role::AppAdmin | Role::Auditor, ChangesCluster) => false,
        }
    }

    #[test]
    fn every_role_may_do_to_every_scope_what_the_table_says_and_nothing_else() {
        let (mut allowed, mut denied) = (0, 0);
        for role in Role::ALL {
            for namespace in [Some("mine"), None] {
                if namespace.is_none() && role.needs_namespace() {
                    continue;
                }
                let principal = who(role, namespace);
                for &verb in Verb::ALL {
                    for scope in scopes() {
                        let may = authorize(&principal, verb, scope).is_ok();
                        let should = told(role, namespace.is_some(), verb, scope);
                        assert_eq!(may, should, "{principal}: {verb} {scope:?}");
                        if may { allowed += 1 } else { denied += 1 }
                    }
                }
            }
        }
        assert!(allowed > 1_000 && denied > 3_000, "{allowed} allowed, {denied} denied");
    }

    #[test]
    fn what_is_denied_says_nothing_of_what_is_there() {
        let unit = who(Role::Unit, Some("mine"));
        let scope = Scope::Lease { namespace: "mine", name: "redis", holder: None };
        let denied = authorize(&unit, Verb::Get, scope).unwrap_err().to_string();
        assert!(denied.starts_with("unit \"mysql/0\" of namespace \"mine\" may not get that"), "{denied}");
    }

    #[test]
    fn a_unit_owns_what_its_application_does() {
        let by_certificate = Source::Certificate { until: 9 };
        let unit = Principal::unit("mysql/0", "m", by_certificate);
        assert_eq!(unit.lease.as_deref(), Some("mysql"));
        assert_eq!(Principal::unit("cron", "m", by_certificate).lease.as_deref(), Some("cron"));
        assert_eq!(Principal::unit("a/b/0", "m", by_certificate).lease.as_deref(), Some("a/b"));
    }
}
