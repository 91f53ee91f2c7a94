//! The listing of channels: what the journal keeps of them, and who subscribes to them.

use std::collections::BTreeSet;

use super::Hub;
use crate::{
    broadcaster::{Count, Named},
    channel::Channel,
    journal::JournalError,
    listing::{ChannelInfo, ChannelPage, ChannelQuery, Scope, Sight},
};

/// How many channels are looked at in one go.
const MAX_NAMES: usize = 1_001;

impl Hub {
    /// Lists channels that have kept events or are subscribed to by name.
    ///
    /// # Errors
    /// The journal cannot be reached.
    pub async fn channels(&self, query: ChannelQuery) -> Result<ChannelPage, JournalError> {
        self.channels_as(query, |_| Sight::Whole).await
    }

    /// What may be seen of them.
    pub(crate) async fn channels_as(
        &self,
        query: ChannelQuery,
        sight: impl Fn(&Channel) -> Sight,
    ) -> Result<ChannelPage, JournalError> {
        let ChannelQuery { prefix, mut after, limit } = query;
        // One more than wanted tells whether there are more.
        let mut ask = limit.saturating_add(1);
        let mut found = Vec::new();
        loop {
            let mut kept = self.0.journal.channels(&prefix, &after, ask).await?;
            let named = Named { prefix: prefix.clone(), after: after.clone(), limit: ask };
            let named: BTreeSet<_> = self.ask(named).await.into_iter().flatten().collect();
            let names: BTreeSet<_> = kept.keys().chain(&named).cloned().collect();
            // What comes after the first so many may be known in part only.
            let is_last = names.len() < ask;
            let names: Vec<_> = names.into_iter().take(ask).collect();
            let last = names.last().map(Channel::to_string);
            found.extend(names.into_iter().filter_map(|channel| match sight(&channel) {
                Sight::Whole => Some((Some(kept.remove(&channel)), channel)),
                Sight::Subscribers => named.contains(&channel).then_some((None, channel)),
                Sight::Nothing => None,
            }));
            match last {
                Some(last) if !is_last && found.len() <= limit => after = last,
                _ => break,
            }
            // Few may be shown: look further at a time.
            ask = (2 * ask).min(MAX_NAMES);
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let mut counts = vec![0; found.len()];
        let names = found.iter().map(|(_, channel)| channel.clone()).collect();
        for answer in self.ask(Count(names)).await {
            counts.iter_mut().zip(answer).for_each(|(sum, count)| *sum += count);
        }
        let channels = found
            .into_iter()
            .zip(counts)
            .map(|((kept, channel), subscribers)| ChannelInfo::new(kept, subscribers, channel));
        Ok(ChannelPage { channels: channels.collect(), more, scope: Scope::Node })
    }

    /// What is known of one channel.
    ///
    /// # Errors
    /// The journal cannot be reached.
    pub async fn channel(&self, channel: Channel) -> Result<ChannelInfo, JournalError> {
        self.channel_as(channel, Sight::Whole).await
    }

    /// What may be seen of it.
    pub(crate) async fn channel_as(
        &self,
        channel: Channel,
        sight: Sight,
    ) -> Result<ChannelInfo, JournalError> {
        let kept = match sight {
            // A name is the first of those that start with it.
            Sight::Whole => {
                Some(self.0.journal.channels(channel.as_str(), "", 1).await?.remove(&channel))
            }
            Sight::Subscribers | Sight::Nothing => None,
        };
        let counts = self.ask(Count(vec![channel.clone()])).await;
        Ok(ChannelInfo::new(kept, counts.iter().flatten().sum(), channel))
    }
}
