//! Connections of many streams (HTTP/2): how many, and which of them take nothing.
//!
//! actix-http bounds neither: a client may open as many streams as it likes, and leave the window
//! of one closed for ever while the connection lives. Here a connection has so many at most, and is
//! cut off when one of them has taken nothing for too long.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use actix_http::BoxedPayloadStream;
use actix_web::{
    HttpMessage,
    body::{BodySize, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    middleware::Next,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use slab::Slab;
use tokio::time::timeout;

use crate::{frame::HAND_OUT, http};

/// The most streams of a connection at a time.
const MAX_STREAMS: usize = 256;
/// So much of a request's body is read after its answer is known, and for so long.
const MAX_LEFT: usize = 4 << 20;
const LINGER: Duration = Duration::from_secs(1);
/// Into how many turns the time is cut that a stream may take nothing: it is noticed a turn late at
/// most.
const TURNS: u32 = 4;

/// The shortest turn.
const MIN_TURN: Duration = Duration::from_millis(100);

/// The connections of a worker.
#[derive(Clone, Default)]
pub(crate) struct Connections(Rc<Shared>);

#[derive(Default)]
struct Shared {
    all: RefCell<Vec<Weak<Streams>>>,
    /// How often they were looked at: a clock that costs nothing to read.
    turn: Cell<u32>,
}

/// The streams of a connection.
#[derive(Default)]
pub(crate) struct Streams {
    /// Since which turn each has not come back for more, if it has something to take.
    waiting: RefCell<Slab<Option<u32>>>,
    is_cut_off: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    worker: Weak<Shared>,
}

impl Connections {
    /// A new connection's.
    pub(crate) fn open(&self) -> Rc<Streams> {
        let worker = Rc::downgrade(&self.0);
        let streams = Rc::new(Streams { worker, ..Streams::default() });
        self.0.all.borrow_mut().push(Rc::downgrade(&streams));
        streams
    }

    /// Cuts off those that take nothing for so long, until nobody holds them any more.
    pub(crate) async fn watch(self, stall: Duration) {
        let worker = Rc::downgrade(&self.0);
        drop(self);
        loop {
            tokio::time::sleep((stall / TURNS).max(MIN_TURN)).await;
            let Some(shared) = worker.upgrade() else { return };
            shared.look();
        }
    }
}

impl Shared {
    fn look(&self) {
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        self.all.borrow_mut().retain(|streams| match streams.upgrade() {
            Some(streams) => {
                streams.look(turn);
                true
            }
            None => false,
        });
    }
}

impl Streams {
    /// Whether the connection is cut off; if not, `reader` is woken when it will be.
    pub(crate) fn is_cut_off(&self, reader: &Waker) -> bool {
        match &mut *self.reader.borrow_mut() {
            Some(known) => known.clone_from(reader),
            none => *none = Some(reader.clone()),
        }
        self.is_cut_off.get()
    }

    fn look(&self, turn: u32) {
        let is_stalled =
            |since: &Option<u32>| since.is_some_and(|since| turn.wrapping_sub(since) > TURNS);
        if self.waiting.borrow().iter().any(|(_, since)| is_stalled(since)) {
            log::debug!("connection cut off: a stream of it takes nothing");
            self.is_cut_off.set(true);
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
    }

    fn enter(self: &Rc<Self>) -> Option<Place> {
        let mut waiting = self.waiting.borrow_mut();
        (waiting.len() < MAX_STREAMS)
            .then(|| Place { streams: self.clone(), key: waiting.insert(None) })
    }
}

/// One of a connection's streams, until it is dropped.
struct Place {
    streams: Rc<Streams>,
    key: usize,
}

impl Place {
    fn waits(&self, is_waiting: bool) {
        let turn = self.streams.worker.upgrade().map(|worker| worker.turn.get());
        self.streams.waiting.borrow_mut()[self.key] = turn.filter(|_| is_waiting);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.waiting.borrow_mut().remove(self.key);
    }
}

/// Counts each request of a connection until its answer has ended, and watches that it is taken.
pub(crate) async fn count<B: MessageBody>(
    mut req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Counted<B>>, actix_web::Error> {
    let Some(streams) = req.conn_data::<Rc<Streams>>() else {
        // One that has one stream at a time.
        let answer = next.call(req).await?;
        return Ok(answer.map_body(|_, body| Counted::new(body, None)));
    };
    let place = Some(streams.enter().ok_or_else(|| http::too_many_streams(MAX_STREAMS))?);
    let body = SharedBody(Rc::new(RefCell::new(req.take_payload())));
    req.set_payload(Payload::from(Box::pin(body.clone()) as BoxedPayloadStream));
    // An error is an answer, too.
    let answer = next.call(req).await;
    // Whoever has read all of it, or as much as there may be, has nothing to wait for.
    let _ = timeout(LINGER, body.read_out()).await;
    Ok(answer?.map_body(|_, body| Counted::new(body, place)))
}

/// A request's body, which can be read on when its handler is done with it.
///
/// An answer that comes before the body's end resets its stream, and some clients drop the answer
/// then (curl 7.88 does).
#[derive(Clone)]
struct SharedBody(Rc<RefCell<Payload>>);

impl SharedBody {
    async fn read_out(mut self) {
        let mut read = 0;
        while read < MAX_LEFT
            && let Some(Ok(piece)) = self.next().await
        {
            read += piece.len();
        }
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}

/// An answer that is counted as a stream.
pub(crate) struct Counted<B> {
    body: Pin<Box<B>>,
    place: Option<Place>,
    /// What is left of a piece that was too large to hand out at once.
    rest: Bytes,
}

impl<B> Counted<B> {
    fn new(body: B, place: Option<Place>) -> Self {
        Self { body: Box::pin(body), place, rest: Bytes::new() }
    }
}

impl<B: MessageBody> MessageBody for Counted<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let Some(place) = &self.place else { return self.body.as_mut().poll_next(cx) };
        // With something in hand it comes back for more when the client has taken it.
        place.waits(true);
        if self.rest.is_empty() {
            match self.body.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(piece))) => self.rest = piece,
                poll => {
                    if let Some(place) = &self.place {
                        place.waits(false);
                    }
                    return poll;
                }
            }
        }
        // A large piece would look like nothing taken to a slow client.
        let len = self.rest.len().min(HAND_OUT);
        Poll::Ready(Some(Ok(self.rest.split_to(len))))
    }
}
