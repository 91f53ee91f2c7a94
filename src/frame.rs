//! Frames: what goes on the wire, byte for byte (WHATWG HTML 9.2.5).
//!
//! Events go through `russe`. The blocks without data are written here: `russe` gives every
//! message a `data` line, and a block with one is dispatched to the page.

use std::{fmt::Display, time::Duration};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use serde::Serialize;

use crate::{
    event::{Event, GAP},
    id::{EventId, LastEventId, WireId},
};

/// A lone comment line. It ends no block, so that it may stand between any two lines of a stream.
pub(crate) const PING: Bytes = Bytes::from_static(b":\n");

/// An event with the id it got.
pub(crate) fn event(event: &Event, id: EventId) -> Bytes {
    encode(russe::Message {
        data: event.data.clone(),
        event: event.event_type.as_ref().map(|event_type| event_type.as_text().clone()),
        retry: event.retry,
        id: Some(match &event.id {
            Some(own) => own.as_text().clone(),
            None => id.to_string().into(),
        }),
    })
}

/// The first block: nothing is dispatched, but the client now holds a position.
///
/// Where the stream starts with a `gap`, `position` is the id that the client asked for: a client
/// cut off between the two blocks must ask again and be told of the gap again. It is left out if
/// it could not stand in a line.
pub(crate) fn opening(retry: Duration, position: Option<&dyn Display>) -> Bytes {
    let retry = retry.as_millis();
    match position {
        Some(position) => format!(": herald\nretry: {retry}\nid: {position}\n\n").into(),
        None => format!(": herald\nretry: {retry}\n\n").into(),
    }
}

/// A fresh position for a client that has had no event for a while.
pub(crate) fn position(id: EventId) -> Bytes {
    format!("id: {id}\n\n").into()
}

/// The last block of a stream that the hub ends: how long to stay away.
pub(crate) fn farewell(retry: Duration) -> Bytes {
    format!("retry: {}\n\n", retry.as_millis()).into()
}

/// Tells that events after `after` are lost, and that delivery goes on from `position`.
pub(crate) fn gap(after: &LastEventId, oldest: Option<&WireId>, position: EventId) -> Bytes {
    #[derive(Serialize)]
    struct Gap<'a> {
        after: String,
        oldest: Option<&'a WireId>,
    }
    let data = Gap { after: after.to_string(), oldest };
    encode(russe::Message {
        // Two strings always serialize; an empty object would still be a gap.
        data: serde_json::to_string(&data).unwrap_or_else(|_| "{}".into()).into(),
        event: Some(ByteString::from_static(GAP)),
        retry: None,
        id: Some(position.to_string().into()),
    })
}

/// The most bytes that are handed to a socket at once, unless one frame is larger.
///
/// With the response's head and a chunk's, it fits into the 8 KiB that actix-http allocates as a
/// connection's write buffer, which therefore never grows.
pub(crate) const HAND_OUT: usize = 8 * 1024 - 512;

/// Frames on their way to become one piece of at most [`HAND_OUT`] bytes, or a single frame.
#[derive(Default)]
pub(crate) struct Frames {
    first: Bytes,
    joined: BytesMut,
    count: usize,
}

impl Frames {
    /// Takes `frame` in, or returns `false` if it does not fit.
    pub(crate) fn push(&mut self, frame: &Bytes) -> bool {
        let len = self.first.len().max(self.joined.len());
        if self.count > 0 && len + frame.len() > HAND_OUT {
            return false;
        }
        match self.count {
            0 => self.first = frame.clone(),
            1 => {
                self.joined.reserve(HAND_OUT);
                self.joined.extend_from_slice(&self.first);
                self.joined.extend_from_slice(frame);
            }
            _ => self.joined.extend_from_slice(frame),
        }
        self.count += 1;
        true
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The frames one after the other; a single one is not copied.
    pub(crate) fn join(self) -> Bytes {
        if self.count > 1 { self.joined.freeze() } else { self.first }
    }
}

#[expect(clippy::expect_used, reason = "see the message")]
fn encode(message: russe::Message) -> Bytes {
    russe::Event::Message(message)
        .into_bytestring()
        .expect("ids and types were checked for CR, LF and NUL when they were parsed")
        .into_bytes()
}
