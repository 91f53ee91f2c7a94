//! What a hub knows of its own pace, for those who listen to `herald/stats`.
//!
//! Counting must cost nobody else anything: the events are one addition a batch, and times are
//! only taken while somebody listens.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    channel::Channel,
    journal::{Listener, Loss, News},
};

/// Counts what happens between two tellings.
#[derive(Debug)]
pub(crate) struct Stats {
    channel: Channel,
    events: AtomicUsize,
    latencies: Histogram,
    /// Feeds with the statistics in them.
    feeds: AtomicUsize,
    is_told: AtomicBool,
}

/// Somebody listens, until this is dropped.
#[derive(Debug)]
pub(crate) struct Listening(Arc<Stats>);

/// Somebody tells, until this is dropped.
#[derive(Debug)]
pub(crate) struct Telling(Arc<Stats>);

/// Events of a batch that have reached whoever of a feed was waiting for them.
#[derive(Debug, PartialEq)]
pub(crate) struct Delivery {
    /// When the journal handed them on.
    pub(crate) dispatched: Instant,
    pub(crate) events: usize,
}

/// What is told, as JSON.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Told {
    /// How many events the journal took in.
    events: usize,
    /// How many subscribers this node has.
    subscribers: usize,
    /// How long the events that were delivered took, unless there were none.
    latency: Option<Latency>,
}

/// In milliseconds.
#[derive(Debug, PartialEq, Serialize)]
struct Latency {
    p50: f64,
    p99: f64,
}

impl Stats {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            channel: Channel::stats(),
            events: AtomicUsize::new(0),
            latencies: Histogram::default(),
            feeds: AtomicUsize::new(0),
            is_told: AtomicBool::new(false),
        })
    }

    /// Where they are told.
    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.feeds.load(SeqCst) > 0
    }

    pub(crate) fn listen(self: &Arc<Self>) -> Listening {
        self.feeds.fetch_add(1, SeqCst);
        Listening(self.clone())
    }

    /// The task of telling, if somebody listens and nobody has it. Who gives it back asks once
    /// more: a listener that came before that was not given it.
    pub(crate) fn begin_telling(self: &Arc<Self>) -> Option<Telling> {
        let is_wanted = self.is_heard() && !self.is_told.swap(true, SeqCst);
        is_wanted.then(|| Telling(self.clone()))
    }

    #[cfg(test)]
    pub(crate) fn is_told(&self) -> bool {
        self.is_told.load(SeqCst)
    }

    /// Takes in that these have been delivered by now.
    pub(crate) fn delivered(&self, deliveries: &[Delivery]) {
        if deliveries.is_empty() {
            return;
        }
        let now = Instant::now();
        for Delivery { dispatched, events } in deliveries {
            self.latencies.add(now.saturating_duration_since(*dispatched), *events);
        }
    }

    /// What there is to tell since the last time.
    pub(crate) fn take(&self, subscribers: usize) -> Told {
        let events = self.events.swap(0, Relaxed);
        Told { events, subscribers, latency: self.latencies.take() }
    }
}

/// Counts what the journal takes in.
impl Listener for Arc<Stats> {
    fn hear(&self, news: News) -> bool {
        self.events.fetch_add(news.entries().len(), Relaxed);
        true
    }

    /// What was taken in stays so.
    fn lose(&self, _: Loss) {}

    fn wants_time(&self) -> bool {
        self.is_heard()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.feeds.fetch_sub(1, SeqCst);
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.is_told.store(false, SeqCst);
    }
}

/// Each power of two of microseconds is parted into `1 << PARTS_LOG`, so that what is told is at
/// most an eighth too long.
const PARTS_LOG: u32 = 3;
/// The longest latency told, in microseconds: over a minute.
const LONGEST: u64 = (1 << 26) - 1;
const PLACES: usize = place(LONGEST) + 1;

/// How many latencies there were of each length.
#[derive(Debug)]
struct Histogram([AtomicUsize; PLACES]);

impl Default for Histogram {
    fn default() -> Self {
        Self([const { AtomicUsize::new(0) }; PLACES])
    }
}

impl Histogram {
    fn add(&self, latency: Duration, count: usize) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST).min(LONGEST);
        self.0[place(micros)].fetch_add(count, Relaxed);
    }

    /// What was added since the last time.
    fn take(&self) -> Option<Latency> {
        let counts: Vec<_> = self.0.iter().map(|count| count.swap(0, Relaxed)).collect();
        let all: usize = counts.iter().sum();
        let within = |share: f64| {
            let mut left = (all as f64 * share).ceil() as usize;
            let place = counts.iter().position(|count| {
                left = left.saturating_sub(*count);
                left == 0
            });
            longest_at(place.unwrap_or(PLACES - 1)) as f64 / 1_000.0
        };
        (all > 0).then(|| Latency { p50: within(0.5), p99: within(0.99) })
    }
}

/// Where so many microseconds are counted: the short ones each by itself.
const fn place(micros: u64) -> usize {
    let power = u64::BITS - micros.leading_zeros();
    let shift = power.saturating_sub(PARTS_LOG + 1);
    ((shift << PARTS_LOG) as u64 + (micros >> shift)) as usize
}

/// The longest latency that is counted at a place, in microseconds.
const fn longest_at(place: usize) -> u64 {
    let shift = (place >> PARTS_LOG).saturating_sub(1);
    let part = place - (shift << PARTS_LOG);
    ((part as u64 + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_latency_is_told_as_no_shorter_and_at_most_an_eighth_longer(
            micros in (0..26u32).prop_flat_map(|power| 0..=(2 << power) - 1u64),
        ) {
            let told = longest_at(place(micros));
            prop_assert!(micros <= told && told <= micros + micros / 8, "{} {}", micros, told);
        }
    }

    #[test]
    fn half_of_the_events_and_nearly_all_of_them_are_told_of() {
        let histogram = Histogram::default();
        histogram.add(Duration::from_micros(400), 98);
        histogram.add(Duration::from_millis(3), 1);
        histogram.add(Duration::from_secs(3_600), 1);
        let latency = histogram.take().unwrap();
        assert!((0.4..0.45).contains(&latency.p50) && (3.0..3.4).contains(&latency.p99));
        assert_eq!(histogram.take(), None, "it was told");
        histogram.add(Duration::from_secs(3_600), 1);
        assert_eq!(histogram.take().unwrap().p50, LONGEST as f64 / 1_000.0);
    }

    #[test]
    fn what_is_told_is_written_to_the_byte() {
        let stats = Stats::new();
        let json = |told: Told| serde_json::to_string(&told).unwrap();
        assert_eq!(json(stats.take(3)), r#"{"events":0,"subscribers":3,"latency":null}"#);
        stats.latencies.add(Duration::from_micros(7), 1);
        let latency = r#"{"p50":0.007,"p99":0.007}"#;
        let expected = format!(r#"{{"events":0,"subscribers":0,"latency":{latency}}}"#);
        assert_eq!(json(stats.take(0)), expected);
    }

    #[test]
    fn one_at_a_time_tells_and_only_while_somebody_listens() {
        let stats = Stats::new();
        assert!(stats.begin_telling().is_none());
        let listening = stats.listen();
        let telling = stats.begin_telling().unwrap();
        assert!(stats.begin_telling().is_none());
        drop(telling);
        assert!(stats.begin_telling().is_some());
        drop(listening);
        assert!(stats.begin_telling().is_none());
    }
}
