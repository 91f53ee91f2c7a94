//! A hub against a simple model of it: whatever publishers, subscribers and misfortune do, each
//! subscriber sees exactly the model's sequence, with `gap` exactly where the model says.
//!
//! Written against the journal's trait: a new journal adds one test at the end of this file.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use futures_util::Stream;
use parking_lot::Mutex;
use proptest::prelude::*;

#[cfg(feature = "redis")]
use crate::journal::RedisJournal;
use crate::{
    channel::{Channel, Pattern, Selector, View},
    config::{History, HubConfig},
    event::Event,
    hub::{Hub, PublishError},
    id::{EventId, LastEventId, OwnId, WireId},
    journal::{
        Batch, Entry, IdempotencyKey, Journal, Listener, Loss, MemoryJournal, News, Receipt, Seat,
        Start,
    },
    subscriber::{Subscriber, Subscription},
};
#[cfg(feature = "disk")]
use crate::{config::SyncPolicy, journal::DiskJournal};

const CHANNELS: [&str; 5] = ["a", "b", "x/1", "x/2", "x/1/y"];
const SELECTORS: [&[&str]; 6] = [&["a"], &["b", "a"], &["x/*"], &["**"], &["a", "x/*"], &["x/1/y"]];
/// An event that is in no journal: it has its channels only where they are shown.
const TOLD: &str = "event: told\ndata: x\n\n";
/// So small that it is overrun often; feeds are overrun by large events.
const KEPT: usize = 24;
const SIZES: [usize; 3] = [1, 3_000, 90_000];

#[derive(Clone, Debug)]
enum Step {
    Publish {
        events: Vec<Draft>,
        key: Option<u8>,
    },
    Subscribe {
        selector: usize,
        shows_channels: bool,
        view: usize,
        start: From,
        limit: Option<usize>,
        wait: bool,
    },
    Read {
        reader: usize,
        pieces: usize,
    },
    Settle {
        reader: usize,
    },
    Disconnect {
        reader: usize,
    },
    Resume {
        reader: usize,
    },
    Beat,
    Tell {
        channel: usize,
    },
    LoseBroadcaster,
}

#[derive(Clone, Debug)]
struct Draft {
    channels: Vec<usize>,
    private: bool,
    own_id: Option<u8>,
    size: usize,
}

#[derive(Clone, Debug)]
enum From {
    Head,
    Earliest,
    /// After the event of this number, counted from the first ever, by the id on its wire.
    Event(usize),
    Birth,
    OwnId(u8),
    Nonsense,
    Last(usize),
}

fn draft() -> impl Strategy<Value = Draft> {
    (
        prop::collection::vec(0..CHANNELS.len(), 1..3),
        prop::bool::weighted(0.2),
        prop::option::weighted(0.2, 0..4u8),
        prop_oneof![6 => Just(0), 2 => Just(1), 2 => Just(2)],
    )
        .prop_map(|(channels, private, own_id, size)| Draft {
            channels,
            private,
            own_id,
            size,
        })
}

fn step() -> impl Strategy<Value = Step> {
    let from = prop_oneof![
        4 => Just(From::Head),
        1 => Just(From::Earliest),
        2 => (0..80usize).prop_map(From::Event),
        1 => Just(From::Birth),
        1 => (0..4u8).prop_map(From::OwnId),
        1 => Just(From::Nonsense),
        1 => (0..30usize).prop_map(From::Last),
    ];
    let subscribe = (
        0..SELECTORS.len(),
        prop::bool::weighted(0.3),
        0..4usize,
        from,
        prop::option::weighted(0.1, 1..5usize),
        prop::bool::weighted(0.9),
    );
    prop_oneof![
        12 => (prop::collection::vec(draft(), 1..6), prop::option::weighted(0.1, 0..3u8))
            .prop_map(|(events, key)| Step::Publish { events, key }),
        4 => subscribe.prop_map(|(selector, shows_channels, view, start, limit, wait)| Step::Subscribe { selector, shows_channels, view, start, limit, wait }),
        6 => (0..20usize, 1..4usize).prop_map(|(reader, pieces)| Step::Read { reader, pieces }),
        8 => (0..20usize).prop_map(|reader| Step::Settle { reader }),
        1 => (0..20usize).prop_map(|reader| Step::Disconnect { reader }),
        3 => (0..20usize).prop_map(|reader| Step::Resume { reader }),
        2 => Just(Step::Beat),
        2 => (0..CHANNELS.len()).prop_map(|channel| Step::Tell { channel }),
        1 => Just(Step::LoseBroadcaster),
    ]
}

/// Everything that was ever appended, as a listener of the journal heard it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Arc<Entry>>>>);

impl Listener for Log {
    fn hear(&self, news: News) -> bool {
        self.0.lock().extend(news.entries().iter().cloned());
        true
    }

    fn lose(&self, loss: Loss) {
        panic!("{loss:?}");
    }
}

impl Log {
    fn len(&self) -> usize {
        self.0.lock().len()
    }

    fn get(&self, number: usize) -> Arc<Entry> {
        self.0.lock()[number].clone()
    }

    /// How many have been evicted.
    fn evicted(&self) -> usize {
        self.len().saturating_sub(KEPT)
    }

    fn find(&self, from: usize, is_it: impl Fn(&Entry) -> bool) -> Option<usize> {
        let log = self.0.lock();
        (from..log.len()).find(|number| is_it(&log[*number]))
    }
}

struct World {
    hub: Hub,
    log: Log,
    birth: EventId,
    seat: Seat,
    receipts: HashMap<u8, (Batch, Receipt)>,
    published: usize,
    readers: Vec<Reader>,
}

struct Reader {
    stream: Option<Subscriber>,
    selector: Selector,
    view: View,
    woken: Arc<Woken>,
    parked: bool,
    /// Bytes of a block that is not whole yet.
    buffer: Vec<u8>,
    /// The first event, by its number, that it may see and has not been ruled out.
    next: usize,
    /// The gap that must come before any event.
    gap_due: Option<GapDue>,
    /// The last position it was told, as the hub's id.
    told: EventId,
    last_event_id: Option<String>,
    left: Option<usize>,
    waits: bool,
    /// Before the last poll, it was to go on in the journal from a place that is evicted: the
    /// journal cannot know whether anything of this selection came after it.
    was_unplaceable: bool,
    /// A read of the journal is under way.
    is_reading: bool,
    /// How many events there were when the last read began.
    began: usize,
    /// And when the read of its last piece did.
    as_of: usize,
    /// The hub lost the feed under the stream, or drains: the stream ends once it has everything.
    dismissed: bool,
}

#[derive(Debug, PartialEq)]
struct GapDue {
    after: String,
    oldest: Option<WireId>,
    /// Where delivery goes on.
    position: EventId,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl World {
    fn new(journal: impl Journal) -> Self {
        let log = Log::default();
        let (seat, birth) = journal.join(Box::new(log.clone()));
        let config = HubConfig { ping: Duration::from_secs(3600), ..HubConfig::default() };
        Self {
            hub: Hub::new(journal, config),
            log,
            birth,
            seat,
            receipts: HashMap::new(),
            published: 0,
            readers: Vec::new(),
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Publish { events, key } => self.publish(events, key).await,
            Step::Subscribe { selector, shows_channels, view, start, limit, wait } => {
                let patterns = SELECTORS[selector].iter().map(|text| Pattern::parse(text).unwrap());
                let mut selector = Selector::new(patterns);
                if shows_channels {
                    selector = selector.showing_channels();
                }
                let view = match view {
                    0 => View::Public,
                    1 | 2 => View::All,
                    _ => View::Only(Selector::new([Pattern::parse("x/*").unwrap()])),
                };
                self.subscribe(selector, view, start, limit, wait).await;
            }
            Step::Read { reader, pieces } => {
                if let Some(mut reader) = self.borrow(reader) {
                    for _ in 0..pieces {
                        if reader.poll(&self.log) != Poll::Ready(true) {
                            break;
                        }
                    }
                    self.readers.push(reader);
                }
            }
            Step::Settle { reader } => {
                if let Some(mut reader) = self.borrow(reader) {
                    reader.settle(&self.log).await;
                    self.readers.push(reader);
                }
            }
            Step::Disconnect { reader } => {
                if let Some(mut reader) = self.borrow(reader) {
                    reader.stream = None;
                    self.readers.push(reader);
                }
            }
            Step::Resume { reader } => self.resume(reader).await,
            Step::Beat => {
                self.hub.beat().await;
                self.let_flush().await;
            }
            Step::Tell { channel } => {
                self.hub.tell(Channel::parse(CHANNELS[channel]).unwrap(), TOLD).await;
                self.let_flush().await;
            }
            Step::LoseBroadcaster => {
                self.hub.lose_broadcaster().await;
                for reader in self.readers.iter_mut().filter(|reader| reader.stream.is_some()) {
                    reader.dismissed |= reader.waits;
                }
            }
        }
    }

    fn borrow(&mut self, reader: usize) -> Option<Reader> {
        let index = reader.checked_rem(self.readers.len())?;
        Some(self.readers.remove(index))
    }

    async fn publish(&mut self, drafts: Vec<Draft>, key: Option<u8>) {
        let before = self.log.len();
        let events: Vec<_> = drafts
            .iter()
            .map(|draft| {
                self.published += 1;
                let data = format!("{} {}", self.published, "x".repeat(SIZES[draft.size]));
                let mut channels = draft
                    .channels
                    .iter()
                    .map(|channel| Channel::parse(CHANNELS[*channel]).unwrap());
                let mut event = Event::new(channels.next().unwrap(), data).private(draft.private);
                event = channels.fold(event, Event::also_on);
                match draft.own_id {
                    Some(own) => event.id(OwnId::parse(own_id(own)).unwrap()),
                    None => event,
                }
            })
            .collect();
        let known = key.and_then(|key| self.receipts.get(&key).cloned());
        let batch = Batch { events, key: key.and_then(|key| IdempotencyKey::new(&[key + 1])) };
        let Some((first, receipt)) = known else {
            return self.publish_first(batch, key).await;
        };
        assert_eq!(self.hub.publish(batch).await, Err(PublishError::KeyReused));
        let again = self.hub.publish(first).await.unwrap();
        assert_eq!(again, receipt, "a repeated publication answers with the first result");
        assert_eq!(self.log.len(), before, "neither appends anything");
    }

    async fn publish_first(&mut self, batch: Batch, key: Option<u8>) {
        let before = self.log.len();
        let receipt = self.hub.publish(batch.clone()).await.unwrap();
        self.seat.handled(&(before..self.log.len()).map(|number| self.log.get(number)).collect());
        let appended: Vec<_> =
            (before..self.log.len()).map(|number| self.log.get(number).wire_id()).collect();
        assert_eq!(*receipt, *appended);
        if let Some(key) = key {
            self.receipts.insert(key, (batch, receipt));
        }
        self.let_flush().await;
    }

    /// Lets the broadcaster handle what it was told and wake whom it must.
    async fn let_flush(&self) {
        self.hub.settle().await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    async fn subscribe(
        &mut self,
        selector: Selector,
        view: View,
        start: From,
        limit: Option<usize>,
        wait: bool,
    ) {
        let head = self.log.len();
        let after = |id: String| Start::After(LastEventId::parse(&id));
        let start = match start {
            From::Head => Start::Head,
            From::Earliest => after("earliest".into()),
            From::Event(number) if number < head => {
                after(self.log.get(number).wire_id().to_string())
            }
            From::Event(_) => Start::Head,
            From::Birth => after(self.birth.to_string()),
            From::OwnId(own) => after(own_id(own)),
            From::Nonsense => after("9-".repeat(200)),
            From::Last(count) => Start::Last(count),
        };
        self.open(Subscription {
            selector,
            view,
            start,
            limit,
            wait,
            session: None,
            address: None,
        })
        .await;
    }

    /// Opens a stream where the model says that it begins.
    async fn open(&mut self, subscription: Subscription) {
        let Subscription { selector, view, start, limit, wait, .. } = subscription.clone();
        let (head, evicted) = (self.log.len(), self.log.evicted());
        let visible = |entry: &Entry| {
            selector.matches(&entry.channels) && view.shows(&entry.channels, entry.private)
        };
        let found = match &start {
            Start::Head => Some(head),
            Start::After(LastEventId::Earliest) => Some(evicted),
            Start::After(LastEventId::Hub(id)) if *id == self.birth => (evicted == 0).then_some(0),
            Start::After(LastEventId::Hub(id)) => self
                .log
                .find(evicted.saturating_sub(1), |entry| entry.id == *id)
                .map(|number| number + 1),
            Start::After(LastEventId::Own(own)) => {
                let is_it = |entry: &Entry| entry.own_id.as_ref() == Some(own) && visible(entry);
                self.log.find(evicted, is_it).map(|number| number + 1)
            }
            Start::After(LastEventId::Impossible(_)) => None,
            Start::Last(0) => Some(head),
            Start::Last(count) => {
                let mut last =
                    (evicted..head).rev().filter(|number| visible(&self.log.get(*number)));
                Some(last.nth(count - 1).unwrap_or(evicted))
            }
            Start::Since(_) => unreachable!("not generated"),
        };
        let gap_due = match (&start, found) {
            (Start::After(asked), None) => Some(GapDue {
                after: asked.to_string(),
                oldest: self
                    .log
                    .find(evicted, visible)
                    .map(|number| self.log.get(number).wire_id()),
                position: self.position(evicted),
            }),
            _ => None,
        };
        let stream = self.hub.subscribe(subscription).await.unwrap();
        let next = found.unwrap_or(evicted);
        self.readers.push(Reader {
            stream: Some(stream),
            selector,
            view,
            woken: Arc::new(Woken(AtomicBool::new(false))),
            parked: false,
            buffer: Vec::new(),
            next,
            gap_due,
            told: self.position(next),
            last_event_id: None,
            left: limit,
            waits: wait,
            was_unplaceable: false,
            is_reading: false,
            began: head,
            as_of: head,
            dismissed: false,
        });
    }

    /// The id just before the event of this number.
    fn position(&self, next: usize) -> EventId {
        if next == 0 { self.birth } else { self.log.get(next - 1).id }
    }

    async fn resume(&mut self, reader: usize) {
        let Some(old) = self.borrow(reader) else { return };
        let Some(id) = &old.last_event_id else { return };
        let start = Start::After(LastEventId::parse(id));
        let Reader { selector, view, left, waits, .. } = old;
        if left != Some(0) {
            let subscription = Subscription {
                selector,
                view,
                start,
                limit: left,
                wait: waits,
                session: None,
                address: None,
            };
            self.open(subscription).await;
        }
    }

    /// Everybody left reads to the end while the hub drains.
    async fn drain(mut self) {
        let hub = self.hub.clone();
        let draining = actix_web::rt::spawn(async move { hub.drain(Duration::from_secs(5)).await });
        for reader in &mut self.readers {
            reader.dismissed |= reader.waits;
        }
        while self.readers.iter().any(|reader| reader.stream.is_some()) {
            for reader in self.readers.iter_mut().filter(|reader| reader.stream.is_some()) {
                while reader.poll(&self.log) == Poll::Ready(true) {}
            }
            tokio::task::yield_now().await;
        }
        draining.await.unwrap().unwrap();
        assert!(
            self.hub
                .publish(Batch {
                    events: vec![Event::new(Channel::parse("a").unwrap(), "x")],
                    key: None
                })
                .await
                .is_err()
        );
    }
}

impl Reader {
    fn sees(&self, entry: &Entry) -> bool {
        self.selector.matches(&entry.channels) && self.view.shows(&entry.channels, entry.private)
    }

    /// Polls as an executor would: not while parked and not woken. `true`: got a piece; `false`:
    /// ended; pending: has everything.
    fn poll(&mut self, log: &Log) -> Poll<bool> {
        if self.parked && !self.woken.0.swap(false, SeqCst) {
            return Poll::Pending;
        }
        let Some(stream) = &mut self.stream else { return Poll::Ready(false) };
        let floor = log.evicted().checked_sub(1).map(|last| log.get(last).id);
        // A dismissed stream goes on in the journal from where its feed ended.
        let place = stream.place_in_journal();
        let is_unplaceable =
            self.dismissed || place.zip(floor).is_some_and(|(place, floor)| place < floor);
        if self.is_reading {
            self.was_unplaceable |= is_unplaceable;
        } else {
            (self.was_unplaceable, self.began) = (is_unplaceable, log.len());
        }
        let waker = Waker::from(self.woken.clone());
        match Pin::new(stream).poll_next(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                self.parked = true;
                self.is_reading = self.reads_the_journal();
                Poll::Pending
            }
            Poll::Ready(Some(piece)) => {
                (self.parked, self.is_reading) = (false, false);
                self.as_of = self.began;
                assert!(!piece.is_empty() && piece.len() <= 8 * 1024);
                self.buffer.extend_from_slice(&piece);
                self.parse(log);
                Poll::Ready(true)
            }
            Poll::Ready(None) => {
                assert!(self.buffer.is_empty(), "a stream ends between two blocks");
                self.stream = None;
                if self.left != Some(0) {
                    assert!(
                        self.dismissed || !self.waits,
                        "a stream that waits ends only when told to"
                    );
                    self.has_everything(log, self.as_of);
                }
                Poll::Ready(false)
            }
        }
    }

    async fn settle(&mut self, log: &Log) {
        while self.stream.is_some() {
            if self.poll(log).is_pending() {
                self.wait_for_the_journal().await;
                if !self.woken.0.load(SeqCst) {
                    return self.has_everything(log, log.len());
                }
            }
        }
    }

    fn reads_the_journal(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.place_in_journal().is_some())
    }

    /// Who reads the journal is woken when there is something to read.
    async fn wait_for_the_journal(&self) {
        let start = Instant::now();
        while self.reads_the_journal() && !self.woken.0.load(SeqCst) {
            assert!(start.elapsed() < Duration::from_secs(10), "never woken: {self:?}");
            tokio::task::yield_now().await;
        }
    }

    fn has_everything(&self, log: &Log, as_of: usize) {
        let missing =
            log.find(self.next, |entry| self.sees(entry)).filter(|missing| *missing < as_of);
        assert_eq!(missing, None, "at rest, but an event is missing: {self:?}");
        assert_eq!(self.gap_due, None, "at rest, but a gap is missing");
    }

    fn parse(&mut self, log: &Log) {
        while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
            let block = String::from_utf8(self.buffer.drain(..end + 2).collect()).unwrap();
            let (mut id, mut event, mut data) = (None, "message", None);
            let mut channels = Vec::new();
            for line in block.lines().filter(|line| !line.is_empty() && !line.starts_with(':')) {
                match line.split_once(": ").unwrap() {
                    ("channel", value) => channels.push(value),
                    ("id", value) => id = Some(value),
                    ("event", value) => event = value,
                    ("data", value) => assert_eq!(data.replace(value), None),
                    ("retry", value) => assert!(value.parse::<u64>().is_ok()),
                    other => panic!("unknown field {other:?}"),
                }
            }
            match (event, data) {
                ("told", Some(_)) => {
                    assert_eq!(id, None, "it has no place");
                    assert_eq!(self.gap_due, None, "a gap comes first");
                    let told: Vec<_> =
                        channels.drain(..).map(|name| Channel::parse(name).unwrap()).collect();
                    let shows_channels = self.selector.shows_channels();
                    assert_eq!(self.selector.matches(&told), shows_channels);
                    assert_eq!(told.len(), usize::from(shows_channels));
                    self.count_one();
                }
                ("gap", Some(data)) => self.gap(log, id.unwrap(), data),
                (_, Some(data)) => {
                    self.event(log, id.unwrap(), data, std::mem::take(&mut channels));
                }
                (_, None) => self.position(log, id),
            }
            assert_eq!(channels, [""; 0], "only events show channels");
            if let Some(id) = id {
                self.last_event_id = Some(id.to_owned());
            }
        }
        // Pings are lone lines, not blocks.
        while self.buffer.starts_with(b":\n") {
            self.buffer.drain(..2);
        }
    }

    /// A block that tells a position only.
    fn position(&mut self, log: &Log, id: Option<&str>) {
        // In a stream that begins with a gap it must be the id asked for: who is cut off before
        // the gap must be told again.
        match (id, &self.gap_due) {
            (Some(id), Some(due)) => assert_eq!(id, due.after),
            (None, _) => {}
            (Some(id), None) => {
                let id: EventId = id.parse().expect("positions are the hub's ids");
                assert!(id >= self.told, "positions do not go back");
                let skipped = log.find(self.next, |entry| entry.id <= id && self.sees(entry));
                assert_eq!(skipped, None, "the position {id} skips an event");
                self.told = id;
            }
        }
    }

    fn gap(&mut self, log: &Log, id: &str, data: &str) {
        let due = self.gap_due.take().unwrap_or_else(|| {
            // As it was at some time since the read began.
            let evicted = (self.as_of.saturating_sub(KEPT)..=log.evicted())
                .find(|evicted| *evicted > 0 && id == log.get(evicted - 1).id.to_string())
                .expect("a gap, but nothing is lost");
            let oldest = log.find(evicted, |entry| self.sees(entry));
            let missed = log.find(self.next, |entry| self.sees(entry));
            let is_lost = missed.is_some_and(|missed| missed < evicted);
            assert!(is_lost || self.was_unplaceable, "a gap, but nothing is lost");
            self.next = evicted;
            GapDue {
                after: self.told.to_string(),
                oldest: oldest.map(|number| log.get(number).wire_id()),
                position: log.get(evicted - 1).id,
            }
        });
        assert!(self.told <= due.position, "a gap that goes back behind {}", self.told);
        assert_eq!(id, due.position.to_string());
        assert_eq!(json(data), serde_json::json!({ "after": due.after, "oldest": due.oldest }));
        self.told = due.position;
    }

    fn event(&mut self, log: &Log, id: &str, data: &str, channels: Vec<&str>) {
        assert_eq!(self.gap_due, None, "an event before the gap that was due");
        let expected = log.find(self.next, |entry| self.sees(entry)).expect("no event was due");
        let entry = log.get(expected);
        assert_eq!(id, entry.wire_id().to_string(), "not the event that was due: {self:?}");
        assert!(entry.frame.ends_with(format!("data: {data}\n\n").as_bytes()));
        let mut shown = entry.channels.clone();
        shown.retain(|channel| {
            self.selector.shows_channels() && self.selector.matches(std::slice::from_ref(channel))
        });
        assert_eq!(channels, shown.iter().map(Channel::as_str).collect::<Vec<_>>());
        self.next = expected + 1;
        self.told = entry.id;
        self.count_one();
    }

    fn count_one(&mut self) {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1).expect("more events than the limit");
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("stream", &self.stream)
            .field("view", &self.view)
            .field("next", &self.next)
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

fn own_id(own: u8) -> String {
    format!("own-{own}")
}

fn json(data: &str) -> serde_json::Value {
    serde_json::from_str(data).unwrap()
}

fn hold_to_the_model<J: Journal>(open: impl AsyncFnOnce() -> J, steps: Vec<Step>) {
    actix_web::rt::System::new().block_on(async {
        let mut world = World::new(open().await);
        for step in steps {
            world.take(step).await;
        }
        world.drain().await;
    });
}

fn history(events: usize) -> History {
    History { events, ..History::default() }
}

proptest! {
    #[test]
    fn a_hub_in_memory_does_what_the_model_says(steps in prop::collection::vec(step(), 1..120)) {
        hold_to_the_model(async || MemoryJournal::new(history(KEPT)), steps);
    }
}

// These have little in memory, so that they are read themselves.
proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[cfg(feature = "disk")]
    #[test]
    fn a_hub_on_disk_does_what_the_model_says(
        steps in prop::collection::vec(step(), 1..120),
        in_memory in 1..KEPT,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let open = async || {
            let (path, recent) = (directory.path(), history(in_memory));
            DiskJournal::open_with(path, history(KEPT), recent, SyncPolicy::Never).unwrap()
        };
        hold_to_the_model(open, steps);
    }

    #[cfg(feature = "redis")]
    #[test]
    fn a_hub_on_redis_does_what_the_model_says(
        steps in prop::collection::vec(step(), 1..120),
        in_memory in 1..KEPT,
    ) {
        let open = async || {
            let url = redis_server::url_of_a_new_key();
            RedisJournal::open_with(&url, history(KEPT), history(in_memory)).await.unwrap()
        };
        hold_to_the_model(open, steps);
    }
}

/// One Redis for all cases of this process.
#[cfg(feature = "redis")]
mod redis_server {
    use std::{
        process::{Child, Command, Stdio},
        sync::{
            LazyLock,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        thread,
        time::Duration,
    };

    use tempfile::TempDir;

    static SERVER: LazyLock<(TempDir, Child)> = LazyLock::new(|| {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        // A static is not dropped: it ends when this process does.
        let server = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "redis-server", "--port", "0", "--save", "", "--dir"])
            .arg(directory.path())
            .arg("--unixsocket")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while !socket.exists() {
            thread::sleep(Duration::from_millis(5));
        }
        (directory, server)
    });
    static KEYS: AtomicUsize = AtomicUsize::new(0);

    pub(super) fn url_of_a_new_key() -> String {
        let socket = SERVER.0.path().join("socket");
        format!("redis+unix://{}?key=model-{}", socket.display(), KEYS.fetch_add(1, SeqCst))
    }
}
