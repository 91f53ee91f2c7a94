//! The thread that orders what is published, commits it in groups, and opens the store again after
//! it has failed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use fjall::PersistMode;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use super::{directory::Directory, error::StoreError, store::Store, writer::Writer};
use crate::{
    config::{History, SyncPolicy},
    id::EventId,
    journal::{
        Entry, JournalError, News, Receipt,
        intake::{Accepted, Arrival, Intake},
        now_millis,
        recent::Recent,
    },
};

/// The most publications of a group.
const MAX_GROUP: usize = 1_024;

/// How often events are looked at for their age.
const TICK: Duration = Duration::from_secs(1);

/// How long a failed store is left alone: longer each time.
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// What the thread is told.
pub(super) enum Message {
    Append(Order),
    /// No more will come.
    Close(oneshot::Sender<Result<(), JournalError>>),
}

/// A publication that waits for its receipt.
pub(super) struct Order {
    pub(super) arrival: Arrival,
    pub(super) answer: oneshot::Sender<Result<Receipt, JournalError>>,
    /// Its share of the room for those that wait.
    pub(super) _room: OwnedSemaphorePermit,
}

pub(super) struct Committer {
    pub(super) directory: Directory,
    pub(super) history: History,
    pub(super) sync: SyncPolicy,
    pub(super) recent: Recent,
    /// Where readers find the store.
    pub(super) door: watch::Sender<Option<Arc<Store>>>,
    pub(super) is_ready: Arc<AtomicBool>,
    pub(super) desk: Desk,
}

/// The store, or the wait for it.
pub(super) enum Desk {
    Open(Box<Open>),
    Away { why: String, pause: Duration, until: Instant },
}

pub(super) struct Open {
    pub(super) writer: Writer,
    pub(super) intake: Intake,
    /// Since when something is committed that is not synced.
    pub(super) unsynced_since: Option<Instant>,
    /// More is beyond the history's bounds than goes with one commit.
    pub(super) is_over: bool,
}

impl Committer {
    /// Serves until it is told to close, or everybody has left.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let first = match messages.recv_timeout(self.pause()) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut orders = Vec::new();
            let mut close = None;
            for message in first.into_iter().chain(messages.try_iter()) {
                match message {
                    Message::Append(order) => orders.push(order),
                    Message::Close(answer) => close = Some(answer),
                }
                if close.is_some() || orders.len() == MAX_GROUP {
                    break;
                }
            }
            self.turn(orders);
            if let Some(answer) = close {
                let outcome = self.close();
                // Nobody may be waiting for it.
                let _ = answer.send(outcome);
                return;
            }
        }
        if let Err(error) = self.close() {
            log::error!("{error}");
        }
    }

    /// How long it may wait for publications.
    fn pause(&self) -> Duration {
        match (&self.desk, self.sync) {
            (Desk::Away { until, .. }, _) => until.saturating_duration_since(Instant::now()),
            (Desk::Open(open), _) if open.is_over => Duration::ZERO,
            (Desk::Open(open), SyncPolicy::Interval(span)) => {
                let unsynced =
                    open.unsynced_since.map(|since| span.saturating_sub(since.elapsed()));
                unsynced.unwrap_or(TICK).min(TICK)
            }
            _ => TICK,
        }
    }

    fn turn(&mut self, orders: Vec<Order>) {
        if let Desk::Away { until, .. } = &self.desk
            && *until <= Instant::now()
        {
            self.open_again();
        }
        match &mut self.desk {
            Desk::Away { why, .. } => {
                for order in orders {
                    let _ = order.answer.send(Err(JournalError::Unavailable(why.clone())));
                }
            }
            Desk::Open(open) => {
                let (arrivals, answers): (Vec<_>, Vec<_>) =
                    orders.into_iter().map(|order| (order.arrival, order.answer)).unzip();
                match guarded(|| open.commit(arrivals, self.sync, &self.recent)) {
                    Ok(results) => {
                        for (answer, result) in answers.into_iter().zip(results) {
                            // Who waits no longer has been told that it may be kept.
                            let _ = answer.send(result);
                        }
                        if let Err(error) = guarded(|| open.look_after(self.sync)) {
                            self.fail(&error);
                        }
                    }
                    Err(error) => {
                        let why = self.fail(&error);
                        for answer in answers {
                            let _ = answer.send(Err(JournalError::Unavailable(why.clone())));
                        }
                    }
                }
            }
        }
    }

    /// Lets go of a store that has failed: what it has in memory need not be what is on the disk.
    fn fail(&mut self, error: &StoreError) -> String {
        let why = format!("{}: {error}", self.directory);
        log::error!("journal failed, and takes no events until it can be opened again: {why}");
        self.is_ready.store(false, SeqCst);
        self.leave(why.clone(), MIN_PAUSE);
        self.take_away();
        why
    }

    /// Closes the store, once nobody reads it any more.
    fn take_away(&self) {
        let old = self.door.send_replace(None);
        // Readers have it for no longer than a read takes: it is theirs on a thread that reads, and
        // nowhere that could be left to wait.
        while old.as_ref().is_some_and(|store| Arc::strong_count(store) > 1) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn leave(&mut self, why: String, pause: Duration) {
        self.desk = Desk::Away { why, pause, until: Instant::now() + pause };
    }

    fn open_again(&mut self) {
        match guarded(|| self.try_to_open()) {
            Ok(()) => log::info!("journal works again: {}", self.directory),
            Err(error) => {
                let why = format!("{}: {error}", self.directory);
                if let Desk::Away { why: before, pause, .. } = &self.desk {
                    if *before != why {
                        log::error!("journal cannot be opened: {why}");
                    }
                    self.leave(why, (*pause * 2).min(MAX_PAUSE));
                }
            }
        }
    }

    fn try_to_open(&mut self) -> Result<(), StoreError> {
        let newest = self.recent.newest();
        let (store, mut open) = Open::new(&self.directory, &self.history, self.sync, newest)?;
        // What was never synced may be gone. It is still in memory, and so goes back.
        open.put_back(self.recent.read(|log| log.entries_after(store.ends().head)))?;
        // What the failed commit left behind is in the journal, and so is for everybody.
        let left = store.next_entries(newest, usize::MAX)?;
        self.recent.take(&left.into_iter().map(Arc::new).collect());
        self.desk = Desk::Open(open.into());
        self.door.send_replace(Some(store));
        self.is_ready.store(true, SeqCst);
        Ok(())
    }

    /// Syncs the store, and lets another have its directory.
    fn close(mut self) -> Result<(), JournalError> {
        self.is_ready.store(false, SeqCst);
        let unavailable = |error| JournalError::Unavailable(format!("{}: {error}", self.directory));
        let outcome = match &self.desk {
            Desk::Open(open) => open.writer.sync().map_err(unavailable),
            Desk::Away { why, .. } => Err(JournalError::Unavailable(why.clone())),
        };
        self.leave("it is closed".into(), MAX_PAUSE);
        self.take_away();
        outcome
    }
}

/// Does what the storage engine may panic at, where it does not expect what it finds.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(StoreError::Panic))
}

impl Open {
    /// Opens the store, and gives out ids after its newest and after `newest`.
    pub(super) fn new(
        directory: &Directory,
        history: &History,
        sync: SyncPolicy,
        newest: EventId,
    ) -> Result<(Arc<Store>, Self), StoreError> {
        let (store, state) = directory.open_store(sync != SyncPolicy::Always)?;
        let head = state.ends.head.max(newest);
        let (writer, receipts) = Writer::new(store.clone(), state, history.clone())?;
        let intake = Intake::new(head, receipts);
        Ok((store, Self { writer, intake, unsynced_since: None, is_over: false }))
    }

    /// Commits what has arrived, and hands it on.
    fn commit(
        &mut self,
        arrivals: Vec<Arrival>,
        sync: SyncPolicy,
        recent: &Recent,
    ) -> Result<Vec<Result<Receipt, JournalError>>, StoreError> {
        let now = now_millis();
        let outcomes: Vec<_> =
            arrivals.into_iter().map(|arrival| self.intake.accept(arrival, now)).collect();
        let accepted = outcomes.iter().flatten();
        // Also if it only evicts: of several that were not synced, a power cut could leave the later.
        let durability = match sync {
            SyncPolicy::Always => PersistMode::SyncData,
            SyncPolicy::Interval(_) | SyncPolicy::Never => PersistMode::Buffer,
        };
        if self.writer.commit(accepted.clone(), now, durability)? {
            self.unsynced_since.get_or_insert_with(Instant::now);
        }
        accepted.for_each(|accepted| recent.take(&accepted.news));
        Ok(outcomes.into_iter().map(|outcome| outcome.map(|accepted| accepted.receipt)).collect())
    }

    /// Does what no publisher has to wait for.
    fn look_after(&mut self, sync: SyncPolicy) -> Result<(), StoreError> {
        self.is_over = self.writer.is_over(now_millis())?;
        if let SyncPolicy::Interval(span) = sync
            && self.unsynced_since.is_some_and(|since| since.elapsed() >= span)
        {
            self.writer.sync()?;
            self.unsynced_since = None;
        }
        Ok(())
    }

    /// Commits entries again that the store has lost.
    fn put_back(&mut self, entries: Vec<Arc<Entry>>) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        log::warn!("the store lost events that are still in memory: events={}", entries.len());
        let news = News::from_iter(entries);
        let accepted = Accepted { news, receipt: Receipt::from([]), key: None };
        self.writer.commit([&accepted], now_millis(), PersistMode::SyncData)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        channel::Channel,
        event::Event,
        id::WireId,
        journal::{Batch, Draft},
    };

    #[test]
    fn what_the_store_has_lost_goes_back_to_it_from_memory_and_no_id_comes_twice() {
        let place = tempfile::tempdir().unwrap();
        let event = Event::new(Channel::parse("a").unwrap(), "x");
        // The clock went back, too.
        let lost = EventId::new(now_millis() + 60_000, 7);
        let history = History::default();
        let recent = Recent::new(history.clone(), EventId::MIN);
        recent.take(&News::from_iter([Arc::new(Draft::from(event.clone()).at(lost))]));
        let mut committer = Committer {
            directory: Directory::take(place.path()).unwrap(),
            history,
            sync: SyncPolicy::Never,
            recent: recent.clone(),
            door: watch::channel(None).0,
            is_ready: Arc::default(),
            desk: Desk::Away { why: String::new(), pause: MIN_PAUSE, until: Instant::now() },
        };
        committer.try_to_open().unwrap();
        let Desk::Open(open) = &mut committer.desk else { panic!("it is open") };
        let arrivals = vec![Batch::from(event).into()];
        let receipts = open.commit(arrivals, SyncPolicy::Never, &recent).unwrap();
        let next = EventId::new(lost.millis(), 8);
        assert_eq!(*receipts[0].clone().unwrap(), [WireId::Hub(next)]);
        let kept = open.writer.store.next_entries(EventId::MIN, 9).unwrap();
        assert_eq!(kept.iter().map(|entry| entry.id).collect::<Vec<_>>(), [lost, next]);
    }
}
