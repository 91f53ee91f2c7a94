//! What the publisher and the crowd know of each other: the events under way.

use std::{
    mem,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::Result;

/// More events than are ever under way at once.
const RING: usize = 1 << 16;

/// How often a publisher that waits looks whether the crowd has given up.
const LOOK_UP: Duration = Duration::from_secs(1);

pub(crate) struct Flight {
    start: Instant,
    /// When each event was sent, or was to be sent, in nanoseconds from the start.
    sent: Box<[AtomicU64]>,
    /// Every event below is under way, or complete.
    published: AtomicU32,
    /// Every event below is with its whole audience.
    complete: AtomicU32,
    /// Whether the publisher publishes no more.
    ended: AtomicBool,
    given_up: AtomicBool,
}

/// The publisher's side, or the crowd's. The other side gives up when this one is dropped before it
/// has succeeded, by an error or a panic.
pub(crate) struct Side<'a>(&'a Flight);

impl Flight {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            sent: (0..RING).map(|_| AtomicU64::new(0)).collect(),
            published: AtomicU32::new(0),
            complete: AtomicU32::new(0),
            ended: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
        }
    }

    /// Nanoseconds from the start.
    pub(crate) fn at(&self, moment: Instant) -> u64 {
        (moment - self.start).as_nanos() as u64
    }

    /// Before a run.
    pub(crate) fn begin(&self) {
        self.ended.store(false, Ordering::Release);
    }

    pub(crate) fn side(&self) -> Side<'_> {
        Side(self)
    }

    /// An event is sent, or was to be sent, at this moment.
    pub(crate) fn sends(&self, number: u32, at: Instant) -> Result<()> {
        self.sent[number as usize % RING].store(self.at(at), Ordering::Release);
        self.published.store(number + 1, Ordering::Release);
        if self.under_way() as usize > RING {
            return Err(format!("more than {RING} events are under way").into());
        }
        Ok(())
    }

    pub(crate) fn sent(&self, number: u32) -> u64 {
        self.sent[number as usize % RING].load(Ordering::Acquire)
    }

    pub(crate) fn completes(&self, below: u32) {
        self.complete.store(below, Ordering::Release);
    }

    /// How many events are under way.
    pub(crate) fn under_way(&self) -> u32 {
        self.published.load(Ordering::Acquire) - self.complete.load(Ordering::Acquire)
    }

    pub(crate) fn ends(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether the publisher has ended, and all that it published has arrived.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire) && self.under_way() == 0
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    /// Waits on the publisher's thread, which the crowd unparks, until the events below are with
    /// everybody, or the crowd has given up.
    pub(crate) fn wait_for(&self, below: u32) {
        while self.complete.load(Ordering::Acquire) < below && !self.is_given_up() {
            thread::park_timeout(LOOK_UP);
        }
    }

    /// Waits for a moment in the same way; `false` if the crowd has given up.
    pub(crate) fn wait_until(&self, due: Instant) -> bool {
        while !self.is_given_up() {
            let early = due.saturating_duration_since(Instant::now());
            if early.is_zero() {
                return true;
            }
            thread::park_timeout(early.min(LOOK_UP));
        }
        false
    }
}

impl Side<'_> {
    pub(crate) fn succeeds(self) {
        mem::forget(self);
    }
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        self.0.given_up.store(true, Ordering::Release);
    }
}
