//! The tail: hands on what is appended to the stream, by this node or another, in its order.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use redis::{Value, aio::MultiplexedConnection};
use tokio::sync::watch;

use super::{
    entry::{Link, array, links},
    losses::Losses,
    store::Store,
};
use crate::{
    id::EventId,
    journal::{
        Entry, JournalError, Loss, Lost, News, gauge::Gauge, layered::Layered, reader::Entries,
        recent::Recent,
    },
};

/// The most entries that are read at once; fewer after they have not come in time.
const MOST: usize = 128;
/// How long Redis waits for an entry before it answers that there is none.
const BLOCK: Duration = Duration::from_secs(5);
/// How much longer that may take.
const SLACK: Duration = Duration::from_secs(3);

/// How long to wait before the next connection: longer each time, and at random, for other nodes
/// come back at the same time.
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Tail {
    pub(super) entries: Layered<Store>,
    pub(super) gauge: Gauge,
    pub(super) losses: Losses,
    /// The newest id that this node has seen.
    pub(super) seen: Arc<watch::Sender<EventId>>,
    pub(super) is_ready: Arc<AtomicBool>,
}

impl Tail {
    /// Follows the stream for ever, whatever happens to Redis.
    pub(super) async fn run(self) -> Infallible {
        let (mut pause, mut most) = (MIN_PAUSE, MOST);
        let mut told = String::new();
        loop {
            let Err(error) = self.connect_and_follow(&mut most).await;
            self.store().connection().give_up();
            if self.is_ready.swap(false, SeqCst) {
                pause = MIN_PAUSE;
                told.clear();
            }
            let error = error.to_string();
            if told != error {
                log::error!("{error}");
                told = error;
            }
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (2 * pause).min(MAX_PAUSE);
        }
    }

    async fn connect_and_follow(&self, most: &mut usize) -> Result<Infallible, JournalError> {
        let store = self.store();
        let connection = store.address().connect(BLOCK + SLACK).await;
        let mut connection = connection.map_err(|error| store.unavailable(error))?;
        store.connect().await.map_err(|error| store.unavailable(error))?;
        tokio::select! {
            ended = self.follow(&mut connection, most) => ended,
            error = store.connection().is_cut() => Err(store.unavailable(error)),
        }
    }

    async fn follow(
        &self,
        connection: &mut MultiplexedConnection,
        most: &mut usize,
    ) -> Result<Infallible, JournalError> {
        // What was there may be gone.
        self.find_place().await?;
        self.is_ready.store(true, SeqCst);
        log::info!("following {}", self.store().address());
        loop {
            self.gauge.room().await;
            let links = self.read(connection, *most).await;
            // Slowly back to more, for too much costs a timeout and a new connection.
            *most = if links.is_ok() { (*most + 1).min(MOST) } else { (*most / 2).max(1) };
            let links = links?;
            if links.is_empty() {
                // Events grow too old while nobody publishes.
                self.store().floor().await?;
            }
            self.take(links).await?;
        }
    }

    fn store(&self) -> &Store {
        &self.entries.archive
    }

    fn recent(&self) -> &Recent {
        &self.entries.recent
    }

    /// Waits for entries.
    async fn read(
        &self,
        connection: &mut MultiplexedConnection,
        most: usize,
    ) -> Result<Vec<Link>, JournalError> {
        let answer = redis::cmd("XREAD")
            .arg("COUNT")
            .arg(most)
            .arg("BLOCK")
            .arg(BLOCK.as_millis() as u64)
            .arg("STREAMS")
            .arg(self.store().stream())
            .arg(self.recent().newest().to_string())
            .query_async(connection)
            .await
            .map_err(|error| self.store().unavailable(error))?;
        if answer == Value::Nil {
            return Ok(Vec::new());
        }
        let entries = || {
            let stream = array(answer)?.pop()?;
            links(array(array(stream)?.pop()?)?)
        };
        entries().ok_or_else(|| self.store().strange())
    }

    /// Hands entries on, as far as each follows the one before.
    async fn take(&self, links: Vec<Link>) -> Result<(), JournalError> {
        let mut entries = Vec::new();
        let mut newest = self.recent().newest();
        for Link { entry, after } in links {
            if after != newest {
                self.hand_on(std::mem::take(&mut entries));
                if self.find_place().await? {
                    return Ok(());
                }
                self.leave_out(Lost { after: newest, upto: after });
            }
            newest = entry.id;
            entries.push(entry);
        }
        self.hand_on(entries);
        Ok(())
    }

    fn hand_on(&self, entries: Vec<Arc<Entry>>) {
        self.recent().take(&News::from_iter(entries));
        self.has_seen(self.recent().newest());
    }

    fn has_seen(&self, id: EventId) {
        self.seen.send_if_modified(|seen| {
            let is_news = id > *seen;
            *seen = id.max(*seen);
            is_news
        });
    }

    /// Makes sure that the newest event of this node is still in the stream, and nothing after it
    /// is gone. If it is not, goes back to what is there, and returns `true`.
    async fn find_place(&self) -> Result<bool, JournalError> {
        let newest = self.recent().newest();
        if self.store().holds(newest).await? {
            return Ok(false);
        }
        let floor = self.store().floor().await?;
        if newest < floor {
            self.lose(Loss::All(floor));
            return Ok(true);
        }
        let lost = Lost { after: self.last_common(floor).await?, upto: newest };
        // Later ids are above what was lost, so that they can be told from it.
        self.has_seen(newest.after());
        self.lose(Loss::Heard(lost));
        Ok(true)
    }

    /// Tells of events that Redis has lost before this node could read them: somebody has seen them,
    /// or their ids would have been given out again.
    fn leave_out(&self, lost: Lost) {
        // A loss that was told has brought the ids up to there by itself.
        if lost.upto > *self.seen.borrow() {
            self.lose(Loss::Unheard(lost));
            self.has_seen(lost.upto);
        }
    }

    fn lose(&self, loss: Loss) {
        let what = match loss {
            Loss::Heard(_) => "has lost events that this node has read",
            Loss::Unheard(_) => "has lost events before this node could read them",
            Loss::All(_) => "has let go of all that this node has read, and of more",
        };
        let address = self.store().address();
        match loss.lost() {
            Some(lost @ Lost { after, upto }) => {
                log::warn!("{address} {what}: after={after} upto={upto}");
                self.losses.add(lost);
            }
            None => log::warn!("{address} {what}: upto={}", loss.place()),
        }
        self.entries.lose(loss);
    }

    /// The newest event of this node that is still in the stream, or else the floor.
    async fn last_common(&self, floor: EventId) -> Result<EventId, JournalError> {
        let mut ids = self.recent().read(|log| log.ids());
        ids.retain(|id| *id > floor);
        // Of a prefix that is there, the end.
        let (mut there, mut gone) = (0, ids.len());
        while there < gone {
            let middle = there.midpoint(gone);
            if self.store().holds(ids[middle]).await? {
                there = middle + 1;
            } else {
                gone = middle;
            }
        }
        Ok(there.checked_sub(1).map_or(floor, |last| ids[last]))
    }
}
