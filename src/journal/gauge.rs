//! How far the slowest listener is behind, and the wait for it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Publishers wait while any listener has more events than this to handle.
const MAX_EVENTS: usize = 4_096;
/// Publishers wait while any listener has more bytes than this to handle.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What every listener still has to handle. Cheap to clone.
///
/// The bound is soft: publishers that found room at the same time all append.
#[derive(Clone, Debug, Default)]
pub(super) struct Gauge(Arc<Backlogs>);

#[derive(Debug, Default)]
struct Backlogs {
    all: Mutex<Vec<Arc<Backlog>>>,
    eased: Notify,
}

/// What one listener still has to handle.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

impl Backlog {
    pub(super) fn add(&self, events: usize, bytes: usize) {
        self.events.fetch_add(events, SeqCst);
        self.bytes.fetch_add(bytes, SeqCst);
    }

    /// Whether this brings a count back to its bound.
    fn subtract(&self, events: usize, bytes: usize) -> bool {
        let crosses =
            |before: usize, less: usize, most: usize| before > most && before - less <= most;
        crosses(self.events.fetch_sub(events, SeqCst), events, MAX_EVENTS)
            | crosses(self.bytes.fetch_sub(bytes, SeqCst), bytes, MAX_BYTES)
    }

    fn is_full(&self) -> bool {
        self.events.load(SeqCst) > MAX_EVENTS || self.bytes.load(SeqCst) > MAX_BYTES
    }
}

impl Gauge {
    pub(super) fn enter(&self) -> Arc<Backlog> {
        let backlog = Arc::new(Backlog::default());
        self.0.all.lock().push(backlog.clone());
        backlog
    }

    pub(super) fn leave(&self, backlog: &Arc<Backlog>) {
        self.0.all.lock().retain(|other| !Arc::ptr_eq(other, backlog));
        self.0.eased.notify_waiters();
    }

    pub(super) fn handled(&self, backlog: &Backlog, events: usize, bytes: usize) {
        if backlog.subtract(events, bytes) {
            self.0.eased.notify_waiters();
        }
    }

    /// Returns once no listener is too far behind.
    pub(super) async fn room(&self) {
        while self.is_full() {
            let eased = self.0.eased.notified();
            // Asked again after the wait has begun, or an easing in between would be missed.
            if self.is_full() {
                eased.await;
            }
        }
    }

    fn is_full(&self) -> bool {
        self.0.all.lock().iter().any(|backlog| backlog.is_full())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn there_is_room_until_the_slowest_listener_is_too_far_behind() {
        let gauge = Gauge::default();
        let (fast, slow) = (gauge.enter(), gauge.enter());
        for backlog in [&fast, &slow] {
            backlog.add(MAX_EVENTS, MAX_BYTES);
        }
        assert!(gauge.room().now_or_never().is_some());
        slow.add(1, 0);
        assert!(gauge.room().now_or_never().is_none());
        gauge.handled(&fast, MAX_EVENTS, MAX_BYTES);
        assert!(gauge.room().now_or_never().is_none());
        gauge.handled(&slow, 1, 0);
        assert!(gauge.room().now_or_never().is_some());
        slow.add(0, 1);
        assert!(gauge.room().now_or_never().is_none());
    }

    #[tokio::test]
    async fn who_waits_for_room_is_woken_when_there_is_some() {
        let gauge = Gauge::default();
        let backlog = gauge.enter();
        backlog.add(MAX_EVENTS + 2, 0);
        let mut room = Box::pin(gauge.room());
        assert!((&mut room).now_or_never().is_none());
        gauge.handled(&backlog, 1, 0);
        assert!((&mut room).now_or_never().is_none());
        gauge.handled(&backlog, 1, 0);
        room.await;
        backlog.add(1, 0);
        let room = gauge.room();
        tokio::join!(room, async { gauge.leave(&backlog) });
    }
}
