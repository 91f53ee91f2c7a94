//! How much is kept of each channel, while it changes.

use std::{collections::HashMap, sync::Arc};

use fjall::OwnedWriteBatch;

use super::{
    error::{Corrupt, StoreError},
    store::Store,
};
use crate::{
    channel::Channel,
    id::{EventId, WireId},
    journal::Kept,
};

/// What is kept of the channels that a commit changes.
pub(super) struct Counts {
    store: Arc<Store>,
    channels: HashMap<Channel, Kept>,
}

impl Counts {
    pub(super) fn new(store: &Arc<Store>) -> Self {
        Self { store: store.clone(), channels: HashMap::new() }
    }

    pub(super) fn add(&mut self, channel: &Channel, last_id: WireId) -> Result<(), StoreError> {
        let kept = self.of(channel, &last_id)?;
        kept.events += 1;
        kept.last_id = last_id;
        Ok(())
    }

    pub(super) fn subtract(&mut self, channel: &Channel) -> Result<(), StoreError> {
        let kept = self.of(channel, &WireId::Hub(EventId::MIN))?;
        kept.events = kept.events.saturating_sub(1);
        Ok(())
    }

    /// What is kept of a channel; of a new one, nothing.
    fn of(&mut self, channel: &Channel, last_id: &WireId) -> Result<&mut Kept, StoreError> {
        if !self.channels.contains_key(channel) {
            let nothing = || Kept { events: 0, last_id: last_id.clone() };
            let kept = self.store.kept(channel)?.unwrap_or_else(nothing);
            self.channels.insert(channel.clone(), kept);
        }
        self.channels.get_mut(channel).ok_or(Corrupt("a channel is gone").into())
    }

    pub(super) fn put(&self, batch: &mut OwnedWriteBatch) {
        for (channel, kept) in &self.channels {
            self.store.put_kept(batch, channel, kept);
        }
    }
}
