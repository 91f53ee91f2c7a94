//! The journal on disk: in a directory, with the storage engine fjall.
//!
//! One thread orders what is published and commits it: all that has come in meanwhile at once, so
//! that many publishers share the wait for the disk. What is committed is first in memory, where
//! most readers find what they want, and read from the disk by others.

mod commit;
mod counts;
mod directory;
mod error;
mod index;
mod rebuild;
mod receipt_log;
mod state;
mod store;
mod wal;
mod writer;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::{
    Batch, Entry, Journal, JournalError, Kept, Listener, Placement, Reading, Receipt, Seat, Start,
    gauge::Gauge,
    intake::Arrival,
    layered::{self, Layered},
    reader::{self, Candidates, Entries},
    recent::Recent,
    room::Room,
};
use crate::{
    channel::{Channel, Selector, View},
    config::{History, SyncPolicy},
    id::{EventId, OwnId},
};
use commit::{Committer, Desk, Message, Open, Order};
use directory::Directory;
use error::StoreError;
use store::Store;

/// The newest events that are in memory too, in bytes.
const RECENT_BYTES: usize = 32 * 1024 * 1024;

/// How many read from the disk at once.
const READERS: usize = 8;

/// How long readers wait for a store that is away.
const PATIENCE: Duration = Duration::from_secs(5);

/// A journal in a directory.
pub(crate) struct DiskJournal {
    max_age: Duration,
    gauge: Gauge,
    room: Room,
    committer: mpsc::Sender<Message>,
    is_ready: Arc<AtomicBool>,
    entries: Layered<Archive>,
}

impl DiskJournal {
    /// Opens the journal at `path`, and makes it if there is none.
    ///
    /// # Errors
    /// The directory cannot be used; the text names it, and says why.
    pub(crate) fn open(
        path: &Path,
        history: History,
        sync: SyncPolicy,
    ) -> Result<Self, JournalError> {
        let recent = History { bytes: history.bytes.min(RECENT_BYTES), ..history.clone() };
        Self::open_with(path, history, recent, sync)
    }

    /// The same with bounds for what is in memory, too.
    pub(crate) fn open_with(
        path: &Path,
        history: History,
        recent: History,
        sync: SyncPolicy,
    ) -> Result<Self, JournalError> {
        let unavailable =
            |error: StoreError| JournalError::Unavailable(format!("{}: {error}", path.display()));
        let directory = Directory::take(path).map_err(unavailable)?;
        let (store, open) =
            Open::new(&directory, &history, sync, EventId::MIN).map_err(unavailable)?;
        let recent = newest(&store, recent).map_err(unavailable)?;
        let (door, archive) = watch::channel(Some(store));
        let readers = Arc::new(Semaphore::new(READERS));
        let archive = Archive { door: archive, readers, patience: PATIENCE };
        let (max_age, gauge) = (history.age, recent.gauge());
        let is_ready = Arc::new(AtomicBool::new(true));
        let (sender, messages) = mpsc::channel();
        let committer = Committer {
            directory,
            history,
            sync,
            recent: recent.clone(),
            door,
            is_ready: is_ready.clone(),
            desk: Desk::Open(open.into()),
        };
        thread::Builder::new()
            .name("journal".into())
            .spawn(move || committer.run(&messages))
            .map_err(|error| unavailable(error.into()))?;
        Ok(Self {
            max_age,
            gauge,
            room: Room::new(),
            committer: sender,
            is_ready,
            entries: Layered::new(recent, archive),
        })
    }
}

/// The newest events of the store, within bounds.
fn newest(store: &Store, bounds: History) -> Result<Recent, StoreError> {
    let entries = store.last_entries(bounds.bytes)?;
    let first = entries.first().map_or(EventId::MAX, |entry| entry.id);
    let recent = Recent::new(bounds, store.preceding(first)?);
    recent.take(&entries.into_iter().map(Arc::new).collect());
    Ok(recent)
}

impl Journal for DiskJournal {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Receipt, JournalError>> {
        async move {
            let arrival = Arrival::from(batch);
            self.gauge.room().await;
            let _room = self.room.enter(&arrival).await?;
            let (answer, receipt) = oneshot::channel();
            let order = Order { arrival, answer, _room };
            self.committer.send(Message::Append(order)).map_err(|_| JournalError::Closed)?;
            receipt.await.unwrap_or(Err(JournalError::Closed))
        }
        .boxed()
    }

    fn place<'a>(
        &'a self,
        start: &'a Start,
        selector: &'a Selector,
        view: &'a View,
    ) -> BoxFuture<'a, Result<Placement, JournalError>> {
        reader::place(&self.entries, start, selector, view).boxed()
    }

    fn page(
        &self,
        selector: &Selector,
        view: &View,
        after: EventId,
        most: usize,
    ) -> BoxFuture<'static, Result<Reading, JournalError>> {
        let (entries, selector, view) = (self.entries.clone(), selector.clone(), view.clone());
        async move {
            match reader::page(&entries, &selector, &view, after, most).await {
                // Where it is there and cannot be read, asking again would be for ever.
                Err(JournalError::Unavailable(_)) if entries.archive.is_away() => Ok(Reading::Away),
                reading => reading,
            }
        }
        .boxed()
    }

    fn join(&self, listener: Box<dyn Listener>) -> (Seat, EventId) {
        self.entries.recent.join(listener)
    }

    fn channels(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> BoxFuture<'static, Result<BTreeMap<Channel, Kept>, JournalError>> {
        let archive = self.entries.archive.clone();
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        async move { archive.read(move |store| store.channels(&prefix, &after, limit)).await }
            .boxed()
    }

    fn max_age(&self) -> Duration {
        self.max_age
    }

    fn is_ready(&self) -> bool {
        self.is_ready.load(SeqCst)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        let (answer, closed) = oneshot::channel();
        // It may have been closed before.
        let _ = self.committer.send(Message::Close(answer));
        async move { closed.await.unwrap_or(Ok(())) }.boxed()
    }
}

/// The store, to be read off the workers.
#[derive(Clone)]
struct Archive {
    door: watch::Receiver<Option<Arc<Store>>>,
    readers: Arc<Semaphore>,
    /// How long it waits for a store that is away.
    patience: Duration,
}

impl Archive {
    fn is_away(&self) -> bool {
        self.door.borrow().is_none()
    }

    async fn store(&self) -> Result<Arc<Store>, JournalError> {
        let mut door = self.door.clone();
        let store = tokio::time::timeout(self.patience, door.wait_for(Option::is_some)).await;
        let away = |_| JournalError::Unavailable("it failed, and is being opened again".into());
        let store = store.map_err(away)?.map_err(|_| JournalError::Closed)?;
        store.clone().ok_or(JournalError::Closed)
    }

    /// The store and a turn to read it. Who waits for one holds neither.
    async fn turn(&self) -> Result<(Arc<Store>, OwnedSemaphorePermit), JournalError> {
        loop {
            drop(self.store().await?);
            let turn = self.readers.clone().acquire_owned().await;
            let turn = turn.map_err(|_| JournalError::Closed)?;
            // It may have gone away meanwhile.
            if let Some(store) = self.door.borrow().clone() {
                return Ok((store, turn));
            }
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (store, turn) = self.turn().await?;
        // They are given back when the read ends, even if nobody waits for it any more.
        let look = move || {
            let found = look(&store);
            drop((store, turn));
            found
        };
        let found = tokio::task::spawn_blocking(look).await;
        let found = found.map_err(|error| JournalError::Unavailable(error.to_string()))?;
        found.map_err(|error| {
            log::error!("journal cannot be read: {error}");
            JournalError::Unavailable(error.to_string())
        })
    }
}

impl layered::Archive for Archive {
    fn known_floor(&self) -> EventId {
        self.door.borrow().as_ref().map_or(EventId::MIN, |store| store.ends().floor)
    }
}

impl Entries for Archive {
    async fn head(&self) -> Result<EventId, JournalError> {
        Ok(self.store().await?.ends().head)
    }

    async fn floor(&self) -> Result<EventId, JournalError> {
        Ok(self.store().await?.ends().floor)
    }

    async fn holds(&self, id: EventId) -> Result<bool, JournalError> {
        self.read(move |store| store.holds(id)).await
    }

    async fn preceding(&self, id: EventId) -> Result<EventId, JournalError> {
        self.read(move |store| store.preceding(id)).await
    }

    async fn after(&self, selector: &Selector, after: EventId) -> Result<Candidates, JournalError> {
        let selector = selector.clone();
        self.read(move |store| store.after(&selector, after)).await
    }

    async fn before(
        &self,
        selector: &Selector,
        before: EventId,
    ) -> Result<Vec<Arc<Entry>>, JournalError> {
        let selector = selector.clone();
        self.read(move |store| store.before(&selector, before)).await
    }

    async fn carriers(&self, own: &OwnId, after: EventId) -> Result<Vec<Arc<Entry>>, JournalError> {
        let own = own.clone();
        self.read(move |store| store.carriers(&own, after)).await
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Instant};

    use futures_util::poll;

    use super::*;
    use crate::event::Event;

    #[tokio::test]
    async fn who_waits_for_a_store_that_is_away_takes_no_readers_turn() {
        let (_door, archive) = watch::channel(None);
        let readers = Arc::new(Semaphore::new(READERS));
        let archive = Archive { door: archive, readers, patience: PATIENCE };
        let read = pin!(archive.read(|_| Ok(())));
        assert!(poll!(read).is_pending());
        assert_eq!(archive.readers.available_permits(), READERS);
    }

    #[tokio::test]
    async fn a_page_that_waits_too_long_for_the_store_says_that_it_is_away() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::default();
        let mut journal = DiskJournal::open(directory.path(), history, SyncPolicy::Never).unwrap();
        let selector = Channel::parse("a").unwrap().into();
        let before = EventId::MIN;
        let reading = journal.page(&selector, &View::All, before, 1).await.unwrap();
        assert!(matches!(reading, Reading::Overrun { .. }), "{reading:?}");
        let (_door, away) = watch::channel(None);
        let archive = &mut journal.entries.archive;
        (archive.door, archive.patience) = (away, Duration::from_millis(1));
        let reading = journal.page(&selector, &View::All, before, 1).await.unwrap();
        assert!(matches!(reading, Reading::Away), "{reading:?}");
    }

    #[tokio::test]
    async fn a_closed_journal_lets_another_have_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let open = || DiskJournal::open(directory.path(), History::default(), SyncPolicy::Always);
        let journal = open().unwrap();
        assert!(open().is_err());
        journal.close().await.unwrap();
        open().unwrap();
        let none = journal.channels("", "", 1).await;
        assert_eq!(none.unwrap_err(), JournalError::Closed);
    }

    #[tokio::test]
    async fn more_than_goes_with_one_commit_is_evicted_without_a_publisher() {
        let directory = tempfile::tempdir().unwrap();
        let open = |events| {
            let history = History { events, ..History::default() };
            DiskJournal::open(directory.path(), history, SyncPolicy::Never).unwrap()
        };
        let journal = open(10_000);
        let channel = Channel::parse("a").unwrap();
        for _ in 0..10 {
            let events = vec![Event::new(channel.clone(), "x"); 1_000];
            journal.append(events.into()).await.unwrap();
        }
        journal.close().await.unwrap();
        let journal = open(1);
        let start = Instant::now();
        while journal.channels("", "", 1).await.unwrap()[&channel].events > 1 {
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    }
}
