//! How often somebody may do something.

use std::{
    fmt,
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    state::keyed::HashMapStateStore,
};
use parking_lot::Mutex;

use crate::{
    admission::Holder,
    config::{Limits, Rate},
};

/// From so many on, those who may do as much as ever are looked for, to be forgotten.
const MIN_SWEEP: usize = 1_024;
/// The most that are remembered: some megabytes.
const MAX_KNOWN: usize = 65_536;
/// The longest that a whole burst may take to come back: a fifth of what 64 bits of nanoseconds
/// hold, for governor adds and multiplies such spans.
const MAX_REST: Duration = Duration::from_nanos(u64::MAX / 5);

/// How often a hub lets its callers do what.
#[derive(Debug)]
pub(crate) struct Rates {
    pub(crate) subscribing: Option<Pace<IpAddr>>,
    pub(crate) publishing: Option<Pace<Holder>>,
}

impl Rates {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            subscribing: Pace::new(limits.subscribe_rate),
            publishing: Pace::new(limits.publish_rate),
        }
    }
}

/// A rate for each of many.
pub(crate) struct Pace<K: Clone + Hash + Eq> {
    quota: Quota,
    known: Mutex<Known<K>>,
}

struct Known<K: Clone + Hash + Eq> {
    limiter: Limiter<K>,
    sweep_at: usize,
}

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, MonotonicClock>;

/// Why things were not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// There were too many lately: how long to wait.
    Lately(Duration),
    /// So many may never come at once, but this many.
    AtOnce(NonZeroU32),
}

impl<K: Clone + Hash + Eq> Pace<K> {
    /// `None` if there is no bound, or one that is none.
    pub(crate) fn new(rate: Option<Rate>) -> Option<Self> {
        let Rate { count, per, burst } = rate?;
        let quota = Quota::with_period((per / count.get()).min(MAX_REST))?;
        let most = MAX_REST.as_nanos() / quota.replenish_interval().as_nanos();
        let most = NonZeroU32::new(u32::try_from(most).unwrap_or(u32::MAX))?;
        let quota = quota.allow_burst(burst.min(most));
        let known = Known { limiter: limiter(quota), sweep_at: MIN_SWEEP };
        Some(Self { quota, known: Mutex::new(known) })
    }

    /// Counts one thing of `key`'s.
    ///
    /// # Errors
    /// There were too many lately: how long to wait.
    pub(crate) fn take_one(&self, key: &K) -> Result<(), Duration> {
        self.ask(|limiter| limiter.check_key(key)).map_err(|until| wait(&until))
    }

    /// Counts `count` things of `key`'s that come at once: all or none.
    pub(crate) fn take(&self, key: &K, count: u32) -> Result<(), TooMany> {
        let most = self.quota.burst_size();
        let Some(count) = NonZeroU32::new(count) else { return Ok(()) };
        if count > most {
            return Err(TooMany::AtOnce(most));
        }
        let taken = self.ask(|limiter| limiter.check_key_n(key, count));
        let taken = taken.map_err(|_| TooMany::AtOnce(most))?;
        taken.map_err(|until| TooMany::Lately(wait(&until)))
    }

    fn ask<T>(&self, question: impl FnOnce(&Limiter<K>) -> T) -> T {
        let mut known = self.known.lock();
        if known.limiter.len() >= known.sweep_at {
            self.sweep(&mut known);
        }
        question(&known.limiter)
    }

    /// Forgets those who may do as much as ever. Where too many are left, forgets them all: whoever
    /// has so many addresses is not held up by a rate for each, and nobody else shall pay for it.
    fn sweep(&self, known: &mut Known<K>) {
        known.limiter.retain_recent();
        if known.limiter.len() > MAX_KNOWN / 2 {
            known.limiter = limiter(self.quota);
        }
        known.limiter.shrink_to_fit();
        // As many must come again as were looked at: a sweep costs each of them little.
        known.sweep_at = (2 * known.limiter.len()).max(MIN_SWEEP);
    }
}

fn limiter<K: Clone + Hash + Eq>(quota: Quota) -> Limiter<K> {
    RateLimiter::new(quota, HashMapStateStore::default(), MonotonicClock)
}

fn wait(until: &NotUntil<Instant>) -> Duration {
    until.wait_time_from(MonotonicClock.now())
}

impl<K: Clone + Hash + Eq> fmt::Debug for Pace<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_rate;

    fn pace(rate: &str) -> Pace<u32> {
        Pace::new(Some(parse_rate(rate).unwrap())).unwrap()
    }

    #[test]
    fn each_has_a_burst_and_then_waits() {
        let pace = pace("1/h:3");
        assert_eq!([pace.take(&1, 1), pace.take(&1, 2)], [Ok(()); 2]);
        let wait = pace.take_one(&1).unwrap_err();
        assert!((3_590..=3_600).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(pace.take_one(&2), Ok(()), "another is not held up");
    }

    #[test]
    fn more_than_a_burst_never_comes_at_once_and_is_not_counted() {
        let pace = pace("1/h:3");
        for count in [4, u32::MAX] {
            assert_eq!(pace.take(&1, count), Err(TooMany::AtOnce(NonZeroU32::new(3).unwrap())));
        }
        assert_eq!(pace.take(&1, 3), Ok(()));
    }

    #[test]
    fn the_slowest_rate_with_the_largest_burst_is_counted_too() {
        let most = |pace: &Pace<u32>| pace.quota.burst_size().get();
        let slow = pace("1/h:1000000");
        let per = Duration::MAX;
        let endless = Pace::new(Some(Rate { per, ..parse_rate("1/h").unwrap() })).unwrap();
        let burst = NonZeroU32::MAX;
        let large = Pace::new(Some(Rate { burst, ..parse_rate("1/h").unwrap() })).unwrap();
        assert!(most(&slow) == 1_000_000 && most(&endless) == 1 && most(&large) > 1_000_000);
        for pace in [slow, endless, large] {
            assert_eq!(pace.take(&1, most(&pace)), Ok(()));
            let Err(TooMany::Lately(wait)) = pace.take(&1, most(&pace)) else { panic!("it waits") };
            assert!(wait > MAX_REST / 2, "{wait:?}");
        }
    }

    #[test]
    fn those_who_have_waited_are_forgotten() {
        let pace = pace("1000000/s:1");
        for key in 0..100 * MIN_SWEEP as u32 {
            assert_eq!(pace.take_one(&key), Ok(()));
        }
        assert!(pace.known.lock().limiter.len() <= 2 * MIN_SWEEP);
    }

    #[test]
    fn a_million_addresses_are_not_all_remembered() {
        let pace = pace("1/h:1");
        for key in 0..1_000_000 {
            assert_eq!(pace.take_one(&key), Ok(()));
            assert!(pace.known.lock().limiter.len() <= MAX_KNOWN);
        }
    }
}
