//! The journal in this process's memory: as fast as can be, forgotten at a restart.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::{BoxFuture, FutureExt, ready};
use parking_lot::Mutex;

use super::{
    Batch, Journal, JournalError, Kept, Listener, Placement, Reading, Receipt, Seat, Start,
    gauge::Gauge,
    intake::{Arrival, Intake},
    now_millis, reader,
    receipts::Receipts,
    recent::Recent,
};
use crate::{
    channel::{Channel, Selector, View},
    config::History,
    id::EventId,
};

/// A journal in memory.
///
/// Encoding and matching are done without its locks.
#[derive(Debug)]
pub(crate) struct MemoryJournal {
    max_age: Duration,
    gauge: Gauge,
    /// Orders the appends.
    intake: Mutex<Intake>,
    recent: Recent,
}

impl MemoryJournal {
    /// An empty journal, born now.
    pub(crate) fn new(history: History) -> Self {
        let max_age = history.age;
        let birth = EventId::new(now_millis(), 0);
        let recent = Recent::new(history, birth);
        let intake = Mutex::new(Intake::new(birth, Receipts::default()));
        Self { max_age, gauge: recent.gauge(), intake, recent }
    }
}

impl Journal for MemoryJournal {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Receipt, JournalError>> {
        async move {
            let arrival = Arrival::from(batch);
            self.gauge.room().await;
            let mut intake = self.intake.lock();
            let accepted = intake.accept(arrival, now_millis())?;
            self.recent.take(&accepted.news);
            Ok(accepted.receipt)
        }
        .boxed()
    }

    fn place<'a>(
        &'a self,
        start: &'a Start,
        selector: &'a Selector,
        view: &'a View,
    ) -> BoxFuture<'a, Result<Placement, JournalError>> {
        reader::place(&self.recent, start, selector, view).boxed()
    }

    fn page(
        &self,
        selector: &Selector,
        view: &View,
        after: EventId,
        most: usize,
    ) -> BoxFuture<'static, Result<Reading, JournalError>> {
        let (recent, selector, view) = (self.recent.clone(), selector.clone(), view.clone());
        async move { reader::page(&recent, &selector, &view, after, most).await }.boxed()
    }

    fn join(&self, listener: Box<dyn Listener>) -> (Seat, EventId) {
        self.recent.join(listener)
    }

    fn channels(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> BoxFuture<'static, Result<BTreeMap<Channel, Kept>, JournalError>> {
        ready(Ok(self.recent.channels(prefix, after, limit))).boxed()
    }

    fn max_age(&self) -> Duration {
        self.max_age
    }

    fn is_ready(&self) -> bool {
        !self.intake.lock().is_closed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        self.intake.lock().close();
        ready(Ok(())).boxed()
    }
}
