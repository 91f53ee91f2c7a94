//! The newest events of a journal, in memory, and who listens to it.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use super::{
    Entry, JournalError, Kept, Listener, Loss, News, Seat, Sequencer,
    gauge::Gauge,
    log::Log,
    now_millis,
    reader::{Candidates, Entries},
};
use crate::{
    channel::{Channel, Selector},
    config::History,
    id::{EventId, OwnId},
};

/// A log and its listeners, behind one lock: what is read and what is heard are the same. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub(super) struct Recent(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    log: Log,
    sequencer: Sequencer,
}

impl Recent {
    /// Nothing yet; goes on after `head`.
    pub(super) fn new(history: History, head: EventId) -> Self {
        let inner = Inner { log: Log::new(history, head), sequencer: Sequencer::default() };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// How far its listeners are behind.
    pub(super) fn gauge(&self) -> Gauge {
        self.0.lock().sequencer.gauge()
    }

    pub(super) fn join(&self, listener: Box<dyn Listener>) -> (Seat, EventId) {
        let mut inner = self.0.lock();
        (inner.sequencer.join(listener), inner.log.ends().head)
    }

    /// Takes in what the journal keeps from now on, and tells the listeners.
    pub(super) fn take(&self, news: &News) {
        if news.entries().is_empty() {
            return;
        }
        let mut inner = self.0.lock();
        news.entries().iter().for_each(|entry| inner.log.keep(entry.clone()));
        inner.log.evict(now_millis());
        inner.sequencer.dispatch(news);
    }

    /// The newest id.
    pub(super) fn newest(&self) -> EventId {
        self.read(Log::ends).head
    }

    /// Forgets what is lost, and tells the listeners.
    pub(super) fn lose(&self, loss: Loss) {
        let mut inner = self.0.lock();
        inner.log.cut(loss.place());
        inner.sequencer.dispatch_loss(loss);
    }

    pub(super) fn channels(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> BTreeMap<Channel, Kept> {
        self.read(|log| log.channels(prefix, after, limit))
    }

    /// Looks at the log as it is at one moment.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        let mut inner = self.0.lock();
        inner.log.evict(now_millis());
        look(&inner.log)
    }
}

impl Entries for Recent {
    async fn head(&self) -> Result<EventId, JournalError> {
        Ok(self.newest())
    }

    async fn floor(&self) -> Result<EventId, JournalError> {
        Ok(self.read(Log::ends).floor)
    }

    async fn holds(&self, id: EventId) -> Result<bool, JournalError> {
        Ok(self.read(|log| log.holds(id)))
    }

    async fn preceding(&self, id: EventId) -> Result<EventId, JournalError> {
        Ok(self.read(|log| log.preceding(id)))
    }

    async fn after(&self, selector: &Selector, after: EventId) -> Result<Candidates, JournalError> {
        Ok(self.read(|log| log.after(selector, after)))
    }

    async fn before(
        &self,
        selector: &Selector,
        before: EventId,
    ) -> Result<Vec<Arc<Entry>>, JournalError> {
        Ok(self.read(|log| log.before(selector, before)))
    }

    async fn carriers(&self, own: &OwnId, after: EventId) -> Result<Vec<Arc<Entry>>, JournalError> {
        Ok(self.read(|log| log.carriers(own, after)))
    }
}
