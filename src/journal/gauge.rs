//! How far the slowest listener is behind, and the wait for it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Publishers wait while any listener has more than this to handle.
pub(super) const MAX_EVENTS: usize = 4_096;
/// Publishers wait while any listener has more than this to handle.
pub(super) const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What every listener still has to handle.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    backlogs: Mutex<Vec<Arc<Backlog>>>,
    eased: Notify,
}

/// What one listener still has to handle. The counters are hints that need no order among
/// themselves: a publisher that reads an old value waits or goes on one event later.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

impl Backlog {
    pub(super) fn add(&self, events: usize, bytes: usize) {
        self.events.fetch_add(events, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    fn subtract(&self, events: usize, bytes: usize) {
        self.events.fetch_sub(events, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    fn is_full(&self) -> bool {
        self.events.load(Relaxed) > MAX_EVENTS || self.bytes.load(Relaxed) > MAX_BYTES
    }
}

impl Gauge {
    pub(super) fn enter(&self) -> Arc<Backlog> {
        let backlog = Arc::new(Backlog::default());
        self.backlogs.lock().push(backlog.clone());
        backlog
    }

    pub(super) fn leave(&self, backlog: &Arc<Backlog>) {
        self.backlogs.lock().retain(|other| !Arc::ptr_eq(other, backlog));
        self.eased.notify_waiters();
    }

    pub(super) fn handled(&self, backlog: &Backlog, events: usize, bytes: usize) {
        let was_full = backlog.is_full();
        backlog.subtract(events, bytes);
        if was_full && !backlog.is_full() {
            self.eased.notify_waiters();
        }
    }

    /// Returns once no listener is too far behind.
    pub(super) async fn room(&self) {
        while self.is_full() {
            let eased = self.eased.notified();
            // Asked again after the wait has begun, or an easing in between would be missed.
            if self.is_full() {
                eased.await;
            }
        }
    }

    fn is_full(&self) -> bool {
        self.backlogs.lock().iter().any(|backlog| backlog.is_full())
    }
}
