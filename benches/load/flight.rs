//! What the publisher and the crowd know of each other: the events under way.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::Result;

/// More events than are ever under way at once.
const RING: usize = 1 << 16;

/// `published` while the publisher goes on.
const GOES_ON: u32 = u32::MAX;

pub(crate) struct Flight {
    start: Instant,
    /// When each event was sent, or was to be sent, in nanoseconds from the start.
    sent: Box<[AtomicU64]>,
    /// Every event below is with its whole audience.
    complete: AtomicU32,
    /// Where the publisher ended.
    published: AtomicU32,
    given_up: AtomicBool,
}

impl Flight {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            sent: (0..RING).map(|_| AtomicU64::new(0)).collect(),
            complete: AtomicU32::new(0),
            published: AtomicU32::new(GOES_ON),
            given_up: AtomicBool::new(false),
        }
    }

    /// Nanoseconds from the start.
    pub(crate) fn at(&self, moment: Instant) -> u64 {
        (moment - self.start).as_nanos() as u64
    }

    /// Before a run.
    pub(crate) fn begin(&self) {
        self.published.store(GOES_ON, Ordering::Release);
    }

    pub(crate) fn sends(&self, number: u32, at: Instant) {
        self.sent[number as usize % RING].store(self.at(at), Ordering::Release);
    }

    pub(crate) fn sent(&self, number: u32) -> u64 {
        self.sent[number as usize % RING].load(Ordering::Acquire)
    }

    pub(crate) fn completes(&self, below: u32) {
        self.complete.store(below, Ordering::Release);
    }

    pub(crate) fn ends(&self, published: u32) {
        self.published.store(published, Ordering::Release);
    }

    /// Whether the publisher has ended, and all that it published has arrived.
    pub(crate) fn is_over(&self) -> bool {
        self.complete.load(Ordering::Acquire) == self.published.load(Ordering::Acquire)
    }

    /// Lets the other side end, when one has failed.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    /// Waits on the publisher's thread, which the crowd unparks.
    pub(crate) fn wait_for(&self, below: u32) -> Result<()> {
        while self.complete.load(Ordering::Acquire) < below {
            if self.is_given_up() {
                return Err("the subscribers have failed".into());
            }
            thread::park_timeout(Duration::from_secs(1));
        }
        Ok(())
    }
}
