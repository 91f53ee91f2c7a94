//! How often somebody may do something.

use std::{
    fmt,
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};

use crate::{
    admission::Holder,
    config::{Limits, Rate},
};

/// After so many looks, those who may do as much as ever are forgotten.
const LOOKS: u32 = 1_024;

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
    limiter:
        RateLimiter<K, HashMapStateStore<K>, MonotonicClock, NoOpMiddleware<std::time::Instant>>,
    burst: NonZeroU32,
    looks: AtomicU32,
}

impl<K: Clone + Hash + Eq> Pace<K> {
    /// `None` if there is no bound, or one that is none.
    pub(crate) fn new(rate: Option<Rate>) -> Option<Self> {
        let Rate { count, per, burst } = rate?;
        let quota = Quota::with_period(per / count.get())?.allow_burst(burst);
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), MonotonicClock);
        Some(Self { limiter, burst, looks: AtomicU32::new(0) })
    }

    /// Counts `count` things of `key`'s, of which more than are allowed at once count as so many.
    ///
    /// # Errors
    /// There were too many lately: how long to wait.
    pub(crate) fn take(&self, key: &K, count: u32) -> Result<(), Duration> {
        if self.looks.fetch_add(1, Relaxed) % LOOKS == LOOKS - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN).min(self.burst);
        match self.limiter.check_key_n(key, count) {
            // It is never more than the burst.
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(wait)) => Err(wait.wait_time_from(self.limiter.clock().now())),
        }
    }
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
        let wait = pace.take(&1, 1).unwrap_err();
        assert!((3_590..=3_600).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(pace.take(&2, 100), Ok(()), "more than the burst counts as the burst");
        assert!(pace.take(&2, 1).is_err());
    }

    #[test]
    fn those_who_have_waited_are_forgotten() {
        let pace = pace("1000000/s");
        for key in 0..100 * LOOKS {
            assert_eq!(pace.take(&key, 1), Ok(()));
        }
        assert!(pace.limiter.len() <= LOOKS as usize);
    }
}
