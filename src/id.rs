//! Event ids: the hub's own, a publisher's own, and what a client says it saw last.

use std::{fmt, str::FromStr};

use bytestring::ByteString;

/// The longest id a publisher may give an event, in bytes.
pub(crate) const MAX_OWN_ID_BYTES: usize = 256;

/// The hub's id of an event: `<unix milliseconds>-<count>`, as Redis Streams have it.
///
/// Strictly increasing within a journal, so it is also the event's place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    millis: u64,
    count: u64,
}

impl EventId {
    /// Below every event's.
    pub(crate) const MIN: Self = Self::new(0, 0);
    /// Above every event's.
    pub(crate) const MAX: Self = Self::new(u64::MAX, u64::MAX);

    /// An id from its two parts.
    pub(crate) const fn new(millis: u64, count: u64) -> Self {
        Self { millis, count }
    }

    /// Milliseconds since the Unix epoch at which the event was appended; never goes back, even
    /// where the clock did.
    pub const fn millis(self) -> u64 {
        self.millis
    }

    /// The id of the event that follows this one, given the clock.
    pub(crate) fn next(self, now_millis: u64) -> Self {
        if now_millis > self.millis {
            return Self::new(now_millis, 0);
        }
        match self.count.checked_add(1) {
            Some(count) => Self::new(self.millis, count),
            None => Self::new(self.millis.saturating_add(1), 0),
        }
    }

    /// The largest possible id below this one: the place just before this event.
    pub(crate) fn before(self) -> Self {
        match self.count.checked_sub(1) {
            Some(count) => Self::new(self.millis, count),
            None => Self::new(self.millis.saturating_sub(1), u64::MAX),
        }
    }
}

/// For journals outside this process.
#[cfg_attr(not(feature = "disk"), allow(dead_code, reason = "each journal has needs of its own"))]
impl EventId {
    /// Tells events of the same millisecond apart.
    pub(crate) const fn count(self) -> u64 {
        self.count
    }

    /// The smallest possible id above this one.
    pub(crate) fn after(self) -> Self {
        self.next(self.millis)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.count)
    }
}

impl FromStr for EventId {
    type Err = ();

    /// Takes only what [`Display`](fmt::Display) writes: no sign, no leading zero.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (millis, count) = text.split_once('-').ok_or(())?;
        let id = Self::new(millis.parse().map_err(|_| ())?, count.parse().map_err(|_| ())?);
        if id.to_string() == text { Ok(id) } else { Err(()) }
    }
}

/// Digits, a dash, digits: the form the hub keeps for itself.
fn has_the_hubs_form(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('-').is_some_and(|(millis, count)| digits(millis) && digits(count))
}

/// An id that a publisher gave its event: 1 to 256 bytes, not `earliest`, not of the hub's form.
///
/// A client sends it back in a header, so it has no control characters and no space at either end
/// (RFC 9110, 5.5). Beyond ASCII, some clients cannot send it, though `EventSource` can.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnId(ByteString);

impl OwnId {
    /// Validates `text`.
    ///
    /// # Errors
    /// Says which rule `text` breaks.
    pub fn parse(text: impl Into<ByteString>) -> Result<Self, OwnIdError> {
        let text = text.into();
        if text.is_empty() || text.len() > MAX_OWN_ID_BYTES {
            Err(OwnIdError::Length(text.len()))
        } else if text.contains(char::is_control) || text.trim_matches(' ').len() < text.len() {
            Err(OwnIdError::Forbidden)
        } else if &*text == EARLIEST || has_the_hubs_form(&text) {
            Err(OwnIdError::Reserved)
        } else {
            Ok(Self(text))
        }
    }

    pub(crate) fn as_text(&self) -> &ByteString {
        &self.0
    }
}

/// Why a text cannot be an event's own id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OwnIdError {
    /// Empty or too long.
    #[error("id has {0} bytes; give 1 to {MAX_OWN_ID_BYTES}")]
    Length(usize),
    /// A client could not send it back.
    #[error("id must have no control characters and no space at either end")]
    Forbidden,
    /// A form the hub keeps for itself.
    #[error("id must not be 'earliest' or digits-dash-digits: the hub keeps those for itself")]
    Reserved,
}

/// The id an event carries on the wire: the publisher's own if it gave one, else the hub's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireId {
    /// The hub's id.
    Hub(EventId),
    /// The publisher's id.
    Own(OwnId),
}

impl fmt::Display for WireId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub(id) => id.fmt(f),
            Self::Own(id) => f.write_str(&id.0),
        }
    }
}

impl serde::Serialize for WireId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

const EARLIEST: &str = "earliest";

/// What a client says it saw last (WHATWG HTML 9.2.6, the `Last-Event-ID` header).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastEventId {
    /// The word `earliest`: all that is kept.
    Earliest,
    /// An id of the hub's form.
    Hub(EventId),
    /// An id that some publisher may have given.
    Own(OwnId),
    /// No event can have carried this; it is kept so that the `gap` can name it.
    Impossible(String),
}

impl LastEventId {
    /// Reads any text; what no event can have carried becomes a `gap` later, not an error,
    /// because an `EventSource` could do nothing about an error.
    pub fn parse(text: &str) -> Self {
        if text == EARLIEST {
            Self::Earliest
        } else if let Ok(id) = text.parse() {
            Self::Hub(id)
        } else if let Ok(id) = OwnId::parse(text) {
            Self::Own(id)
        } else {
            Self::Impossible(text.to_owned())
        }
    }
}

impl fmt::Display for LastEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str(EARLIEST),
            Self::Hub(id) => id.fmt(f),
            Self::Own(id) => f.write_str(&id.0),
            Self::Impossible(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_and_read_in_one_form_only() {
        let id = EventId::new(1_732_000_000_000, 7);
        assert_eq!(id.to_string(), "1732000000000-7");
        assert_eq!("1732000000000-7".parse(), Ok(id));
        for wrong in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "01-1",
            "1-01",
            "+1-1",
            "1-1-1",
            " 1-1",
            "1-18446744073709551616",
        ] {
            assert_eq!(wrong.parse::<EventId>(), Err(()), "{wrong:?}");
        }
    }

    #[test]
    fn the_next_id_is_larger_whatever_the_clock_says() {
        let id = EventId::new(100, 5);
        assert_eq!(id.next(101), EventId::new(101, 0));
        assert_eq!(id.next(100), EventId::new(100, 6));
        assert_eq!(id.next(7), EventId::new(100, 6));
        assert!(EventId::new(100, u64::MAX).next(100) > EventId::new(100, u64::MAX));
    }

    #[test]
    fn before_is_the_closest_smaller_id() {
        assert_eq!(EventId::new(100, 5).before(), EventId::new(100, 4));
        assert_eq!(EventId::new(100, 0).before(), EventId::new(99, u64::MAX));
    }

    #[test]
    fn a_publishers_id_cannot_pass_for_the_hubs_or_break_a_line() {
        for good in ["a", "order-42", "1-2-3", "earliest2", "ünï", "a b", &"x".repeat(256)] {
            assert!(OwnId::parse(good).is_ok(), "{good:?}");
        }
        assert_eq!(OwnId::parse(""), Err(OwnIdError::Length(0)));
        assert_eq!(OwnId::parse("x".repeat(257)), Err(OwnIdError::Length(257)));
        for bad in ["a\rb", "a\nb", "a\0b", "a\tb", "\u{7f}", " a", "a ", " "] {
            assert_eq!(OwnId::parse(bad), Err(OwnIdError::Forbidden), "{bad:?}");
        }
        for bad in ["earliest", "1-2", "01-2", "99999999999999999999999-0"] {
            assert_eq!(OwnId::parse(bad), Err(OwnIdError::Reserved), "{bad:?}");
        }
    }

    #[test]
    fn any_text_can_be_a_last_event_id() {
        assert_eq!(LastEventId::parse("earliest"), LastEventId::Earliest);
        assert_eq!(LastEventId::parse("3-4"), LastEventId::Hub(EventId::new(3, 4)));
        assert!(matches!(LastEventId::parse("order-42"), LastEventId::Own(_)));
        for impossible in ["03-4", "a\nb", &"x".repeat(10_000)] {
            assert_eq!(
                LastEventId::parse(impossible),
                LastEventId::Impossible(impossible.to_owned())
            );
        }
    }
}
