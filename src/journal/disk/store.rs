//! The store: what is kept where in the directory, and what can be read from it.
//!
//! Events are in the order of their ids, and their index in the order of segments: what is evicted
//! stands together, and goes by whole files, so that nothing has to be rewritten for it. What is
//! evicted but not gone yet is told by the floor.

use std::{collections::BTreeMap, ops::RangeInclusive, path::Path, sync::Arc};

use bytes::{Buf, BufMut, Bytes};
use fjall::{
    AbstractTree, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Slice,
    compaction::Leveled,
};
use parking_lot::RwLock;

use super::{
    error::{Corrupt, StoreError},
    index::{Index, id_of, within},
    state::{Segment, State},
};
use crate::{
    channel::{Channel, PatternKind, Selector},
    id::{EventId, OwnId},
    journal::{
        Entry, Kept, codec,
        reader::{Candidates, Ends, MAX_LOOK, MAX_MERGE},
    },
};

/// What is read at once, unless one entry is larger.
const READ_BYTES: usize = 64 * 1024;

/// Where one event out of so many is looked for, all are looked at.
const DENSE: u64 = 4;

/// Memory for blocks that were read.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// Files that are kept open.
const MAX_FILES: usize = 64;
/// Past it, the write-ahead log is emptied: the least that the engine allows.
const LOG_BYTES: u64 = 64 * 1024 * 1024;
/// Each keyspace's newest data are in memory up to here; its files are of this size, too.
const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;

const META: &str = "meta";
/// The key of the state, which each commit writes. No publisher can write it: it is no UTF-8.
pub(super) const STATE: &[u8] = b"\xffherald state\xff";

/// An open directory, to be read. Only a [`Writer`](super::writer::Writer) changes it.
pub(super) struct Store {
    pub(super) db: Database,
    meta: Keyspace,
    events: Keyspace,
    index: Index,
    /// What is kept of each channel.
    channels: Keyspace,
    extent: RwLock<Extent>,
}

/// What there is to be read.
#[derive(Clone)]
struct Extent {
    ends: Ends,
    /// How many events are kept.
    events: u64,
    segments: Arc<[Segment]>,
}

impl From<&State> for Extent {
    fn from(state: &State) -> Self {
        let segments = state.segments.as_slice().into();
        Self { ends: state.ends, events: state.kept.events, segments }
    }
}

impl Store {
    /// Makes a store that is born now.
    pub(super) fn create(path: &Path) -> Result<(), StoreError> {
        let db = open(path)?;
        let meta = db.keyspace(META, options)?;
        meta.insert(STATE, State::born_now().write())?;
        Ok(db.persist(PersistMode::SyncAll)?)
    }

    pub(super) fn open(path: &Path) -> Result<(Arc<Self>, State), StoreError> {
        let db = open(path)?;
        let meta = db.keyspace(META, options)?;
        let state = State::read(&meta.get(STATE)?.ok_or(Corrupt("it has no state"))?)?;
        let events = db.keyspace("events", options)?;
        let index = Index(db.keyspace("index", options)?);
        let channels = db.keyspace("channels", options)?;
        let extent = RwLock::new(Extent::from(&state));
        Ok((Arc::new(Self { db, meta, events, index, channels, extent }), state))
    }

    pub(super) fn ends(&self) -> Ends {
        self.extent.read().ends
    }

    fn extent(&self) -> Extent {
        self.extent.read().clone()
    }

    pub(super) fn holds(&self, id: EventId) -> Result<bool, StoreError> {
        let Ends { floor, head } = self.ends();
        Ok(id == floor || (id > floor && id <= head && self.get(id)?.is_some()))
    }

    pub(super) fn preceding(&self, id: EventId) -> Result<EventId, StoreError> {
        let Ends { floor, head } = self.ends();
        if id <= floor {
            return Ok(floor);
        }
        let last = within(&self.events, &[], &(floor.after()..=head.min(id.before()))).next_back();
        last.map_or(Ok(floor), |last| id_of(&last.key()?))
    }

    pub(super) fn after(
        &self,
        selector: &Selector,
        after: EventId,
    ) -> Result<Candidates, StoreError> {
        let Extent { ends, events, segments } = self.extent();
        let range = after.max(ends.floor).after()..=ends.head;
        let (pile, more) = match self.indexes(selector, events)? {
            None => (Pile::of(self.all(&range))?, None),
            Some(channels) => {
                let ids = self.index.on(&segments, &channels, &range, false)?;
                let more = ids.last().copied().filter(|_| ids.len() == MAX_LOOK);
                (Pile::of(self.each(ids.into_iter().map(Ok)))?, more)
            }
        };
        let cut = pile.entries.last().filter(|_| pile.is_full()).map(|last| last.id);
        Ok(Candidates {
            through: cut.or(more).unwrap_or(ends.head),
            at_head: cut.or(more).is_none(),
            entries: pile.entries,
            // What was evicted meanwhile may be missing, and this tells.
            floor: self.ends().floor,
        })
    }

    pub(super) fn before(
        &self,
        selector: &Selector,
        before: EventId,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let Extent { ends, events, segments } = self.extent();
        let range = ends.floor.after()..=ends.head.min(before.before());
        let pile = match self.indexes(selector, events)? {
            None => Pile::of(self.all(&range).rev())?,
            Some(channels) => {
                let ids = self.index.on(&segments, &channels, &range, true)?;
                Pile::of(self.each(ids.into_iter().map(Ok)))?
            }
        };
        Ok(pile.entries)
    }

    pub(super) fn carriers(
        &self,
        own: &OwnId,
        after: EventId,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let Extent { ends, segments, .. } = self.extent();
        let range = after.max(ends.floor).after()..=ends.head;
        let pile = Pile::of(self.each(self.index.carriers(&segments, own, &range)))?;
        Ok(pile.entries)
    }

    /// The next entries after `after`, at most `count`.
    pub(super) fn next_entries(
        &self,
        after: EventId,
        count: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.all(&(after.after()..=self.ends().head)).take(count).collect()
    }

    /// The next entries after `after`, so many as are read at once.
    pub(super) fn read_after(&self, after: EventId) -> Result<Vec<Arc<Entry>>, StoreError> {
        Ok(Pile::of(self.all(&(after.after()..=self.ends().head)))?.entries)
    }

    /// The last entries, as many as cost `bytes` or less, in order.
    pub(super) fn last_entries(&self, bytes: usize) -> Result<Vec<Entry>, StoreError> {
        let Ends { floor, head } = self.ends();
        let mut left = bytes;
        let mut entries = Vec::new();
        for entry in self.all(&(floor.after()..=head)).rev() {
            let entry = entry?;
            match left.checked_sub(entry.cost()) {
                Some(less) => left = less,
                None => break,
            }
            entries.push(entry);
        }
        entries.reverse();
        Ok(entries)
    }

    /// All entries of a range.
    fn all(
        &self,
        range: &RangeInclusive<EventId>,
    ) -> impl DoubleEndedIterator<Item = Result<Entry, StoreError>> + use<> {
        within(&self.events, &[], range).map(|entry| {
            let (id, bytes) = entry.into_inner()?;
            read_entry(id_of(&id)?, bytes)
        })
    }

    /// Those of the entries that are still there.
    fn each(
        &self,
        ids: impl Iterator<Item = Result<EventId, StoreError>>,
    ) -> impl Iterator<Item = Result<Entry, StoreError>> {
        ids.filter_map(|id| id.and_then(|id| self.get(id)).transpose())
    }

    fn get(&self, id: EventId) -> Result<Option<Entry>, StoreError> {
        self.events.get(codec::id(id))?.map(|bytes| read_entry(id, bytes)).transpose()
    }

    pub(super) fn channels(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<BTreeMap<Channel, Kept>, StoreError> {
        let after = after.as_bytes();
        let mut channels = BTreeMap::new();
        for channel in self.channels.range(after.max(prefix.as_bytes())..) {
            let (name, kept) = channel.into_inner()?;
            if !name.starts_with(prefix.as_bytes()) || channels.len() == limit {
                break;
            }
            if *name != *after {
                channels.insert(channel_of(&name)?, read_kept(kept)?);
            }
        }
        Ok(channels)
    }

    /// The kept channels that `selector` takes in; `None` if looking at all `events` is cheaper
    /// than looking into the channels' indexes.
    fn indexes(
        &self,
        selector: &Selector,
        events: u64,
    ) -> Result<Option<Vec<Channel>>, StoreError> {
        let mut found = BTreeMap::new();
        let mut looks = 0;
        for pattern in selector.patterns() {
            if let PatternKind::Exact(channel) = pattern.kind() {
                found.extend(self.kept(channel)?.map(|kept| (channel.clone(), kept.events as u64)));
                continue;
            }
            for channel in self.channels.prefix(pattern.literal_prefix()) {
                looks += 1;
                if looks > MAX_LOOK || found.len() > MAX_MERGE {
                    return Ok(None);
                }
                let (name, kept) = channel.into_inner()?;
                let channel = channel_of(&name)?;
                if pattern.matches(&channel) {
                    found.insert(channel, read_kept(kept)?.events as u64);
                }
            }
        }
        let on_them: u64 = found.values().sum();
        Ok((on_them * DENSE < events).then(|| found.into_keys().collect()))
    }
}

/// What only the writer does.
impl Store {
    /// Shows that what comes up to `floor` is being evicted.
    pub(super) fn raise_floor(&self, floor: EventId) {
        self.extent.write().ends.floor = floor;
    }

    /// Shows what was committed.
    pub(super) fn show(&self, state: &State) {
        *self.extent.write() = state.into();
    }

    /// Adds an entry that belongs to `segment`.
    pub(super) fn put_entry(&self, batch: &mut OwnedWriteBatch, segment: Segment, entry: &Entry) {
        batch.insert(&self.events, codec::id(entry.id), codec::entry(entry));
        self.put_index(batch, segment, entry);
    }

    /// Adds an entry to the index only.
    pub(super) fn put_index(&self, batch: &mut OwnedWriteBatch, segment: Segment, entry: &Entry) {
        self.index.put(batch, segment, entry);
    }

    /// The last event, also if it is above the head.
    pub(super) fn last_event(&self) -> Result<Option<EventId>, StoreError> {
        let last = within(&self.events, &[], &(EventId::MIN..=EventId::MAX)).next_back();
        last.map(|last| id_of(&last.key()?)).transpose()
    }

    /// Forgets the index, and what is kept of each channel.
    pub(super) fn clear_all_but_events(&self) -> Result<(), StoreError> {
        self.index.0.clear()?;
        Ok(self.channels.clear()?)
    }

    /// Removes the files of which nothing is left.
    pub(super) fn remove_evicted(&self) -> Result<(), StoreError> {
        let Extent { ends, segments, .. } = self.extent();
        // Only now is it sure that they stay evicted.
        self.db.persist(PersistMode::SyncData)?;
        let remove = |keyspace: &Keyspace, end: &[u8]| keyspace.tree.drop_range(..end);
        remove(&self.events, &codec::id(ends.floor)).map_err(fjall::Error::from)?;
        if let Some(oldest) = segments.first() {
            remove(&self.index.0, &Index::end_before(*oldest)).map_err(fjall::Error::from)?;
        }
        Ok(())
    }

    /// Adds what a commit shall leave as the state.
    pub(super) fn put_state(&self, batch: &mut OwnedWriteBatch, state: &State) {
        batch.insert(&self.meta, STATE, state.write());
    }

    pub(super) fn kept(&self, channel: &Channel) -> Result<Option<Kept>, StoreError> {
        self.channels.get(channel.as_str())?.map(read_kept).transpose()
    }

    /// Adds what is kept of a channel; nothing if no event is.
    pub(super) fn put_kept(&self, batch: &mut OwnedWriteBatch, channel: &Channel, kept: &Kept) {
        if kept.events == 0 {
            batch.remove(&self.channels, channel.as_str());
        } else {
            batch.insert(&self.channels, channel.as_str(), write_kept(kept));
        }
    }

    /// Fails if a write on the side has failed.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        Ok(self.db.persist(PersistMode::Buffer)?)
    }

    /// The keyspaces that commits write to.
    pub(super) fn keyspaces(&self) -> [&Keyspace; 4] {
        [&self.meta, &self.events, &self.index.0, &self.channels]
    }
}

/// Entries that were read at once.
#[derive(Default)]
struct Pile {
    entries: Vec<Arc<Entry>>,
    bytes: usize,
}

impl Pile {
    fn is_full(&self) -> bool {
        self.entries.len() >= MAX_LOOK || self.bytes > READ_BYTES
    }

    fn of(
        mut entries: impl Iterator<Item = Result<Entry, StoreError>>,
    ) -> Result<Self, StoreError> {
        let mut pile = Self::default();
        while !pile.is_full()
            && let Some(entry) = entries.next().transpose()?
        {
            pile.bytes += entry.frame.len();
            pile.entries.push(entry.into());
        }
        Ok(pile)
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    Ok(Database::builder(path)
        .cache_size(CACHE_BYTES)
        .max_cached_files(Some(MAX_FILES))
        .max_journaling_size(LOG_BYTES)
        .worker_threads(2)
        .open()?)
}

/// Of every keyspace.
pub(super) fn options() -> KeyspaceCreateOptions {
    let compaction = Leveled::default().with_table_target_size(MEMTABLE_BYTES);
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .compaction_strategy(Arc::new(compaction))
}

fn read_entry(id: EventId, bytes: Slice) -> Result<Entry, StoreError> {
    Ok(codec::read_entry(id, bytes.into()).ok_or(Corrupt("an event cannot be read"))?)
}

fn channel_of(name: &[u8]) -> Result<Channel, StoreError> {
    let name = std::str::from_utf8(name).ok().and_then(|name| Channel::parse(name).ok());
    Ok(name.ok_or(Corrupt("a channel's name is none"))?)
}

fn write_kept(Kept { last_id, events }: &Kept) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u64(*events as u64);
    codec::put_wire_id(&mut bytes, last_id);
    bytes
}

fn read_kept(bytes: Slice) -> Result<Kept, StoreError> {
    let mut bytes = Bytes::from(bytes);
    let mut read = || {
        let events = bytes.try_get_u64().ok()? as usize;
        Some(Kept { events, last_id: codec::read_wire_id(&mut bytes)? })
    };
    Ok(read().ok_or(Corrupt("a channel's entry cannot be read"))?)
}
