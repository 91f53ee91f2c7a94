//! The journal: one ordered log of events, and the contract of whoever keeps it.

#![cfg_attr(
    not(all(feature = "disk", feature = "redis")),
    allow(dead_code, reason = "each journal has needs of its own")
)]

#[cfg(feature = "disk")]
mod codec;
#[cfg(feature = "disk")]
mod disk;
mod gauge;
mod intake;
#[cfg(any(feature = "disk", feature = "redis"))]
mod layered;
mod log;
mod memory;
mod merge;
mod reader;
mod receipts;
mod recent;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "disk", feature = "redis"))]
mod room;
mod sequencer;

use std::{
    collections::BTreeMap,
    fmt,
    hash::Hasher,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use fnv::FnvHasher;
use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::{
    channel::{Channel, Selector, View},
    event::Event,
    frame,
    id::{EventId, LastEventId, OwnId, WireId},
};

#[cfg(feature = "disk")]
pub(crate) use disk::DiskJournal;
pub(crate) use memory::MemoryJournal;
#[cfg(feature = "redis")]
pub(crate) use redis::RedisJournal;
use sequencer::Sequencer;
pub(crate) use sequencer::{Listener, Loss, Lost, News, Seat};

/// The longest idempotency key, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 256;

/// One ordered log of events: the truth of a hub.
///
/// # Order
/// [`append`](Self::append) gives each event an [`EventId`] above every earlier one, of this run
/// and of runs before it, also when the clock went back. Ids are the order: every listener and
/// every page has the events in id order, and no two events share an id. The events of a batch
/// stand next to each other.
///
/// # Durability
/// An `append` that has returned `Ok` is kept: as long as the history's bounds allow, `page` finds
/// it, after a restart too if the journal outlives the process. An `append` that failed may or may
/// not have been kept. Nothing reaches a listener or a page before it is kept, and a batch reaches
/// them whole or not at all.
///
/// # Listeners
/// A [`Listener`] that joined hears every event above the id that `join` returned, each once, in
/// order. `append` waits while the slowest listener is more than 4,096 events or 64 MiB behind; a
/// listener that is gone is forgotten.
///
/// A store that loses events it had acknowledged, as a Redis that fails over may, has its listeners
/// told in between, those too that had not heard of them yet; and `page` tells the subscribers that
/// have read of them. Who comes with an earlier id and reads past them in pages is not told.
///
/// # While the store is away
/// `append` fails, so that its caller can say so; `place` and `page` wait for a while, and for a
/// reader that is caught up nothing changes.
pub(crate) trait Journal: Send + Sync + 'static {
    /// Appends the events of a batch, in order, all or none.
    ///
    /// A batch whose key was seen in the last 10 minutes is not appended: its first receipt is
    /// returned again, or an error if the events are others than with the first. A journal may
    /// bound its receipts to no less than 64 MiB, which are some 250,000 of one event each, and
    /// forget the oldest early.
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Receipt, JournalError>>;

    /// Finds where a subscription that asks for `start` begins.
    ///
    /// An id is placed if it is a kept event's, the last evicted event's, or the one the journal
    /// was born with. A publisher's id is the earliest kept event's that has it and that the
    /// subscription may see: used twice among its channels, it may repeat events, or skip some if
    /// the first use is no longer kept.
    fn place<'a>(
        &'a self,
        start: &'a Start,
        selector: &'a Selector,
        view: &'a View,
    ) -> BoxFuture<'a, Result<Placement, JournalError>>;

    /// The next events after `after` that `selector` and `view` take in: at most `most` of them
    /// and about 8 KiB, one hand-out to a socket, but at least one if there is one.
    ///
    /// May also return fewer, or none, before the journal's end: read on from
    /// [`Page::through`]. A cursor that the history has left behind gives [`Reading::Overrun`].
    fn page(
        &self,
        selector: &Selector,
        view: &View,
        after: EventId,
        most: usize,
    ) -> BoxFuture<'static, Result<Reading, JournalError>>;

    /// Lets `listener` hear every event above the returned id, until its seat is dropped.
    fn join(&self, listener: Box<dyn Listener>) -> (Seat, EventId);

    /// What is kept of up to `limit` channels whose names start with `prefix` and come after
    /// `after`, in the order of their names.
    fn channels(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> BoxFuture<'static, Result<BTreeMap<Channel, Kept>, JournalError>>;

    /// The age at which events are forgotten.
    fn max_age(&self) -> Duration;

    /// Whether events can be appended now.
    fn is_ready(&self) -> bool;

    /// Brings everything to where it is kept, and lets go of that; later appends fail, and reads may.
    fn close(&self) -> BoxFuture<'_, Result<(), JournalError>>;
}

/// Events to append together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// At least one.
    pub events: Vec<Event>,
    /// Makes a repeated append harmless.
    pub key: Option<IdempotencyKey>,
}

impl From<Event> for Batch {
    fn from(event: Event) -> Self {
        vec![event].into()
    }
}

impl From<Vec<Event>> for Batch {
    fn from(events: Vec<Event>) -> Self {
        Self { events, key: None }
    }
}

/// The ids that the events of a batch carry on the wire, in the batch's order.
pub type Receipt = Arc<[WireId]>;

/// What a publisher sends along with each try of the same publication: 1 to 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<[u8]>);

impl IdempotencyKey {
    /// Validates a key; `None` if it is empty or longer.
    pub fn new(key: &[u8]) -> Option<Self> {
        (1..=MAX_KEY_BYTES).contains(&key.len()).then(|| Self(key.into()))
    }
}

/// An event that is encoded but for its id, to be given its place without further work.
struct Draft {
    own_id: Option<OwnId>,
    channels: Vec<Channel>,
    private: bool,
    body: Bytes,
}

impl From<Event> for Draft {
    fn from(event: Event) -> Self {
        Self {
            body: frame::body(&event),
            own_id: event.id,
            channels: event.channels,
            private: event.private,
        }
    }
}

impl Draft {
    /// What its entry will count, or very nearly.
    fn cost(&self) -> usize {
        let id = self.own_id.as_ref().map_or(16, |own| own.as_text().len());
        cost(self.body.len() + id + "id: \n".len(), &self.channels)
    }

    fn at(self, id: EventId) -> Entry {
        let Self { own_id, channels, private, body } = self;
        let frame = match &own_id {
            Some(own) => frame::with_id(own.as_text(), &body),
            None => frame::with_id(&id.to_string(), &body),
        };
        Entry { id, own_id, channels, private, frame }
    }
}

/// Tells the events of one publication from those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint(u64);

impl Fingerprint {
    /// The same in every version and on every machine: stores outlive the process, and are shared.
    fn of(drafts: &[Draft]) -> Self {
        let mut hasher = FnvHasher::default();
        let mut write = |part: &[u8]| {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        };
        for Draft { own_id, channels, private, body } in drafts {
            write(own_id.as_ref().map_or("", |own| own.as_text()).as_bytes());
            channels.iter().for_each(|channel| write(channel.as_str().as_bytes()));
            write(&[u8::from(*private)]);
            write(body);
        }
        Self(hasher.finish())
    }
}

/// An event in the journal.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The hub's id: the event's place.
    pub(crate) id: EventId,
    /// The publisher's id, if it gave one.
    pub(crate) own_id: Option<OwnId>,
    /// The channels that carry it.
    pub(crate) channels: Vec<Channel>,
    /// Whether only some views show it.
    pub(crate) private: bool,
    /// The event as it goes on the wire.
    pub(crate) frame: Bytes,
}

impl Entry {
    /// The id that the frame carries.
    pub(crate) fn wire_id(&self) -> WireId {
        match &self.own_id {
            Some(own) => WireId::Own(own.clone()),
            None => WireId::Hub(self.id),
        }
    }

    /// The event but for its id.
    fn body(&self) -> &[u8] {
        frame::without_id(&self.frame)
    }

    /// What the entry counts in the history's and the gauge's bytes: its frame as allocated, its
    /// channels' names, and 128 bytes for itself and for each channel.
    pub(crate) fn cost(&self) -> usize {
        cost(self.frame.len(), &self.channels)
    }

    fn is_for(&self, selector: &Selector, view: &View) -> bool {
        selector.matches(&self.channels) && view.shows(&self.channels, self.private)
    }
}

/// The clock, as ids have it.
fn now_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

fn cost(frame: usize, channels: &[Channel]) -> usize {
    let channels = channels.iter().map(|channel| channel.as_str().len() + 128);
    allocated(frame) + channels.sum::<usize>() + 128
}

/// What an allocator takes for so many bytes: the next quarter between two powers of two, as most
/// have it.
fn allocated(len: usize) -> usize {
    len.next_multiple_of((len.next_power_of_two() / 8).max(16))
}

/// From where a subscriber wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// What comes from now on.
    Head,
    /// What follows this id.
    After(LastEventId),
    /// What is kept of this span up to now.
    Since(Duration),
    /// The last so many events of the selection.
    Last(usize),
}

/// Where a subscription begins.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// Read what comes after this.
    pub(crate) cursor: EventId,
    /// The id that was asked for is no longer, or never was, in the journal.
    pub(crate) gap: Option<Gap>,
}

/// What a subscriber is told where events are missing.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    /// The oldest kept event that the subscriber may see.
    pub(crate) oldest: Option<WireId>,
}

/// What `page` found.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    /// The next events.
    Page(Page),
    /// The store is away: ask again.
    Away,
    /// Events after the cursor were evicted, or those before it lost: go on from `floor`.
    Overrun {
        /// The position before the oldest kept event, or before the first lost one.
        floor: EventId,
        /// What to tell the subscriber.
        gap: Gap,
    },
}

/// Some events, joined for the wire.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Their frames, one after the other.
    pub(crate) bytes: Bytes,
    /// How many they are.
    pub(crate) events: usize,
    /// The last of them.
    pub(crate) last: Option<EventId>,
    /// The journal has been read up to here, even if nothing matched.
    pub(crate) through: EventId,
    /// Nothing follows `through` yet.
    pub(crate) at_head: bool,
}

/// What a journal keeps of a channel.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Kept {
    /// The newest event's id on the wire.
    pub(crate) last_id: WireId,
    /// How many events.
    pub(crate) events: usize,
}

/// Why a journal did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalError {
    /// It was closed.
    Closed,
    /// The key came with other events before.
    KeyReused,
    /// Its store cannot be reached or written now.
    Unavailable(String),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the journal is closed"),
            Self::KeyReused => f.write_str("the key was used for other events"),
            Self::Unavailable(why) => write!(f, "the journal is unavailable: {why}"),
        }
    }
}

impl std::error::Error for JournalError {}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Draft, Entry, allocated};
    use crate::{event::Event, id::EventId};

    /// An event as a journal would have it.
    pub(crate) fn entry_of(event: Event) -> Entry {
        Draft::from(event).at(EventId::new(1, 0))
    }

    #[test]
    fn an_allocation_is_rounded_up_by_a_quarter_at_most() {
        for (len, taken) in [(0, 0), (1, 16), (100, 112), (256, 256), (257, 320), (16_444, 20_480)]
        {
            assert_eq!(allocated(len), taken);
        }
        for len in 64..100_000 {
            assert!((len..=len * 5 / 4).contains(&allocated(len)), "{len}");
        }
    }
}
