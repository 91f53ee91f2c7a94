//! What is known of channels.

use serde::Serialize;

use crate::{channel::Channel, id::WireId, journal::Kept};

/// Which channels to list.
#[derive(Clone, Debug)]
pub struct ChannelQuery {
    /// Their names start with this.
    pub prefix: String,
    /// Their names sort after this.
    pub after: String,
    /// At most so many.
    pub limit: usize,
}

/// Some channels, in the order of their names.
#[derive(Clone, Debug, Serialize)]
pub struct ChannelPage {
    /// The channels.
    pub channels: Vec<ChannelInfo>,
    /// There are more after the last.
    pub more: bool,
    /// Where subscribers were counted.
    pub scope: Scope,
}

/// What is known of a channel.
#[derive(Clone, Debug, Serialize)]
pub struct ChannelInfo {
    /// Its name.
    pub channel: Channel,
    /// How many subscribers would get its next event.
    pub subscribers: usize,
    /// The newest kept event's id.
    pub last_id: Option<WireId>,
    /// How many events are kept; `None` is for a caller who may not see the private ones.
    pub events: Option<usize>,
}

impl ChannelInfo {
    /// What is kept of it, if that may be told.
    pub(crate) fn new(kept: Option<Option<Kept>>, subscribers: usize, channel: Channel) -> Self {
        let count = |kept: &Option<Kept>| kept.as_ref().map_or(0, |kept| kept.events);
        Self {
            subscribers,
            events: kept.as_ref().map(count),
            last_id: kept.flatten().map(|kept| kept.last_id),
            channel,
        }
    }
}

/// What a caller may see of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Everything.
    Whole,
    /// Its subscribers: what is kept would tell of private events.
    Subscribers,
    /// Not even that it is there.
    Nothing,
}

/// Where subscribers were counted.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Scope {
    /// On this node only.
    Node,
}
