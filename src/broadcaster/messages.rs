//! What a broadcaster can be told and asked.

use std::{sync::Arc, time::Instant};

use actix::Message;
use bytes::Bytes;

use super::SeatInFeed;
use crate::{
    channel::{Channel, Selector, View},
    grants::Session,
    journal::{Loss, News},
};

/// A subscriber wants to read events of `selector` that `view` shows, as long as its session lasts:
/// finds or opens the feed.
pub(crate) struct Register {
    pub(crate) selector: Selector,
    pub(crate) view: View,
    pub(crate) session: Option<Arc<Session>>,
}

impl Message for Register {
    type Result = SeatInFeed;
}

/// The last subscriber of a feed has left.
pub(crate) struct Release {
    pub(crate) feed: usize,
}

impl Message for Release {
    type Result = ();
}

/// Events have been appended to the journal.
pub(crate) struct Broadcast(pub(crate) News);

impl Message for Broadcast {
    type Result = ();
}

/// An event that is in no journal: it has no id, and who has other things to read may miss it.
#[derive(Clone)]
pub(crate) struct Ephemeral {
    pub(crate) channel: Channel,
    pub(crate) frame: Bytes,
}

impl Message for Ephemeral {
    type Result = ();
}

/// Events are gone from the journal.
pub(crate) struct Lose(pub(crate) Loss);

impl Message for Lose {
    type Result = ();
}

/// Time has passed: quiet feeds may need a ping.
pub(crate) struct Ping;

impl Message for Ping {
    type Result = ();
}

/// Time has passed: some subscribers' may be up.
pub(crate) struct EndTimes;

impl Message for EndTimes {
    type Result = ();
}

/// Send the subscribers away, spread over the time until `end`.
#[derive(Clone, Copy)]
pub(crate) struct Drain {
    pub(crate) end: Instant,
}

impl Message for Drain {
    type Result = ();
}

/// Which channels are subscribed to by name?
#[derive(Clone)]
pub(crate) struct Named {
    pub(crate) prefix: String,
    pub(crate) after: String,
    pub(crate) limit: usize,
}

impl Message for Named {
    type Result = Vec<Channel>;
}

/// How many subscribers would get an event on each of these channels?
#[derive(Clone)]
pub(crate) struct Count(pub(crate) Vec<Channel>);

impl Message for Count {
    type Result = Vec<usize>;
}

/// Dies as by a panic.
#[cfg(test)]
pub(crate) struct Die;

#[cfg(test)]
impl Message for Die {
    type Result = ();
}
