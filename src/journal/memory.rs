//! The journal in this process's memory: as fast as can be, forgotten at a restart.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::future::{BoxFuture, FutureExt, ready};
use parking_lot::Mutex;

use super::{
    Batch, Draft, Fingerprint, Gap, Journal, JournalError, Kept, Listener, Page, Placement,
    Reading, Receipt, Seat, Start,
    gauge::Gauge,
    log::{Candidates, Log, Number},
};
use crate::{
    channel::{Channel, Selector, View},
    config::History,
    frame::Frames,
    id::{EventId, LastEventId, OwnId},
};

/// How often a page compares a channel with a pattern before it returns, so that its thread is not
/// kept from others.
const MAX_COMPARE: usize = 16_384;

/// A journal in memory.
///
/// Encoding and matching are done without its lock.
#[derive(Debug)]
pub(crate) struct MemoryJournal {
    max_age: Duration,
    gauge: Gauge,
    log: Arc<Mutex<Log>>,
}

impl MemoryJournal {
    /// An empty journal, born now.
    pub(crate) fn new(history: History) -> Self {
        let max_age = history.age;
        let log = Log::new(history, now_millis());
        Self { max_age, gauge: log.sequencer.gauge(), log: Arc::new(Mutex::new(log)) }
    }
}

impl Journal for MemoryJournal {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Receipt, JournalError>> {
        async move {
            let drafts: Vec<_> = batch.events.into_iter().map(Draft::from).collect();
            let key = batch.key.map(|key| (key, Fingerprint::of(&drafts)));
            self.gauge.room().await;
            self.log.lock().append(drafts, key, now_millis())
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
            let mut found = self.log.lock().place(start, now_millis());
            if let Start::After(LastEventId::Own(own)) = start {
                found = place_own(&self.log, own, selector, view).await;
            }
            if let Some(cursor) = found {
                return Ok(Placement { cursor, gap: None });
            }
            let (floor, gap) = gap(&self.log, selector, view).await;
            Ok(Placement { cursor: floor, gap: Some(gap) })
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
            (after >= log.floor).then(|| log.candidates(selector, after))
        };
        match candidates {
            Some(candidates) => {
                let page = page_of(&candidates, selector, view, after, most);
                ready(Ok(Reading::Page(page))).boxed()
            }
            None => {
                let (log, selector, view) = (self.log.clone(), selector.clone(), view.clone());
                async move {
                    let (floor, gap) = gap(&log, &selector, &view).await;
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

/// The floor, and the oldest event that may be seen above it.
async fn gap(log: &Mutex<Log>, selector: &Selector, view: &View) -> (EventId, Gap) {
    let mut after = EventId::new(0, 0);
    loop {
        // The floor may rise while the search goes on.
        let (floor, candidates) = {
            let log = log.lock();
            (log.floor, log.candidates(selector, after.max(log.floor)))
        };
        let oldest = candidates.entries.iter().find(|entry| entry.is_for(selector, view));
        match (oldest, candidates.entries.last()) {
            (None, Some(last)) if !candidates.is_all => after = last.id,
            (oldest, _) => return (floor, Gap { oldest: oldest.map(|entry| entry.wire_id()) }),
        }
        tokio::task::yield_now().await;
    }
}

/// Looks for the position before the last `count` events that may be seen.
async fn place_last(log: &Mutex<Log>, count: usize, selector: &Selector, view: &View) -> EventId {
    // Or the place may be below the floor when its first page is read.
    log.lock().evict(now_millis());
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

/// The earliest event with a publisher's id that may be seen: another channel's may have the same
/// id, and an id must not tell that it has.
async fn place_own(
    log: &Mutex<Log>,
    own: &OwnId,
    selector: &Selector,
    view: &View,
) -> Option<EventId> {
    let mut from = 0;
    loop {
        let carriers = log.lock().carriers(own, from);
        if let Some((_, entry)) = carriers.iter().find(|(_, entry)| entry.is_for(selector, view)) {
            return Some(entry.id);
        }
        from = carriers.last()?.0 + 1;
        tokio::task::yield_now().await;
    }
}

/// Makes a page of those candidates that may be seen.
fn page_of(
    candidates: &Candidates,
    selector: &Selector,
    view: &View,
    after: EventId,
    most: usize,
) -> Page {
    let mut frames = Frames::default();
    let (mut last, mut compared) = (None, 0);
    let mut unread = None;
    for entry in &candidates.entries {
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
    let through = match (unread, candidates.entries.last()) {
        // Only what comes before this entry has been dealt with, and all of that.
        (Some(unread), _) => unread.before(),
        (None, Some(last)) if !candidates.is_all => last.id,
        _ => after.max(candidates.head),
    };
    Page {
        events: frames.count(),
        bytes: frames.join(),
        last,
        through,
        at_head: unread.is_none() && candidates.is_all,
    }
}

fn now_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{channel::Pattern, event::Event};

    #[tokio::test]
    async fn the_last_events_are_not_looked_for_among_those_too_old() {
        let log = Mutex::new(Log::new(History::default(), 1));
        let channel = Channel::parse("a").unwrap();
        let append = |now| {
            let event = Event::new(channel.clone(), "x");
            log.lock().append(vec![event.into()], None, now).unwrap();
            log.lock().head
        };
        let (old, new) = (append(1_000), append(now_millis()));
        let selector = channel.clone().into();
        assert_eq!(place_last(&log, 2, &selector, &View::All).await, old);
        assert_eq!(place_last(&log, 1, &selector, &View::All).await, old);
        assert!(old < new);
    }

    #[test]
    fn a_page_compares_only_so_much() {
        let mut log = Log::new(History::default(), 1);
        let names: Vec<_> = (0..100).map(|number| format!("c{number}")).collect();
        for _ in 0..500 {
            let channels = names.iter().map(|name| Channel::parse(name).unwrap()).collect();
            log.append(vec![Event::on(channels, "x").into()], None, 1).unwrap();
        }
        let patterns: Vec<_> = (0..100).map(|number| format!("*/{number}")).collect();
        let selector = Selector::new(patterns.iter().map(|text| Pattern::parse(text).unwrap()));
        let mut after = log.floor;
        let mut pages = 0;
        loop {
            let page = page_of(&log.candidates(&selector, after), &selector, &View::All, after, 9);
            assert!(page.at_head || page.through > after);
            (after, pages) = (page.through, pages + 1);
            if page.at_head {
                break;
            }
        }
        assert_eq!((after, pages), (log.head, 250));
    }
}
