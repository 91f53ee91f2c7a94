//! What has arrived: each event's count, each delivery's latency.

use std::collections::VecDeque;

use hdrhistogram::Histogram;

use crate::{Result, flight::Flight};

/// Of microseconds, up to a minute.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

pub(crate) struct Tally {
    /// How many subscribers each event has.
    audience: u32,
    /// The first event that is not yet with its whole audience.
    pub(crate) complete: u32,
    /// How many have it, and those after it.
    reached: VecDeque<u32>,
    pub(crate) deliveries: u64,
    pub(crate) latencies: Histogram<u64>,
    /// When the last event was complete, as [`Flight::at`] tells it.
    pub(crate) last: u64,
}

impl Tally {
    pub(crate) fn new(audience: u32, first: u32) -> Result<Self> {
        Ok(Self {
            audience,
            complete: first,
            reached: VecDeque::new(),
            deliveries: 0,
            latencies: histogram()?,
            last: 0,
        })
    }

    /// Counts anew from here on.
    pub(crate) fn reset(&mut self) {
        self.deliveries = 0;
        self.latencies.reset();
    }

    pub(crate) fn counts(&mut self, number: u32, now: u64, flight: &Flight) -> Result<()> {
        let ahead = number.checked_sub(self.complete);
        let too_often = || format!("event {number} came to more than it is for");
        let index = ahead.ok_or_else(too_often)? as usize;
        if self.reached.len() <= index {
            self.reached.resize(index + 1, 0);
        }
        self.reached[index] += 1;
        self.deliveries += 1;
        self.latencies.saturating_record(now.saturating_sub(flight.sent(number)) / 1_000);
        while self.reached.front() == Some(&self.audience) {
            self.reached.pop_front();
            self.complete += 1;
            self.last = now;
        }
        Ok(())
    }
}
