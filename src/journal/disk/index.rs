//! The index: for each channel and each publisher's id, the events that carry it.
//!
//! Its keys begin with the number of a *segment*, some events in a row, so that what belongs to
//! old events stands together and can go without being looked for.

use std::{cell::Cell, cmp::Reverse, ops::RangeInclusive};

use fjall::{Guard, Keyspace, OwnedWriteBatch};

use super::{
    error::{Corrupt, StoreError},
    state::Segment,
};
use crate::{
    channel::Channel,
    id::{EventId, OwnId},
    journal::{Entry, codec, merge::merge, reader::MAX_LOOK},
};

pub(super) struct Index(pub(super) Keyspace);

impl Index {
    /// Adds an entry that belongs to `segment`.
    pub(super) fn put(&self, batch: &mut OwnedWriteBatch, segment: Segment, entry: &Entry) {
        let channels = entry.channels.iter().map(of_channel);
        for name in channels.chain(entry.own_id.as_ref().map(of_own_id)) {
            batch.insert(&self.0, [&prefix(segment, &name), &codec::id(entry.id)[..]].concat(), "");
        }
    }

    /// The events of a range that carry a publisher's id.
    pub(super) fn carriers(
        &self,
        segments: &[Segment],
        own: &OwnId,
        range: &RangeInclusive<EventId>,
    ) -> impl DoubleEndedIterator<Item = Result<EventId, StoreError>> {
        self.ids(segments, &of_own_id(own), range)
    }

    /// The first events of a range that are on any of `channels`, or the last, from the end.
    pub(super) fn on(
        &self,
        segments: &[Segment],
        channels: &[Channel],
        range: &RangeInclusive<EventId>,
        from_the_end: bool,
    ) -> Result<Vec<EventId>, StoreError> {
        let runs = channels.iter().map(|channel| self.ids(segments, &of_channel(channel), range));
        let failure = Cell::new(None);
        let ids = if from_the_end {
            let runs = runs.map(|ids| until_failure(ids.rev(), &failure)).collect();
            merge(runs, Reverse).take(MAX_LOOK).collect()
        } else {
            let runs = runs.map(|ids| until_failure(ids, &failure)).collect();
            merge(runs, |id| id).take(MAX_LOOK).collect()
        };
        failure.take().map_or(Ok(ids), Err)
    }

    fn ids(
        &self,
        segments: &[Segment],
        name: &[u8],
        range: &RangeInclusive<EventId>,
    ) -> impl DoubleEndedIterator<Item = Result<EventId, StoreError>> + use<> {
        let segments = Segment::spanning(segments, range).to_vec();
        let (keyspace, name, range) = (self.0.clone(), name.to_vec(), range.clone());
        let of = move |segment| within(&keyspace, &prefix(segment, &name), &range);
        segments.into_iter().flat_map(of).map(|entry| id_of(&entry.key()?))
    }

    /// What comes before the entries of `segment`.
    pub(super) fn end_before(segment: Segment) -> Vec<u8> {
        prefix(segment, b"")
    }
}

/// What has `prefix` and an id of a range as its key.
pub(super) fn within(
    keyspace: &Keyspace,
    prefix: &[u8],
    ids: &RangeInclusive<EventId>,
) -> impl DoubleEndedIterator<Item = Guard> + use<> {
    let with = |id: &EventId| [prefix, &codec::id(*id)].concat();
    // The engine does not take a range that ends before it begins.
    let found =
        (ids.start() <= ids.end()).then(|| keyspace.range(with(ids.start())..=with(ids.end())));
    found.into_iter().flatten()
}

pub(super) fn id_of(key: &[u8]) -> Result<EventId, StoreError> {
    Ok(codec::id_at_end(key).ok_or(Corrupt("a key is no id"))?)
}

/// Names and publishers' ids have no NUL in them.
fn of_channel(channel: &Channel) -> Vec<u8> {
    format!("c{channel}\0").into()
}

fn of_own_id(own: &OwnId) -> Vec<u8> {
    format!("o{}\0", own.as_text()).into()
}

fn prefix(segment: Segment, name: &[u8]) -> Vec<u8> {
    [&segment.number.to_be_bytes(), name].concat()
}

/// The items before a failure, which is kept.
fn until_failure<T>(
    items: impl Iterator<Item = Result<T, StoreError>>,
    failure: &Cell<Option<StoreError>>,
) -> impl Iterator<Item = T> {
    items.map_while(|item| item.map_err(|error| failure.set(Some(error))).ok())
}
