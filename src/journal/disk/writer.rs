//! What changes a store: events come, and go again.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use fjall::{OwnedWriteBatch, PersistMode};

use super::{
    counts::Counts,
    error::StoreError,
    receipt_log::ReceiptLog,
    state::{Amount, Segment, State},
    store::Store,
};
use crate::{
    channel::Channel,
    config::History,
    id::EventId,
    journal::{intake::Accepted, receipts::Receipts},
};

/// Into how many segments a history is cut.
const SEGMENTS: usize = 16;

/// How many events are evicted in one go.
const MAX_EVICT: usize = 4_096;
/// How many events are read ahead to be evicted.
const READ_AHEAD: usize = 256;

/// At so many files, or tables in memory, that still have to be written or merged, a commit waits.
/// At a few more fjall itself would, but it would not hear that they cannot be written any more.
const MAX_SEALED: usize = 2;
const MAX_UNMERGED: usize = 16;

/// The only one to change a store.
pub(super) struct Writer {
    pub(super) store: Arc<Store>,
    history: History,
    state: State,
    receipts: ReceiptLog,
    /// The oldest events, read ahead.
    oldest: VecDeque<Old>,
    removal: Removal,
}

/// An event that is to be evicted some time.
struct Old {
    id: EventId,
    bytes: usize,
    channels: Vec<Channel>,
}

impl Writer {
    /// A writer that goes on after `state`, and the receipts that still count.
    pub(super) fn new(
        store: Arc<Store>,
        state: State,
        history: History,
    ) -> Result<(Self, Receipts), StoreError> {
        let (receipts, kept) = ReceiptLog::open(&store.db)?;
        let (oldest, removal) = (VecDeque::new(), Removal::default());
        Ok((Self { store, history, state, receipts, oldest, removal }, kept))
    }

    /// Commits what was accepted, and lets go of some of what is beyond the history's bounds; all
    /// of it or nothing. Returns whether there was anything to commit, once that is as durable as
    /// asked.
    pub(super) fn commit<'a>(
        &mut self,
        accepted: impl IntoIterator<Item = &'a Accepted> + Clone,
        now: u64,
        durability: PersistMode,
    ) -> Result<bool, StoreError> {
        self.wait_for_the_store()?;
        let mut batch = self.store.db.batch().durability(Some(durability));
        let mut state = self.state.clone();
        let mut channels = Counts::new(&self.store);
        self.put_entries(&mut batch, &mut state, &mut channels, accepted.clone())?;
        self.evict(&mut state, &mut channels, now)?;
        if state == self.state {
            return Ok(false);
        }
        channels.put(&mut batch);
        self.receipts.put(&mut batch, accepted)?;
        self.store.put_state(&mut batch, &state);
        // A reader that misses what is being evicted must be told so, and one that sees a new event
        // must find all of it.
        self.store.raise_floor(state.ends.floor);
        batch.commit()?;
        self.store.show(&state);
        self.removal.consider(&self.store, &state);
        self.state = state;
        Ok(true)
    }

    /// Whether anything is beyond the history's bounds.
    pub(super) fn is_over(&mut self, now: u64) -> Result<bool, StoreError> {
        let state = self.state.clone();
        self.is_next_due(&state, now)
    }

    fn put_entries<'a>(
        &mut self,
        batch: &mut OwnedWriteBatch,
        state: &mut State,
        channels: &mut Counts,
        accepted: impl IntoIterator<Item = &'a Accepted>,
    ) -> Result<(), StoreError> {
        for entry in accepted.into_iter().flat_map(|accepted| accepted.news.entries()) {
            let segment = self.segment(state);
            self.store.put_entry(batch, segment, entry);
            for channel in &entry.channels {
                channels.add(channel, entry.wire_id())?;
            }
            state.ends.head = entry.id;
            state.kept.add(entry.cost());
            state.in_segment.add(entry.cost());
        }
        Ok(())
    }

    /// Evicts events of earlier commits, in one go so many as do not take long.
    fn evict(
        &mut self,
        state: &mut State,
        channels: &mut Counts,
        now: u64,
    ) -> Result<(), StoreError> {
        for _ in 0..MAX_EVICT {
            if !self.is_next_due(state, now)? {
                break;
            }
            let Some(old) = self.oldest.pop_front() else { break };
            state.ends.floor = old.id;
            state.kept.subtract(old.bytes);
            for channel in &old.channels {
                channels.subtract(channel)?;
            }
        }
        while let [_, next, ..] = state.segments.as_slice()
            && next.since <= state.ends.floor
        {
            state.segments.remove(0);
        }
        Ok(())
    }

    /// Brings all that was committed to the disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        Ok(self.store.db.persist(PersistMode::SyncData)?)
    }

    /// Whether the oldest event is beyond a bound.
    fn is_next_due(&mut self, state: &State, now: u64) -> Result<bool, StoreError> {
        if self.oldest.is_empty() && state.kept.events > 0 {
            for entry in self.store.next_entries(state.ends.floor, READ_AHEAD)? {
                let bytes = entry.cost();
                self.oldest.push_back(Old { id: entry.id, bytes, channels: entry.channels });
            }
        }
        let Amount { events, bytes } = state.kept;
        let max_age = u64::try_from(self.history.age.as_millis()).unwrap_or(u64::MAX);
        let oldest = now.saturating_sub(max_age);
        let is_over = events > self.history.events as u64
            || (events > 1 && bytes > self.history.bytes as u64);
        Ok(self.oldest.front().is_some_and(|old| is_over || old.id.millis() < oldest))
    }

    /// The segment of the next entry; a new one if the last has its share of the history.
    fn segment(&self, state: &mut State) -> Segment {
        let Amount { events, bytes } = state.in_segment;
        let is_full = events >= (self.history.events / SEGMENTS) as u64
            || bytes >= (self.history.bytes / SEGMENTS) as u64;
        match state.segments.last() {
            Some(segment) if !is_full => *segment,
            last => {
                let number = last.map_or(0, |last| last.number + 1);
                let segment = Segment { number, since: state.ends.head };
                state.in_segment = Amount::default();
                state.segments.push(segment);
                segment
            }
        }
    }

    /// Waits while the store has much to do, and fails when it cannot go on.
    fn wait_for_the_store(&self) -> Result<(), StoreError> {
        let is_behind = || {
            self.store.keyspaces().iter().any(|keyspace| {
                keyspace.sealed_memtable_count() > MAX_SEALED
                    || keyspace.l0_table_count() > MAX_UNMERGED
            })
        };
        while is_behind() {
            self.store.check()?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// The removal of old files, on the side: it may have to wait for others that are being merged.
#[derive(Default)]
struct Removal {
    oldest: Option<Segment>,
    thread: Option<JoinHandle<()>>,
}

impl Removal {
    /// Begins when a whole segment is evicted, unless the last removal still goes on.
    fn consider(&mut self, store: &Arc<Store>, state: &State) {
        let oldest = state.segments.first().copied();
        let is_idle = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        if oldest == self.oldest || !is_idle {
            return;
        }
        self.oldest = oldest;
        let store = store.clone();
        let remove = move || {
            if let Err(error) = store.remove_evicted() {
                log::warn!("old events stay on the disk for now: {error}");
            }
        };
        // Without a thread they stay, too.
        self.thread = thread::Builder::new().name("journal-removal".into()).spawn(remove).ok();
    }
}
