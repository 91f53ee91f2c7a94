//! Streams as response bodies: the only place that touches the wire.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, MessageBody},
    http::{
        ConnectionType, Version,
        header::{self, ContentEncoding},
    },
};
use bytes::Bytes;

use crate::{frame, subscriber::Subscriber};

/// A stream as the answer to `req`.
pub(super) fn respond(req: &HttpRequest, body: impl MessageBody + 'static) -> HttpResponse {
    let mut response = HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache, no-store, no-transform"))
        .insert_header(("X-Accel-Buffering", "no"))
        // Keeps actix's `Compress` away, which would hold events back.
        .insert_header(ContentEncoding::Identity)
        .body(body);
    if req.version() < Version::HTTP_11 {
        // Chunks are not for HTTP/1.0 (RFC 9112, 6.1): the end of the connection ends the stream.
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// A stream that only tells an `EventSource` to come back later. On any status but 200 it would
/// give up for good (WHATWG HTML 9.2.3).
pub(super) fn come_back_in(req: &HttpRequest, wait: Duration) -> HttpResponse {
    let mut response = respond(req, frame::farewell(wait));
    response.head_mut().set_connection_type(ConnectionType::Close);
    response
}

/// A subscriber as a body.
impl MessageBody for Subscriber {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        futures_util::Stream::poll_next(self, cx).map(|piece| piece.map(Ok))
    }
}

/// So many needless polls ...
const MAX_NEEDLESS: u32 = 4_096;
/// ... in so short a time, and the stream ends.
const NEEDLESS_SPAN: Duration = Duration::from_secs(10);

/// Ends a stream whose client keeps the worker busy.
///
/// actix-http wakes a connection again and again while 16 more requests and 128 KiB wait behind a
/// response that has not ended, and does so even after the client is gone. The body can tell: it
/// is polled without having anything new. Ending it with an error closes the connection.
pub(super) struct Guarded<B> {
    body: B,
    was_pending: bool,
    needless: u32,
    since: Instant,
}

impl<B> Guarded<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, was_pending: false, needless: 0, since: Instant::now() }
    }

    /// Counts a poll that found nothing right after another that found nothing.
    fn is_abused(&mut self) -> bool {
        self.needless += 1;
        if self.needless < MAX_NEEDLESS {
            return false;
        }
        self.needless = 0;
        let since = std::mem::replace(&mut self.since, Instant::now());
        since.elapsed() < NEEDLESS_SPAN
    }
}

impl<B> MessageBody for Guarded<B>
where
    B: MessageBody + Unpin,
    B::Error: Into<Box<dyn std::error::Error>>,
{
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_next(cx);
        let is_pending = polled.is_pending();
        let needless = is_pending && std::mem::replace(&mut this.was_pending, is_pending);
        this.was_pending = is_pending;
        if needless && this.is_abused() {
            return Poll::Ready(Some(Err("the client sends requests behind a stream".into())));
        }
        polled.map(|piece| piece.map(|piece| piece.map_err(Into::into)))
    }
}
