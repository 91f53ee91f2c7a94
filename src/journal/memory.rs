//! The journal in this process's memory: as fast as can be, forgotten at a restart.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::future::{BoxFuture, FutureExt, ready};
use parking_lot::Mutex;

use super::{
    Batch, Draft, Entry, Gap, IdempotencyKey, Journal, JournalError, Kept, Listener, News, Page,
    Placement, Reading, Receipt, Seat, Sequencer, Start, gauge::Gauge, receipts::Receipts,
};
use crate::{
    channel::{Channel, Pattern, Selector, View, starting_with},
    config::History,
    frame::Frames,
    id::{EventId, LastEventId, OwnId},
};

/// How many entries or channels are looked at in one go, so that the lock is not held for long.
const MAX_LOOK: usize = 512;
/// How many channels' indexes are merged for a selection.
const MAX_MERGE: usize = 256;
/// How often a page compares a channel with a pattern before it returns, so that its thread is not
/// kept from others.
const MAX_COMPARE: usize = 16_384;

/// A journal in memory.
///
/// Encoding and matching are done without its lock.
#[derive(Debug)]
pub struct MemoryJournal {
    max_age: Duration,
    gauge: Gauge,
    log: Arc<Mutex<Log>>,
}

impl MemoryJournal {
    /// An empty journal, born now.
    pub fn new(history: History) -> Self {
        let max_age = history.age;
        let log = Log::new(history, now_millis());
        Self { max_age, gauge: log.sequencer.gauge(), log: Arc::new(Mutex::new(log)) }
    }
}

impl Journal for MemoryJournal {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Receipt, JournalError>> {
        async move {
            let drafts = batch.events.into_iter().map(Draft::from).collect();
            self.gauge.room().await;
            self.log.lock().append(drafts, batch.key, now_millis())
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
            if let Start::Last(count @ 1..) = start {
                let cursor = place_last(&self.log, *count, selector, view).await;
                return Ok(Placement { cursor, gap: None });
            }
            let (found, floor) = self.log.lock().place(start, now_millis());
            Ok(match found {
                Some(cursor) => Placement { cursor, gap: None },
                None => {
                    let gap = gap_from(&self.log, floor, selector, view).await;
                    Placement { cursor: floor, gap: Some(gap) }
                }
            })
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
        let candidates = {
            let mut log = self.log.lock();
            log.evict(now_millis());
            if after < log.floor { Err(log.floor) } else { Ok(log.candidates(selector, after)) }
        };
        match candidates {
            Ok(candidates) => {
                let page = candidates.page(selector, view, after, most);
                ready(Ok(Reading::Page(page))).boxed()
            }
            Err(floor) => {
                let (log, selector, view) = (self.log.clone(), selector.clone(), view.clone());
                async move {
                    let gap = gap_from(&log, floor, &selector, &view).await;
                    Ok(Reading::Overrun { floor, gap })
                }
                .boxed()
            }
        }
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

    fn max_age(&self) -> Duration {
        self.max_age
    }

    fn is_ready(&self) -> bool {
        !self.log.lock().is_closed
    }

    fn close(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        self.log.lock().is_closed = true;
        ready(Ok(())).boxed()
    }
}

/// Looks for the oldest event after `floor` that may be seen.
async fn gap_from(log: &Mutex<Log>, floor: EventId, selector: &Selector, view: &View) -> Gap {
    let mut after = floor;
    loop {
        let candidates = log.lock().candidates(selector, after);
        let oldest = candidates.entries.iter().find(|entry| entry.is_for(selector, view));
        match (oldest, candidates.entries.last()) {
            (None, Some(last)) if !candidates.is_all => after = last.id,
            (oldest, _) => return Gap { oldest: oldest.map(|entry| entry.wire_id()) },
        }
        tokio::task::yield_now().await;
    }
}

/// Looks for the position before the last `count` events that may be seen.
async fn place_last(log: &Mutex<Log>, count: usize, selector: &Selector, view: &View) -> EventId {
    let mut left = count;
    let mut before = Number::MAX;
    loop {
        let candidates = log.lock().candidates_before(selector, before);
        for (number, entry) in &candidates {
            left -= usize::from(entry.is_for(selector, view));
            if left == 0 {
                return log.lock().position_before(*number);
            }
        }
        match candidates.last() {
            Some((last, _)) => before = *last,
            None => return log.lock().floor,
        }
        tokio::task::yield_now().await;
    }
}

/// Entries among which are all that a selector takes in, taken out of the lock.
struct Candidates {
    entries: Vec<Arc<Entry>>,
    /// There are no more up to `head`.
    is_all: bool,
    head: EventId,
}

impl Candidates {
    /// Makes a page of those that may be seen.
    fn page(&self, selector: &Selector, view: &View, after: EventId, most: usize) -> Page {
        let mut frames = Frames::default();
        let (mut last, mut compared) = (None, 0);
        let mut unread = None;
        for entry in &self.entries {
            // One entry is always looked at, or there would be no end.
            let is_long = compared > MAX_COMPARE;
            let is_seen = !is_long && entry.is_for(selector, view);
            let is_full = is_seen && (frames.count() == most || !frames.push(&entry.frame));
            if is_long || is_full {
                unread = Some(entry.id);
                break;
            }
            compared += entry.channels.len() * selector.patterns().len();
            last = is_seen.then_some(entry.id).or(last);
        }
        let through = match (unread, self.entries.last()) {
            // Only what comes before this entry has been dealt with, and all of that.
            (Some(unread), _) => unread.before(),
            (None, Some(last)) if !self.is_all => last.id,
            _ => after.max(self.head),
        };
        Page {
            events: frames.count(),
            bytes: frames.join(),
            last,
            through,
            at_head: unread.is_none() && self.is_all,
        }
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
    receipts: Receipts,
    sequencer: Sequencer,
    is_closed: bool,
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
            receipts: Receipts::default(),
            sequencer: Sequencer::default(),
            is_closed: false,
        }
    }

    fn append(
        &mut self,
        drafts: Vec<Draft>,
        key: Option<IdempotencyKey>,
        now: u64,
    ) -> Result<Receipt, JournalError> {
        if self.is_closed {
            return Err(JournalError::Closed);
        }
        self.receipts.forget_old(Instant::now());
        if let Some(receipt) = key.as_ref().and_then(|key| self.receipts.get(key)) {
            return Ok(receipt.clone());
        }
        let entries = drafts.into_iter().map(|draft| {
            self.head = self.head.next(now);
            Arc::new(draft.at(self.head))
        });
        let news: News = entries.collect();
        news.entries().iter().for_each(|entry| self.keep(entry.clone()));
        let receipt: Receipt = news.entries().iter().map(|entry| entry.wire_id()).collect();
        if let Some(key) = key {
            self.receipts.keep(key, receipt.clone(), Instant::now());
        }
        self.evict(now);
        self.sequencer.dispatch(&news);
        Ok(receipt)
    }

    fn keep(&mut self, entry: Arc<Entry>) {
        let number = self.end();
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

    /// Lets go of what is beyond the history's bounds. After a long silence much may be too old:
    /// some of it goes with each call.
    fn evict(&mut self, now: u64) {
        let max_age = u64::try_from(self.history.age.as_millis()).unwrap_or(u64::MAX);
        let oldest = now.saturating_sub(max_age);
        let mut too_old = 0;
        while let Some(entry) = self.entries.front() {
            let kept = self.entries.len();
            let is_over =
                kept > self.history.events || (kept > 1 && self.bytes > self.history.bytes);
            if !is_over {
                if entry.id.millis() >= oldest || too_old == MAX_LOOK {
                    break;
                }
                too_old += 1;
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

    /// Where `start` is, if that can be told without looking at events, and the floor.
    fn place(&mut self, start: &Start, now: u64) -> (Option<EventId>, EventId) {
        self.evict(now);
        let found = match start {
            Start::Head | Start::Last(_) => Some(self.head),
            Start::After(LastEventId::Earliest) => Some(self.floor),
            Start::After(LastEventId::Hub(id)) => {
                (*id == self.floor || self.is_kept(*id)).then_some(*id)
            }
            Start::After(LastEventId::Own(own)) => {
                let earliest = self.own_ids.get(own).and_then(|numbers| numbers.front());
                earliest.map(|number| self.entry(*number).id)
            }
            Start::After(LastEventId::Impossible(_)) => None,
            Start::Since(span) => {
                let from = now.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
                let older = self.entries.partition_point(|entry| entry.id.millis() < from);
                Some(self.position_before(self.first + older as Number))
            }
        };
        (found, self.floor)
    }

    /// The placeable id from which `number` is the next entry.
    fn position_before(&self, number: Number) -> EventId {
        // What was looked at without the lock may have been evicted.
        if number <= self.first { self.floor } else { self.entry(number - 1).id }
    }

    fn is_kept(&self, id: EventId) -> bool {
        self.entries.binary_search_by_key(&id, |entry| entry.id).is_ok()
    }

    /// The next candidates for a selection after `after`.
    fn candidates(&self, selector: &Selector, after: EventId) -> Candidates {
        let from = self.first + self.entries.partition_point(|entry| entry.id <= after) as Number;
        let entries: Vec<_> = match self.indexes(selector) {
            None => {
                (from..self.end()).take(MAX_LOOK).map(|number| self.entry(number).clone()).collect()
            }
            Some(runs) => {
                let runs = runs.into_iter().map(|numbers| {
                    let start = numbers.partition_point(|number| *number < from);
                    numbers.range(start..).copied()
                });
                let numbers = merge(runs.collect(), |number| number).take(MAX_LOOK);
                numbers.map(|number| self.entry(number).clone()).collect()
            }
        };
        Candidates { is_all: entries.len() < MAX_LOOK, entries, head: self.head }
    }

    /// The last candidates for a selection before the entry `before`, from the end.
    fn candidates_before(&self, selector: &Selector, before: Number) -> Vec<(Number, Arc<Entry>)> {
        let with_entry = |number| (number, self.entry(number).clone());
        let end = before.clamp(self.first, self.end());
        match self.indexes(selector) {
            None => (self.first..end).rev().take(MAX_LOOK).map(with_entry).collect(),
            Some(runs) => {
                let runs = runs.into_iter().map(|numbers| {
                    let end = numbers.partition_point(|number| *number < end);
                    numbers.range(..end).rev().copied()
                });
                merge(runs.collect(), Reverse).take(MAX_LOOK).map(with_entry).collect()
            }
        }
    }

    fn entry(&self, number: Number) -> &Arc<Entry> {
        // Numbers come from the indexes or from the range of what is kept.
        &self.entries[(number - self.first) as usize]
    }

    fn end(&self) -> Number {
        self.first + self.entries.len() as Number
    }

    /// The indexes of the kept channels that `selector` takes in; `None` if patterns take in so
    /// many that looking at every entry is cheaper.
    fn indexes(&self, selector: &Selector) -> Option<Vec<&VecDeque<Number>>> {
        let mut found = BTreeMap::new();
        let mut looks = 0;
        for pattern in selector.patterns() {
            match pattern {
                Pattern::Exact(channel) => found.extend(self.index.get_key_value(channel)),
                Pattern::Wild(_) => {
                    for (channel, numbers) in
                        starting_with(&self.index, pattern.literal_prefix(), "")
                    {
                        looks += 1;
                        if looks > MAX_LOOK || found.len() > MAX_MERGE {
                            return None;
                        }
                        if pattern.matches(channel) {
                            found.insert(channel, numbers);
                        }
                    }
                }
            }
        }
        Some(found.into_values().collect())
    }

    fn channels(&self, prefix: &str, after: &str, limit: usize) -> BTreeMap<Channel, Kept> {
        starting_with(&self.index, prefix, after)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn channel(name: &str) -> Channel {
        Channel::parse(name).unwrap()
    }

    fn selector(texts: &[&str]) -> Selector {
        Selector::new(texts.iter().map(|text| Pattern::parse(text).unwrap()))
    }

    fn append(log: &mut Log, names: &[&str], now: u64) -> EventId {
        let event = Event::on(names.iter().map(|name| channel(name)).collect(), "x");
        log.append(vec![event.into()], None, now).unwrap();
        log.head
    }

    fn looked_at(log: &Log, texts: &[&str]) -> usize {
        log.candidates(&selector(texts), log.floor).entries.len()
    }

    #[test]
    fn a_selection_of_few_channels_looks_at_their_events_only() {
        let mut log = Log::new(History::default(), 1);
        append(&mut log, &["sparse/a", "sparse/b"], 1);
        for number in 0..10_000 {
            append(&mut log, &[&format!("busy/{}", number % 1_000)], 1);
        }
        append(&mut log, &["sparse/b"], 1);
        assert_eq!(looked_at(&log, &["sparse/b"]), 2);
        assert_eq!(looked_at(&log, &["sparse/a", "sparse/b"]), 2);
        assert_eq!(looked_at(&log, &["sparse/*"]), 2);
        assert_eq!(looked_at(&log, &["sparse/*", "none"]), 2);
        assert_eq!(looked_at(&log, &["busy/7"]), 10);
        assert_eq!(looked_at(&log, &["**"]), MAX_LOOK, "and no more at once");
        assert_eq!(looked_at(&log, &["*/b"]), MAX_LOOK);
    }

    #[test]
    fn a_page_compares_only_so_much() {
        let mut log = Log::new(History::default(), 1);
        let names: Vec<_> = (0..100).map(|number| format!("c{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        for _ in 0..500 {
            append(&mut log, &names, 1);
        }
        let patterns: Vec<_> = (0..100).map(|number| format!("*/{number}")).collect();
        let selector = selector(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
        let mut after = log.floor;
        let mut pages = 0;
        loop {
            let page = log.candidates(&selector, after).page(&selector, &View::All, after, 9);
            assert!(page.at_head || page.through > after);
            (after, pages) = (page.through, pages + 1);
            if page.at_head {
                break;
            }
        }
        assert_eq!((after, pages), (log.head, 250));
    }

    #[test]
    fn a_span_begins_after_the_last_event_before_it() {
        let mut log = Log::new(History::default(), 500);
        let ids: Vec<_> =
            [1_000, 2_000, 3_000].iter().map(|now| append(&mut log, &["a"], *now)).collect();
        let mut since = |millis| log.place(&Start::Since(Duration::from_millis(millis)), 3_000).0;
        assert_eq!(since(0), Some(ids[1]));
        assert_eq!(since(1_000), Some(ids[0]));
        assert_eq!(since(999), Some(ids[1]));
        assert_eq!(since(60_000), Some(EventId::new(500, 0)));
    }

    #[test]
    fn events_are_forgotten_at_their_age_some_at_a_time() {
        let history = History { age: Duration::from_millis(100), ..History::default() };
        let mut log = Log::new(history, 1);
        for _ in 0..2 * MAX_LOOK {
            append(&mut log, &["a"], 1_000);
        }
        log.evict(1_100);
        assert_eq!(log.entries.len(), 2 * MAX_LOOK);
        log.evict(1_101);
        assert_eq!(log.entries.len(), MAX_LOOK);
        log.evict(1_101);
        assert_eq!((log.entries.len(), log.bytes, log.index.len()), (0, 0, 0));
        assert_eq!(log.floor, log.head);
    }

    #[test]
    fn ids_grow_when_the_clock_goes_back() {
        let mut log = Log::new(History::default(), 2_000);
        let first = append(&mut log, &["a"], 2_000);
        assert!(append(&mut log, &["a"], 1_000) > first);
    }
}
