//! The log of the journal in memory: a bounded queue of events, and its indexes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::{
    Draft, Entry, Fingerprint, IdempotencyKey, JournalError, Kept, News, Receipt, Sequencer, Start,
    receipts::Receipts,
};
use crate::{
    channel::{Channel, PatternKind, Selector, starting_with},
    config::History,
    frame::HAND_OUT,
    id::{EventId, LastEventId, OwnId},
};

/// How many entries or channels are looked at in one go, so that the lock is not held for long.
const MAX_LOOK: usize = 512;
/// How many channels' indexes are merged for a selection.
const MAX_MERGE: usize = 256;

/// Entries among which are all that a selector takes in, taken out of the lock.
pub(super) struct Candidates {
    pub(super) entries: Vec<Arc<Entry>>,
    /// There are no more up to `head`.
    pub(super) is_all: bool,
    pub(super) head: EventId,
}

/// An entry's number since the journal's birth; unlike its index in the queue it never changes.
pub(super) type Number = u64;

#[derive(Debug)]
pub(super) struct Log {
    history: History,
    entries: VecDeque<Arc<Entry>>,
    /// The number of `entries[0]`.
    first: Number,
    bytes: usize,
    /// The newest id given out.
    pub(super) head: EventId,
    /// The last evicted id, or the one the journal was born with.
    pub(super) floor: EventId,
    /// For each channel with kept events, their numbers.
    index: BTreeMap<Channel, VecDeque<Number>>,
    /// For each kept event with an id of its publisher's, its number; ids may repeat.
    own_ids: HashMap<OwnId, VecDeque<Number>>,
    receipts: Receipts,
    pub(super) sequencer: Sequencer,
    pub(super) is_closed: bool,
}

impl Log {
    pub(super) fn new(history: History, now: u64) -> Self {
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

    pub(super) fn append(
        &mut self,
        drafts: Vec<Draft>,
        key: Option<(IdempotencyKey, Fingerprint)>,
        now: u64,
    ) -> Result<Receipt, JournalError> {
        if self.is_closed {
            return Err(JournalError::Closed);
        }
        self.receipts.forget_old(Instant::now());
        if let Some((key, fingerprint)) = &key
            && let Some(receipt) = self.receipts.get(key, *fingerprint)?
        {
            return Ok(receipt.clone());
        }
        let entries = drafts.into_iter().map(|draft| {
            self.head = self.head.next(now);
            Arc::new(draft.at(self.head))
        });
        let news: News = entries.collect();
        news.entries().iter().for_each(|entry| self.keep(entry.clone()));
        let receipt: Receipt = news.entries().iter().map(|entry| entry.wire_id()).collect();
        if let Some((key, fingerprint)) = key {
            self.receipts.keep(key, fingerprint, receipt.clone(), Instant::now());
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

    /// Lets go of what is beyond the history's bounds: all of it, so that who reads next has one
    /// floor and not a rising one.
    pub(super) fn evict(&mut self, now: u64) {
        let max_age = u64::try_from(self.history.age.as_millis()).unwrap_or(u64::MAX);
        let oldest = now.saturating_sub(max_age);
        while let Some(entry) = self.entries.front() {
            let kept = self.entries.len();
            let is_over =
                kept > self.history.events || (kept > 1 && self.bytes > self.history.bytes);
            if !is_over && entry.id.millis() >= oldest {
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

    /// Where `start` is; `None` if it cannot be placed by itself.
    pub(super) fn place(&mut self, start: &Start, now: u64) -> Option<EventId> {
        self.evict(now);
        match start {
            Start::Head | Start::Last(_) => Some(self.head),
            Start::After(LastEventId::Earliest) => Some(self.floor),
            Start::After(LastEventId::Hub(id)) => {
                (*id == self.floor || self.is_kept(*id)).then_some(*id)
            }
            Start::After(LastEventId::Own(_) | LastEventId::Impossible(_)) => None,
            Start::Since(span) => {
                let from = now.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
                let older = self.entries.partition_point(|entry| entry.id.millis() < from);
                Some(self.position_before(self.first + older as Number))
            }
        }
    }

    /// The placeable id from which `number` is the next entry.
    pub(super) fn position_before(&self, number: Number) -> EventId {
        // What was looked at without the lock may have been evicted.
        if number <= self.first { self.floor } else { self.entry(number - 1).id }
    }

    /// The next entries from `from` on that carry a publisher's id.
    pub(super) fn carriers(&self, own: &OwnId, from: Number) -> Vec<(Number, Arc<Entry>)> {
        let Some(numbers) = self.own_ids.get(own) else { return Vec::new() };
        let numbers = numbers.range(numbers.partition_point(|number| *number < from)..);
        numbers.take(MAX_LOOK).map(|number| (*number, self.entry(*number).clone())).collect()
    }

    fn is_kept(&self, id: EventId) -> bool {
        self.entries.binary_search_by_key(&id, |entry| entry.id).is_ok()
    }

    /// The next candidates for a selection after `after`: as many as may be looked at in one go,
    /// or as fill a page if all but the private ones among them are selected.
    pub(super) fn candidates(&self, selector: &Selector, after: EventId) -> Candidates {
        let from = self.first + self.entries.partition_point(|entry| entry.id <= after) as Number;
        let numbers: Box<dyn Iterator<Item = Number>>;
        let enough;
        match self.indexes(selector) {
            None => {
                numbers = Box::new(from..self.end());
                enough = usize::MAX;
            }
            Some(runs) => {
                let runs = runs.into_iter().map(|numbers| {
                    let start = numbers.partition_point(|number| *number < from);
                    numbers.range(start..).copied()
                });
                numbers = Box::new(merge(runs.collect(), |number| number));
                enough = HAND_OUT;
            }
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for number in numbers {
            if entries.len() == MAX_LOOK || bytes > enough {
                return Candidates { entries, is_all: false, head: self.head };
            }
            let entry = self.entry(number);
            bytes += entry.frame.len();
            entries.push(entry.clone());
        }
        Candidates { entries, is_all: true, head: self.head }
    }

    /// The last candidates for a selection before the entry `before`, from the end.
    pub(super) fn candidates_before(
        &self,
        selector: &Selector,
        before: Number,
    ) -> Vec<(Number, Arc<Entry>)> {
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
            match pattern.kind() {
                PatternKind::Exact(channel) => found.extend(self.index.get_key_value(channel)),
                PatternKind::Wild(_) => {
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

    pub(super) fn channels(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> BTreeMap<Channel, Kept> {
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
    use std::time::Duration;

    use super::*;
    use crate::channel::Pattern;
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
    fn a_span_begins_after_the_last_event_before_it() {
        let mut log = Log::new(History::default(), 500);
        let ids: Vec<_> =
            [1_000, 2_000, 3_000].iter().map(|now| append(&mut log, &["a"], *now)).collect();
        let mut since = |millis| log.place(&Start::Since(Duration::from_millis(millis)), 3_000);
        assert_eq!(since(0), Some(ids[1]));
        assert_eq!(since(1_000), Some(ids[0]));
        assert_eq!(since(999), Some(ids[1]));
        assert_eq!(since(60_000), Some(EventId::new(500, 0)));
    }

    #[test]
    fn events_are_forgotten_at_their_age() {
        let history = History { age: Duration::from_millis(100), ..History::default() };
        let mut log = Log::new(history, 1);
        for _ in 0..2_000 {
            append(&mut log, &["a"], 1_000);
        }
        let earliest = Start::After(LastEventId::Earliest);
        let birth = log.floor;
        assert_eq!(log.place(&earliest, 1_100), Some(birth));
        assert_eq!(log.place(&earliest, 1_101), Some(log.head));
        assert_eq!((log.entries.len(), log.bytes, log.index.len()), (0, 0, 0));
    }

    #[test]
    fn ids_grow_when_the_clock_goes_back() {
        let mut log = Log::new(History::default(), 2_000);
        let first = append(&mut log, &["a"], 2_000);
        assert!(append(&mut log, &["a"], 1_000) > first);
    }
}
