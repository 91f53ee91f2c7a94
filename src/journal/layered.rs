//! A journal in two layers: the newest entries in memory, and all of them in an archive.
//!
//! What many ask the archive at once is read once: subscribers that come back together, as they do
//! when another node has gone, mostly stand close to each other.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;

use super::{
    Entry, JournalError, Loss,
    log::Log,
    reader::{Candidates, Ends, Entries},
    recent::Recent,
};
use crate::{
    channel::Selector,
    id::{EventId, OwnId},
};

/// Memory for what was read of the archive.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// About what a span takes without entries: selectors may be long.
const SPAN_BYTES: usize = 1024;

/// Recent entries, and an archive that has them and those before them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Layered<A> {
    pub(super) recent: Recent,
    pub(super) archive: A,
    reads: Arc<Mutex<Reads>>,
}

/// Where all entries are.
pub(super) trait Archive: Entries + Clone + 'static {
    /// The floor, as far as it is known without asking.
    fn known_floor(&self) -> EventId;
}

/// What is being read of the archive, and what was.
#[derive(Default)]
struct Reads {
    under_way: HashMap<Key, Read>,
    spans: HashMap<Selector, Vec<Span>>,
    /// The spans' selectors, oldest first.
    order: VecDeque<Key>,
    bytes: usize,
    /// How often it was all forgotten.
    losses: usize,
}

type Key = (Selector, EventId);
type Read = Shared<BoxFuture<'static, Result<Candidates, JournalError>>>;

/// Strikes a read off, however it ends.
struct UnderWay {
    reads: Arc<Mutex<Reads>>,
    key: Key,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // It may be another's by now, which is then read twice.
        self.reads.lock().under_way.remove(&self.key);
    }
}

/// All entries of a selection above `after`, up to where they are known.
struct Span {
    after: EventId,
    candidates: Candidates,
}

impl<A: Archive> Layered<A> {
    pub(super) fn new(recent: Recent, archive: A) -> Self {
        Self { recent, archive, reads: Arc::default() }
    }

    async fn read_archive(
        &self,
        selector: &Selector,
        after: EventId,
    ) -> Result<Candidates, JournalError> {
        let read = {
            let mut reads = self.reads.lock();
            if after >= self.archive.known_floor()
                && let Some(found) = reads.find(selector, after)
            {
                return Ok(found);
            }
            let key = (selector.clone(), after);
            let losses = reads.losses;
            reads.under_way.entry(key.clone()).or_insert_with(|| self.read(key, losses)).clone()
        };
        read.await
    }

    /// Forgets what was read before entries were lost.
    pub(super) fn lose(&self, loss: Loss) {
        let mut reads = self.reads.lock();
        *reads = Reads { losses: reads.losses + 1, ..Reads::default() };
        self.recent.lose(loss);
    }

    fn read(&self, key: Key, losses: usize) -> Read {
        let archive = self.archive.clone();
        let under_way = UnderWay { reads: self.reads.clone(), key };
        // It comes to its end by itself: who asked for it may have left, or may not look for long.
        let read = tokio::spawn(async move {
            let UnderWay { reads, key: (selector, after) } = &under_way;
            let found = archive.after(selector, *after).await;
            let mut reads = reads.lock();
            if let Ok(candidates) = &found
                && reads.losses == losses
            {
                reads.keep(&under_way.key, candidates);
            }
            found
        });
        async { read.await.unwrap_or(Err(JournalError::Closed)) }.boxed().shared()
    }
}

impl Reads {
    /// The entries after `after`, if they were read before.
    fn find(&self, selector: &Selector, after: EventId) -> Option<Candidates> {
        let spans = self.spans.get(selector)?;
        let known = |span: &&Span| span.after <= after && after < span.candidates.through;
        let Candidates { entries, through, floor, .. } = &spans.iter().find(known)?.candidates;
        let next = entries.partition_point(|entry| entry.id <= after);
        let entries = entries[next..].to_vec();
        // More may have come since.
        Some(Candidates { entries, through: *through, at_head: false, floor: *floor })
    }

    /// Whether somebody went on from `id`, or was given it.
    fn has(&self, id: EventId) -> bool {
        self.spans.values().flatten().any(|Span { after, candidates }| {
            *after == id || candidates.entries.binary_search_by_key(&id, |entry| entry.id).is_ok()
        })
    }

    fn keep(&mut self, (selector, after): &Key, candidates: &Candidates) {
        // Where something is gone from it, it is to be told each time.
        if candidates.floor > *after {
            return;
        }
        let span = Span { after: *after, candidates: candidates.clone() };
        self.bytes += span.bytes();
        self.spans.entry(selector.clone()).or_default().push(span);
        self.order.push_back((selector.clone(), *after));
        while self.bytes > MAX_BYTES {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((selector, after)) = self.order.pop_front() else { return };
        let Some(spans) = self.spans.get_mut(&selector) else { return };
        if let Some(place) = spans.iter().position(|span| span.after == after) {
            self.bytes -= spans.swap_remove(place).bytes();
        }
        if spans.is_empty() {
            self.spans.remove(&selector);
        }
    }
}

impl Span {
    fn bytes(&self) -> usize {
        SPAN_BYTES + self.candidates.entries.iter().map(|entry| entry.cost()).sum::<usize>()
    }
}

impl<A: Archive> Entries for Layered<A> {
    async fn head(&self) -> Result<EventId, JournalError> {
        self.recent.head().await
    }

    async fn floor(&self) -> Result<EventId, JournalError> {
        self.archive.floor().await
    }

    async fn holds(&self, id: EventId) -> Result<bool, JournalError> {
        let recent = |log: &Log| {
            let Ends { floor, head } = log.ends();
            (floor..=head).contains(&id).then(|| log.holds(id))
        };
        match self.recent.read(recent) {
            Some(holds) => Ok(holds),
            None if id >= self.archive.known_floor() && self.reads.lock().has(id) => Ok(true),
            None => self.archive.holds(id).await,
        }
    }

    async fn preceding(&self, id: EventId) -> Result<EventId, JournalError> {
        match self.recent.read(|log| (id > log.ends().floor).then(|| log.preceding(id))) {
            Some(preceding) => Ok(preceding),
            None => self.archive.preceding(id).await,
        }
    }

    async fn after(&self, selector: &Selector, after: EventId) -> Result<Candidates, JournalError> {
        let recent =
            |log: &super::log::Log| (after >= log.ends().floor).then(|| log.after(selector, after));
        match self.recent.read(recent) {
            Some(candidates) => Ok(candidates),
            None => self.read_archive(selector, after).await,
        }
    }

    async fn before(
        &self,
        selector: &Selector,
        before: EventId,
    ) -> Result<Vec<Arc<Entry>>, JournalError> {
        let (floor, entries) =
            self.recent.read(|log| (log.ends().floor, log.before(selector, before)));
        if entries.is_empty() {
            self.archive.before(selector, before.min(floor.after())).await
        } else {
            Ok(entries)
        }
    }

    async fn carriers(&self, own: &OwnId, after: EventId) -> Result<Vec<Arc<Entry>>, JournalError> {
        self.archive.carriers(own, after).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::{channel::Channel, config::History, event::Event, journal::Draft};

    /// An archive of the entries 1 to 9, which answers when it is allowed to.
    #[derive(Clone)]
    struct Fake {
        reads: Arc<AtomicUsize>,
        gate: Arc<Semaphore>,
    }

    fn id(number: u64) -> EventId {
        EventId::new(number, 0)
    }

    impl Archive for Fake {
        fn known_floor(&self) -> EventId {
            EventId::MIN
        }
    }

    impl Entries for Fake {
        async fn head(&self) -> Result<EventId, JournalError> {
            Ok(id(9))
        }

        async fn floor(&self) -> Result<EventId, JournalError> {
            Ok(EventId::MIN)
        }

        async fn holds(&self, id: EventId) -> Result<bool, JournalError> {
            self.reads.fetch_add(1, SeqCst);
            Ok(id == self::id(3))
        }

        async fn preceding(&self, _: EventId) -> Result<EventId, JournalError> {
            Ok(EventId::MIN)
        }

        async fn after(&self, _: &Selector, after: EventId) -> Result<Candidates, JournalError> {
            self.reads.fetch_add(1, SeqCst);
            drop(self.gate.acquire().await);
            let entry = |number| {
                let event = Event::new(Channel::parse("a").unwrap(), "x");
                Arc::new(Draft::from(event).at(id(number)))
            };
            let entries = (after.millis() + 1..10).map(entry).collect();
            Ok(Candidates { entries, through: id(9), at_head: true, floor: EventId::MIN })
        }

        async fn before(&self, _: &Selector, _: EventId) -> Result<Vec<Arc<Entry>>, JournalError> {
            Ok(Vec::new())
        }

        async fn carriers(&self, _: &OwnId, _: EventId) -> Result<Vec<Arc<Entry>>, JournalError> {
            Ok(Vec::new())
        }
    }

    fn layered(permits: usize) -> (Layered<Fake>, Arc<AtomicUsize>, Arc<Semaphore>) {
        let (reads, gate) = (Arc::default(), Arc::new(Semaphore::new(permits)));
        let archive = Fake { reads: Arc::clone(&reads), gate: gate.clone() };
        (Layered::new(Recent::new(History::default(), id(9)), archive), reads, gate)
    }

    fn selector() -> Selector {
        Channel::parse("a").unwrap().into()
    }

    async fn numbers(layered: &Layered<Fake>, after: u64) -> Vec<u64> {
        let found = layered.after(&selector(), id(after)).await.unwrap();
        assert_eq!(found.through, id(9));
        found.entries.iter().map(|entry| entry.id.millis()).collect()
    }

    #[tokio::test]
    async fn what_many_ask_for_is_read_once() {
        let (layered, reads, _) = layered(1);
        for found in join_all((0..1_000).map(|_| numbers(&layered, 3))).await {
            assert_eq!(found, [4, 5, 6, 7, 8, 9]);
        }
        assert_eq!(numbers(&layered, 7).await, [8, 9], "a part of what was read");
        assert!(layered.holds(id(3)).await.unwrap() && layered.holds(id(5)).await.unwrap());
        assert_eq!(reads.load(SeqCst), 1);
        assert!(!layered.holds(id(2)).await.unwrap(), "not seen yet, and asked for");
        assert_eq!(reads.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn a_read_that_all_have_left_comes_to_its_end() {
        let (layered, reads, gate) = layered(1);
        assert_eq!(numbers(&layered, 3).now_or_never(), None);
        while !layered.reads.lock().under_way.is_empty() {
            tokio::task::yield_now().await;
        }
        drop(gate);
        assert_eq!(numbers(&layered, 7).await, [8, 9], "and what it found is known");
        assert_eq!(reads.load(SeqCst), 1);
    }

    #[tokio::test]
    async fn what_was_read_before_a_loss_is_read_again() {
        let (layered, reads, gate) = layered(0);
        let early = tokio::spawn({
            let layered = layered.clone();
            async move { numbers(&layered, 3).await }
        });
        while reads.load(SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        layered.lose(Loss::All(id(9)));
        gate.add_permits(1);
        early.await.unwrap();
        numbers(&layered, 3).await;
        assert_eq!(reads.load(SeqCst), 2);
        numbers(&layered, 3).await;
        assert_eq!(reads.load(SeqCst), 2);
    }
}
