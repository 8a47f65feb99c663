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

#[cfg(test)]
mod tests {
    use crate::config::{Config, Flags};

    fn of(text: &str) -> Result<Config, String> {
        Config::of_text(text).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_shut_and_throttled_as_jujus_is_unless_somebody_says_otherwise() {
        let juju = of("listen = \"127.0.0.1:0\"").unwrap().juju;
        assert!(!juju.enabled && !juju.load_test_any_holder);
        assert_eq!(juju.ping_timeout.as_secs(), 180);
        let throttle = &juju.throttle;
        assert_eq!((throttle.ratelimit_max, throttle.ratelimit_rate.as_millis()), (10, 250));
        assert_eq!(throttle.login_rate_limit, 0);
        let set = of("[juju]\nenabled = true\nagent_ratelimit_max = 0\nagent_ratelimit_rate = \"1m\"\n\
                      agent_login_rate_limit = 10\nagent_login_min_pause = \"1s\"\nping_timeout = \"9s\"\n");
        let juju = set.unwrap().juju;
        assert!(juju.enabled);
        assert_eq!((juju.throttle.ratelimit_max, juju.throttle.ratelimit_rate.as_secs()), (0, 60));
        assert_eq!((juju.throttle.login_rate_limit, juju.ping_timeout.as_secs()), (10, 9));
    }

    #[test]
    fn what_is_out_of_bounds_says_what_is_wanted() {
        let cases = [
            ("agent_ratelimit_max = -1", "a whole number from 0 to 1000000"),
            ("agent_ratelimit_max = 1.5", "a whole number from 0 to 1000000"),
            ("agent_login_rate_limit = 1000001", "a whole number from 0 to 1000000"),
            ("agent_ratelimit_rate = \"0ms\"", "from 1ms to 1m"),
            ("agent_ratelimit_rate = \"61s\"", "from 1ms to 1m"),
            ("agent_ratelimit_rate = 250", "from 1ms to 1m"),
            ("agent_login_min_pause = \"2s\"", "juju.agent_login_min_pause <= juju.agent_login_max_pause"),
            ("ping_timeout = \"0s\"", "from 1ms to 24h"),
            ("enabled = \"yes\"", "true or false"),
            ("load_test_any_holder = true", "juju.load_test_any_holder needs --dev"),
            ("agent_ratelimit_maxx = 1", "did you mean \"juju.agent_ratelimit_max\"?"),
        ];
        for (line, wanted) in cases {
            let error = of(&format!("[juju]\n{line}\n")).unwrap_err();
            assert!(error.contains(wanted), "{line}: {error}");
        }
    }

    #[test]
    fn only_the_throttle_changes_in_a_running_server() {
        let (now, mut throttled) =
            (of("[juju]\nenabled = true").unwrap(), of("[juju]\nenabled = true").unwrap());
        throttled.juju.throttle.ratelimit_max = 100;
        assert!(!now.needs_restart(&throttled));
        let shut = of("listen = \"127.0.0.1:7400\"").unwrap();
        assert!(now.needs_restart(&shut));
    }

    #[test]
    fn flags_open_it_and_let_a_load_test_do_as_it_likes_with_dev() {
        let flags = Flags { dev: true, juju: true, load_test_any_holder: true, ..Flags::default() };
        let juju = Config::load_with(&flags, &|_| None).unwrap().juju;
        assert!(juju.enabled && juju.load_test_any_holder);
    }
}
