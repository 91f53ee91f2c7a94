//! The hub: what handlers and apps hold.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use actix::{Addr, Handler, Message, dev::ToEnvelope};
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, watch};

use crate::{
    broadcaster::{Broadcaster, Count, Drain, Named, Register},
    channel::Channel,
    config::{HubConfig, Limits},
    id::WireId,
    journal::{Batch, Journal, JournalError, Kept, Receipt},
    subscriber::{Subscriber, Subscription},
};

/// How long clients are told to wait before they reconnect, jittered so that they do not all come
/// back at once.
const RETRY_MILLIS: std::ops::RangeInclusive<u64> = 2_000..=5_000;

/// Publishes to a journal and hands out its events. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Core>);

struct Core {
    journal: Arc<dyn Journal>,
    config: HubConfig,
    /// Each worker thread's.
    broadcasters: Mutex<HashMap<ThreadId, Addr<Broadcaster>>>,
    subscribers: AtomicUsize,
    one_left: Notify,
    phase: watch::Sender<Phase>,
}

/// Where in its life a hub is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// No new subscribers; those there leave until `end`.
    Draining {
        end: Instant,
    },
    /// Nothing is taken any more.
    Closed,
}

impl Hub {
    /// A hub over a journal.
    pub fn new(journal: impl Journal, config: HubConfig) -> Self {
        Self(Arc::new(Core {
            journal: Arc::new(journal),
            config,
            broadcasters: Mutex::default(),
            subscribers: AtomicUsize::new(0),
            one_left: Notify::new(),
            phase: watch::Sender::new(Phase::Serving),
        }))
    }

    /// Publishes events, all or none, and returns the ids they carry once the journal has them.
    ///
    /// # Errors
    /// The events may have been kept all the same, unless the hub was closed: try again with the
    /// same key.
    pub async fn publish(&self, batch: Batch) -> Result<Receipt, PublishError> {
        if *self.0.phase.borrow() == Phase::Closed {
            return Err(PublishError::Closed);
        }
        match tokio::time::timeout(self.0.config.publish_timeout, self.0.journal.append(batch))
            .await
        {
            Ok(Ok(receipt)) => Ok(receipt),
            Ok(Err(JournalError::Closed)) => Err(PublishError::Closed),
            Ok(Err(error)) => Err(PublishError::Journal(error)),
            Err(_) => Err(PublishError::Busy),
        }
    }

    /// Subscribes. The stream must be read on this thread, which must run an actix system.
    ///
    /// # Errors
    /// The hub is full, going down, or cannot reach its journal.
    pub async fn subscribe(
        &self,
        subscription: Subscription,
    ) -> Result<Subscriber, SubscribeError> {
        let permit = self.admit()?;
        let Subscription { selector, view, start, wait, .. } = &subscription;
        let placement =
            self.0.journal.place(start, selector, view).await.map_err(SubscribeError::Journal)?;
        let seat = if *wait {
            let register = Register { selector: selector.clone(), view: view.clone() };
            // Fails only if the broadcaster died just now; the client's next try finds a new one.
            Some(self.broadcaster().send(register).await.map_err(|_| SubscribeError::Draining)?)
        } else {
            None
        };
        Ok(Subscriber::new(self.clone(), permit, subscription, placement, seat))
    }

    /// Counts a stream in as a subscriber, until the permit is dropped.
    pub(crate) fn admit(&self) -> Result<Permit, SubscribeError> {
        if *self.0.phase.borrow() != Phase::Serving {
            return Err(SubscribeError::Draining);
        }
        // Counted before it is compared, so that no two get the last place.
        let permit = Permit(self.clone());
        let before = self.0.subscribers.fetch_add(1, Ordering::Relaxed);
        if before < self.limits().subscribers { Ok(permit) } else { Err(SubscribeError::Full) }
    }

    /// Lists channels that have kept events or are subscribed to by name.
    ///
    /// # Errors
    /// The journal cannot be reached.
    pub async fn channels(&self, query: ChannelQuery) -> Result<ChannelPage, JournalError> {
        let ChannelQuery { prefix, after, limit } = query;
        // One more than wanted tells whether there are more.
        let ask = limit.saturating_add(1);
        let mut kept = self.0.journal.channels(&prefix, &after, ask).await?;
        let mut names: BTreeSet<Channel> = kept.keys().cloned().collect();
        names.extend(self.ask(Named { prefix, after, limit: ask }).await.into_iter().flatten());
        let more = names.len() > limit;
        let names: Vec<_> = names.into_iter().take(limit).collect();
        let mut counts = vec![0; names.len()];
        for answer in self.ask(Count(names.clone())).await {
            counts.iter_mut().zip(answer).for_each(|(sum, count)| *sum += count);
        }
        let channels = names.into_iter().zip(counts).map(|(channel, subscribers)| {
            ChannelInfo::new(kept.remove(&channel), subscribers, channel)
        });
        Ok(ChannelPage { channels: channels.collect(), more, scope: Scope::Node })
    }

    /// What is known of one channel.
    ///
    /// # Errors
    /// The journal cannot be reached.
    pub async fn channel(&self, channel: Channel) -> Result<ChannelInfo, JournalError> {
        // A name is the first of those that start with it.
        let mut kept = self.0.journal.channels(channel.as_str(), "", 1).await?;
        let counts = self.ask(Count(vec![channel.clone()])).await;
        Ok(ChannelInfo::new(kept.remove(&channel), counts.iter().flatten().sum(), channel))
    }

    /// Ends every stream over the span `over`, and then publishing.
    ///
    /// Each subscriber that keeps up gets every acknowledged event first. Returns when all have
    /// left, or when the time is up, with the journal closed.
    ///
    /// # Errors
    /// The journal could not be closed.
    pub async fn drain(&self, over: Duration) -> Result<(), JournalError> {
        let end = Instant::now() + over;
        self.0.phase.send_replace(Phase::Draining { end });
        // The last are asked early enough to get what they miss.
        let drain = Drain { end: Instant::now() + over.mul_f32(0.8) };
        self.broadcasters().iter().for_each(|broadcaster| broadcaster.do_send(drain));
        let all_left = async {
            while self.subscribers() > 0 {
                let one_left = self.0.one_left.notified();
                if self.subscribers() > 0 {
                    one_left.await;
                }
            }
        };
        let in_time = tokio::time::timeout(over, all_left).await;
        if in_time.is_err() {
            log::warn!("drain ended before every stream did: streams={}", self.subscribers());
        }
        self.0.phase.send_replace(Phase::Closed);
        self.0.journal.close().await
    }

    /// How many streams are open.
    pub fn subscribers(&self) -> usize {
        self.0.subscribers.load(Ordering::Relaxed)
    }

    /// Whether new subscribers and events are taken.
    pub fn is_ready(&self) -> bool {
        *self.0.phase.borrow() == Phase::Serving && self.0.journal.is_ready()
    }

    /// The bounds on requests.
    pub fn limits(&self) -> &Limits {
        &self.0.config.limits
    }

    pub(crate) fn config(&self) -> &HubConfig {
        &self.0.config
    }

    pub(crate) fn journal(&self) -> &dyn Journal {
        &*self.0.journal
    }

    /// Resolves when the hub begins to drain.
    pub(crate) fn draining(&self) -> impl Future<Output = ()> + use<> {
        let mut phase = self.0.phase.subscribe();
        async move {
            // An error means that the hub is gone, which is as good.
            let _ = phase.wait_for(|phase| *phase != Phase::Serving).await;
        }
    }

    /// How long a client shall wait before it connects again: jittered, and past the end of a
    /// drain.
    pub(crate) fn retry(&self) -> Duration {
        let jitter = Duration::from_millis(fastrand::u64(RETRY_MILLIS));
        match *self.0.phase.borrow() {
            Phase::Draining { end } => end.saturating_duration_since(Instant::now()) + jitter,
            Phase::Serving | Phase::Closed => jitter,
        }
    }

    /// This thread's broadcaster; a new one if there is none or it died.
    fn broadcaster(&self) -> Addr<Broadcaster> {
        let mut broadcasters = self.0.broadcasters.lock();
        let mine = broadcasters.entry(thread::current().id());
        let HubConfig { ping, history_age, .. } = self.0.config;
        let start = || Broadcaster::start_on(self.journal(), ping.min(history_age / 5));
        let broadcaster = mine.or_insert_with(start);
        if !broadcaster.connected() {
            log::error!("a broadcaster died; its streams ended and a new one takes its place");
            *broadcaster = start();
        }
        broadcaster.clone()
    }

    fn broadcasters(&self) -> Vec<Addr<Broadcaster>> {
        self.0.broadcasters.lock().values().cloned().collect()
    }

    /// Asks every broadcaster; one that died has nothing to say.
    async fn ask<M>(&self, question: M) -> Vec<M::Result>
    where
        M: Message + Clone + Send + 'static,
        M::Result: Send,
        Broadcaster: Handler<M>,
        actix::Context<Broadcaster>: ToEnvelope<Broadcaster, M>,
    {
        let answers = self.broadcasters().into_iter().map(|broadcaster| {
            let question = question.clone();
            async move { broadcaster.send(question).await.ok() }
        });
        join_all(answers).await.into_iter().flatten().collect()
    }

    /// Resolves when the broadcasters have handled what they were told before.
    #[cfg(test)]
    pub(crate) async fn settle(&self) {
        self.ask(Count(Vec::new())).await;
    }

    /// Pings every feed that has nothing to read.
    #[cfg(test)]
    pub(crate) async fn beat(&self) {
        for _ in 0..crate::broadcaster::SPANS {
            for broadcaster in self.broadcasters() {
                broadcaster.do_send(crate::broadcaster::Ping);
            }
        }
        self.settle().await;
    }

    /// Kills this thread's broadcaster as a panic would.
    #[cfg(test)]
    pub(crate) async fn lose_broadcaster(&self) {
        let broadcaster = self.0.broadcasters.lock().get(&thread::current().id()).cloned();
        if let Some(broadcaster) = broadcaster {
            broadcaster.do_send(crate::broadcaster::Die);
            while broadcaster.connected() {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("subscribers", &self.subscribers()).finish_non_exhaustive()
    }
}

/// A place among the hub's subscribers.
#[derive(Debug)]
pub(crate) struct Permit(Hub);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.subscribers.fetch_sub(1, Ordering::Relaxed);
        self.0.0.one_left.notify_waiters();
    }
}

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
    fn new(kept: Option<Kept>, subscribers: usize, channel: Channel) -> Self {
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
pub enum Scope {
    /// On this node only.
    Node,
}

/// Why events were not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The hub takes no more events.
    #[error("the hub is going down")]
    Closed,
    /// Subscribers or the journal did not make room in time.
    #[error("the hub is busy")]
    Busy,
    /// The journal cannot take them now.
    #[error(transparent)]
    Journal(JournalError),
}

/// Why a subscriber was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The hub takes no new subscribers.
    #[error("the hub is going down")]
    Draining,
    /// The hub has as many subscribers as it may.
    #[error("the hub is full")]
    Full,
    /// The journal cannot be read now.
    #[error(transparent)]
    Journal(JournalError),
}
