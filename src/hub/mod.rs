//! The hub: what handlers and apps hold.

mod channels;
mod revoking;
mod telling;

#[cfg(feature = "disk")]
use std::path::Path;
use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use actix::{Addr, Handler, Message, dev::ToEnvelope};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

pub use crate::admission::Refusal;
#[cfg(feature = "redis")]
use crate::journal::RedisJournal;
use crate::{
    admission::{ASKING_SHARE, Admission},
    broadcaster::{Broadcaster, Drain, Register, SeatInFeed},
    channel::{Selector, View},
    config::{History, HubConfig},
    grants::Session,
    journal::{Batch, Journal, JournalError, MemoryJournal, Receipt},
    pace::Rates,
    revocations::Revocations,
    stats::Stats,
    subscriber::{Subscriber, Subscription},
};
#[cfg(feature = "disk")]
use crate::{config::SyncPolicy, journal::DiskJournal};

/// Publishes to a journal and hands out its events. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Core>);

struct Core {
    journal: Arc<dyn Journal>,
    config: HubConfig,
    admission: Arc<Admission>,
    rates: Rates,
    revocations: Arc<Revocations>,
    /// Whether the journal's notices of revocations have been read.
    recalled: OnceCell<()>,
    stats: Arc<Stats>,
    /// Each worker thread's.
    broadcasters: Mutex<HashMap<ThreadId, Addr<Broadcaster>>>,
}

impl Hub {
    /// A hub that keeps its events in memory: a restart forgets them.
    pub fn in_memory(history: History, config: HubConfig) -> Self {
        Self::new(MemoryJournal::new(history), config)
    }

    /// A hub that keeps its events in the directory `path`, which it makes if there is none, and
    /// which no other hub may use until this one is drained or gone. A publication is acknowledged
    /// once `sync` says so.
    ///
    /// # Errors
    /// The directory cannot be used; the text names it and says why.
    #[cfg(feature = "disk")]
    pub fn on_disk(
        path: &Path,
        history: History,
        sync: SyncPolicy,
        config: HubConfig,
    ) -> Result<Self, JournalError> {
        Ok(Self::new(DiskJournal::open(path, history, sync)?, config))
    }

    /// A hub that shares its events with every other whose journal is at the same URL, such as
    /// `redis://user:password@host:6379/0?key=herald` (with `rediss` for TLS). Waits until the Redis
    /// can be reached.
    ///
    /// # Errors
    /// The URL is none, the Redis refuses, or what is under the key is not a journal's.
    #[cfg(feature = "redis")]
    pub async fn on_redis(
        url: &str,
        history: History,
        config: HubConfig,
    ) -> Result<Self, JournalError> {
        Ok(Self::new(RedisJournal::open(url, history).await?, config))
    }

    pub(crate) fn new(journal: impl Journal, config: HubConfig) -> Self {
        let revocations = Arc::<Revocations>::default();
        let stats = Stats::new();
        // They have handled what they hear as soon as they have heard it: nobody has to wait for
        // them.
        drop(journal.join(Box::new(Arc::downgrade(&revocations))));
        drop(journal.join(Box::new(stats.clone())));
        Self(Arc::new(Core {
            journal: Arc::new(journal),
            admission: Admission::new(config.limits.clone()),
            rates: Rates::new(&config.limits),
            revocations,
            recalled: OnceCell::new(),
            stats,
            config,
            broadcasters: Mutex::default(),
        }))
    }

    /// Publishes an event or several, all or none, and returns the ids they carry once the journal
    /// has them.
    ///
    /// Waits for room while the hub has much to hand on, [`publish_timeout`](HubConfig) at most.
    ///
    /// # Errors
    /// After [`Busy`](PublishError::Busy) and [`Journal`](PublishError::Journal) the events may
    /// have been kept all the same: a repeat with the same key is safe. As an answer of a handler
    /// these are a 503.
    pub async fn publish(&self, batch: impl Into<Batch>) -> Result<Receipt, PublishError> {
        let append = self.0.journal.append(batch.into());
        match tokio::time::timeout(self.0.config.publish_timeout, append).await {
            Ok(Ok(receipt)) => Ok(receipt),
            Ok(Err(JournalError::Closed)) => Err(PublishError::Closed),
            Ok(Err(JournalError::KeyReused)) => Err(PublishError::KeyReused),
            Ok(Err(error)) => Err(PublishError::Journal(error)),
            Err(_) => Err(PublishError::Busy),
        }
    }

    /// Subscribes.
    ///
    /// # Errors
    /// The hub is full, going down, or cannot read its journal.
    ///
    /// # Panics
    /// Outside a `LocalSet` of tokio's, such as each worker of an actix server has.
    pub async fn subscribe(
        &self,
        subscription: Subscription,
    ) -> Result<Subscriber, SubscribeError> {
        let Subscription { selector, view, start, wait, session, address, .. } = &subscription;
        let user = session.as_ref().and_then(|session| session.own_channel.as_ref());
        let permit = self.0.admission.admit(*address, user)?;
        let journal = self.0.journal.clone();
        let placement = journal.place(start, selector, view).await?;
        let seat = if *wait { Some(self.register(selector, view, session).await?) } else { None };
        self.tell_stats();
        let token_id = session.as_ref().and_then(|session| session.token_id.as_deref());
        // Only now: what was revoked before it had its seat would not end it.
        if let Some(id) = token_id
            && self.is_revoked(id).await?
        {
            return Err(SubscribeError::Revoked);
        }
        let revocations = self.0.revocations.clone();
        Ok(Subscriber::new(journal, revocations, permit, subscription, placement, seat))
    }

    async fn register(
        &self,
        selector: &Selector,
        view: &View,
        session: &Option<Arc<Session>>,
    ) -> Result<SeatInFeed, Refusal> {
        loop {
            let (selector, view, session) = (selector.clone(), view.clone(), session.clone());
            let register = Register { selector, view, session };
            let seat = self.broadcaster().send(register).await;
            if self.0.admission.is_draining() {
                // A broadcaster that began just now was not told to drain.
                return Err(Refusal::Draining);
            }
            // Fails only if the broadcaster died meanwhile; there is a new one for the next try.
            if let Ok(seat) = seat {
                return Ok(seat);
            }
        }
    }

    /// Ends every stream over the span `over`, and then publishing.
    ///
    /// Each subscriber that keeps up gets every acknowledged event first. Returns when all have
    /// left, or when the time is up, with the journal closed.
    ///
    /// # Errors
    /// The journal could not be closed.
    pub async fn drain(&self, over: Duration) -> Result<(), JournalError> {
        let start = Instant::now();
        self.0.admission.begin_drain(start + over);
        let drain = Drain { end: start + over.mul_f64(ASKING_SHARE) };
        self.broadcasters().iter().for_each(|broadcaster| broadcaster.do_send(drain));
        if tokio::time::timeout(over, self.0.admission.all_left()).await.is_err() {
            log::warn!("drain is over before all have left: subscribers={}", self.subscribers());
        }
        self.0.journal.close().await
    }

    /// How many subscribers there are.
    pub fn subscribers(&self) -> usize {
        self.0.admission.subscribers()
    }

    /// Whether new subscribers and events are taken.
    pub fn is_ready(&self) -> bool {
        !self.0.admission.is_draining() && self.0.journal.is_ready()
    }

    /// The hub's settings.
    pub fn config(&self) -> &HubConfig {
        &self.0.config
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.0.rates
    }

    pub(crate) fn admission(&self) -> &Arc<Admission> {
        &self.0.admission
    }

    /// This thread's broadcaster; a new one if there is none or it died.
    fn broadcaster(&self) -> Addr<Broadcaster> {
        let mut broadcasters = self.0.broadcasters.lock();
        let mine = broadcasters.entry(thread::current().id());
        let start = || {
            let Core { journal, config, stats, .. } = &*self.0;
            Broadcaster::start_on(&**journal, config.ping, stats.clone())
        };
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
        self.ask(crate::broadcaster::Count(Vec::new())).await;
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

    /// Hands out an event that is in no journal.
    #[cfg(test)]
    pub(crate) async fn tell(&self, channel: crate::channel::Channel, frame: &'static str) {
        let ephemeral = crate::broadcaster::Ephemeral { channel, frame: frame.into() };
        for broadcaster in self.broadcasters() {
            broadcaster.do_send(ephemeral.clone());
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

/// Why events were not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The hub takes no more events.
    #[error("the hub is going down; nothing was published")]
    Closed,
    /// The key came with other events in the last ten minutes.
    #[error("the idempotency key was used for other events; nothing was published")]
    KeyReused,
    /// Subscribers or the journal did not make room in time.
    #[error("the hub is busy; the events may have been kept")]
    Busy,
    /// The journal cannot take them now.
    #[error("{0}; the events may have been kept")]
    Journal(JournalError),
}

/// Why a subscriber was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The hub takes none now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal cannot be read now.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The caller's token is revoked.
    #[error("the token is revoked")]
    Revoked,
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use crate::{
        channel::Channel,
        config::History,
        event::Event,
        journal::{Listener, Loss, MemoryJournal, News},
    };

    fn channel(name: &str) -> Channel {
        Channel::parse(name).unwrap()
    }

    fn batch(name: &str, events: usize) -> Batch {
        Batch { events: vec![Event::new(channel(name), "x"); events], key: None }
    }

    #[test]
    fn a_busy_channel_keeps_no_other_from_its_subscribers() {
        actix_web::rt::System::new().block_on(async {
            let hub = Hub::new(MemoryJournal::new(History::default()), HubConfig::default());
            for _ in 0..200 {
                let crowd = hub.subscribe(Subscription::new(channel("busy"))).await.unwrap();
                actix_web::rt::spawn(crowd.for_each(|_| async {}));
            }
            let mut quiet = hub.subscribe(Subscription::new(channel("quiet"))).await.unwrap();
            quiet.next().await.unwrap();
            // A task of its own: this one is polled at every turn, woken or not.
            let arrival = actix_web::rt::spawn(async move { quiet.next().await });
            let busy = hub.clone();
            actix_web::rt::spawn(async move {
                loop {
                    busy.publish(batch("busy", 1)).await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
            let mut witness = hub.subscribe(Subscription::new(channel("busy"))).await.unwrap();
            for _ in 0..10 {
                witness.next().await.unwrap();
            }
            hub.publish(batch("quiet", 1)).await.unwrap();
            let arrival = tokio::time::timeout(Duration::from_secs(5), arrival).await;
            assert!(arrival.is_ok(), "starved");
        });
    }

    /// Hears, and never says that it has handled what it heard.
    struct Stuck;

    impl Listener for Stuck {
        fn hear(&self, _: News) -> bool {
            true
        }

        fn lose(&self, _: Loss) {}
    }

    #[tokio::test]
    async fn publishers_wait_for_the_slowest_listener_but_not_for_ever() {
        let journal = MemoryJournal::new(History::default());
        let (seat, _) = journal.join(Box::new(Stuck));
        let publish_timeout = Duration::from_millis(50);
        let hub = Hub::new(journal, HubConfig { publish_timeout, ..HubConfig::default() });
        hub.publish(batch("a", 4_096)).await.unwrap();
        hub.publish(batch("a", 1)).await.unwrap();
        assert_eq!(hub.publish(batch("a", 1)).await, Err(PublishError::Busy));
        drop(seat);
        hub.publish(batch("a", 1)).await.unwrap();
    }
}
