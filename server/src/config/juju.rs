//! What an operator may set of the Juju door. The names are Juju's own, with `_` for `-`, so that each has one in the environment.

use std::time::Duration;

use super::error::ConfigError;
use super::raw::Raws;
use super::value;

/// The Juju door's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Juju {
    /// Whether there is such a door.
    pub enabled: bool,
    /// Any agent may claim for any holder: for load tools alone, and with `--dev` alone.
    pub load_test_any_holder: bool,
    /// An agent that does not ping for so long is gone.
    pub ping_timeout: Duration,
    /// How agents' logins are throttled.
    pub throttle: Throttle,
}

/// How agents' logins are throttled; users never are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Throttle {
    /// Juju 2.7's way: logins that may come at once; 0 is any number.
    pub ratelimit_max: u32,
    /// And how often one more may.
    pub ratelimit_rate: Duration,
    /// Juju 2.5's way: logins under way at a time; 0 is any number.
    pub login_rate_limit: u32,
    /// Each of them takes at least so long,
    pub login_min_pause: Duration,
    /// and at most so long.
    pub login_max_pause: Duration,
    /// How long one too many waits before it is told to try again.
    pub login_retry_pause: Duration,
}

impl Juju {
    pub(super) fn parse(raws: &Raws) -> Result<Juju, ConfigError> {
        let duration = |key, default| Ok(raws.get(key, value::duration)?.unwrap_or(default));
        let throttle = Throttle {
            ratelimit_max: raws.get("juju.agent_ratelimit_max", value::logins)?.unwrap_or(10),
            ratelimit_rate: raws
                .get("juju.agent_ratelimit_rate", value::rate)?
                .unwrap_or(Duration::from_millis(250)),
            login_rate_limit: raws.get("juju.agent_login_rate_limit", value::logins)?.unwrap_or(0),
            login_min_pause: duration("juju.agent_login_min_pause", Duration::from_millis(100))?,
            login_max_pause: duration("juju.agent_login_max_pause", Duration::from_secs(1))?,
            login_retry_pause: duration("juju.agent_login_retry_pause", Duration::from_secs(5))?,
        };
        Ok(Juju {
            enabled: raws.get("juju.enabled", value::yes_or_no)?.unwrap_or(false),
            load_test_any_holder: raws.get("juju.load_test_any_holder", value::yes_or_no)?.unwrap_or(false),
            ping_timeout: duration("juju.ping_timeout", Duration::from_secs(180))?,
            throttle,
        })
    }

    /// The relations between them, and to `--dev`.
    pub(super) fn check(&self, raws: &Raws, dev: bool) -> Result<(), ConfigError> {
        let Throttle { login_min_pause: min, login_max_pause: max, .. } = self.throttle;
        if min > max {
            return Err(ConfigError::Broken {
                rule: "juju.agent_login_min_pause <= juju.agent_login_max_pause".to_owned(),
                values: format!(
                    "juju.agent_login_min_pause is {min:?}{}, juju.agent_login_max_pause is {max:?}{}",
                    raws.from("juju.agent_login_min_pause"),
                    raws.from("juju.agent_login_max_pause"),
                ),
                why: "each login's pause is drawn between the two",
            });
        }
        if self.load_test_any_holder && !dev {
            return Err(ConfigError::Broken {
                rule: "juju.load_test_any_holder needs --dev".to_owned(),
                values: format!(
                    "juju.load_test_any_holder is true{}, and --dev is not given",
                    raws.from("juju.load_test_any_holder")
                ),
                why: "with it any agent may take any other's lease: it is for load tools, on this machine alone",
            });
        }
        Ok(())
    }
}
