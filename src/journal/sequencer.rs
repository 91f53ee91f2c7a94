//! The sequencer: events leave a journal one after the other, to every listener.

use std::{fmt, sync::Arc};

use super::{
    News,
    gauge::{Backlog, Gauge},
};

/// Who hears a journal's events.
pub trait Listener: Send {
    /// Takes news in, without waiting. `false` if the listener is gone.
    fn hear(&self, news: News) -> bool;
}

/// Hands a journal's events to its listeners, in order.
///
/// A journal has one, under the lock or in the thread that orders its events, so that no two
/// dispatches overlap and a listener joins between two events. No listener's backlog grows without
/// bound: before an append, a journal waits for [`room`](Self::room), which comes once each has at
/// most 4,096 events and 64 MiB left to handle.
#[derive(Default)]
pub struct Sequencer {
    listeners: Vec<(Box<dyn Listener>, Arc<Backlog>)>,
    gauge: Arc<Gauge>,
}

impl Sequencer {
    /// Adds a listener; it hears what is dispatched from now on.
    pub fn join(&mut self, listener: Box<dyn Listener>) -> Seat {
        let backlog = self.gauge.enter();
        self.listeners.push((listener, backlog.clone()));
        Seat { backlog, gauge: self.gauge.clone() }
    }

    /// Hands `news` to every listener, and forgets those that are gone.
    pub fn dispatch(&mut self, news: &News) {
        let bytes = news.iter().map(|entry| entry.cost()).sum();
        let gauge = &self.gauge;
        self.listeners.retain(|(listener, backlog)| {
            backlog.add(news.len(), bytes);
            let there = listener.hear(news.clone());
            if !there {
                gauge.leave(backlog);
            }
            there
        });
    }

    /// A wait for room, to be awaited without the lock over the sequencer.
    pub fn room(&self) -> impl Future<Output = ()> + Send + 'static {
        let gauge = self.gauge.clone();
        async move { gauge.room().await }
    }
}

impl fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequencer")
            .field("listeners", &self.listeners.len())
            .finish_non_exhaustive()
    }
}

/// A listener's place at a sequencer. Dropping it tells publishers not to wait for the listener.
#[derive(Debug)]
pub struct Seat {
    backlog: Arc<Backlog>,
    gauge: Arc<Gauge>,
}

impl Seat {
    /// Says that `news` has been handled.
    pub fn handled(&self, news: &News) {
        let bytes = news.iter().map(|entry| entry.cost()).sum();
        self.gauge.handled(&self.backlog, news.len(), bytes);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.gauge.leave(&self.backlog);
    }
}
