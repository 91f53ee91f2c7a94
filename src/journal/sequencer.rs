//! The sequencer: events leave a journal one after the other, to every listener.

use std::{fmt, sync::Arc, time::Instant};

use super::{
    Entry,
    gauge::{Backlog, Gauge},
};
use crate::id::EventId;

/// Events that were appended together, on their way to the listeners. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct News {
    entries: Arc<[Arc<Entry>]>,
    cost: usize,
    dispatched: Option<Instant>,
}

impl News {
    /// When they were handed to the listeners, if one of them wanted to know.
    pub(crate) fn dispatched(&self) -> Option<Instant> {
        self.dispatched
    }

    /// The events, in order.
    pub(crate) fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }
}

impl FromIterator<Arc<Entry>> for News {
    fn from_iter<I: IntoIterator<Item = Arc<Entry>>>(entries: I) -> Self {
        let entries: Arc<[_]> = entries.into_iter().collect();
        let cost = entries.iter().map(|entry: &Arc<Entry>| entry.cost()).sum();
        Self { entries, cost, dispatched: None }
    }
}

/// Who hears a journal's events.
pub(crate) trait Listener: Send {
    /// Takes news in, without waiting. `false` if the listener is gone.
    fn hear(&self, news: News) -> bool;

    /// Is told, between two news, of events that are gone.
    fn lose(&self, loss: Loss);

    /// Whether it matters now when news were dispatched: a look at the clock costs as much as
    /// handing them on.
    fn wants_time(&self) -> bool {
        false
    }
}

/// Events that a journal had, and has no more: what a listener is told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// They are the last that it has heard of: it goes on before them.
    Heard(Lost),
    /// They are the next that it would have heard of.
    Unheard(Lost),
    /// All up to here, and with them all that it has heard of.
    All(EventId),
}

impl Loss {
    /// From where it goes on.
    pub(crate) fn place(self) -> EventId {
        match self {
            Self::Heard(lost) | Self::Unheard(lost) => lost.after,
            Self::All(upto) => upto,
        }
    }

    /// What is lost of what follows that place.
    pub(crate) fn lost(self) -> Option<Lost> {
        match self {
            Self::Heard(lost) | Self::Unheard(lost) => Some(lost),
            Self::All(_) => None,
        }
    }
}

/// Events that a journal's store has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// What follows this is lost.
    pub(crate) after: EventId,
    /// Up to here.
    pub(crate) upto: EventId,
}

impl Lost {
    pub(crate) fn has(self, id: EventId) -> bool {
        self.after < id && id <= self.upto
    }
}

/// Hands a journal's events to its listeners, in order.
///
/// A journal has one, under the lock or in the thread that orders its events, so that no two
/// dispatches overlap and a listener joins between two events. Before an append, a journal waits
/// on the sequencer's gauge until each listener has at most 4,096 events and 64 MiB to handle, so
/// that no backlog grows far beyond that.
#[derive(Default)]
pub(super) struct Sequencer {
    listeners: Vec<(Box<dyn Listener>, Arc<Backlog>)>,
    gauge: Gauge,
}

impl Sequencer {
    /// Adds a listener; it hears what is dispatched from now on.
    pub(super) fn join(&mut self, listener: Box<dyn Listener>) -> Seat {
        let backlog = self.gauge.enter();
        self.listeners.push((listener, backlog.clone()));
        Seat { backlog, gauge: self.gauge.clone() }
    }

    /// Hands `news` to every listener, and forgets those that are gone.
    pub(super) fn dispatch(&mut self, news: &News) {
        let is_timed = self.listeners.iter().any(|(listener, _)| listener.wants_time());
        let news = News { dispatched: is_timed.then(Instant::now), ..news.clone() };
        let gauge = &self.gauge;
        self.listeners.retain(|(listener, backlog)| {
            backlog.add(news.entries.len(), news.cost);
            let is_there = listener.hear(news.clone());
            if !is_there {
                gauge.leave(backlog);
            }
            is_there
        });
    }

    /// Tells every listener of a loss.
    pub(super) fn dispatch_loss(&self, loss: Loss) {
        self.listeners.iter().for_each(|(listener, _)| listener.lose(loss));
    }

    /// The gauge, to be waited on without the lock over the sequencer.
    pub(super) fn gauge(&self) -> Gauge {
        self.gauge.clone()
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
pub(crate) struct Seat {
    backlog: Arc<Backlog>,
    gauge: Gauge,
}

impl Seat {
    /// Says that `news` has been handled.
    pub(crate) fn handled(&self, news: &News) {
        self.gauge.handled(&self.backlog, news.entries.len(), news.cost);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.gauge.leave(&self.backlog);
    }
}
