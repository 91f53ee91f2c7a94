//! A subscriber: a cursor that reads the journal until it has caught up, and then its feed.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture};

use crate::{
    admission::Permit,
    broadcaster::{Read, SeatInFeed},
    channel::{Selector, View},
    frame,
    grants::{Grants, Session},
    id::{EventId, LastEventId},
    journal::{Journal, JournalError, Placement, Reading, Start},
    revocations::Revocations,
};

/// What somebody wants to read.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The channels.
    pub selector: Selector,
    /// Which of their private events.
    pub view: View,
    /// From where.
    pub start: Start,
    /// End the stream after so many events.
    pub limit: Option<usize>,
    /// Go on when caught up; otherwise the stream ends there.
    pub wait: bool,
    /// What ends the stream early, within a second: see [`as_caller`](Self::as_caller).
    pub session: Option<Arc<Session>>,
    /// Where it comes from, to be counted there.
    pub address: Option<IpAddr>,
}

impl Subscription {
    /// Everything on `selector` from now on, without end.
    pub fn new(selector: impl Into<Selector>) -> Self {
        Self {
            selector: selector.into(),
            view: View::All,
            start: Start::Head,
            limit: None,
            wait: true,
            session: None,
            address: None,
        }
    }

    /// Reads as a caller with these grants: shows the private events that they let see, and ends
    /// when they do, when their token is revoked, or when their user logs out. Does not ask whether
    /// they let subscribe.
    pub fn as_caller(self, grants: &Grants) -> Self {
        Self { view: grants.view(&self.selector), session: grants.session(), ..self }
    }
}

/// So many polls in a row that find nothing to read, and a stream ends.
///
/// Only its feed wakes a stream that is parked there, at the latest with the next ping, but for a
/// client that goes on sending: actix-http then polls again and again.
pub(crate) const MAX_IDLE_POLLS: u32 = 1_024;

/// A stream of pieces of at most 8 KiB, each some whole lines or a part of a long event: the bytes
/// of a `text/event-stream`.
///
/// Buffers nothing: what it has not read stays in its feed's ring or in the journal. It is best
/// read on the thread on which it was made: nobody else takes its feed's lock.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Subscriber {
    journal: Arc<dyn Journal>,
    revocations: Arc<Revocations>,
    selector: Selector,
    view: View,
    session: Option<Arc<Session>>,
    source: Source,
    /// Everything up to here has been handed out.
    cursor: EventId,
    /// The last position that the client was told, at or before the cursor.
    told: EventId,
    /// What is left of a piece that was too large to hand out at once.
    rest: Bytes,
    /// How many events it may still get.
    left: usize,
    /// Polls since it last had something to read.
    idle_polls: u32,
    /// The hub asked it to leave.
    is_dismissed: bool,
    permit: Permit,
}

/// Where a subscriber reads.
enum Source {
    /// Its feed, which has everything after the cursor.
    Feed(SeatInFeed),
    /// The journal; when it has caught up, the feed, or, without a seat, nothing.
    Journal { seat: Option<SeatInFeed>, page: Option<PageFuture> },
    /// It has reached its end.
    Nothing,
}

type PageFuture = BoxFuture<'static, Result<Reading, JournalError>>;

impl Subscriber {
    /// A subscriber that begins at `placement`; without a seat in a feed, it ends where the
    /// journal does.
    pub(crate) fn new(
        journal: Arc<dyn Journal>,
        revocations: Arc<Revocations>,
        permit: Permit,
        subscription: Subscription,
        placement: Placement,
        seat: Option<SeatInFeed>,
    ) -> Self {
        let cursor = placement.cursor;
        let retry = permit.retry();
        // What else it says is not kept for as long as the stream is there.
        let Subscription { selector, view, session, start, limit, .. } = subscription;
        let opening = match (&placement.gap, &start) {
            (Some(gap), Start::After(asked)) => {
                let position: Option<&dyn std::fmt::Display> = match asked {
                    LastEventId::Impossible(_) => None,
                    placeable => Some(placeable),
                };
                let gap = frame::gap(asked, gap.oldest.as_ref(), cursor);
                [frame::opening(retry, position), gap].concat().into()
            }
            _ => frame::opening(retry, Some(&cursor)),
        };
        Self {
            journal,
            revocations,
            left: limit.unwrap_or(usize::MAX),
            selector,
            view,
            session,
            source: Source::caught_up_at(cursor, seat),
            cursor,
            told: cursor,
            rest: opening,
            idle_polls: 0,
            is_dismissed: false,
            permit,
        }
    }

    /// Reads the feed. Returns where to read next, and whether there is nothing to read now.
    fn read_feed(&mut self, seat: SeatInFeed, cx: &mut Context<'_>) -> (Source, Poll<()>) {
        match seat.read(self.cursor, self.left, cx.waker()) {
            Read::Parked if self.idle_polls == MAX_IDLE_POLLS => {
                log::debug!("stream ended: its client sends requests and keeps the worker busy");
                return (Source::Nothing, Poll::Ready(()));
            }
            Read::Parked => {
                self.idle_polls += 1;
                return (Source::Feed(seat), Poll::Pending);
            }
            Read::Events { bytes, events, through } => self.take(bytes, events, through, through),
            Read::Position { bytes, through } => self.take(bytes, 0, through, through),
            Read::Ephemeral(bytes) => self.take(bytes, 1, self.told, self.cursor),
            // It may have read ahead in the journal without having been told of it.
            Read::Ping if self.told < self.cursor => {
                self.take(frame::position(self.cursor), 0, self.cursor, self.cursor);
            }
            Read::Ping => self.rest = frame::PING,
            Read::Behind(next) => {
                self.cursor = next.before();
                return (Source::Journal { seat: Some(seat), page: None }, Poll::Ready(()));
            }
            Read::Cut { has_missed } => {
                if has_missed {
                    let gap = frame::gap(&LastEventId::Hub(self.told), None, self.cursor);
                    self.take(gap, 0, self.cursor, self.cursor);
                }
                return (Source::Journal { seat: Some(seat), page: None }, Poll::Ready(()));
            }
            Read::Over => return self.take_leave_early(),
            Read::Leave { through } => {
                self.cursor = through;
                self.is_dismissed = true;
                return (Source::Journal { seat: None, page: None }, Poll::Ready(()));
            }
        }
        (Source::Feed(seat), Poll::Ready(()))
    }

    /// Reads a page of the journal. Returns what `read_feed` does.
    // Out of line, so that those who have caught up are spared its weight.
    #[inline(never)]
    fn read_journal(
        &mut self,
        seat: Option<SeatInFeed>,
        page: Option<PageFuture>,
        cx: &mut Context<'_>,
    ) -> (Source, Poll<()>) {
        // Without a seat, nobody else tells it.
        let is_over = seat.as_ref().is_some_and(SeatInFeed::is_over);
        if is_over || self.session.as_ref().is_some_and(|session| self.revocations.end(session)) {
            return self.take_leave_early();
        }
        let mut page = page.unwrap_or_else(|| {
            self.journal.page(&self.selector, &self.view, self.cursor, self.left)
        });
        let mut poll = Poll::Ready(());
        match page.as_mut().poll(cx) {
            Poll::Pending => return (Source::Journal { seat, page: Some(page) }, Poll::Pending),
            Poll::Ready(Ok(Reading::Page(page))) => {
                let is_empty = page.events == 0;
                let told = page.last.unwrap_or(self.told);
                self.take(page.bytes, page.events, told, page.through);
                if page.at_head && seat.is_some() {
                    return (Source::caught_up_at(self.cursor, seat), poll);
                }
                if page.at_head && is_empty {
                    self.take_leave();
                    return (Source::Nothing, poll);
                }
                if is_empty {
                    // A long scan must not keep the thread from others.
                    cx.waker().wake_by_ref();
                    poll = Poll::Pending;
                }
            }
            // It hears that it is still connected.
            Poll::Ready(Ok(Reading::Away)) => self.rest = frame::PING,
            Poll::Ready(Ok(Reading::Overrun { floor, gap })) => {
                let after = LastEventId::Hub(self.told);
                self.take(frame::gap(&after, gap.oldest.as_ref(), floor), 0, floor, floor);
            }
            // The client comes back by itself and asks again.
            Poll::Ready(Err(_)) => return (Source::Nothing, poll),
        }
        (Source::Journal { seat, page: None }, poll)
    }

    /// Hands out `bytes`, which bring the client to `told` and the cursor to `through`.
    fn take(&mut self, bytes: Bytes, events: usize, told: EventId, through: EventId) {
        self.rest = bytes;
        self.left -= events;
        self.told = told;
        self.cursor = through;
    }

    /// Where it reads the journal, if it does.
    #[cfg(test)]
    pub(crate) fn place_in_journal(&self) -> Option<EventId> {
        matches!(self.source, Source::Journal { .. }).then_some(self.cursor)
    }

    /// Ends before it has everything.
    fn take_leave_early(&mut self) -> (Source, Poll<()>) {
        self.rest = frame::farewell(self.permit.retry());
        (Source::Nothing, Poll::Ready(()))
    }

    fn take_leave(&mut self) {
        if self.is_dismissed {
            self.rest = frame::farewell(self.permit.retry());
        }
    }
}

impl Source {
    /// Where to read what comes after `cursor`.
    fn caught_up_at(cursor: EventId, seat: Option<SeatInFeed>) -> Self {
        match seat {
            Some(seat) if seat.attach(cursor) => Self::Feed(seat),
            seat => Self::Journal { seat, page: None },
        }
    }
}

impl Stream for Subscriber {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = self.get_mut();
        loop {
            if !this.rest.is_empty() {
                this.idle_polls = 0;
                let len = this.rest.len().min(frame::HAND_OUT);
                return Poll::Ready(Some(this.rest.split_to(len)));
            }
            if this.left == 0 {
                return Poll::Ready(None);
            }
            let (source, poll) = match std::mem::replace(&mut this.source, Source::Nothing) {
                Source::Feed(seat) => this.read_feed(seat, cx),
                Source::Journal { seat, page } => this.read_journal(seat, page, cx),
                Source::Nothing => return Poll::Ready(None),
            };
            this.source = source;
            ready!(poll);
        }
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber")
            .field("selector", &self.selector)
            .field("view", &self.view)
            .field("cursor", &self.cursor)
            .field("is_attached", &matches!(self.source, Source::Feed(_)))
            .finish_non_exhaustive()
    }
}
