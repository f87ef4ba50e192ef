//! Trying again: how often, how long between, and what for.
//!
//! The delay doubles from one attempt to the next and is drawn at random below that, so that many jobs that met one
//! outage do not come back all at once.

use std::time::Duration;

use crate::clock::Random;

/// How often and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included.
    pub attempts_max: u32,
    /// Upper bound of the first delay.
    pub delay_first: Duration,
    /// Upper bound of every delay.
    pub delay_max: Duration,
}

impl Default for RetryPolicy {
    /// About ten minutes of outage: longer than a store's failover, shorter than a night's worth of waiting.
    fn default() -> Self {
        RetryPolicy { attempts_max: 32, delay_first: Duration::from_millis(200), delay_max: Duration::from_secs(40) }
    }
}

impl RetryPolicy {
    /// How long to wait after attempt number `attempt` (from 1) has failed; `None` when that was the last one.
    pub fn delay(&self, attempt: u32, random: &dyn Random) -> Option<Duration> {
        if attempt >= self.attempts_max {
            return None;
        }
        let doubled = self.delay_first.saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX));
        let ceiling = doubled.min(self.delay_max);
        // Half fixed, half drawn: never at once, never all together.
        let drawn = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        Some(ceiling.mul_f64(0.5 + drawn / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    #[test]
    fn delays_double_stay_below_the_ceiling_and_end() {
        let policy = RetryPolicy {
            attempts_max: 40,
            delay_first: Duration::from_millis(100),
            delay_max: Duration::from_secs(5),
        };
        for attempt in 1..40 {
            let ceiling = Duration::from_millis(100 * (1 << (attempt - 1).min(10))).min(policy.delay_max);
            let delay = policy.delay(attempt, &SystemRandom).unwrap();
            assert!(delay <= ceiling && delay >= ceiling / 2, "{attempt}: {delay:?}");
        }
        assert_eq!(policy.delay(40, &SystemRandom), None);
    }
}
