//! The stream and its indexes in Redis, changed and read by scripts only: each is one atomic step,
//! and sees everything as it is at one moment.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use parking_lot::Mutex;
use redis::{
    ErrorKind, RedisError, Script, ScriptInvocation,
    ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, TryAgain},
    Value,
};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

use super::{
    address::Address,
    connection::Connection,
    entry::{array, id, links, number, text, wire_id},
};
use crate::{
    channel::{Channel, PatternKind, Selector},
    config::History,
    id::{EventId, OwnId, WireId},
    journal::{
        Entry, JournalError, Kept, Receipt,
        intake::Arrival,
        layered::Archive,
        reader::{Candidates, Ends, Entries, MAX_LOOK},
        receipts,
    },
};

/// How many channels are read by their indexes: as many as a subscriber may have. A script that
/// reads many keeps others waiting, and one that scans the stream keeps them for longer.
const MAX_CHANNELS: usize = 100;
/// What is read at once, unless one entry is larger.
const READ_BYTES: usize = 64 * 1024;

/// How many read at once: the others wait here, and not in memory of Redis or for its thread.
const READERS: usize = 32;

/// How long a reader waits for a Redis that is away before it says so.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE_MILLIS: std::ops::RangeInclusive<u64> = 50..=250;

macro_rules! script {
    ($name:literal, $flags:literal) => {
        LazyLock::new(|| {
            // A script with such a first line is refused as a whole by a replica, which may be
            // behind, and not only once it writes.
            let code = concat!(
                "#!lua",
                $flags,
                "\n",
                include_str!("scripts/prelude.lua"),
                include_str!($name)
            );
            Script::new(code)
        })
    };
}

static APPEND: LazyLock<Script> = script!("scripts/append.lua", "");
// Who reads needs no memory to speak of, and lets go of some.
static READ: LazyLock<Script> = script!("scripts/read.lua", " flags=allow-oom");
static CARRIERS: LazyLock<Script> = script!("scripts/carriers.lua", " flags=allow-oom");
static ENDS: LazyLock<Script> = script!("scripts/ends.lua", " flags=allow-oom");
static CHANNELS: LazyLock<Script> = script!("scripts/channels.lua", " flags=allow-oom");

/// The journal's data in Redis. Cheap to clone.
#[derive(Clone)]
pub(super) struct Store(Arc<Inner>);

struct Inner {
    address: Address,
    connection: Connection,
    history: History,
    readers: Arc<Semaphore>,
    /// The newest id that this node has seen.
    seen: watch::Receiver<EventId>,
    /// The last floor that Redis told.
    floor: Mutex<EventId>,
}

/// Which entries to read.
enum Direction {
    Up,
    Down,
}

impl Store {
    /// Not connected yet.
    pub(super) fn new(address: Address, history: History, seen: watch::Receiver<EventId>) -> Self {
        Self(Arc::new(Inner {
            address,
            connection: Connection::new(),
            history,
            readers: Arc::new(Semaphore::new(READERS)),
            seen,
            floor: Mutex::new(EventId::MIN),
        }))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// Connects.
    pub(super) async fn connect(&self) -> Result<(), RedisError> {
        self.0.connection.make(&self.0.address).await
    }

    /// Waits until there is a Redis that can be used.
    ///
    /// # Errors
    /// It refuses, or what is there is not a journal's of this version.
    pub(super) async fn wait_until_it_answers(&self) -> Result<(), JournalError> {
        let mut told = String::new();
        loop {
            let Err(error) = self.try_it().await else { return Ok(()) };
            let passes = error.is_io_error()
                || matches!(
                    error.kind(),
                    ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | TryAgain)
                );
            if !passes {
                return Err(self.unavailable(error));
            }
            let error = error.to_string();
            if told != error {
                log::warn!("waiting for {}: {error}", self.0.address);
                told = error;
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(PAUSE_MILLIS))).await;
        }
    }

    async fn try_it(&self) -> Result<(), RedisError> {
        self.connect().await?;
        let mut call = self.call(&ENDS);
        call.arg(EventId::MIN.to_string()).arg(EventId::MAX.to_string());
        self.0.connection.run(call, ()).await.map(drop)
    }

    pub(super) fn address(&self) -> &Address {
        &self.0.address
    }

    /// The name of the stream.
    pub(super) fn stream(&self) -> String {
        format!("{}events", self.0.address.prefix)
    }

    /// Appends publications, all or none but for those that came before.
    pub(super) async fn append(
        &self,
        arrivals: Vec<Arrival>,
    ) -> Result<Vec<Result<Appended, JournalError>>, JournalError> {
        let mut call = self.call(&APPEND);
        call.arg(receipts::MAX_AGE.as_millis() as u64);
        for Arrival { drafts, key } in &arrivals {
            match key {
                Some((key, fingerprint)) => call.arg(&*key.0).arg(fingerprint.0),
                None => call.arg("").arg(""),
            };
            call.arg(drafts.len());
            for draft in drafts {
                let channels: Vec<_> = draft.channels.iter().map(Channel::as_str).collect();
                call.arg(channels.join("\n")).arg(&*draft.body).arg(draft.cost());
                call.arg(draft.own_id.as_ref().map_or("", |own| own.as_text()));
                call.arg(if draft.private { "1" } else { "" });
            }
        }
        let answer = async {
            self.0.connection.is_made().await?;
            self.0.connection.run(call, ()).await
        };
        let answer = answer.await.map_err(|error| self.unavailable(error))?;
        let mut answers = array(answer).ok_or_else(|| self.strange())?.into_iter();
        let floor = answers.next().and_then(id).ok_or_else(|| self.strange())?;
        self.learn(floor);
        if answers.len() != arrivals.len() {
            return Err(self.strange());
        }
        let outcomes = arrivals.into_iter().zip(answers);
        outcomes
            .map(|(arrival, answer)| appended(arrival, answer).ok_or_else(|| self.strange()))
            .collect()
    }

    /// The floor and the head; whether `id` is kept or the floor; and the last kept id below
    /// `before`, or else the floor.
    async fn ends(
        &self,
        id: EventId,
        before: EventId,
    ) -> Result<(Ends, bool, EventId), JournalError> {
        let answer = self
            .read(&ENDS, |call| {
                call.arg(id.to_string()).arg(before.to_string());
            })
            .await?;
        let mut answer = answer.into_iter();
        let mut read = || {
            let ends = Ends { floor: self::id(answer.next()?)?, head: self::id(answer.next()?)? };
            self.learn(ends.floor);
            Some((ends, number(answer.next()?)? == 1, self::id(answer.next()?)?))
        };
        read().ok_or_else(|| self.strange())
    }

    /// The entries between two ids of those channels, or of all.
    async fn entries(
        &self,
        direction: Direction,
        (first, last): (EventId, EventId),
        channels: Option<&[Channel]>,
    ) -> Result<Candidates, JournalError> {
        if channels.is_some_and(<[_]>::is_empty) {
            let (Ends { floor, head }, ..) = self.ends(EventId::MIN, EventId::MAX).await?;
            return Ok(Candidates { entries: Vec::new(), through: head, at_head: true, floor });
        }
        let (word, ids) = match direction {
            Direction::Up => ("up", [first, last]),
            Direction::Down => ("down", [last, first]),
        };
        let answer = self
            .read(&READ, |call| {
                call.arg(word).arg(ids[0].to_string()).arg(ids[1].to_string());
                call.arg(MAX_LOOK).arg(READ_BYTES);
                for channel in channels.unwrap_or_default() {
                    call.arg(channel.as_str());
                }
            })
            .await?;
        self.candidates(answer)
    }

    fn candidates(&self, answer: Vec<Value>) -> Result<Candidates, JournalError> {
        let mut answer = answer.into_iter();
        let mut read = || {
            let (floor, head) = (id(answer.next()?)?, id(answer.next()?)?);
            self.learn(floor);
            let cut = text(answer.next()?)?;
            let through = if cut.is_empty() { head } else { cut.parse().ok()? };
            let entries = links(answer.by_ref())?.into_iter().map(|link| link.entry).collect();
            Some(Candidates { entries, through, at_head: cut.is_empty(), floor })
        };
        read().ok_or_else(|| self.strange())
    }

    pub(super) async fn channels(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<(EventId, BTreeMap<Channel, Kept>), JournalError> {
        let from = if after < prefix { format!("[{prefix}") } else { format!("({after}") };
        let answer = self
            .read(&CHANNELS, |call| {
                call.arg(prefix).arg(&from).arg(limit);
            })
            .await?;
        let mut answer = answer.into_iter();
        let mut read = || {
            let head = id(answer.next()?)?;
            let mut channels = BTreeMap::new();
            while let Some(name) = answer.next() {
                let channel = Channel::parse(&text(name)?).ok()?;
                let events = number(answer.next()?)?;
                let (id, own) = (self::id(answer.next()?)?, text(answer.next()?)?);
                let own = OwnId::parse(own).map(WireId::Own);
                channels.insert(channel, Kept { last_id: own.unwrap_or(WireId::Hub(id)), events });
            }
            Some((head, channels))
        };
        read().ok_or_else(|| self.strange())
    }

    /// The kept channels that a selector takes in, up to an id; no names if they are too many to
    /// be read by their indexes.
    async fn indexes(
        &self,
        selector: &Selector,
    ) -> Result<(Option<Vec<Channel>>, Option<EventId>), JournalError> {
        let mut found = Vec::new();
        let mut upto = None;
        for pattern in selector.patterns() {
            match pattern.kind() {
                PatternKind::Exact(channel) => found.push(channel.clone()),
                PatternKind::Wild(_) => {
                    let prefix = pattern.literal_prefix();
                    let (head, channels) = self.channels(prefix, "", MAX_LOOK).await?;
                    // Later channels are not known.
                    upto = upto.or(Some(head));
                    if channels.len() == MAX_LOOK {
                        return Ok((None, None));
                    }
                    found.extend(channels.into_keys().filter(|channel| pattern.matches(channel)));
                }
            }
            if found.len() > MAX_CHANNELS {
                return Ok((None, None));
            }
        }
        found.sort();
        found.dedup();
        Ok((Some(found), upto))
    }

    /// The last entries, as many as cost `bytes` or less, in order; and the id before them.
    pub(super) async fn last_entries(
        &self,
        bytes: usize,
    ) -> Result<(Vec<Arc<Entry>>, EventId), JournalError> {
        let mut entries = Vec::new();
        let mut left = bytes;
        let mut before = EventId::MAX;
        'all: loop {
            let range = (EventId::MIN, before.before());
            let candidates = self.entries(Direction::Down, range, None).await?;
            for entry in &candidates.entries {
                match left.checked_sub(entry.cost()) {
                    Some(less) => left = less,
                    None => break 'all,
                }
                before = entry.id;
                entries.push(entry.clone());
            }
            if candidates.at_head {
                break;
            }
        }
        entries.reverse();
        Ok((entries, self.preceding(before).await?))
    }

    fn learn(&self, floor: EventId) {
        let mut known = self.0.floor.lock();
        *known = floor.max(*known);
    }

    /// Asks until there is an answer, for a while.
    async fn read(
        &self,
        script: &'static Script,
        args: impl Fn(&mut ScriptInvocation<'static>),
    ) -> Result<Vec<Value>, JournalError> {
        let start = Instant::now();
        loop {
            match self.try_to_read(script, &args).await {
                Ok(answer) => return array(answer).ok_or_else(|| self.strange()),
                Err(error) if start.elapsed() > PATIENCE => return Err(self.unavailable(error)),
                Err(_) => {
                    let pause = Duration::from_millis(fastrand::u64(PAUSE_MILLIS));
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn try_to_read(
        &self,
        script: &'static Script,
        args: impl Fn(&mut ScriptInvocation<'static>),
    ) -> Result<Value, RedisError> {
        // Without a turn: those behind would have to wait, too.
        self.0.connection.is_made().await?;
        // It is never closed.
        let turn = self.0.readers.clone().acquire_owned().await;
        let mut call = self.call(script);
        args(&mut call);
        self.0.connection.run(call, turn).await
    }

    /// A call of a script, with what all take.
    fn call(&self, script: &'static Script) -> ScriptInvocation<'static> {
        let mut call = script.prepare_invoke();
        for name in ["events", "state", "channels"] {
            call.key(format!("{}{name}", self.0.address.prefix));
        }
        let History { events, bytes, age } = &self.0.history;
        call.arg(self.0.seen.borrow().to_string());
        call.arg(*events).arg(*bytes).arg(age.as_millis() as u64);
        call
    }

    pub(super) fn unavailable(&self, error: impl fmt::Display) -> JournalError {
        JournalError::Unavailable(format!("{}: {error}", self.0.address))
    }

    pub(super) fn strange(&self) -> JournalError {
        self.unavailable("its answer cannot be understood; is the key in use by another program?")
    }
}

/// A publication's receipt, and the newest of its events if it is new.
pub(super) struct Appended {
    pub(super) receipt: Receipt,
    pub(super) newest: Option<EventId>,
}

fn appended(arrival: Arrival, answer: Value) -> Option<Result<Appended, JournalError>> {
    let mut answer = array(answer)?.into_iter();
    let kind = text(answer.next()?)?;
    let ids: Vec<_> = answer.map(wire_id).collect::<Option<_>>()?;
    match (kind.as_str(), ids.last()) {
        ("reused", _) => Some(Err(JournalError::KeyReused)),
        ("new", Some(WireId::Hub(newest))) => {
            let newest = Some(*newest);
            let own_ids = arrival.drafts.into_iter().map(|draft| draft.own_id.map(WireId::Own));
            let ids = own_ids.zip(ids).map(|(own, id)| own.unwrap_or(id));
            Some(Ok(Appended { receipt: ids.collect(), newest }))
        }
        _ => Some(Ok(Appended { receipt: ids.into(), newest: None })),
    }
}

impl Archive for Store {
    fn known_floor(&self) -> EventId {
        *self.0.floor.lock()
    }
}

impl Entries for Store {
    async fn head(&self) -> Result<EventId, JournalError> {
        Ok(self.ends(EventId::MIN, EventId::MAX).await?.0.head)
    }

    async fn floor(&self) -> Result<EventId, JournalError> {
        Ok(self.ends(EventId::MIN, EventId::MAX).await?.0.floor)
    }

    async fn holds(&self, id: EventId) -> Result<bool, JournalError> {
        Ok(self.ends(id, EventId::MAX).await?.1)
    }

    async fn preceding(&self, id: EventId) -> Result<EventId, JournalError> {
        Ok(self.ends(EventId::MIN, id).await?.2)
    }

    async fn after(&self, selector: &Selector, after: EventId) -> Result<Candidates, JournalError> {
        let (channels, upto) = self.indexes(selector).await?;
        let range = (after.after(), upto.unwrap_or(EventId::MAX));
        let mut candidates = self.entries(Direction::Up, range, channels.as_deref()).await?;
        candidates.through = candidates.through.min(upto.unwrap_or(EventId::MAX));
        Ok(candidates)
    }

    async fn before(
        &self,
        selector: &Selector,
        before: EventId,
    ) -> Result<Vec<Arc<Entry>>, JournalError> {
        let (channels, _) = self.indexes(selector).await?;
        let range = (EventId::MIN, before.before());
        let candidates = self.entries(Direction::Down, range, channels.as_deref()).await?;
        Ok(candidates.entries)
    }

    async fn carriers(&self, own: &OwnId, after: EventId) -> Result<Vec<Arc<Entry>>, JournalError> {
        let answer = self
            .read(&CARRIERS, |call| {
                call.arg(&**own.as_text()).arg(after.after().to_string()).arg(MAX_LOOK);
            })
            .await?;
        Ok(self.candidates(answer)?.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[test]
    fn as_many_channels_as_a_subscriber_may_have_are_read_by_their_indexes() {
        assert!(MAX_CHANNELS >= Limits::default().channels);
    }
}
