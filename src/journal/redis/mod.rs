//! The journal in Redis, which many nodes share: one stream is its order.
//!
//! Publishing runs a script; every node follows the stream by itself, its own events included, so
//! that all hand on the same in the same order. What a node has read lately it has in memory.

mod address;
mod append;
mod connection;
mod entry;
mod losses;
mod store;
mod tail;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::{
    runtime,
    sync::{mpsc, oneshot, watch},
};

use super::{
    Batch, Gap, Journal, JournalError, Kept, Listener, News, Placement, Reading, Receipt, Seat,
    Start,
    gauge::Gauge,
    intake::Arrival,
    layered::Layered,
    reader::{self, Entries},
    recent::Recent,
    room::Room,
};
use crate::{
    channel::{Channel, Selector, View},
    config::History,
    id::{EventId, LastEventId},
};
use address::Address;
use append::Order;
use losses::Losses;
use store::{Appended, Store};
use tail::Tail;

/// The newest events that are in memory too, in bytes.
const RECENT_BYTES: usize = 32 * 1024 * 1024;

/// How long a publication waits until this node has seen it too.
const ECHO: Duration = Duration::from_secs(1);

/// A journal in Redis.
pub(crate) struct RedisJournal {
    max_age: Duration,
    gauge: Gauge,
    room: Room,
    appender: mpsc::UnboundedSender<Order>,
    entries: Layered<Store>,
    losses: Losses,
    seen: Arc<watch::Sender<EventId>>,
    is_ready: Arc<AtomicBool>,
    is_closed: AtomicBool,
}

impl RedisJournal {
    /// Opens the journal at a URL, and waits until it can be reached.
    ///
    /// # Errors
    /// The URL is none, the Redis refuses, or what is there is not a journal's.
    pub(crate) async fn open(url: &str, history: History) -> Result<Self, JournalError> {
        let bytes = history.bytes.min(RECENT_BYTES);
        Self::open_with(url, history.clone(), History { bytes, ..history }).await
    }

    /// The same with bounds for what is in memory, too.
    pub(crate) async fn open_with(
        url: &str,
        history: History,
        recent: History,
    ) -> Result<Self, JournalError> {
        let address = Address::parse(url)?;
        let (opened, journal) = oneshot::channel();
        // A thread of its own, so that no crowd of subscribers keeps Redis waiting, and the other
        // way round.
        let follow = move || {
            let _end = End;
            let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let error = JournalError::Unavailable(error.to_string());
                    let _ = opened.send(Err(error));
                    return;
                }
            };
            runtime.block_on(async {
                let outcome = start(address, history, recent).await;
                let (journal, work) = match outcome {
                    Ok((journal, work)) => (Ok(journal), Some(work)),
                    Err(error) => (Err(error), None),
                };
                // Nobody may be waiting for it any more.
                let _ = opened.send(journal);
                if let Some(work) = work {
                    work.await;
                }
            });
        };
        thread::Builder::new()
            .name("journal".into())
            .spawn(follow)
            .map_err(|error| JournalError::Unavailable(error.to_string()))?;
        journal.await.unwrap_or(Err(JournalError::Closed))
    }
}

/// Says so if the journal's thread dies: it only ends together with its journal.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        if thread::panicking() {
            log::error!("the journal's thread died; herald has to be started again");
        }
    }
}

/// The journal, and what its thread has to do as long as it is there.
async fn start(
    address: Address,
    history: History,
    bounds: History,
) -> Result<(RedisJournal, impl Future<Output = ()>), JournalError> {
    let (sender, seen) = watch::channel(EventId::MIN);
    let sender = Arc::new(sender);
    let max_age = history.age;
    let store = Store::new(address, history, seen);
    let (entries, before) = loop {
        store.wait_until_it_answers().await?;
        tokio::select! {
            newest = store.last_entries(bounds.bytes) => break newest?,
            // Nobody else connects yet.
            _ = store.connection().is_cut() => {}
        }
    };
    let recent = Recent::new(bounds, before);
    recent.take(&News::from_iter(entries));
    sender.send_replace(recent.newest());
    let is_ready = Arc::new(AtomicBool::new(true));
    let (losses, gauge) = (Losses::default(), recent.gauge());
    let (appender, orders) = mpsc::unbounded_channel();
    let appending = append::append(store.clone(), orders);
    let entries = Layered::new(recent, store);
    let tail = Tail {
        entries: entries.clone(),
        gauge: gauge.clone(),
        losses: losses.clone(),
        seen: sender.clone(),
        is_ready: is_ready.clone(),
    };
    let journal = RedisJournal {
        max_age,
        gauge,
        room: Room::new(),
        appender,
        entries,
        losses,
        seen: sender,
        is_ready,
        is_closed: AtomicBool::new(false),
    };
    let work = async {
        tokio::select! {
            never = tail.run() => match never {},
            // The journal is gone.
            () = appending => {}
        }
    };
    Ok((journal, work))
}

impl Journal for RedisJournal {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Receipt, JournalError>> {
        async move {
            if self.is_closed.load(SeqCst) {
                return Err(JournalError::Closed);
            }
            let arrival = Arrival::from(batch);
            self.gauge.room().await;
            let _room = self.room.enter(&arrival).await?;
            let (answer, appended) = oneshot::channel();
            let order = Order { arrival, answer, _room };
            self.appender.send(order).map_err(|_| JournalError::Closed)?;
            let Appended { receipt, newest } =
                appended.await.unwrap_or(Err(JournalError::Closed))?;
            if let Some(newest) = newest {
                // Who asks this node next finds it, unless the tail is held up.
                let mut seen = self.seen.subscribe();
                let echo = seen.wait_for(|seen| *seen >= newest);
                let _ = tokio::time::timeout(ECHO, echo).await;
            }
            Ok(receipt)
        }
        .boxed()
    }

    fn place<'a>(
        &'a self,
        start: &'a Start,
        selector: &'a Selector,
        view: &'a View,
    ) -> BoxFuture<'a, Result<Placement, JournalError>> {
        async move {
            if let Start::After(LastEventId::Hub(id)) = start
                && let Some(cursor) = self.losses.place(*id)
            {
                let gap = Some(gap_after(&self.entries, selector, view, cursor).await?);
                return Ok(Placement { cursor, gap });
            }
            reader::place(&self.entries, start, selector, view).await
        }
        .boxed()
    }

    fn page(
        &self,
        selector: &Selector,
        view: &View,
        after: EventId,
        most: usize,
    ) -> BoxFuture<'static, Result<Reading, JournalError>> {
        let (entries, selector, view) = (self.entries.clone(), selector.clone(), view.clone());
        let lost = self.losses.place(after);
        async move {
            let reading = async {
                match lost {
                    Some(floor) => {
                        let gap = gap_after(&entries, &selector, &view, floor).await?;
                        Ok(Reading::Overrun { floor, gap })
                    }
                    None => reader::page(&entries, &selector, &view, after, most).await,
                }
            };
            match reading.await {
                Err(JournalError::Unavailable(_)) => Ok(Reading::Away),
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
        let store = self.entries.archive.clone();
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        async move { Ok(store.channels(&prefix, &after, limit).await?.1) }.boxed()
    }

    fn max_age(&self) -> Duration {
        self.max_age
    }

    fn is_ready(&self) -> bool {
        // Its thread holds the other end.
        let is_alive = !self.appender.is_closed();
        is_alive && self.is_ready.load(SeqCst) && !self.is_closed.load(SeqCst)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        self.is_closed.store(true, SeqCst);
        std::future::ready(Ok(())).boxed()
    }
}

/// What to tell who goes on from `after`, where others were lost.
async fn gap_after(
    entries: &impl Entries,
    selector: &Selector,
    view: &View,
    after: EventId,
) -> Result<Gap, JournalError> {
    let oldest = reader::first_after(entries, selector, view, after).await?;
    Ok(Gap { oldest: oldest.map(|entry| entry.wire_id()) })
}
