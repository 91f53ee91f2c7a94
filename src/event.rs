//! The event as its publisher means it, before it has an id and a place.

use std::time::Duration;

use bytestring::ByteString;

use crate::{channel::Channel, id::OwnId};

/// The longest event type, in bytes.
pub(crate) const MAX_EVENT_TYPE_BYTES: usize = 256;

/// The longest reconnection time a publisher may ask for.
pub(crate) const MAX_RETRY: Duration = Duration::from_secs(24 * 60 * 60);

/// The type of the hub's own notice that events are missing; nobody else may publish it.
pub(crate) const GAP: &str = "gap";

/// The type of the hub's statistics.
pub(crate) const STATS: &str = "stats";

/// An event to publish: text, the channels that carry it, and what else goes on the wire.
#[derive(Clone, Debug)]
pub struct Event {
    pub(crate) channels: Vec<Channel>,
    pub(crate) data: ByteString,
    pub(crate) event_type: Option<EventType>,
    pub(crate) id: Option<OwnId>,
    pub(crate) retry: Option<Duration>,
    pub(crate) private: bool,
}

impl Event {
    /// An event of type `message` on one channel. `data` may be empty and may have several lines;
    /// CR and CRLF reach the subscriber as LF, for the wire knows no other line end.
    pub fn new(channel: Channel, data: impl Into<ByteString>) -> Self {
        Self::on(vec![channel], data)
    }

    /// The same on several channels, of which there must be one.
    pub(crate) fn on(mut channels: Vec<Channel>, data: impl Into<ByteString>) -> Self {
        channels.sort();
        channels.dedup();
        Self {
            channels,
            data: data.into(),
            event_type: None,
            id: None,
            retry: None,
            private: false,
        }
    }

    /// Puts the event on `channel` too. A subscriber of both gets it once.
    pub fn also_on(mut self, channel: Channel) -> Self {
        if !self.channels.contains(&channel) {
            self.channels.push(channel);
        }
        self
    }

    /// Sets the type that an `EventSource` dispatches by.
    pub fn event_type(mut self, event_type: EventType) -> Self {
        self.event_type = Some(event_type);
        self
    }

    /// Sets the id on the wire, in place of the hub's.
    pub fn id(mut self, id: OwnId) -> Self {
        self.id = Some(id);
        self
    }

    /// Tells clients how long to wait before they reconnect; a day at most.
    pub fn retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry.min(MAX_RETRY));
        self
    }

    /// Shows the event only to subscribers whose view lets them see it.
    pub fn private(mut self, private: bool) -> Self {
        self.private = private;
        self
    }
}

/// The type of an event: 1 to 256 bytes without CR, LF and NUL; not `gap`, which is the hub's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType(ByteString);

impl EventType {
    /// Validates `text`.
    ///
    /// # Errors
    /// Says which rule `text` breaks.
    pub fn parse(text: impl Into<ByteString>) -> Result<Self, EventTypeError> {
        let text = text.into();
        if text.is_empty() || text.len() > MAX_EVENT_TYPE_BYTES {
            Err(EventTypeError::Length(text.len()))
        } else if text.contains(['\r', '\n', '\0']) {
            Err(EventTypeError::Forbidden)
        } else if &*text == GAP {
            Err(EventTypeError::Reserved)
        } else {
            Ok(Self(text))
        }
    }

    pub(crate) fn as_text(&self) -> &ByteString {
        &self.0
    }
}

/// Why a text cannot be an event's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventTypeError {
    /// Empty or too long.
    #[error("event has {0} bytes; give 1 to {MAX_EVENT_TYPE_BYTES}, or leave it out")]
    Length(usize),
    /// Carries a character that would break the stream's lines.
    #[error("event must not contain CR, LF or NUL")]
    Forbidden,
    /// The hub's own type.
    #[error("event must not be '{GAP}': only the hub tells of gaps")]
    Reserved,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_type_is_checked() {
        assert!(EventType::parse("order placed").is_ok());
        assert_eq!(EventType::parse(""), Err(EventTypeError::Length(0)));
        assert_eq!(EventType::parse("x".repeat(257)), Err(EventTypeError::Length(257)));
        for bad in ["a\rb", "a\nb", "a\0b"] {
            assert_eq!(EventType::parse(bad), Err(EventTypeError::Forbidden));
        }
        assert_eq!(EventType::parse("gap"), Err(EventTypeError::Reserved));
    }

    #[test]
    fn a_channel_is_carried_once() {
        let channel = |name| Channel::parse(name).unwrap();
        let event = Event::new(channel("a"), "x").also_on(channel("b")).also_on(channel("a"));
        assert_eq!(event.channels, [channel("a"), channel("b")]);
    }
}
