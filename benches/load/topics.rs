//! Who subscribes to what, and what is published to.

/// The channel that all have in common.
const SHARED: &str = "shared";

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Topics {
    /// All subscribe to one channel.
    One,
    /// So many channels; subscribers and events go round robin.
    Channels(u32),
    /// A channel for each subscriber, of which so many are published to.
    Few(u32),
    /// All subscribe to one channel, and each to one of its own.
    Selectors,
}

impl Topics {
    /// How many channels are published to.
    pub(crate) fn channels(self) -> u32 {
        match self {
            Self::Channels(channels) | Self::Few(channels) => channels,
            Self::One | Self::Selectors => 1,
        }
    }

    /// How many subscribers an event has.
    pub(crate) fn audience(self, subscribers: u32) -> u32 {
        match self {
            Self::Channels(channels) => subscribers / channels,
            Self::Few(_) => 1,
            Self::One | Self::Selectors => subscribers,
        }
    }

    /// The channels of a subscriber.
    pub(crate) fn of(self, subscriber: u32) -> Vec<String> {
        match self {
            Self::One => vec![SHARED.into()],
            Self::Channels(channels) => vec![format!("feed-{}", subscriber % channels)],
            Self::Few(_) => vec![format!("feed-{subscriber}")],
            Self::Selectors => vec![SHARED.into(), format!("own-{subscriber}")],
        }
    }

    /// The first event from `from` on that a subscriber gets, if any is for it.
    pub(crate) fn next(self, subscriber: u32, from: u32) -> Option<u32> {
        let channels = self.channels();
        if matches!(self, Self::Few(_)) && subscriber >= channels {
            return None;
        }
        // With several channels, event n is of channel n % channels.
        let ahead = (subscriber % channels + channels - from % channels) % channels;
        Some(from + ahead)
    }

    /// The channel of event `number`, for each of the first [`Self::channels`] events.
    pub(crate) fn published(self) -> Vec<String> {
        (0..self.channels()).map(|number| self.of(number).swap_remove(0)).collect()
    }
}
