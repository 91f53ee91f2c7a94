//! A log of events in memory: a bounded queue, and its indexes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use super::{
    Entry, Kept,
    merge::merge,
    reader::{Candidates, Ends, MAX_LOOK, MAX_MERGE},
};
use crate::{
    channel::{Channel, PatternKind, Selector, starting_with},
    config::History,
    frame::HAND_OUT,
    id::{EventId, OwnId},
};

/// An entry's number since the journal's birth; unlike its index in the queue it never changes.
type Number = u64;

#[derive(Debug)]
pub(super) struct Log {
    history: History,
    entries: VecDeque<Arc<Entry>>,
    /// The number of `entries[0]`.
    first: Number,
    bytes: usize,
    ends: Ends,
    /// For each channel with kept events, their numbers.
    index: BTreeMap<Channel, VecDeque<Number>>,
    /// For each kept event with an id of its publisher's, its number; ids may repeat.
    own_ids: HashMap<OwnId, VecDeque<Number>>,
}

impl Log {
    /// An empty log that goes on after `head`.
    pub(super) fn new(history: History, head: EventId) -> Self {
        Self {
            history,
            entries: VecDeque::new(),
            first: 0,
            bytes: 0,
            ends: Ends { floor: head, head },
            index: BTreeMap::new(),
            own_ids: HashMap::new(),
        }
    }

    pub(super) fn ends(&self) -> Ends {
        self.ends
    }

    /// Appends an entry, whose id is above the head.
    pub(super) fn keep(&mut self, entry: Arc<Entry>) {
        self.ends.head = entry.id;
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

    /// Forgets what comes after `to`, and goes on from there; keeps nothing if it is below it all.
    pub(super) fn cut(&mut self, to: EventId) {
        let kept: Vec<_> = self.entries.iter().filter(|entry| entry.id <= to).cloned().collect();
        let is_kept = kept.last().is_some_and(|last| last.id == to) || to == self.ends.floor;
        let floor = if is_kept { self.ends.floor } else { to };
        *self = Self::new(self.history.clone(), floor);
        if is_kept {
            kept.into_iter().for_each(|entry| self.keep(entry));
        }
    }

    /// The ids that are kept, in order.
    pub(super) fn ids(&self) -> Vec<EventId> {
        self.entries.iter().map(|entry| entry.id).collect()
    }

    /// The entries after `after`, in order.
    pub(super) fn entries_after(&self, after: EventId) -> Vec<Arc<Entry>> {
        self.entries.iter().skip_while(|entry| entry.id <= after).cloned().collect()
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
        self.ends.floor = entry.id;
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

    /// Whether `id` is kept, or the floor.
    pub(super) fn holds(&self, id: EventId) -> bool {
        id == self.ends.floor || self.entries.binary_search_by_key(&id, |entry| entry.id).is_ok()
    }

    /// The last kept id below `id`, or else the floor.
    pub(super) fn preceding(&self, id: EventId) -> EventId {
        let older = self.entries.partition_point(|entry| entry.id < id);
        older.checked_sub(1).map_or(self.ends.floor, |last| self.entries[last].id)
    }

    /// The next entries after `after` that carry a publisher's id.
    pub(super) fn carriers(&self, own: &OwnId, after: EventId) -> Vec<Arc<Entry>> {
        let Some(numbers) = self.own_ids.get(own) else { return Vec::new() };
        let from = self.next_after(after);
        let numbers = numbers.range(numbers.partition_point(|number| *number < from)..);
        numbers.take(MAX_LOOK).map(|number| self.entry(*number).clone()).collect()
    }

    /// The next candidates for a selection after `after`: as many as may be looked at in one go,
    /// or as fill a page if all but the private ones among them are selected.
    pub(super) fn after(&self, selector: &Selector, after: EventId) -> Candidates {
        let from = self.next_after(after);
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
        let Ends { floor, head } = self.ends;
        let (mut entries, mut bytes): (Vec<Arc<Entry>>, _) = (Vec::new(), 0);
        for number in numbers {
            if let Some(last) = entries.last()
                && (entries.len() == MAX_LOOK || bytes > enough)
            {
                return Candidates { through: last.id, at_head: false, floor, entries };
            }
            let entry = self.entry(number);
            bytes += entry.frame.len();
            entries.push(entry.clone());
        }
        Candidates { entries, through: head, at_head: true, floor }
    }

    /// The last candidates for a selection before `before`, from the end.
    pub(super) fn before(&self, selector: &Selector, before: EventId) -> Vec<Arc<Entry>> {
        let end = self.first + self.entries.partition_point(|entry| entry.id < before) as Number;
        let entry = |number| self.entry(number).clone();
        match self.indexes(selector) {
            None => (self.first..end).rev().take(MAX_LOOK).map(entry).collect(),
            Some(runs) => {
                let runs = runs.into_iter().map(|numbers| {
                    let end = numbers.partition_point(|number| *number < end);
                    numbers.range(..end).rev().copied()
                });
                merge(runs.collect(), Reverse).take(MAX_LOOK).map(entry).collect()
            }
        }
    }

    /// The number of the first entry after `after`.
    fn next_after(&self, after: EventId) -> Number {
        self.first + self.entries.partition_point(|entry| entry.id <= after) as Number
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::channel::Pattern;
    use crate::{event::Event, journal::Draft};

    fn channel(name: &str) -> Channel {
        Channel::parse(name).unwrap()
    }

    fn selector(texts: &[&str]) -> Selector {
        Selector::new(texts.iter().map(|text| Pattern::parse(text).unwrap()))
    }

    fn log() -> Log {
        Log::new(History::default(), EventId::new(1, 0))
    }

    fn append(log: &mut Log, names: &[&str], now: u64) -> EventId {
        let event = Event::on(names.iter().map(|name| channel(name)).collect(), "x");
        let id = log.ends.head.next(now);
        log.keep(Draft::from(event).at(id).into());
        id
    }

    fn looked_at(log: &Log, texts: &[&str]) -> usize {
        log.after(&selector(texts), log.ends.floor).entries.len()
    }

    #[test]
    fn a_selection_of_few_channels_looks_at_their_events_only() {
        let mut log = log();
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
    fn what_precedes_an_id_is_kept_or_the_floor() {
        let mut log = log();
        let ids = [1_000, 2_000, 2_000].map(|now| append(&mut log, &["a"], now));
        let floor = log.ends.floor;
        assert_eq!(log.preceding(EventId::new(2_000, 0)), ids[0]);
        assert_eq!(log.preceding(EventId::new(2_000, 1)), ids[1]);
        assert_eq!(log.preceding(EventId::MAX), ids[2]);
        assert_eq!(log.preceding(ids[0]), floor);
        assert_eq!(log.preceding(EventId::MIN), floor);
    }

    #[test]
    fn events_are_forgotten_at_their_age() {
        let history = History { age: Duration::from_millis(100), ..History::default() };
        let mut log = Log::new(history, EventId::new(1, 0));
        for _ in 0..2_000 {
            append(&mut log, &["a"], 1_000);
        }
        let birth = log.ends.floor;
        log.evict(1_100);
        assert_eq!(log.ends.floor, birth);
        log.evict(1_101);
        assert_eq!(log.ends.floor, log.ends.head);
        assert_eq!((log.entries.len(), log.bytes, log.index.len()), (0, 0, 0));
    }
}
