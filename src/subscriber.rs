//! A subscriber: a cursor that reads the journal until it has caught up, and then its feed.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture};

use crate::{
    broadcaster::{Read, SeatInFeed},
    channel::{Selector, View},
    frame,
    hub::{Hub, Permit},
    id::{EventId, LastEventId},
    journal::{JournalError, Placement, Reading, Start},
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
        }
    }
}

/// A stream of pieces of at most 8 KiB, each some whole lines or a part of a long event: the bytes
/// of a `text/event-stream`.
///
/// Buffers nothing: what it has not read stays in its feed's ring or in the journal. It must be
/// polled on the thread on which it was made, or it may wait for its next event in vain.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Subscriber {
    hub: Hub,
    subscription: Subscription,
    /// Everything up to here has been handed out.
    cursor: EventId,
    /// The last position that the client was told, at or before the cursor.
    told: EventId,
    /// The place in a feed; without one, the stream ends where the journal does.
    seat: Option<SeatInFeed>,
    attached: bool,
    page: Option<BoxFuture<'static, Result<Reading, JournalError>>>,
    /// What is left of a piece that was too large to hand out at once.
    rest: Bytes,
    /// How many events it may still get.
    left: usize,
    dismissed: bool,
    ended: bool,
    _permit: Permit,
}

impl Subscriber {
    pub(crate) fn new(
        hub: Hub,
        permit: Permit,
        subscription: Subscription,
        placement: Placement,
        seat: Option<SeatInFeed>,
    ) -> Self {
        let cursor = placement.cursor;
        let retry = hub.retry();
        let opening = match (&placement.gap, &subscription.start) {
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
        let attached = seat.as_ref().is_some_and(|seat| seat.attach(cursor));
        Self {
            hub,
            left: subscription.limit.unwrap_or(usize::MAX),
            subscription,
            cursor,
            told: cursor,
            seat,
            attached,
            page: None,
            rest: opening,
            dismissed: false,
            ended: false,
            _permit: permit,
        }
    }

    /// Reads the feed. `None`: look again, there may be something to hand out.
    fn read_feed(&mut self, cx: &mut Context<'_>) -> Option<Poll<()>> {
        let seat = self.seat.as_ref()?;
        match seat.read(self.left, cx.waker()) {
            Read::Events { bytes, events, through } => self.take(bytes, events, through, through),
            Read::Position { bytes, through } => self.take(bytes, 0, through, through),
            Read::Ping => self.rest = frame::PING,
            Read::Behind(next) => {
                self.cursor = next.before();
                self.attached = false;
            }
            Read::Leave { through } => {
                self.cursor = through;
                self.attached = false;
                self.seat = None;
                self.dismissed = true;
            }
            Read::Parked => return Some(Poll::Pending),
        }
        None
    }

    /// Reads a page of the journal.
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Subscription { selector, view, .. } = &self.subscription;
        let page = self
            .page
            .get_or_insert_with(|| self.hub.journal().page(selector, view, self.cursor, self.left));
        let reading = ready!(page.as_mut().poll(cx));
        self.page = None;
        match reading {
            Ok(Reading::Page(page)) => {
                let is_empty = page.events == 0;
                let told = page.last.unwrap_or(self.told);
                self.take(page.bytes, page.events, told, page.through);
                match &self.seat {
                    Some(seat) if page.at_head => self.attached = seat.attach(self.cursor),
                    None if page.at_head && is_empty => self.end(),
                    // A long scan must not keep the thread from others.
                    _ if is_empty => {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    _ => {}
                }
            }
            Ok(Reading::Overrun { floor, gap }) => {
                let after = LastEventId::Hub(self.told);
                self.take(frame::gap(&after, gap.oldest.as_ref(), floor), 0, floor, floor);
            }
            // The client comes back by itself and asks again.
            Err(_) => self.ended = true,
        }
        Poll::Ready(())
    }

    /// Hands out `bytes`, which bring the client to `told` and the cursor to `through`.
    fn take(&mut self, bytes: Bytes, events: usize, told: EventId, through: EventId) {
        self.rest = bytes;
        self.left -= events;
        self.told = told;
        self.cursor = through;
    }

    fn end(&mut self) {
        self.ended = true;
        if self.dismissed {
            self.rest = frame::farewell(self.hub.retry());
        }
    }
}

impl Stream for Subscriber {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = self.get_mut();
        loop {
            if !this.rest.is_empty() {
                let len = this.rest.len().min(frame::HAND_OUT);
                return Poll::Ready(Some(this.rest.split_to(len)));
            }
            if this.ended || this.left == 0 {
                return Poll::Ready(None);
            }
            if this.attached {
                if let Some(Poll::Pending) = this.read_feed(cx) {
                    return Poll::Pending;
                }
            } else {
                ready!(this.poll_page(cx));
            }
        }
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber")
            .field("subscription", &self.subscription)
            .field("cursor", &self.cursor)
            .field("attached", &self.attached)
            .finish_non_exhaustive()
    }
}
