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
    Entry, JournalError, Lost,
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
    under_way: HashMap<(Selector, EventId), Read>,
    spans: HashMap<Selector, Vec<Span>>,
    /// The spans' selectors, oldest first.
    order: VecDeque<(Selector, EventId)>,
    bytes: usize,
    /// How often it was all forgotten.
    losses: usize,
}

type Read = Shared<BoxFuture<'static, Result<Candidates, JournalError>>>;

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
    pub(super) fn lose(&self, lost: Lost) {
        let mut reads = self.reads.lock();
        *reads = Reads { losses: reads.losses + 1, ..Reads::default() };
        self.recent.lose(lost);
    }

    fn read(&self, (selector, after): (Selector, EventId), losses: usize) -> Read {
        let (archive, reads) = (self.archive.clone(), self.reads.clone());
        async move {
            let found = archive.after(&selector, after).await;
            let mut reads = reads.lock();
            if reads.losses == losses {
                reads.finish((selector, after), &found);
            }
            found
        }
        .boxed()
        .shared()
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

    fn finish(&mut self, key: (Selector, EventId), found: &Result<Candidates, JournalError>) {
        self.under_way.remove(&key);
        let Ok(candidates) = found else { return };
        // Where something is gone from it, it is to be told each time.
        if candidates.floor > key.1 {
            return;
        }
        let span = Span { after: key.1, candidates: candidates.clone() };
        self.bytes += span.bytes();
        self.spans.entry(key.0.clone()).or_default().push(span);
        self.order.push_back(key);
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
