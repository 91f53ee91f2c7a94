//! Streams as response bodies: the only place that touches the wire.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, MessageBody},
    http::{
        ConnectionType, Version,
        header::{self, ContentEncoding, HeaderName, HeaderValue},
    },
};
use bytes::Bytes;

use crate::{frame, hub::Hub, subscriber::Subscriber};

/// How often something comes at least, in milliseconds: a client that has had nothing for twice as
/// long has lost its connection. A script never sees the pings, and could not measure it.
pub(super) const PING: HeaderName = HeaderName::from_static("herald-ping");

/// A stream of `hub` as the answer to `req`.
pub(super) fn respond(
    req: &HttpRequest,
    hub: &Hub,
    body: impl MessageBody + 'static,
) -> HttpResponse {
    let mut response = stream(req, body);
    let ping = u64::try_from(hub.config().ping.as_millis()).unwrap_or(u64::MAX);
    response.headers_mut().insert(PING, HeaderValue::from(ping));
    response
}

fn stream(req: &HttpRequest, body: impl MessageBody + 'static) -> HttpResponse {
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
    let mut response = stream(req, frame::farewell(wait));
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
