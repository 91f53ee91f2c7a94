//! Admission: who may subscribe, and until when.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::{channel::Channel, config::Limits};

/// How long clients are told to wait before they reconnect, jittered so that they do not all come
/// back at once.
const RETRY_MILLIS: std::ops::RangeInclusive<u64> = 2_000..=5_000;

/// The share of a drain in which subscribers are asked to leave: the last need some time to get
/// what they miss.
pub(crate) const ASKING_SHARE: f64 = 0.8;
/// Where there are few subscribers, a drain asks one in this time and is over sooner.
pub(crate) const ASKING_PACE: Duration = Duration::from_millis(25);

/// Counts a hub's subscribers, and sends them away at its end.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    subscribers: AtomicUsize,
    /// How many each has, where there is a bound.
    held: Mutex<HashMap<Holder, usize>>,
    one_left: Notify,
    /// When the drain ends, once it has begun.
    drain: watch::Sender<Option<Instant>>,
}

/// Who has subscribers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    Address(IpAddr),
    /// By their own channel.
    User(Channel),
}

/// A place among the subscribers, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    /// Those whose number is bounded.
    holders: Vec<Holder>,
}

/// Why a subscriber is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The hub is going down.
    #[error("the hub is going down")]
    Draining,
    /// The hub has as many subscribers as it may.
    #[error("the hub is full")]
    Full,
    /// The address or the user has.
    #[error("there are as many subscribers as there may be from one address or of one user")]
    Crowded,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            subscribers: AtomicUsize::new(0),
            held: Mutex::default(),
            one_left: Notify::new(),
            drain: watch::Sender::new(None),
        })
    }

    /// Takes a subscriber, who may be somebody's.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        user: Option<&Channel>,
    ) -> Result<Permit, Refusal> {
        // Counted before anything is checked: no two get the last place, and a drain that begins
        // now waits for this one.
        let before = self.subscribers.fetch_add(1, SeqCst);
        let mut permit = Permit { admission: self.clone(), holders: Vec::new() };
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        if before >= self.limits.subscribers {
            return Err(Refusal::Full);
        }
        let Limits { subscribers_per_address, subscribers_per_user, .. } = &self.limits;
        let bounds = [
            (address.map(Holder::Address), subscribers_per_address),
            (user.cloned().map(Holder::User), subscribers_per_user),
        ];
        for (holder, most) in bounds {
            if let (Some(holder), Some(most)) = (holder, most) {
                let mut held = self.held.lock();
                let count = held.entry(holder.clone()).or_default();
                *count += 1;
                let is_crowded = *count > *most;
                drop(held);
                permit.holders.push(holder);
                if is_crowded {
                    return Err(Refusal::Crowded);
                }
            }
        }
        Ok(permit)
    }

    pub(crate) fn subscribers(&self) -> usize {
        self.subscribers.load(SeqCst)
    }

    pub(crate) fn begin_drain(&self, end: Instant) {
        self.drain.send_replace(Some(end));
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.borrow().is_some()
    }

    /// Whether a drain's time is up.
    pub(crate) fn is_drained(&self) -> bool {
        self.drain.borrow().is_some_and(|end| end <= Instant::now())
    }

    /// Resolves when the drain has begun, with the span over which subscribers shall leave: with
    /// few of them it need not be long.
    pub(crate) fn draining(self: &Arc<Self>) -> impl Future<Output = Duration> + use<> {
        let mut drain = self.drain.subscribe();
        let admission = self.clone();
        async move {
            let end = drain.wait_for(Option::is_some).await.ok().and_then(|end| *end);
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let few = ASKING_PACE.mul_f64(admission.subscribers() as f64);
            left.unwrap_or_default().mul_f64(ASKING_SHARE).min(few)
        }
    }

    /// Resolves when the last subscriber has left.
    pub(crate) async fn all_left(&self) {
        while self.subscribers() > 0 {
            let one_left = self.one_left.notified();
            if self.subscribers() > 0 {
                one_left.await;
            }
        }
    }

    /// How long a client shall wait before it connects again: jittered, and past the end of a
    /// drain.
    pub(crate) fn retry(&self) -> Duration {
        let remains = self.drain.borrow().map(|end| end.saturating_duration_since(Instant::now()));
        remains.unwrap_or_default() + Duration::from_millis(fastrand::u64(RETRY_MILLIS))
    }
}

impl Permit {
    pub(crate) fn retry(&self) -> Duration {
        self.admission.retry()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        for holder in self.holders.drain(..) {
            if let Entry::Occupied(mut held) = self.admission.held.lock().entry(holder) {
                *held.get_mut() -= 1;
                if *held.get() == 0 {
                    held.remove();
                }
            }
        }
        self.admission.subscribers.fetch_sub(1, SeqCst);
        self.admission.one_left.notify_waiters();
    }
}
