//! Frames: what goes on the wire, byte for byte (WHATWG HTML 9.2.5).
//!
//! Events go through `russe`. The blocks without data are written here: `russe` gives every
//! message a `data` line, and a block with one is dispatched to the page.

use std::{borrow::Cow, fmt::Display, time::Duration};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use serde::Serialize;

use crate::{
    channel::{Channel, Selector},
    event::{Event, GAP, STATS},
    id::{EventId, LastEventId, WireId},
};

/// A lone comment line. It ends no block, so that it may stand between any two lines of a stream.
pub(crate) const PING: Bytes = Bytes::from_static(b":\n");

/// An event but for its id, so that it can be encoded before its id is known.
pub(crate) fn body(event: &Event) -> Bytes {
    encode(russe::Message {
        data: event.data.clone(),
        event: event.event_type.as_ref().map(|event_type| event_type.as_text().clone()),
        retry: event.retry,
        id: None,
    })
}

/// An event with its id.
pub(crate) fn with_id(id: &str, body: &[u8]) -> Bytes {
    [b"id: ", id.as_bytes(), b"\n", body].concat().into()
}

/// The frame of an event on `channels` as it goes to those who asked for `selector`: with its
/// channels, if they shall be shown.
pub(crate) fn shown_to<'a>(
    selector: &Selector,
    channels: &[Channel],
    frame: &'a Bytes,
) -> Cow<'a, Bytes> {
    match selector.shows_channels() {
        // Of the others they may not even know the names.
        true => Cow::Owned(with_channels(selector.those_in(channels), frame)),
        false => Cow::Borrowed(frame),
    }
}

/// No name has a control character, so that each can stand in a line.
fn with_channels<'a>(channels: impl Iterator<Item = &'a Channel>, frame: &[u8]) -> Bytes {
    let mut parts = Vec::with_capacity(4);
    for channel in channels {
        parts.extend(["channel: ".as_bytes(), channel.as_str().as_bytes(), b"\n"]);
    }
    parts.push(frame);
    // Allocated once.
    parts.concat().into()
}

/// What [`with_id`] was given.
#[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "the journal on disk has need of it"))]
pub(crate) fn without_id(frame: &[u8]) -> &[u8] {
    frame.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or(frame)
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

/// The hub's statistics. They have no id: a client's position stays where it is.
pub(crate) fn stats(told: &impl Serialize) -> Bytes {
    encode(russe::Message {
        // Numbers always serialize.
        data: serde_json::to_string(told).unwrap_or_else(|_| "{}".into()).into(),
        event: Some(ByteString::from_static(STATS)),
        retry: None,
        id: None,
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
                self.joined.reserve(2 * (self.first.len() + frame.len()));
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

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt, stream};
    use proptest::prelude::*;
    use sse_stream::{Sse, SseByteStream};

    use super::*;
    use crate::event::EventType;

    const ID: EventId = EventId::new(1_732_000_000_000, 7);

    fn of(data: &str) -> Event {
        Event::new(Channel::parse("a").unwrap(), data)
    }

    fn written(event: &Event) -> String {
        String::from_utf8(with_id(&ID.to_string(), &body(event)).to_vec()).unwrap()
    }

    #[test]
    fn an_event_is_written_to_the_byte() {
        assert_eq!(written(&of("hello")), "id: 1732000000000-7\ndata: hello\n\n");
        let full = of("{}")
            .event_type(EventType::parse("order").unwrap())
            .retry(Duration::from_millis(1500));
        assert_eq!(written(&full), "id: 1732000000000-7\nevent: order\nretry: 1500\ndata: {}\n\n");
    }

    #[test]
    fn an_event_that_shows_its_channels_is_written_to_the_byte() {
        let channels =
            ["orders/eu", "caf\u{e9} \u{2028}: x"].map(|name| Channel::parse(name).unwrap());
        let frame = with_id("7", &body(&of("hello")));
        let written = |count: usize| {
            String::from_utf8(with_channels(channels[..count].iter(), &frame).to_vec()).unwrap()
        };
        assert_eq!(written(0), "id: 7\ndata: hello\n\n");
        assert_eq!(written(1), "channel: orders/eu\nid: 7\ndata: hello\n\n");
        assert_eq!(
            written(2),
            "channel: orders/eu\nchannel: caf\u{e9} \u{2028}: x\nid: 7\ndata: hello\n\n"
        );
    }

    #[test]
    fn data_of_any_shape_is_written_to_the_byte() {
        let cases = [
            ("", "data: \n"),
            ("\n", "data: \ndata: \n"),
            ("a\nb", "data: a\ndata: b\n"),
            ("a\rb", "data: a\ndata: b\n"),
            ("a\r\nb", "data: a\ndata: b\n"),
            ("a\r\n\r\nb\n", "data: a\ndata: \ndata: b\ndata: \n"),
            (" a", "data:  a\n"),
            ("  a\n b", "data:   a\ndata:  b\n"),
            (":a", "data: :a\n"),
            ("id: 5", "data: id: 5\n"),
            ("\u{feff}a", "data: \u{feff}a\n"),
            ("a\0b", "data: a\0b\n"),
            ("ünï\u{2028}x", "data: ünï\u{2028}x\n"),
        ];
        for (data, lines) in cases {
            assert_eq!(written(&of(data)), format!("id: {ID}\n{lines}\n"), "{data:?}");
        }
    }

    #[test]
    fn the_hubs_own_blocks_are_written_to_the_byte() {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let retry = Duration::from_millis(2500);
        assert_eq!(
            text(opening(retry, Some(&ID))),
            ": herald\nretry: 2500\nid: 1732000000000-7\n\n"
        );
        assert_eq!(text(opening(retry, None)), ": herald\nretry: 2500\n\n");
        assert_eq!(text(position(ID)), "id: 1732000000000-7\n\n");
        assert_eq!(text(farewell(retry)), "retry: 2500\n\n");
        assert_eq!(text(PING), ":\n");
        let asked = LastEventId::parse("a \"quoted\" id");
        assert_eq!(
            text(gap(&asked, Some(&WireId::Hub(EventId::new(8, 9))), ID)),
            "id: 1732000000000-7\nevent: gap\ndata: {\"after\":\"a \\\"quoted\\\" id\",\"oldest\":\"8-9\"}\n\n"
        );
        assert_eq!(
            text(gap(&LastEventId::Earliest, None, ID)),
            "id: 1732000000000-7\nevent: gap\ndata: {\"after\":\"earliest\",\"oldest\":null}\n\n"
        );
    }

    #[test]
    fn a_gap_after_an_impossible_id_keeps_its_lines_whole() {
        let frame = gap(&LastEventId::parse("a\r\nb\0"), None, ID);
        assert!(frame.ends_with(b"data: {\"after\":\"a\\r\\nb\\u0000\",\"oldest\":null}\n\n"));
    }

    #[test]
    fn frames_join_until_one_does_not_fit() {
        let frame = |len: usize| Bytes::from(vec![b'x'; len]);
        let mut frames = Frames::default();
        assert!(frames.push(&frame(4_000)) && frames.push(&frame(3_000)));
        assert!(!frames.push(&frame(1_000)) && frames.push(&frame(680)));
        assert_eq!((frames.count(), frames.join().len()), (3, HAND_OUT));
        let mut large = Frames::default();
        assert!(large.push(&frame(1_000_000)) && !large.push(&frame(1)));
        assert_eq!(large.join().len(), 1_000_000);
    }

    /// What another project's parser makes of `bytes`, in pieces of `size`.
    fn parsed(bytes: &Bytes, size: usize) -> Vec<Sse> {
        let pieces: Vec<_> = bytes
            .chunks(size)
            .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
            .collect();
        let events = SseByteStream::new(stream::iter(pieces)).map(Result::unwrap).collect();
        events.now_or_never().unwrap()
    }

    /// Line ends become LF, for the wire knows no other.
    fn as_received(data: &str) -> String {
        data.replace("\r\n", "\n").replace('\r', "\n")
    }

    fn round_trips(data: &str, size: usize) {
        let bytes = Bytes::from(written(&of(data)));
        let expected = Sse::default().id(ID.to_string()).data(as_received(data));
        assert_eq!(parsed(&bytes, size), [expected]);
        let mut buffer = bytes::BytesMut::from(&bytes[..]);
        let by_russe =
            tokio_util::codec::Decoder::decode(&mut russe::Decoder::default(), &mut buffer)
                .unwrap();
        let Some(russe::Event::Message(message)) = by_russe else { panic!("{by_russe:?}") };
        assert_eq!(&*message.data, as_received(data));
    }

    #[test]
    fn a_megabyte_in_one_line_round_trips() {
        round_trips(&"ü".repeat(512 * 1024), 8_192);
    }

    proptest! {
        #[test]
        fn any_text_round_trips_through_independent_parsers(
            data in prop_oneof![".*", "[\r\n: \u{feff}\0a]{0,40}"],
            size in 1..50usize,
        ) {
            round_trips(&data, size);
        }
    }
}
