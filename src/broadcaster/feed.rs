//! A feed: the newest events of one selection, and the subscribers that read them.
//!
//! A subscriber is a cursor here, not a queue. It is *attached* while everything after its cursor
//! is in the ring; one that the ring has left behind reads pages from the journal until it has
//! caught up. Feed and cursor compare ids only, so that a subscriber crosses from one to the other
//! without skipping or repeating.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
    task::Waker,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use slab::Slab;

use super::stopwatch::Stopwatch;
use crate::{
    frame::{Frames, HAND_OUT},
    grants::Session,
    id::EventId,
    journal::Lost,
    stats::Delivery,
};

/// The most frames in a ring.
const MAX_FRAMES: usize = 2_048;
/// The most bytes in a ring, unless it holds a single frame.
const MAX_BYTES: usize = 256 * 1024;

/// The newest events of one selection, as frames, and who reads them.
#[derive(Debug)]
pub(crate) struct Feed {
    ring: VecDeque<RingFrame>,
    ring_bytes: usize,
    /// Every event of this feed after this one is in the ring.
    complete_from: EventId,
    /// The newest event that was ever in the ring; before the first, `complete_from`.
    newest: EventId,
    /// Attached cursors at `newest` or, having read ahead in the journal, past it; how many at
    /// each place.
    caught_up: BTreeMap<EventId, usize>,
    /// For attached cursors that the ring has left behind: the first frame each did not read.
    overrun: BTreeMap<EventId, usize>,
    subscribers: Slab<Slot>,
    /// Counts what parked subscribers must wake for.
    generation: u64,
    /// Where the flush stands in `subscribers`, and the generation it started from.
    walk: Option<Walk>,
    stopwatch: Stopwatch,
    joined: Option<Joined>,
    beat: Beat,
    ephemeral: Ephemeral,
    /// How many spans of time have ended since the last traffic.
    spans: u32,
    /// The last ids that the journal has lost.
    lost: Option<Lost>,
    /// When the next subscriber's time is up.
    next_end: Option<SystemTime>,
}

#[derive(Debug)]
struct RingFrame {
    id: EventId,
    bytes: Bytes,
    /// How many attached cursors have this as their next frame.
    readers: usize,
}

#[derive(Debug)]
struct Slot {
    /// The cursor, while attached.
    attached: Option<EventId>,
    waker: Option<Waker>,
    /// The generation up to which the subscriber has been told.
    seen: u64,
    /// The last beat it got.
    beat: u32,
    /// The last event it got that is in no journal.
    ephemeral: u32,
    /// Asked to leave when the hub stood there.
    leaving: Option<EventId>,
    /// Events that it was to read here were lost.
    has_missed: bool,
    /// What may end it before it leaves by itself.
    session: Option<Arc<Session>>,
    is_over: bool,
}

#[derive(Debug)]
struct Walk {
    next: usize,
    generation: u64,
}

/// A frame or several, joined once for all that stand at the same place.
#[derive(Debug)]
struct Joined {
    first: EventId,
    through: EventId,
    events: usize,
    /// No further frame fits.
    is_full: bool,
    bytes: Bytes,
}

/// A ping or a fresh position, for subscribers that have nothing else to read.
#[derive(Debug)]
struct Beat {
    number: u32,
    position: Option<(EventId, Bytes)>,
}

/// The last event that is in no journal. It has no place among the others: subscribers get it when
/// they have nothing else to read, unless a later one has come by then.
#[derive(Debug)]
struct Ephemeral {
    number: u32,
    bytes: Bytes,
}

/// What a subscriber finds in its feed.
#[derive(Debug)]
pub(crate) enum Read {
    /// Events.
    Events { bytes: Bytes, events: usize, through: EventId },
    /// An event that is in no journal; it changes no position.
    Ephemeral(Bytes),
    /// Nothing for a while.
    Ping,
    /// Nothing for a while, and the client's position is an old one.
    Position { bytes: Bytes, through: EventId },
    /// Nothing: the waker will be called.
    Parked,
    /// The ring left the cursor behind: read the journal from before this event.
    Behind(EventId),
    /// The journal has lost events that were here: ask it how to go on. It tells who has read them,
    /// but not who has missed them.
    Cut { has_missed: bool },
    /// The subscriber has had everything up to `through` and shall leave.
    Leave { through: EventId },
    /// The subscriber's time is up.
    Over,
}

impl Feed {
    /// A feed that will be told of every event after `head`; `lost` was lost before.
    pub(crate) fn new(head: EventId, lost: Option<Lost>) -> Self {
        Self {
            ring: VecDeque::new(),
            ring_bytes: 0,
            complete_from: head,
            newest: head,
            caught_up: BTreeMap::new(),
            overrun: BTreeMap::new(),
            subscribers: Slab::new(),
            generation: 0,
            walk: None,
            stopwatch: Stopwatch::default(),
            joined: None,
            beat: Beat { number: 0, position: None },
            ephemeral: Ephemeral { number: 0, bytes: Bytes::new() },
            spans: 0,
            lost,
            next_end: None,
        }
    }

    /// Adds a subscriber, not attached yet.
    pub(crate) fn enter(&mut self, session: Option<Arc<Session>>) -> usize {
        self.next_end = earlier(self.next_end, end_of(&session));
        self.subscribers.insert(Slot {
            attached: None,
            waker: None,
            seen: self.generation,
            beat: self.beat.number,
            ephemeral: self.ephemeral.number,
            leaving: None,
            session,
            is_over: false,
            has_missed: false,
        })
    }

    /// Removes a subscriber.
    pub(crate) fn leave(&mut self, key: usize) {
        let slot = self.subscribers.remove(key);
        if let Some(cursor) = slot.attached {
            self.lift(cursor);
            self.trim();
        }
        if self.subscribers.len() < self.subscribers.capacity() / 4 {
            // After a crowd has left, its slots need not be walked any more, nor kept.
            self.subscribers.shrink_to_fit();
        }
    }

    /// How many subscribers it has, attached or not.
    pub(crate) fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// Appends an event. Wakes nobody: that is the flush's work.
    pub(crate) fn push(&mut self, id: EventId, bytes: Bytes) {
        let ahead = self.caught_up.split_off(&id);
        let readers = std::mem::replace(&mut self.caught_up, ahead).into_values().sum();
        self.ring_bytes += bytes.len();
        self.ring.push_back(RingFrame { id, bytes, readers });
        self.newest = id;
        self.generation += 1;
        self.spans = 0;
        while self.ring.len() > MAX_FRAMES || (self.ring_bytes > MAX_BYTES && self.ring.len() > 1) {
            self.evict_first();
        }
        self.trim();
    }

    /// Wants to know how long it takes until the event appended last has been handed out.
    pub(crate) fn time(&mut self, dispatched: Instant) {
        self.stopwatch.start(dispatched, self.generation);
    }

    /// Ends a span of time. A feed that has been quiet for `spans` whole ones gets a beat: the
    /// position `head`, which `position` tells, or a ping for whom that is no news. Returns whether
    /// it did.
    pub(crate) fn beat(&mut self, head: EventId, position: &Bytes, spans: u32) -> bool {
        // The span in which the traffic was does not count.
        self.spans += 1;
        if self.spans <= spans {
            return false;
        }
        self.spans = 1;
        self.beat.number = self.beat.number.wrapping_add(1);
        self.beat.position = (head > self.newest).then(|| (head, position.clone()));
        self.generation += 1;
        true
    }

    /// Takes in an event that is in no journal. It is no traffic that would put off a beat: who
    /// gets nothing else still needs fresh positions.
    pub(crate) fn tell(&mut self, bytes: Bytes) {
        let number = self.ephemeral.number.wrapping_add(1);
        self.ephemeral = Ephemeral { number, bytes };
        self.generation += 1;
    }

    /// Goes on after `after`, for the journal has no more of what was here, and has lost `lost`:
    /// everybody has to ask it where they are.
    pub(crate) fn cut(&mut self, after: EventId, lost: Option<Lost>) {
        let newest = self.newest;
        self.ring.clear();
        self.ring_bytes = 0;
        (self.complete_from, self.newest) = (after, after);
        self.caught_up.clear();
        self.overrun.clear();
        self.joined = None;
        self.beat.position = None;
        for (_, slot) in &mut self.subscribers {
            let cursor = slot.attached.take();
            slot.has_missed |= cursor.is_some_and(|cursor| cursor <= after && after < newest);
        }
        self.generation += 1;
        self.lost = lost;
    }

    /// Takes in, in place of events that the journal lost before they came here, the `gap` that
    /// tells of them.
    pub(crate) fn leave_out(&mut self, lost: Lost, gap: Bytes) {
        self.push(lost.upto, gap);
        self.lost = Some(lost);
    }

    /// Asks up to `count` subscribers to leave once they have everything, `head` being the newest
    /// event this feed was asked about. Returns how many it asked, and whom to wake.
    pub(crate) fn dismiss(
        &mut self,
        head: EventId,
        count: usize,
        wakers: &mut Vec<Waker>,
    ) -> usize {
        let staying =
            self.subscribers.iter_mut().map(|(_, slot)| slot).filter(|slot| slot.leaving.is_none());
        let mut dismissed = 0;
        for slot in staying.take(count) {
            slot.leaving = Some(head);
            wakers.extend(slot.waker.take());
            dismissed += 1;
        }
        dismissed
    }

    /// Ends the time of those whose end has come by `now`, and says whom to wake.
    pub(crate) fn end_by(&mut self, now: SystemTime, wakers: &mut Vec<Waker>) {
        if self.next_end.is_none_or(|end| end > now) {
            return;
        }
        self.end_where(|session| session.end.is_some_and(|end| end <= now), wakers);
        let left = self.subscribers.iter().filter(|(_, slot)| !slot.is_over);
        self.next_end = left.filter_map(|(_, slot)| end_of(&slot.session)).min();
    }

    /// Ends the sessions of which this is true, and says whom to wake.
    pub(crate) fn end_where(
        &mut self,
        is_over: impl Fn(&Session) -> bool,
        wakers: &mut Vec<Waker>,
    ) {
        for (_, slot) in &mut self.subscribers {
            if slot.session.as_deref().is_some_and(&is_over) {
                slot.is_over = true;
                wakers.extend(slot.waker.take());
            }
        }
    }

    /// Whether a subscriber shall end at once.
    pub(crate) fn is_over(&self, key: usize) -> bool {
        self.subscribers[key].is_over
    }

    /// Lets subscriber `key` read from here what comes after `cursor`, if all of that is here.
    pub(crate) fn attach(&mut self, key: usize, cursor: EventId) -> bool {
        let is_lost = self.lost.is_some_and(|lost| lost.has(cursor));
        let whole = cursor >= self.complete_from && !is_lost;
        if whole {
            self.settle(cursor);
            self.subscribers[key].attached = Some(cursor);
        }
        whole
    }

    /// What there is after `cursor`, where subscriber `key` is attached: at most `most` events.
    pub(crate) fn read(&mut self, key: usize, cursor: EventId, most: usize, waker: &Waker) -> Read {
        let slot = &mut self.subscribers[key];
        if slot.is_over {
            return Read::Over;
        }
        if slot.attached.is_none() {
            return Read::Cut { has_missed: std::mem::take(&mut slot.has_missed) };
        }
        debug_assert_eq!(self.subscribers[key].attached, Some(cursor));
        if cursor < self.complete_from {
            self.subscribers[key].attached = None;
            let missed = self.first_missed(cursor);
            take_one(&mut self.overrun, missed);
            return Read::Behind(missed);
        }
        if cursor < self.newest {
            let next = self.next_after(cursor);
            let (bytes, events, through) = self.frames_from(next, most);
            self.ring[next].readers -= 1;
            self.settle(through);
            self.trim();
            let slot = &mut self.subscribers[key];
            slot.attached = Some(through);
            slot.beat = self.beat.number;
            return Read::Events { bytes, events, through };
        }
        let slot = &mut self.subscribers[key];
        if let Some(head) = slot.leaving {
            return Read::Leave { through: cursor.max(head) };
        }
        if slot.ephemeral != self.ephemeral.number {
            slot.ephemeral = self.ephemeral.number;
            return Read::Ephemeral(self.ephemeral.bytes.clone());
        }
        if slot.beat != self.beat.number {
            slot.beat = self.beat.number;
            return match self.beat.position.clone() {
                Some((position, bytes)) if position > cursor => {
                    slot.attached = Some(position);
                    self.lift(cursor);
                    self.settle(position);
                    Read::Position { bytes, through: position }
                }
                _ => Read::Ping,
            };
        }
        slot.seen = self.generation;
        match &mut slot.waker {
            Some(parked) => parked.clone_from(waker),
            None => slot.waker = Some(waker.clone()),
        }
        Read::Parked
    }

    /// Takes the wakers of up to `room` subscribers that have not been told of the newest
    /// generation, and says what has been handed out with that. Returns whether there may be more.
    pub(crate) fn flush(
        &mut self,
        room: usize,
        wakers: &mut Vec<Waker>,
        delivered: &mut Vec<Delivery>,
    ) -> bool {
        let mut walk = self.walk.take().unwrap_or(Walk { next: 0, generation: self.generation });
        let full = wakers.len() + room;
        // A walk over many empty slots must not take long either.
        for _ in 0..room * 64 {
            if wakers.len() == full {
                break;
            }
            if walk.next >= self.subscribers.capacity() {
                self.stopwatch.stop(walk.generation, delivered);
                if walk.generation == self.generation {
                    return false;
                }
                walk = Walk { next: 0, generation: self.generation };
            }
            if let Some(slot) = self.subscribers.get_mut(walk.next)
                && slot.seen < self.generation
            {
                wakers.extend(slot.waker.take());
            }
            walk.next += 1;
        }
        self.walk = Some(walk);
        true
    }

    /// The frames from the ring's `next` on, joined: at most `most`, and what fits into one
    /// hand-out.
    fn frames_from(&mut self, next: usize, most: usize) -> (Bytes, usize, EventId) {
        let first = self.ring[next].id;
        if let Some(joined) = &self.joined
            && joined.first == first
            && joined.events <= most
            && (joined.through == self.newest || joined.is_full)
        {
            return (joined.bytes.clone(), joined.events, joined.through);
        }
        let mut frames = Frames::default();
        let (mut through, mut is_full) = (first, false);
        for frame in self.ring.range(next..).take(most) {
            is_full = !frames.push(&frame.bytes);
            if is_full {
                break;
            }
            through = frame.id;
        }
        let events = frames.count();
        let mut bytes = frames.join();
        if self.subscribers.len() > 1 {
            if events == 1 && bytes.len() <= HAND_OUT {
                // A frame's reference count is every worker's, and they would contend for it.
                bytes = Bytes::copy_from_slice(&bytes);
            }
            self.joined = Some(Joined { first, through, events, is_full, bytes: bytes.clone() });
        }
        (bytes, events, through)
    }

    /// Where in the ring the first frame after `cursor` is.
    fn next_after(&self, cursor: EventId) -> usize {
        self.ring.partition_point(|frame| frame.id <= cursor)
    }

    /// The first frame that a cursor did not read which the ring has left behind.
    fn first_missed(&self, cursor: EventId) -> EventId {
        let mut missed = self.overrun.range((Bound::Excluded(cursor), Bound::Unbounded));
        missed.next().map_or(self.complete_from, |(id, _)| *id)
    }

    /// Counts an attached cursor in at its place.
    fn settle(&mut self, cursor: EventId) {
        if cursor >= self.newest {
            *self.caught_up.entry(cursor).or_default() += 1;
        } else {
            let next = self.next_after(cursor);
            self.ring[next].readers += 1;
        }
    }

    /// Counts an attached cursor out, wherever it stands by now.
    fn lift(&mut self, cursor: EventId) {
        if cursor >= self.newest {
            take_one(&mut self.caught_up, cursor);
        } else if cursor >= self.complete_from {
            let next = self.next_after(cursor);
            self.ring[next].readers -= 1;
        } else {
            let missed = self.first_missed(cursor);
            take_one(&mut self.overrun, missed);
        }
    }

    /// Drops the frames that no attached cursor will read.
    fn trim(&mut self) {
        while self.ring.front().is_some_and(|frame| frame.readers == 0) {
            self.evict_first();
        }
    }

    fn evict_first(&mut self) {
        let Some(frame) = self.ring.pop_front() else { return };
        self.ring_bytes -= frame.bytes.len();
        self.complete_from = frame.id;
        if self.joined.as_ref().is_some_and(|joined| joined.first == frame.id) {
            // Whoever stood there has read it, or has to read the journal.
            self.joined = None;
        }
        if frame.readers > 0 {
            *self.overrun.entry(frame.id).or_default() += frame.readers;
        }
    }
}

fn end_of(session: &Option<Arc<Session>>) -> Option<SystemTime> {
    session.as_ref().and_then(|session| session.end)
}

fn earlier(one: Option<SystemTime>, other: Option<SystemTime>) -> Option<SystemTime> {
    one.into_iter().chain(other).min()
}

fn take_one(counts: &mut BTreeMap<EventId, usize>, place: EventId) {
    if let Some(count) = counts.get_mut(&place) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        task::Wake,
    };

    use proptest::prelude::*;

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn id(number: u64) -> EventId {
        EventId::new(1, number)
    }

    #[test]
    fn what_was_read_of_lost_events_does_not_count_here_any_more() {
        let mut feed = Feed::new(id(0), None);
        let (reader, woken) = parked(&mut feed, 0);
        let (behind, other) = (parked(&mut feed, 0).0, feed.enter(None));
        feed.push(id(1), Bytes::from_static(b"1"));
        feed.push(id(2), Bytes::from_static(b"2"));
        let waker = woken.clone().into();
        assert!(matches!(feed.read(reader, id(0), 9, &waker), Read::Events { events: 2, .. }));
        assert!(matches!(feed.read(reader, id(2), 9, &waker), Read::Parked));
        let before = woken.0.load(SeqCst);
        feed.cut(id(1), Some(Lost { after: id(1), upto: id(2) }));
        while wake_one(&mut feed) {}
        assert_eq!(woken.0.load(SeqCst), before + 1);
        assert!(matches!(feed.read(reader, id(2), 9, &waker), Read::Cut { has_missed: false }));
        assert!(matches!(feed.read(behind, id(0), 9, &waker), Read::Cut { has_missed: true }));
        assert!(!feed.attach(other, id(2)), "it must not wait for an id above the lost one");
        assert!(feed.attach(reader, id(1)));
        feed.push(id(3), Bytes::from_static(b"3"));
        let read = feed.read(reader, id(1), 9, &waker);
        assert!(matches!(read, Read::Events { through, .. } if through == id(3)));
        for key in [reader, behind, other] {
            feed.leave(key);
        }
    }

    #[test]
    fn in_place_of_events_that_never_came_stands_a_gap() {
        let mut feed = Feed::new(id(0), None);
        let (reader, woken) = parked(&mut feed, 0);
        feed.push(id(1), Bytes::from_static(b"1"));
        feed.leave_out(Lost { after: id(1), upto: id(3) }, Bytes::from_static(b"gap"));
        feed.push(id(4), Bytes::from_static(b"4"));
        match feed.read(reader, id(0), 9, &woken.into()) {
            Read::Events { bytes, through, .. } => {
                assert_eq!((&*bytes, through), (&b"1gap4"[..], id(4)))
            }
            other => panic!("{other:?}"),
        }
        let ahead = feed.enter(None);
        assert!(!feed.attach(ahead, id(2)), "it has read on another node what is lost");
        feed.leave(reader);
    }

    fn parked(feed: &mut Feed, cursor: u64) -> (usize, Arc<Count>) {
        let (key, count) = (feed.enter(None), Arc::new(Count::default()));
        assert!(feed.attach(key, id(cursor)));
        assert!(matches!(feed.read(key, id(cursor), 9, &count.clone().into()), Read::Parked));
        (key, count)
    }

    /// Wakes one subscriber; `false` if there is none left to wake.
    fn wake_one(feed: &mut Feed) -> bool {
        let mut wakers = Vec::new();
        let more = feed.flush(1, &mut wakers, &mut Vec::new());
        wakers.drain(..).for_each(Waker::wake);
        more
    }

    #[test]
    fn a_flush_comes_back_for_who_parked_again_behind_it() {
        let mut feed = Feed::new(id(0), None);
        let (first, woken) = parked(&mut feed, 0);
        let (_, second) = parked(&mut feed, 0);
        feed.push(id(1), Bytes::from_static(b"1"));
        assert!(wake_one(&mut feed));
        let waker = woken.clone().into();
        assert!(matches!(feed.read(first, id(0), 9, &waker), Read::Events { events: 1, .. }));
        assert!(matches!(feed.read(first, id(1), 9, &waker), Read::Parked));
        feed.push(id(2), Bytes::from_static(b"2"));
        while wake_one(&mut feed) {}
        assert_eq!((woken.0.load(SeqCst), second.0.load(SeqCst)), (2, 1));
    }

    #[test]
    fn what_is_in_no_journal_comes_after_events_and_keeps_no_position_back() {
        let mut feed = Feed::new(id(0), None);
        let (reader, woken) = parked(&mut feed, 0);
        let waker = woken.clone().into();
        feed.tell(Bytes::from_static(b"missed"));
        feed.push(id(1), Bytes::from_static(b"1"));
        feed.tell(Bytes::from_static(b"told"));
        let late = parked(&mut feed, 1).0;
        while wake_one(&mut feed) {}
        assert_eq!(woken.0.load(SeqCst), 1);
        let position = Bytes::from_static(b"position");
        assert!(feed.beat(id(5), &position, 0), "it is no traffic");
        assert!(matches!(feed.read(reader, id(0), 9, &waker), Read::Events { events: 1, .. }));
        assert!(
            matches!(feed.read(reader, id(1), 9, &waker), Read::Ephemeral(bytes) if bytes == "told")
        );
        assert!(feed.beat(id(6), &position, 0));
        let read = feed.read(reader, id(1), 9, &waker);
        assert!(matches!(read, Read::Position { through, .. } if through == id(6)), "{read:?}");
        assert!(matches!(feed.read(reader, id(6), 9, &waker), Read::Parked));
        let read = feed.read(late, id(1), 9, &waker);
        assert!(matches!(read, Read::Position { .. }), "it was told before: {read:?}");
        [reader, late].into_iter().for_each(|key| feed.leave(key));
    }

    #[test]
    fn news_are_delivered_when_a_walk_that_began_after_them_has_ended() {
        let mut feed = Feed::new(id(0), None);
        let subscribers = [parked(&mut feed, 0), parked(&mut feed, 0), parked(&mut feed, 0)];
        let (first, second) = (Instant::now(), Instant::now() + std::time::Duration::from_secs(1));
        let flush = |feed: &mut Feed| {
            let (mut wakers, mut delivered) = (Vec::new(), Vec::new());
            let more = feed.flush(1, &mut wakers, &mut delivered);
            (wakers.len(), delivered, more)
        };
        feed.push(id(1), Bytes::from_static(b"1"));
        feed.time(first);
        assert_eq!(flush(&mut feed), (1, vec![], true));
        feed.push(id(2), Bytes::from_static(b"2"));
        feed.time(second);
        for _ in 0..2 {
            assert_eq!(flush(&mut feed), (1, vec![], true), "not everybody has the first");
        }
        let both = [first, second].map(|dispatched| Delivery { dispatched, events: 1 });
        assert_eq!(flush(&mut feed), (0, both.into(), false), "none parked again meanwhile");
        subscribers.into_iter().for_each(|(key, _)| feed.leave(key));
    }

    #[test]
    fn a_flush_wakes_nobody_twice_for_the_same_news() {
        let mut feed = Feed::new(id(0), None);
        let (key, woken) = parked(&mut feed, 0);
        feed.push(id(1), Bytes::from_static(b"1"));
        while wake_one(&mut feed) {}
        feed.read(key, id(0), 9, &woken.clone().into());
        feed.read(key, id(1), 9, &woken.clone().into());
        while wake_one(&mut feed) {}
        assert_eq!(woken.0.load(SeqCst), 1);
    }

    #[test]
    fn a_ring_keeps_what_is_needed_and_no_more_than_it_may() {
        let mut feed = Feed::new(id(0), None);
        feed.push(id(1), Bytes::from_static(b"for nobody"));
        assert!(feed.ring.is_empty());
        let (key, woken) = parked(&mut feed, 1);
        for number in 2..5_000 {
            feed.push(id(number), Bytes::from(vec![0; 300]));
            assert!(feed.ring.len() <= MAX_FRAMES && feed.ring_bytes <= MAX_BYTES);
        }
        assert!(
            matches!(feed.read(key, id(1), 9, &woken.into()), Read::Behind(first) if first == id(2))
        );
        feed.push(id(5_000), Bytes::from(vec![0; 2 * MAX_BYTES]));
        assert!(feed.ring.is_empty(), "nobody is attached");
    }

    #[test]
    fn those_at_one_place_share_one_join() {
        let mut feed = Feed::new(id(0), None);
        let keys = [parked(&mut feed, 0), parked(&mut feed, 0)];
        feed.push(id(1), Bytes::from_static(b"1"));
        feed.push(id(2), Bytes::from_static(b"2"));
        let joins = keys.map(|(key, woken)| match feed.read(key, id(0), 9, &woken.into()) {
            Read::Events { bytes, events: 2, .. } => bytes,
            other => panic!("{other:?}"),
        });
        assert_eq!(joins[0], "12");
        assert_eq!(joins[0].as_ptr(), joins[1].as_ptr());
        assert!(feed.joined.is_none(), "nobody needs it any more");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push {
            size: usize,
        },
        /// Comes with a cursor so far from the newest event: behind it, or ahead.
        Attach {
            offset: i64,
        },
        Read {
            reader: usize,
            most: usize,
        },
        Leave {
            reader: usize,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => prop_oneof![Just(1usize), Just(3_000), Just(100_000)].prop_map(|size| Step::Push { size }),
            2 => (-6..6i64).prop_map(|offset| Step::Attach { offset }),
            4 => (0..9usize, 1..5usize).prop_map(|(reader, most)| Step::Read { reader, most }),
            1 => (0..9usize).prop_map(|reader| Step::Leave { reader }),
        ]
    }

    proptest! {
        #[test]
        fn every_cursor_reads_what_follows_it_or_learns_what_it_missed_first(
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let mut feed = Feed::new(id(100), None);
            let mut pushed = vec![];
            let mut newest = 100;
            // Key in the feed, and the last number read.
            let mut readers: Vec<(usize, u64)> = Vec::new();
            let waker = Waker::noop();
            for step in steps {
                match step {
                    Step::Push { size } => {
                        // Numbers in between belong to other feeds.
                        newest += 2;
                        pushed.push(newest);
                        feed.push(id(newest), Bytes::from(vec![b'x'; size]));
                    }
                    Step::Attach { offset } => {
                        let cursor = newest.checked_add_signed(offset).unwrap();
                        let key = feed.enter(None);
                        if feed.attach(key, id(cursor)) {
                            readers.push((key, cursor));
                        } else {
                            prop_assert!(id(cursor) < feed.complete_from);
                            feed.leave(key);
                        }
                    }
                    Step::Read { reader, most } if !readers.is_empty() => {
                        let reader = reader % readers.len();
                        let (key, cursor) = readers[reader];
                        let due: Vec<_> = pushed.iter().copied().filter(|number| *number > cursor).collect();
                        match feed.read(key, id(cursor), most, waker) {
                            Read::Events { events, through, .. } => {
                                prop_assert!((1..=most).contains(&events));
                                prop_assert_eq!(through, id(due[events - 1]));
                                readers[reader].1 = due[events - 1];
                            }
                            Read::Parked => prop_assert!(due.is_empty()),
                            Read::Behind(first) => {
                                prop_assert_eq!(first, id(due[0]));
                                feed.leave(key);
                                readers.remove(reader);
                            }
                            other => prop_assert!(false, "{:?}", other),
                        }
                    }
                    Step::Leave { reader } if !readers.is_empty() => {
                        feed.leave(readers.remove(reader % readers.len()).0);
                    }
                    Step::Read { .. } | Step::Leave { .. } => {}
                }
                prop_assert!(feed.ring_bytes <= MAX_BYTES.max(100_000));
            }
            for (key, _) in readers {
                feed.leave(key);
            }
            prop_assert!(feed.ring.is_empty() && feed.caught_up.is_empty() && feed.overrun.is_empty());
        }
    }
}
