//! The two times of every grant: until when its holder may believe, and when it should extend.

use lease::Ttl;

/// How far an extend is spread around a third of the ttl, in per cent: without it, the holders that claimed together
/// would extend together for ever.
const SPREAD_PERCENT: u64 = 10;

/// How long the holder of a grant of `ttl` may believe, from before its call left, in whole milliseconds.
pub(crate) fn hold_ms(ttl: Ttl) -> u64 {
    lease::surely_within(ttl).as_millis()
}

/// When to extend a grant of `ttl`, in milliseconds from the reply: a third of it, moved by up to 10 % either way as
/// `chance` says (0 is the earliest, `u32::MAX` the latest).
pub(crate) fn extend_after_ms(ttl: Ttl, chance: u32) -> u64 {
    spread(ttl.as_millis() / 3, SPREAD_PERCENT, chance)
}

/// When to try again, in milliseconds: `base`, moved by up to half either way, so that those turned away together do not
/// come back together. At least 1.
pub(crate) fn retry_after_ms(base: Ttl, chance: u32) -> u64 {
    spread(base.as_millis(), 50, chance).max(1)
}

fn spread(base: u64, percent: u64, chance: u32) -> u64 {
    let reach = base.saturating_mul(percent) / 100;
    let moved = u128::from(reach) * 2 * u128::from(chance) / u128::from(u32::MAX);
    (base - reach) + moved as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extends_are_spread_by_a_tenth_around_a_third() {
        let ttl = Ttl::from_millis(30_000);
        assert_eq!(extend_after_ms(ttl, 0), 9_000);
        assert_eq!(extend_after_ms(ttl, u32::MAX / 2), 9_999);
        assert_eq!(extend_after_ms(ttl, u32::MAX), 11_000);
        assert_eq!(extend_after_ms(Ttl::from_millis(200), 0), 60, "the shortest ttl still leaves two tries");
    }

    #[test]
    fn a_retry_never_comes_at_once() {
        assert_eq!(retry_after_ms(Ttl::ZERO, 0), 1);
        assert_eq!(retry_after_ms(Ttl::from_millis(100), 0), 50);
        assert_eq!(retry_after_ms(Ttl::from_millis(100), u32::MAX), 150);
    }
}
