//! The broadcaster: an actor on each worker thread that owns this worker's subscribers.
//!
//! Its handlers never wait: they append to feeds and wake readers, a slice at a time.

mod feed;
mod messages;
mod router;
mod stopwatch;

use std::{
    collections::{HashMap, VecDeque},
    ops::RangeInclusive,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant, SystemTime},
};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, MessageResult,
    WrapFuture,
};
use parking_lot::Mutex;
use slab::Slab;

use crate::{
    admission::ASKING_PACE,
    channel::{Channel, Selector, View},
    frame,
    grants::Session,
    id::{EventId, LastEventId},
    journal::{Journal, Listener, Loss, Lost, News, Seat},
    revocations::Notice,
    stats::{Listening, Stats},
};

pub(crate) use feed::{Feed, Read};
#[cfg(test)]
pub(crate) use messages::Die;
pub(crate) use messages::{
    Broadcast, Count, Drain, EndTimes, Ephemeral, Lose, Named, Ping, Register, Release,
};
use router::{FeedKey, Router};

/// Into how many slices a crowd is cut: between two of them publishes are taken in, so that those
/// not yet woken get several events in one write.
const SLICES: usize = 16;
/// The fewest in a slice of a small crowd.
const MIN_SLICE: usize = 2;
/// The most in a slice: fewer while events come faster than they are flushed, and more while they
/// do not, for each slice costs a look at every socket.
const MOST_IN_SLICE: RangeInclusive<usize> = 4..=64;

/// Into how many spans the time between two pings is cut: a quiet feed is pinged at most one span
/// late.
pub(crate) const SPANS: u32 = 4;

/// The shortest of these spans, whatever is asked for.
const MIN_SPAN: Duration = Duration::from_millis(10);

/// How often it looks for subscribers whose time is up: twice in the second that they may be late.
const END_SPAN: Duration = Duration::from_millis(500);

/// How often a draining broadcaster sends some subscribers away.
const DRAIN_STEP: Duration = Duration::from_millis(100);
/// The fewest it sends away in a step, so that a small hub need not wait.
const DRAIN_MIN: usize = (DRAIN_STEP.as_millis() / ASKING_PACE.as_millis()) as usize;

/// A feed, shared by its broadcaster and its subscribers. A message's reply must be `Send`, hence
/// the lock; in fact only one thread ever takes it, and no lock is held while waking.
pub(crate) type SharedFeed = Arc<Mutex<Feed>>;

/// Owns the subscribers of one worker thread.
#[derive(Debug)]
pub(crate) struct Broadcaster {
    seat: Seat,
    /// The newest event it has handled.
    head: EventId,
    /// What was lost last: who comes to a new feed may have been placed before.
    lost: Option<Lost>,
    feeds: Slab<Selection>,
    by_selection: HashMap<(Selector, View), FeedKey>,
    router: Router,
    /// Feeds whose subscribers have something to wake for; some may be closed by now.
    stirred: VecDeque<FeedKey>,
    flushing: bool,
    /// The most in a slice, for now.
    most: usize,
    ping_span: Duration,
    stats: Arc<Stats>,
    /// Kept to spare the allocations; empty between uses.
    found: Vec<FeedKey>,
    wakers: Vec<Waker>,
}

#[derive(Debug)]
struct Selection {
    selector: Selector,
    view: View,
    feed: SharedFeed,
    stirred: bool,
    /// If the statistics go here.
    _listening: Option<Listening>,
}

/// A subscriber's place in a feed; dropping it leaves the feed.
#[derive(Debug)]
pub(crate) struct SeatInFeed {
    feed: SharedFeed,
    key: usize,
    feed_key: FeedKey,
    broadcaster: Addr<Broadcaster>,
}

impl Broadcaster {
    /// Starts a broadcaster on this thread. A quiet feed gets a ping after `ping`, and a fresh
    /// position at least every quarter of the history's age.
    pub(crate) fn start_on(journal: &dyn Journal, ping: Duration, stats: Arc<Stats>) -> Addr<Self> {
        // A beat may come a span late, which is a quarter of it: 5/4 of a fifth is a quarter.
        let beat = ping.min(journal.max_age() / 5);
        Self::create(|ctx| {
            let (seat, head) = journal.join(Box::new(ctx.address()));
            Self {
                seat,
                head,
                lost: None,
                feeds: Slab::new(),
                by_selection: HashMap::new(),
                router: Router::default(),
                stirred: VecDeque::new(),
                flushing: false,
                most: *MOST_IN_SLICE.end(),
                ping_span: (beat / SPANS).max(MIN_SPAN),
                stats,
                found: Vec::new(),
                wakers: Vec::with_capacity(*MOST_IN_SLICE.end()),
            }
        })
    }

    fn open_feed(&mut self, selector: Selector, view: View) -> FeedKey {
        let feed = Arc::new(Mutex::new(Feed::new(self.head, self.lost)));
        let (for_selection, for_view) = (selector.clone(), view.clone());
        let is_told = selector.matches(std::slice::from_ref(self.stats.channel()));
        let _listening = is_told.then(|| self.stats.listen());
        let key = self.feeds.insert(Selection { selector, view, feed, stirred: false, _listening });
        self.router.insert(&for_selection, key);
        self.by_selection.insert((for_selection, for_view), key);
        key
    }

    fn close_feed(&mut self, key: FeedKey) {
        let Selection { selector, view, .. } = self.feeds.remove(key);
        self.router.remove(&selector, key);
        self.by_selection.remove(&(selector, view));
    }

    fn stir(&mut self, key: FeedKey) {
        if !std::mem::replace(&mut self.feeds[key].stirred, true) {
            self.stirred.push_back(key);
        }
    }

    /// Wakes those who have not heard, one slice now and the rest as other tasks let it.
    fn flush(&mut self, ctx: &mut Context<Self>) {
        if self.flushing {
            self.most = (self.most / 2).max(*MOST_IN_SLICE.start());
        } else if !self.stirred.is_empty() {
            self.flushing = true;
            self.most = (self.most + MIN_SLICE).min(*MOST_IN_SLICE.end());
            self.flush_slice(ctx);
        }
    }

    /// How many to wake now.
    fn slice(&self) -> usize {
        let first = self.stirred.front().and_then(|key| self.feeds.get(*key));
        let in_first = first.map_or(0, |selection| selection.feed.lock().len());
        (self.stirred.len().max(in_first) / SLICES).max(MIN_SLICE).min(self.most)
    }

    fn flush_slice(&mut self, ctx: &mut Context<Self>) {
        let mut wakers = std::mem::take(&mut self.wakers);
        let mut delivered = Vec::new();
        let slice = self.slice();
        while wakers.len() < slice
            && let Some(key) = self.stirred.front().copied()
        {
            if let Some(selection) = self.feeds.get_mut(key) {
                let room = slice - wakers.len();
                if selection.feed.lock().flush(room, &mut wakers, &mut delivered) {
                    // The others have their turn before it goes on, or a busy feed would starve
                    // them.
                    self.stirred.rotate_left(1);
                    break;
                }
                selection.stirred = false;
            }
            self.stirred.pop_front();
        }
        wakers.drain(..).for_each(Waker::wake);
        self.wakers = wakers;
        let goes_on = !self.stirred.is_empty();
        self.flushing = goes_on;
        if goes_on || !delivered.is_empty() {
            // The runtime polls its sockets before it comes back: new publishes are taken in, and
            // those woken have had their turn.
            let turn = tokio::task::yield_now().into_actor(self);
            ctx.spawn(turn.map(move |(), broadcaster, ctx| {
                broadcaster.stats.delivered(&delivered);
                if goes_on {
                    broadcaster.flush_slice(ctx);
                }
            }));
        }
    }

    /// Ends the streams of the sessions of which this is true.
    fn end_where(&self, is_over: impl Fn(&Session) -> bool) {
        let mut wakers = Vec::new();
        for (_, selection) in &self.feeds {
            selection.feed.lock().end_where(&is_over, &mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sends some subscribers away and comes back for the rest.
    fn drain_step(&mut self, end: Instant, ctx: &mut Context<Self>) {
        let there: usize =
            self.feeds.iter().map(|(_, selection)| selection.feed.lock().len()).sum();
        let left = end.saturating_duration_since(Instant::now()).as_millis();
        let steps = (left / DRAIN_STEP.as_millis()).max(1) as usize;
        let mut share = there.div_ceil(steps).max(DRAIN_MIN);
        let mut wakers = Vec::new();
        for (_, selection) in &self.feeds {
            share -= selection.feed.lock().dismiss(self.head, share, &mut wakers);
            if share == 0 {
                break;
            }
        }
        wakers.into_iter().for_each(Waker::wake);
        if Instant::now() < end {
            let pause = DRAIN_STEP.mul_f64(0.5 + fastrand::f64());
            ctx.run_later(pause, move |broadcaster, ctx| broadcaster.drain_step(end, ctx));
        }
    }
}

impl Actor for Broadcaster {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(self.ping_span, |_, ctx| ctx.notify(Ping));
        ctx.run_interval(END_SPAN, |_, ctx| ctx.notify(EndTimes));
    }
}

impl Drop for Broadcaster {
    /// However it ended, its subscribers must not wait for it.
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        for (_, selection) in &self.feeds {
            selection.feed.lock().dismiss(self.head, usize::MAX, &mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Listener for Addr<Broadcaster> {
    fn hear(&self, news: News) -> bool {
        self.do_send(Broadcast(news));
        self.connected()
    }

    fn lose(&self, loss: Loss) {
        self.do_send(Lose(loss));
    }
}

impl Handler<Register> for Broadcaster {
    type Result = MessageResult<Register>;

    fn handle(
        &mut self,
        Register { selector, view, session }: Register,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        let selection = (selector, view);
        let feed_key = match self.by_selection.get(&selection) {
            Some(key) => *key,
            None => self.open_feed(selection.0, selection.1),
        };
        let feed = self.feeds[feed_key].feed.clone();
        let key = feed.lock().enter(session);
        MessageResult(SeatInFeed { feed, key, feed_key, broadcaster: ctx.address() })
    }
}

impl Handler<Release> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Release { feed }: Release, _: &mut Self::Context) {
        // Meanwhile somebody may have come, or the key may be another feed's.
        let is_empty =
            self.feeds.get(feed).is_some_and(|selection| selection.feed.lock().len() == 0);
        if is_empty {
            self.close_feed(feed);
        }
    }
}

impl Handler<Broadcast> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Broadcast(news): Broadcast, ctx: &mut Self::Context) {
        let mut found = std::mem::take(&mut self.found);
        let dispatched = news.dispatched();
        for entry in news.entries() {
            self.router.find(&entry.channels, &mut found);
            for key in found.drain(..) {
                let selection = &self.feeds[key];
                if selection.view.shows(&entry.channels, entry.private) {
                    let frame = frame::shown_to(&selection.selector, &entry.channels, &entry.frame);
                    let mut feed = selection.feed.lock();
                    feed.push(entry.id, frame.into_owned());
                    dispatched.inspect(|dispatched| feed.time(*dispatched));
                    drop(feed);
                    self.stir(key);
                }
            }
            if let Some(notice) = Notice::of(entry) {
                self.end_where(notice.ends());
            }
            self.head = entry.id;
        }
        self.found = found;
        self.seat.handled(&news);
        self.flush(ctx);
    }
}

impl Handler<Ephemeral> for Broadcaster {
    type Result = ();

    fn handle(
        &mut self,
        Ephemeral { channel, frame }: Ephemeral,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        let channels = [channel];
        let mut found = std::mem::take(&mut self.found);
        self.router.find(&channels, &mut found);
        for key in found.drain(..) {
            let selection = &self.feeds[key];
            let frame = frame::shown_to(&selection.selector, &channels, &frame);
            selection.feed.lock().tell(frame.into_owned());
            self.stir(key);
        }
        self.found = found;
        self.flush(ctx);
    }
}

impl Handler<Lose> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Lose(loss): Lose, ctx: &mut Self::Context) {
        self.head = loss.place();
        self.lost = loss.lost().or(self.lost);
        // To who has read up to there, whichever its channels are.
        let gap = frame::gap(&LastEventId::Hub(self.head), None, self.head);
        let keys: Vec<_> = self.feeds.iter().map(|(key, _)| key).collect();
        for key in keys {
            let mut feed = self.feeds[key].feed.lock();
            match loss {
                Loss::Unheard(lost) => feed.leave_out(lost, gap.clone()),
                Loss::Heard(_) | Loss::All(_) => feed.cut(self.head, self.lost),
            }
            drop(feed);
            self.stir(key);
        }
        self.flush(ctx);
    }
}

impl Handler<Ping> for Broadcaster {
    type Result = ();

    fn handle(&mut self, _: Ping, ctx: &mut Self::Context) {
        if !ctx.connected() {
            // The hub is gone; the interval alone would keep this actor alive.
            ctx.stop();
            return;
        }
        let mut quiet = std::mem::take(&mut self.found);
        let position = frame::position(self.head);
        for (key, selection) in &self.feeds {
            if selection.feed.lock().beat(self.head, &position, SPANS) {
                quiet.push(key);
            }
        }
        quiet.drain(..).for_each(|key| self.stir(key));
        self.found = quiet;
        self.flush(ctx);
    }
}

impl Handler<EndTimes> for Broadcaster {
    type Result = ();

    fn handle(&mut self, _: EndTimes, _: &mut Self::Context) {
        let (now, mut wakers) = (SystemTime::now(), Vec::new());
        for (_, selection) in &self.feeds {
            selection.feed.lock().end_by(now, &mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Handler<Drain> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Drain { end }: Drain, ctx: &mut Self::Context) {
        self.drain_step(end, ctx);
    }
}

impl Handler<Named> for Broadcaster {
    type Result = MessageResult<Named>;

    fn handle(
        &mut self,
        Named { prefix, after, limit }: Named,
        _: &mut Self::Context,
    ) -> Self::Result {
        MessageResult(self.router.named(&prefix, &after, limit))
    }
}

impl Handler<Count> for Broadcaster {
    type Result = MessageResult<Count>;

    fn handle(&mut self, Count(channels): Count, _: &mut Self::Context) -> Self::Result {
        let count = |channel: &Channel| {
            let mut found = Vec::new();
            self.router.find(std::slice::from_ref(channel), &mut found);
            found.into_iter().map(|key| self.feeds[key].feed.lock().len()).sum()
        };
        MessageResult(channels.iter().map(count).collect())
    }
}

#[cfg(test)]
impl Handler<Die> for Broadcaster {
    type Result = ();

    fn handle(&mut self, _: Die, _: &mut Self::Context) {
        std::panic::resume_unwind(Box::new("told to die"));
    }
}

impl SeatInFeed {
    /// Reads the feed from now on, if it has everything after `cursor`.
    pub(crate) fn attach(&self, cursor: EventId) -> bool {
        self.feed.lock().attach(self.key, cursor)
    }

    /// Whether it shall end at once.
    pub(crate) fn is_over(&self) -> bool {
        self.feed.lock().is_over(self.key)
    }

    /// What there is to read after `cursor`, where it is attached: at most `most` events.
    pub(crate) fn read(&self, cursor: EventId, most: usize, waker: &Waker) -> Read {
        self.feed.lock().read(self.key, cursor, most, waker)
    }
}

impl Drop for SeatInFeed {
    fn drop(&mut self) {
        let is_empty = {
            let mut feed = self.feed.lock();
            feed.leave(self.key);
            feed.len() == 0
        };
        if is_empty {
            self.broadcaster.do_send(Release { feed: self.feed_key });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::History, journal::MemoryJournal};

    #[test]
    fn who_comes_to_a_new_feed_after_a_loss_is_told_of_it() {
        actix_web::rt::System::new().block_on(async {
            let journal = MemoryJournal::new(History::default());
            let broadcaster =
                Broadcaster::start_on(&journal, Duration::from_secs(15), Stats::new());
            let id = |number| EventId::new(number, 0);
            broadcaster.do_send(Lose(Loss::Heard(Lost { after: id(1), upto: id(3) })));
            let selector = Channel::parse("a").unwrap().into();
            let seat = broadcaster
                .send(Register { selector, view: View::All, session: None })
                .await
                .unwrap();
            assert!(!seat.attach(id(2)), "it was placed before the loss");
            assert!(seat.attach(id(1)));
        });
    }
}
