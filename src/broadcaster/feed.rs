//! A feed: the newest events of one selection, and the subscribers that read them.
//!
//! A subscriber is a cursor here, not a queue. It is *attached* while everything after its cursor
//! is in the ring; one that the ring has left behind reads pages from the journal until it has
//! caught up. Feed and cursor compare ids only, so that a subscriber crosses from one to the other
//! without skipping or repeating.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    task::Waker,
};

use bytes::Bytes;
use slab::Slab;

use crate::{
    frame::{self, Frames},
    id::EventId,
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
    join: Option<Join>,
    beat: Beat,
    /// How many spans of time passed since the last traffic.
    quiet_spans: u32,
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
    beat: u64,
    /// Asked to leave when the hub stood there.
    leaving: Option<EventId>,
}

#[derive(Debug)]
struct Walk {
    next: usize,
    generation: u64,
}

/// Several frames joined once for all that stand at the same place.
#[derive(Debug)]
struct Join {
    after: EventId,
    through: EventId,
    events: usize,
    bytes: Bytes,
}

/// A ping or a fresh position, for subscribers that have nothing else to read.
#[derive(Debug)]
struct Beat {
    number: u64,
    position: Option<(EventId, Bytes)>,
}

/// What a subscriber finds in its feed.
#[derive(Debug)]
pub(crate) enum Read {
    /// Events.
    Events { bytes: Bytes, events: usize, through: EventId },
    /// Nothing for a while.
    Ping,
    /// Nothing for a while, and the client's position is an old one.
    Position { bytes: Bytes, through: EventId },
    /// Nothing: the waker will be called.
    Parked,
    /// The ring left the cursor behind: read the journal from before this event.
    Behind(EventId),
    /// The subscriber has had everything up to `through` and shall leave.
    Leave { through: EventId },
}

impl Feed {
    /// A feed that will be told of every event after `head`.
    pub(crate) fn new(head: EventId) -> Self {
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
            join: None,
            beat: Beat { number: 0, position: None },
            quiet_spans: 0,
        }
    }

    /// Adds a subscriber, not attached yet.
    pub(crate) fn enter(&mut self) -> usize {
        self.subscribers.insert(Slot {
            attached: None,
            waker: None,
            seen: self.generation,
            beat: self.beat.number,
            leaving: None,
        })
    }

    /// Removes a subscriber.
    pub(crate) fn leave(&mut self, key: usize) {
        let slot = self.subscribers.remove(key);
        if let Some(cursor) = slot.attached {
            self.lift(cursor);
            self.trim();
        }
        if self.subscribers.is_empty() {
            // The slots' memory goes back after a crowd has left.
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
        self.quiet_spans = 0;
        while self.ring.len() > MAX_FRAMES || (self.ring_bytes > MAX_BYTES && self.ring.len() > 1) {
            self.evict_first();
        }
        self.trim();
    }

    /// Ends a span of time. A feed that has been quiet for `spans` of them gets a beat: the
    /// position `head`, or a ping for whom that is no news. Returns whether it did.
    pub(crate) fn beat(&mut self, head: EventId, spans: u32) -> bool {
        self.quiet_spans += 1;
        if self.quiet_spans < spans {
            return false;
        }
        self.quiet_spans = 0;
        self.beat.number += 1;
        self.beat.position = (head > self.newest).then(|| (head, frame::position(head)));
        self.generation += 1;
        true
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

    /// Lets subscriber `key` read from here what comes after `cursor`, if all of that is here.
    pub(crate) fn attach(&mut self, key: usize, cursor: EventId) -> bool {
        let whole = cursor >= self.complete_from;
        if whole {
            self.settle(cursor);
            self.subscribers[key].attached = Some(cursor);
        }
        whole
    }

    /// What there is for subscriber `key`, which must be attached: at most `most` events.
    pub(crate) fn read(&mut self, key: usize, most: usize, waker: &Waker) -> Read {
        let slot = &mut self.subscribers[key];
        let generation = self.generation;
        let Some(cursor) = slot.attached else {
            debug_assert!(false, "read without attach");
            return Read::Leave { through: EventId::new(0, 0) };
        };
        if cursor < self.complete_from {
            slot.attached = None;
            let missed = self.overrun.range((Bound::Excluded(cursor), Bound::Unbounded)).next();
            let from = missed.map_or(self.complete_from, |(id, _)| *id);
            take_one(&mut self.overrun, from);
            return Read::Behind(from);
        }
        if cursor < self.newest {
            slot.beat = self.beat.number;
            let (bytes, events, through) = self.frames_after(cursor, most);
            self.lift(cursor);
            self.settle(through);
            self.trim();
            self.subscribers[key].attached = Some(through);
            return Read::Events { bytes, events, through };
        }
        if let Some(head) = slot.leaving {
            return Read::Leave { through: cursor.max(head) };
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
        slot.seen = generation;
        match &mut slot.waker {
            Some(parked) => parked.clone_from(waker),
            None => slot.waker = Some(waker.clone()),
        }
        Read::Parked
    }

    /// Takes the wakers of up to `room` subscribers that have not been told of the newest
    /// generation. Returns whether there may be more.
    pub(crate) fn flush(&mut self, room: usize, wakers: &mut Vec<Waker>) -> bool {
        let mut walk = self.walk.take().unwrap_or(Walk { next: 0, generation: self.generation });
        let full = wakers.len() + room;
        // A walk over many empty slots must not take long either.
        for _ in 0..room * 64 {
            if wakers.len() == full {
                break;
            }
            if walk.next >= self.subscribers.capacity() {
                if walk.generation == self.generation {
                    self.join = None;
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

    /// The frames after `cursor`, joined: at most `most`, and what fits into one hand-out.
    fn frames_after(&mut self, cursor: EventId, most: usize) -> (Bytes, usize, EventId) {
        if let Some(join) = &self.join
            && join.after == cursor
            && join.events <= most
            && (join.through == self.newest || join.bytes.len() > frame::HAND_OUT / 2)
        {
            return (join.bytes.clone(), join.events, join.through);
        }
        let start = self.ring.partition_point(|frame| frame.id <= cursor);
        let mut frames = Frames::default();
        let mut through = cursor;
        for frame in self.ring.range(start..).take(most) {
            if !frames.push(&frame.bytes) {
                break;
            }
            through = frame.id;
        }
        let events = frames.count();
        let bytes = frames.join();
        if events > 1 {
            self.join = Some(Join { after: cursor, through, events, bytes: bytes.clone() });
        }
        (bytes, events, through)
    }

    /// Counts an attached cursor in at its place.
    fn settle(&mut self, cursor: EventId) {
        if cursor >= self.newest {
            *self.caught_up.entry(cursor).or_default() += 1;
        } else {
            let next = self.ring.partition_point(|frame| frame.id <= cursor);
            self.ring[next].readers += 1;
        }
    }

    /// Counts an attached cursor out, wherever it stands by now.
    fn lift(&mut self, cursor: EventId) {
        if cursor >= self.newest {
            take_one(&mut self.caught_up, cursor);
        } else if cursor >= self.complete_from {
            let next = self.ring.partition_point(|frame| frame.id <= cursor);
            self.ring[next].readers -= 1;
        } else if let Some((id, _)) =
            self.overrun.range((Bound::Excluded(cursor), Bound::Unbounded)).next()
        {
            let id = *id;
            take_one(&mut self.overrun, id);
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
        if frame.readers > 0 {
            *self.overrun.entry(frame.id).or_default() += frame.readers;
        }
    }
}

fn take_one(counts: &mut BTreeMap<EventId, usize>, place: EventId) {
    if let Some(count) = counts.get_mut(&place) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&place);
        }
    }
}
