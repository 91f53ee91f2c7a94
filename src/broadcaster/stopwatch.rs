//! How long a feed's news take until all who wait for them have been woken.

use std::{collections::VecDeque, time::Instant};

use crate::stats::Delivery;

/// How many batches are timed at once: where they come so fast, the first ones stand for the rest.
const MAX_TIMED: usize = 1_024;

/// Times batches, each by the feed's generation that its last event made.
#[derive(Debug, Default)]
pub(super) struct Stopwatch(VecDeque<(u64, Delivery)>);

impl Stopwatch {
    /// An event of the batch that was dispatched then is in the feed.
    pub(super) fn start(&mut self, dispatched: Instant, generation: u64) {
        if let Some((last, delivery)) = self.0.back_mut()
            && delivery.dispatched == dispatched
        {
            *last = generation;
            delivery.events += 1;
        } else if self.0.len() < MAX_TIMED {
            self.0.push_back((generation, Delivery { dispatched, events: 1 }));
        }
    }

    /// Moves to `delivered` what everybody has been woken for up to this generation.
    pub(super) fn stop(&mut self, generation: u64, delivered: &mut Vec<Delivery>) {
        let done = self.0.partition_point(|(last, _)| *last <= generation);
        delivered.extend(self.0.drain(..done).map(|(_, delivery)| delivery));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_delivered_when_its_last_event_is() {
        let (mut stopwatch, mut delivered) = (Stopwatch::default(), Vec::new());
        let first = Instant::now();
        let second = first + std::time::Duration::from_secs(1);
        for (dispatched, generation) in [(first, 1), (first, 2), (second, 5)] {
            stopwatch.start(dispatched, generation);
        }
        stopwatch.stop(1, &mut delivered);
        assert_eq!(delivered, []);
        stopwatch.stop(4, &mut delivered);
        assert_eq!(delivered, [Delivery { dispatched: first, events: 2 }]);
        stopwatch.stop(5, &mut delivered);
        assert_eq!(delivered[1..], [Delivery { dispatched: second, events: 1 }]);
    }
}
