//! Reading a journal: places, pages and gaps, wherever its entries are.

use std::sync::Arc;

use super::{Entry, Gap, JournalError, Page, Placement, Reading, Start};
use crate::{
    channel::{Selector, View},
    frame::{self, Frames},
    id::{EventId, LastEventId, OwnId},
};

/// How often a page compares a channel with a pattern before it returns, so that its thread is not
/// kept from others.
const MAX_COMPARE: usize = 16_384;

/// How many entries or channels are looked at in one go, so that no lock or thread is kept from
/// others for long.
pub(super) const MAX_LOOK: usize = 512;
/// How many channels' indexes are merged for a selection.
pub(super) const MAX_MERGE: usize = 256;

/// Kept entries, in memory or elsewhere. Each call sees them as they are at one moment, and looks
/// at so many at most as do not take long.
pub(super) trait Entries: Send + Sync {
    /// The newest id.
    fn head(&self) -> impl Future<Output = Result<EventId, JournalError>> + Send;

    /// The last evicted id, or the one the journal was born with.
    fn floor(&self) -> impl Future<Output = Result<EventId, JournalError>> + Send;

    /// Whether a subscriber can go on from `id`: it is kept, or the floor.
    fn holds(&self, id: EventId) -> impl Future<Output = Result<bool, JournalError>> + Send;

    /// The last kept id below `id`, or else the floor.
    fn preceding(&self, id: EventId) -> impl Future<Output = Result<EventId, JournalError>> + Send;

    /// The next entries after `after` among which are all that `selector` takes in.
    fn after(
        &self,
        selector: &Selector,
        after: EventId,
    ) -> impl Future<Output = Result<Candidates, JournalError>> + Send;

    /// The last entries before `before` among which are all that `selector` takes in, from the
    /// end; none if there are none.
    fn before(
        &self,
        selector: &Selector,
        before: EventId,
    ) -> impl Future<Output = Result<Vec<Arc<Entry>>, JournalError>> + Send;

    /// The next entries after `after` that carry a publisher's id; none if there are none.
    fn carriers(
        &self,
        own: &OwnId,
        after: EventId,
    ) -> impl Future<Output = Result<Vec<Arc<Entry>>, JournalError>> + Send;
}

/// Between which ids the kept entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) floor: EventId,
    pub(super) head: EventId,
}

/// Entries among which are all that a selector takes in.
#[derive(Clone, Debug)]
pub(super) struct Candidates {
    pub(super) entries: Vec<Arc<Entry>>,
    /// They are all up to here.
    pub(super) through: EventId,
    /// And nothing followed yet.
    pub(super) at_head: bool,
    /// What comes after this is kept.
    pub(super) floor: EventId,
}

/// Finds where a subscription begins.
pub(super) async fn place(
    entries: &impl Entries,
    start: &Start,
    selector: &Selector,
    view: &View,
) -> Result<Placement, JournalError> {
    let found = match start {
        Start::Head | Start::Last(0) => Some(entries.head().await?),
        Start::Last(count) => Some(place_last(entries, *count, selector, view).await?),
        Start::Since(span) => {
            let from = super::now_millis()
                .saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
            Some(entries.preceding(EventId::new(from, 0)).await?)
        }
        Start::After(LastEventId::Earliest) => Some(entries.floor().await?),
        Start::After(LastEventId::Hub(id)) => entries.holds(*id).await?.then_some(*id),
        Start::After(LastEventId::Own(own)) => place_own(entries, own, selector, view).await?,
        Start::After(LastEventId::Impossible(_)) => None,
    };
    match found {
        Some(cursor) => Ok(Placement { cursor, gap: None }),
        None => {
            let (floor, gap) = gap(entries, selector, view).await?;
            Ok(Placement { cursor: floor, gap: Some(gap) })
        }
    }
}

/// Reads the page after `after`.
pub(super) async fn page(
    entries: &impl Entries,
    selector: &Selector,
    view: &View,
    after: EventId,
    most: usize,
) -> Result<Reading, JournalError> {
    let candidates = entries.after(selector, after).await?;
    if after < candidates.floor {
        let (floor, gap) = gap(entries, selector, view).await?;
        return Ok(Reading::Overrun { floor, gap });
    }
    Ok(Reading::Page(page_of(&candidates, selector, view, after, most)))
}

/// The floor, and the oldest event that may be seen above it.
async fn gap(
    entries: &impl Entries,
    selector: &Selector,
    view: &View,
) -> Result<(EventId, Gap), JournalError> {
    let mut after = EventId::MIN;
    loop {
        let oldest = first_after(entries, selector, view, after).await?;
        let floor = entries.floor().await?;
        // What was found may be evicted by now.
        if oldest.as_ref().is_none_or(|oldest| oldest.id > floor) {
            return Ok((floor, Gap { oldest: oldest.map(|entry| entry.wire_id()) }));
        }
        after = floor;
    }
}

/// The first event after `after` that may be seen.
pub(super) async fn first_after(
    entries: &impl Entries,
    selector: &Selector,
    view: &View,
    mut after: EventId,
) -> Result<Option<Arc<Entry>>, JournalError> {
    loop {
        let candidates = entries.after(selector, after).await?;
        let first = candidates.entries.iter().find(|entry| entry.is_for(selector, view));
        if first.is_some() || candidates.at_head {
            return Ok(first.cloned());
        }
        after = candidates.through;
        tokio::task::yield_now().await;
    }
}

/// Looks for the position before the last `count` events that may be seen.
async fn place_last(
    entries: &impl Entries,
    count: usize,
    selector: &Selector,
    view: &View,
) -> Result<EventId, JournalError> {
    let mut left = count;
    let mut before = EventId::MAX;
    loop {
        let candidates = entries.before(selector, before).await?;
        for entry in &candidates {
            left -= usize::from(entry.is_for(selector, view));
            if left == 0 {
                return entries.preceding(entry.id).await;
            }
        }
        match candidates.last() {
            Some(last) => before = last.id,
            None => return entries.floor().await,
        }
        tokio::task::yield_now().await;
    }
}

/// The earliest event with a publisher's id that may be seen: another channel's may have the same
/// id, and an id must not tell that it has.
async fn place_own(
    entries: &impl Entries,
    own: &OwnId,
    selector: &Selector,
    view: &View,
) -> Result<Option<EventId>, JournalError> {
    let mut after = EventId::MIN;
    loop {
        let carriers = entries.carriers(own, after).await?;
        if let Some(entry) = carriers.iter().find(|entry| entry.is_for(selector, view)) {
            return Ok(Some(entry.id));
        }
        match carriers.last() {
            Some(last) => after = last.id,
            None => return Ok(None),
        }
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
        let shown = || frame::shown_to(selector, &entry.channels, &entry.frame);
        let is_full = is_seen && (frames.count() == most || !frames.push(&shown()));
        if is_long || is_full {
            unread = Some(entry.id);
            break;
        }
        compared += entry.channels.len() * selector.patterns().len();
        last = is_seen.then_some(entry.id).or(last);
    }
    let through = match unread {
        // Only what comes before this entry has been dealt with, and all of that.
        Some(unread) => unread.before(),
        None => after.max(candidates.through),
    };
    Page {
        events: frames.count(),
        bytes: frames.join(),
        last,
        through,
        at_head: unread.is_none() && candidates.at_head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        channel::{Channel, Pattern},
        config::History,
        event::Event,
        journal::{Draft, News, now_millis, recent::Recent},
    };

    fn keep(recent: &Recent, event: Event, id: EventId) -> EventId {
        recent.take(&News::from_iter([Arc::new(Draft::from(event).at(id))]));
        id
    }

    #[tokio::test]
    async fn the_last_events_are_not_looked_for_among_those_too_old() {
        let recent = Recent::new(History::default(), EventId::new(1, 0));
        let channel = Channel::parse("a").unwrap();
        let event = Event::new(channel.clone(), "x");
        let old = keep(&recent, event.clone(), EventId::new(1_000, 0));
        let new = keep(&recent, event, EventId::new(now_millis(), 0));
        let selector = channel.into();
        for (count, place) in [(0, new), (1, old), (2, old)] {
            let start = Start::Last(count);
            let placement = self::place(&recent, &start, &selector, &View::All).await.unwrap();
            assert_eq!(placement.cursor, place);
        }
    }

    #[tokio::test]
    async fn a_page_compares_only_so_much() {
        let recent = Recent::new(History::default(), EventId::new(1, 0));
        let names: Vec<_> = (0..100).map(|number| format!("c{number}")).collect();
        let now = now_millis();
        let mut head = EventId::MIN;
        for count in 0..500 {
            let channels = names.iter().map(|name| Channel::parse(name).unwrap()).collect();
            head = keep(&recent, Event::on(channels, "x"), EventId::new(now, count));
        }
        let patterns: Vec<_> = (0..100).map(|number| format!("*/{number}")).collect();
        let selector = Selector::new(patterns.iter().map(|text| Pattern::parse(text).unwrap()));
        let mut after = recent.floor().await.unwrap();
        let mut pages = 0;
        loop {
            let reading = page(&recent, &selector, &View::All, after, 9).await.unwrap();
            let Reading::Page(page) = reading else { panic!("{reading:?}") };
            assert!(page.at_head || page.through > after);
            (after, pages) = (page.through, pages + 1);
            if page.at_head {
                break;
            }
        }
        assert_eq!((after, pages), (head, 250));
    }
}
