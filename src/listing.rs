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
    /// How many events are kept.
    pub events: usize,
}

impl ChannelInfo {
    pub(crate) fn new(kept: Option<Kept>, subscribers: usize, channel: Channel) -> Self {
        Self {
            subscribers,
            events: kept.as_ref().map_or(0, |kept| kept.events),
            last_id: kept.map(|kept| kept.last_id),
            channel,
        }
    }
}

/// Where subscribers were counted.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Scope {
    /// On this node only.
    Node,
}
