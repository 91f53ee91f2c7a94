//! The journal in this process's memory: as fast as can be, forgotten at a restart.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::future::{BoxFuture, FutureExt, ready};
use parking_lot::Mutex;

use super::{
    Batch, Entry, Gap, IdempotencyKey, Journal, JournalError, Kept, Listener, News, Page,
    Placement, Reading, Receipt, Seat, Sequencer, Start,
};
use crate::{
    channel::{Channel, Pattern, Selector, View},
    config::History,
    frame::Frames,
    id::{EventId, LastEventId, OwnId},
};

/// How long a receipt is kept for a repeated publication.
const KEY_AGE: Duration = Duration::from_secs(10 * 60);
/// The most receipts kept; past it the oldest go early. Some 64 MiB.
const MAX_KEYS: usize = 262_144;
/// How many entries a page looks at before it returns, so that the lock is not held for long.
const MAX_SCAN: usize = 4_096;

/// A journal in memory.
#[derive(Debug)]
pub struct MemoryJournal {
    log: Mutex<Log>,
}

impl MemoryJournal {
    /// An empty journal, born now.
    pub fn new(history: History) -> Self {
        Self { log: Mutex::new(Log::new(history, now_millis())) }
    }
}

impl Journal for MemoryJournal {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Receipt, JournalError>> {
        let room = self.log.lock().sequencer.room();
        async move {
            room.await;
            self.log.lock().append(batch, now_millis())
        }
        .boxed()
    }

    fn place<'a>(
        &'a self,
        start: &'a Start,
        selector: &'a Selector,
        view: &'a View,
    ) -> BoxFuture<'a, Result<Placement, JournalError>> {
        let placement = self.log.lock().place(start, selector, view, now_millis());
        ready(Ok(placement)).boxed()
    }

    fn page(
        &self,
        selector: &Selector,
        view: &View,
        after: EventId,
        most: usize,
    ) -> BoxFuture<'static, Result<Reading, JournalError>> {
        let reading = {
            let mut log = self.log.lock();
            log.evict(now_millis());
            log.page(selector, view, after, most)
        };
        ready(Ok(reading)).boxed()
    }

    fn join(&self, listener: Box<dyn Listener>) -> (Seat, EventId) {
        let mut log = self.log.lock();
        (log.sequencer.join(listener), log.head)
    }

    fn channels(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> BoxFuture<'static, Result<BTreeMap<Channel, Kept>, JournalError>> {
        let mut log = self.log.lock();
        log.evict(now_millis());
        ready(Ok(log.channels(prefix, after, limit))).boxed()
    }

    fn is_ready(&self) -> bool {
        !self.log.lock().closed
    }

    fn close(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        self.log.lock().closed = true;
        ready(Ok(())).boxed()
    }
}

fn now_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// An entry's number since the journal's birth; unlike its index in the queue it never changes.
type Number = u64;

#[derive(Debug)]
struct Log {
    history: History,
    entries: VecDeque<Arc<Entry>>,
    /// The number of `entries[0]`.
    first: Number,
    bytes: usize,
    /// The newest id given out.
    head: EventId,
    /// The last evicted id, or the one the journal was born with.
    floor: EventId,
    /// For each channel with kept events, their numbers.
    index: BTreeMap<Channel, VecDeque<Number>>,
    /// For each kept event with an id of its publisher's, its number; ids may repeat.
    own_ids: HashMap<OwnId, VecDeque<Number>>,
    receipts: HashMap<IdempotencyKey, Receipt>,
    /// The keys of `receipts`, oldest first.
    keys: VecDeque<(Instant, IdempotencyKey)>,
    sequencer: Sequencer,
    closed: bool,
}

impl Log {
    fn new(history: History, now: u64) -> Self {
        let birth = EventId::new(now, 0);
        Self {
            history,
            entries: VecDeque::new(),
            first: 0,
            bytes: 0,
            head: birth,
            floor: birth,
            index: BTreeMap::new(),
            own_ids: HashMap::new(),
            receipts: HashMap::new(),
            keys: VecDeque::new(),
            sequencer: Sequencer::default(),
            closed: false,
        }
    }

    fn append(&mut self, batch: Batch, now: u64) -> Result<Receipt, JournalError> {
        if self.closed {
            return Err(JournalError::Closed);
        }
        self.forget_old_keys();
        if let Some(receipt) = batch.key.as_ref().and_then(|key| self.receipts.get(key)) {
            return Ok(receipt.clone());
        }
        let news: News = batch
            .events
            .into_iter()
            .map(|event| {
                self.head = self.head.next(now);
                Arc::new(Entry::new(event, self.head))
            })
            .collect();
        for entry in news.iter() {
            self.keep(entry.clone());
        }
        let receipt: Receipt = news.iter().map(|entry| entry.wire_id()).collect();
        if let Some(key) = batch.key {
            self.receipts.insert(key.clone(), receipt.clone());
            self.keys.push_back((Instant::now(), key));
        }
        self.evict(now);
        self.sequencer.dispatch(&news);
        Ok(receipt)
    }

    fn keep(&mut self, entry: Arc<Entry>) {
        let number = self.first + self.entries.len() as u64;
        for channel in &entry.channels {
            match self.index.get_mut(channel) {
                Some(numbers) => numbers.push_back(number),
                None => drop(self.index.insert(channel.clone(), VecDeque::from([number]))),
            }
        }
        if let Some(own) = &entry.own_id {
            self.own_ids.entry(own.clone()).or_default().push_back(number);
        }
        self.bytes += entry.cost();
        self.entries.push_back(entry);
    }

    /// Lets go of what is beyond the history's bounds.
    fn evict(&mut self, now: u64) {
        let age = u64::try_from(self.history.age.as_millis()).unwrap_or(u64::MAX);
        let oldest = now.saturating_sub(age);
        while let Some(entry) = self.entries.front() {
            let kept = self.entries.len();
            let too_many =
                kept > self.history.events || (kept > 1 && self.bytes > self.history.bytes);
            if !too_many && entry.id.millis() >= oldest {
                break;
            }
            self.evict_first();
        }
    }

    fn evict_first(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        self.first += 1;
        self.bytes -= entry.cost();
        self.floor = entry.id;
        for channel in &entry.channels {
            if let Some(numbers) = self.index.get_mut(channel) {
                numbers.pop_front();
                if numbers.is_empty() {
                    self.index.remove(channel);
                }
            }
        }
        if let Some(own) = &entry.own_id
            && let Some(numbers) = self.own_ids.get_mut(own)
        {
            numbers.pop_front();
            if numbers.is_empty() {
                self.own_ids.remove(own);
            }
        }
    }

    fn forget_old_keys(&mut self) {
        while let Some((since, key)) = self.keys.front() {
            if since.elapsed() < KEY_AGE && self.keys.len() < MAX_KEYS {
                break;
            }
            self.receipts.remove(key);
            self.keys.pop_front();
        }
    }

    fn place(&mut self, start: &Start, selector: &Selector, view: &View, now: u64) -> Placement {
        self.evict(now);
        let found = match start {
            Start::Head => Some(self.head),
            Start::After(LastEventId::Earliest) => Some(self.floor),
            Start::After(LastEventId::Hub(id)) => {
                (*id == self.floor || self.is_kept(*id)).then_some(*id)
            }
            Start::After(LastEventId::Own(own)) => self
                .own_ids
                .get(own)
                .and_then(|numbers| numbers.front())
                .map(|number| self.entry(*number).id),
            Start::After(LastEventId::Impossible(_)) => None,
            Start::Since(span) => {
                let from = now.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
                let older = self.entries.partition_point(|entry| entry.id.millis() < from);
                Some(self.position_before(self.first + older as Number))
            }
            Start::Last(0) => Some(self.head),
            Start::Last(count) => Some(match self.backwards(selector, view).nth(count - 1) {
                Some(number) => self.position_before(number),
                None => self.floor,
            }),
        };
        match found {
            Some(cursor) => Placement { cursor, gap: None },
            None => Placement { cursor: self.floor, gap: Some(self.gap(selector, view)) },
        }
    }

    /// The placeable id from which `number` is the next entry.
    fn position_before(&self, number: Number) -> EventId {
        if number == self.first { self.floor } else { self.entry(number - 1).id }
    }

    fn is_kept(&self, id: EventId) -> bool {
        self.entries.binary_search_by_key(&id, |entry| entry.id).is_ok()
    }

    fn gap(&self, selector: &Selector, view: &View) -> Gap {
        let oldest = self.forwards(selector, self.floor).find(|number| self.shows(view, *number));
        Gap { oldest: oldest.map(|number| self.entry(number).wire_id()) }
    }

    fn page(&self, selector: &Selector, view: &View, after: EventId, most: usize) -> Reading {
        if after < self.floor {
            return Reading::Overrun { floor: self.floor, gap: self.gap(selector, view) };
        }
        if selector.is_exact() {
            Reading::Page(self.fill(self.forwards(selector, after), selector, view, after, most))
        } else {
            // Patterns may take in too many channels to merge their indexes: look at every entry.
            let all = self.number_after(after)..self.first + self.entries.len() as Number;
            Reading::Page(self.fill(all, selector, view, after, most))
        }
    }

    /// Makes a page of those of `numbers`, the candidates after `after`, that are to be seen.
    fn fill(
        &self,
        numbers: impl Iterator<Item = Number>,
        selector: &Selector,
        view: &View,
        after: EventId,
        most: usize,
    ) -> Page {
        let mut frames = Frames::default();
        let (mut last, mut read, mut at_head) = (None, after, true);
        for (looked_at, number) in numbers.enumerate() {
            let entry = self.entry(number);
            let is_seen = entry.is_for(selector, view);
            let is_full = is_seen && (frames.count() == most || !frames.push(&entry.frame));
            if is_full || looked_at == MAX_SCAN {
                at_head = false;
                break;
            }
            read = entry.id;
            last = is_seen.then_some(read).or(last);
        }
        Page {
            events: frames.count(),
            bytes: frames.join(),
            last,
            through: if at_head { after.max(self.head) } else { read },
            at_head,
        }
    }

    fn entry(&self, number: Number) -> &Entry {
        // Numbers come from the indexes, which hold kept entries' only.
        &self.entries[(number - self.first) as usize]
    }

    /// The number of the first entry after `after`.
    fn number_after(&self, after: EventId) -> Number {
        self.first + self.entries.partition_point(|entry| entry.id <= after) as Number
    }

    /// The numbers of the kept entries after `after` that are selected, in order.
    fn forwards(&self, selector: &Selector, after: EventId) -> impl Iterator<Item = Number> {
        let from = self.number_after(after);
        let runs = self.indexes(selector).into_iter().map(|numbers| {
            let start = numbers.partition_point(|number| *number < from);
            numbers.range(start..).copied()
        });
        merge(runs.collect(), |number| number)
    }

    /// The same from the end.
    fn backwards(&self, selector: &Selector, view: &View) -> impl Iterator<Item = Number> {
        let runs = self.indexes(selector).into_iter().map(|numbers| numbers.iter().rev().copied());
        merge(runs.collect(), Reverse).filter(|number| self.shows(view, *number))
    }

    fn shows(&self, view: &View, number: Number) -> bool {
        let entry = self.entry(number);
        view.shows(&entry.channels, entry.private)
    }

    /// The indexes of the kept channels that `selector` takes in, each once.
    fn indexes(&self, selector: &Selector) -> Vec<&VecDeque<Number>> {
        if let [Pattern::Exact(channel)] = selector.patterns() {
            return self.index.get(channel).into_iter().collect();
        }
        let mut found = BTreeMap::new();
        for pattern in selector.patterns() {
            match pattern {
                Pattern::Exact(channel) => found.extend(self.index.get_key_value(channel)),
                Pattern::Wild(_) => found.extend(
                    self.starting_with(pattern.literal_prefix(), "")
                        .filter(|(channel, _)| pattern.matches(channel)),
                ),
            }
        }
        found.into_values().collect()
    }

    fn starting_with<'a>(
        &'a self,
        prefix: &str,
        after: &str,
    ) -> impl Iterator<Item = (&'a Channel, &'a VecDeque<Number>)> {
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        self.index
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(move |(channel, _)| channel.as_str().starts_with(prefix))
    }

    fn channels(&self, prefix: &str, after: &str, limit: usize) -> BTreeMap<Channel, Kept> {
        self.starting_with(prefix, after)
            .take(limit)
            .filter_map(|(channel, numbers)| {
                let last = self.entry(*numbers.back()?);
                Some((channel.clone(), Kept { last_id: last.wire_id(), events: numbers.len() }))
            })
            .collect()
    }
}

/// Merges runs that ascend by `order` into one that does, with each number once: an event on
/// several channels stands in several runs.
fn merge<K: Ord>(
    mut runs: Vec<impl Iterator<Item = Number>>,
    order: impl Fn(Number) -> K,
) -> impl Iterator<Item = Number> {
    let mut heads = BinaryHeap::with_capacity(runs.len());
    for (run, numbers) in runs.iter_mut().enumerate() {
        heads.extend(numbers.next().map(|number| Reverse((order(number), run, number))));
    }
    let mut last = None;
    std::iter::from_fn(move || {
        loop {
            let Reverse((_, run, number)) = heads.pop()?;
            heads.extend(runs[run].next().map(|next| Reverse((order(next), run, next))));
            if last.replace(number) != Some(number) {
                return Some(number);
            }
        }
    })
}
