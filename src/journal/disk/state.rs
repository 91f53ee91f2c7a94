//! How much is kept, and where; written with each commit.

use std::ops::RangeInclusive;

use bytes::{Buf, BufMut};

use super::error::{Corrupt, StoreError};
use crate::{
    id::EventId,
    journal::{codec, now_millis, reader::Ends},
};

/// The format of what is kept; a later herald may know more.
const FORMAT: u32 = 1;

/// How much is kept, as of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) ends: Ends,
    pub(super) kept: Amount,
    /// Of it, in the newest segment.
    pub(super) in_segment: Amount,
    /// Oldest first.
    pub(super) segments: Vec<Segment>,
}

/// Some events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// Some events in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// All its events are above this, and up to where the next segment begins.
    pub(super) since: EventId,
}

impl Segment {
    /// Those of `segments` that may have events of a range.
    pub(super) fn spanning<'a>(
        segments: &'a [Self],
        range: &RangeInclusive<EventId>,
    ) -> &'a [Self] {
        let begin_before = |id| segments.partition_point(|segment| segment.since < id);
        let first = begin_before(*range.start()).saturating_sub(1);
        segments.get(first..begin_before(*range.end())).unwrap_or_default()
    }
}

impl State {
    pub(super) fn born_now() -> Self {
        let birth = EventId::new(now_millis(), 0);
        Self {
            ends: Ends { floor: birth, head: birth },
            kept: Amount::default(),
            in_segment: Amount::default(),
            segments: Vec::new(),
        }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put_u32(FORMAT);
        bytes.put_slice(&codec::id(self.ends.floor));
        bytes.put_slice(&codec::id(self.ends.head));
        for amount in [self.kept, self.in_segment] {
            bytes.put_u64(amount.events);
            bytes.put_u64(amount.bytes);
        }
        for segment in &self.segments {
            bytes.put_u64(segment.number);
            bytes.put_slice(&codec::id(segment.since));
        }
        bytes
    }

    pub(super) fn read(mut bytes: &[u8]) -> Result<Self, StoreError> {
        let format = bytes.try_get_u32().map_err(|_| Corrupt("its state has no format"))?;
        if format != FORMAT {
            return Err(StoreError::Format(format));
        }
        Ok(Self::read_body(&mut bytes).ok_or(Corrupt("its state cannot be read"))?)
    }

    fn read_body(bytes: &mut &[u8]) -> Option<Self> {
        let ends = Ends { floor: codec::read_id(bytes)?, head: codec::read_id(bytes)? };
        let (kept, in_segment) = (Amount::read(bytes)?, Amount::read(bytes)?);
        let mut segments = Vec::new();
        while bytes.has_remaining() {
            let number = bytes.try_get_u64().ok()?;
            segments.push(Segment { number, since: codec::read_id(bytes)? });
        }
        Some(Self { ends, kept, in_segment, segments })
    }
}

impl Amount {
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self { events: bytes.try_get_u64().ok()?, bytes: bytes.try_get_u64().ok()? })
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.events += 1;
        self.bytes += bytes as u64;
    }

    pub(super) fn subtract(&mut self, bytes: usize) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_the_same_when_read_back() {
        let mut state = State::born_now();
        state.kept.add(7);
        state.segments.push(Segment { number: 3, since: EventId::new(1, 2) });
        let bytes = state.write();
        assert_eq!(State::read(&bytes).unwrap(), state);
        for len in (0..bytes.len()).filter(|len| *len != bytes.len() - 24) {
            assert!(State::read(&bytes[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn a_range_spans_the_segments_that_may_have_its_events() {
        let id = |number| EventId::new(number, 0);
        let segments = [10, 20, 30].map(|since| Segment { number: since, since: id(since) });
        let spanned = |first, last| -> Vec<_> {
            let segments = Segment::spanning(&segments, &(id(first)..=id(last)));
            segments.iter().map(|segment| segment.number).collect()
        };
        assert_eq!(spanned(11, 20), [10]);
        assert_eq!(spanned(20, 21), [10, 20]);
        assert_eq!(spanned(21, 30), [20]);
        assert_eq!(spanned(1, 99), [10, 20, 30]);
        assert_eq!(spanned(1, 10), [0; 0]);
        assert_eq!(spanned(9, 1), [0; 0]);
    }

    #[test]
    fn what_a_later_version_wrote_is_left_alone() {
        let mut bytes = State::born_now().write();
        bytes[3] += 1;
        assert!(matches!(State::read(&bytes), Err(StoreError::Format(2))));
    }
}
