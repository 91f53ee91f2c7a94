//! Where a hub keeps its events.

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use clap::{Arg, Args, Command, builder::TypedValueParser, error::ErrorKind};
use herald::{
    Hub,
    config::{History, HubConfig, SyncPolicy},
};

use super::{
    Error,
    values::{at_least_one, bytes, span},
};

#[derive(Args, Debug)]
pub(super) struct JournalArgs {
    /// Where events are kept: `memory`; `disk:PATH`, a directory, to outlive a restart; or a
    /// `redis://` or `rediss://` URL, to share them with other nodes
    #[arg(
        long,
        env = "HERALD_JOURNAL",
        hide_env_values = true,
        default_value = "memory",
        value_parser = PlaceParser,
        value_name = "WHERE"
    )]
    journal: Place,
    /// For `disk:PATH` only, when it is synced: `always` before a publication is acknowledged,
    /// `interval:100ms`, or `never`; the last two can lose events when the machine goes down
    #[arg(long, env = "HERALD_SYNC", default_value = "always", value_parser = sync, value_name = "WHEN")]
    sync: SyncPolicy,
    /// Keep at most so many events
    #[arg(long, env = "HERALD_HISTORY_EVENTS", default_value = "1000000", value_parser = at_least_one, value_name = "N")]
    history_events: usize,
    /// Keep events for so long
    #[arg(long, env = "HERALD_HISTORY_AGE", default_value = "1h", value_parser = span, value_name = "TIME")]
    history_age: Duration,
    /// Keep at most so many bytes; KiB, MiB and GiB are understood [default: 64MiB in memory, 1GiB
    /// on disk, 256MiB in Redis]
    #[arg(long, env = "HERALD_HISTORY_BYTES", value_parser = bytes, value_name = "BYTES")]
    history_bytes: Option<usize>,
}

#[derive(Clone, Debug)]
enum Place {
    Memory,
    #[cfg(feature = "disk")]
    Disk(PathBuf),
    #[cfg(feature = "redis")]
    Redis(Url),
}

/// It may have a password in it.
#[derive(Clone)]
#[cfg(feature = "redis")]
struct Url(String);

#[cfg(feature = "redis")]
impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("redis")
    }
}

/// Does not show what it cannot read, as clap does by itself: it may have a password in it.
#[derive(Clone)]
struct PlaceParser;

impl TypedValueParser for PlaceParser {
    type Value = Place;

    fn parse_ref(
        &self,
        command: &Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Place, clap::Error> {
        value.to_str().and_then(place).ok_or_else(|| {
            let must = "--journal must be memory, disk:PATH, or redis://HOST";
            command.clone().error(ErrorKind::ValueValidation, must)
        })
    }
}

fn place(text: &str) -> Option<Place> {
    match text.split_once(':') {
        None if text == "memory" => Some(Place::Memory),
        #[cfg(feature = "disk")]
        Some(("disk", path)) if !path.is_empty() => Some(Place::Disk(path.into())),
        #[cfg(feature = "redis")]
        Some(("redis" | "rediss" | "redis+unix", _)) => Some(Place::Redis(Url(text.into()))),
        _ => None,
    }
}

impl JournalArgs {
    /// A hub with this journal.
    pub(super) async fn open(&self, config: HubConfig) -> Result<Hub, Error> {
        match &self.journal {
            Place::Memory => Ok(Hub::in_memory(self.history(64 << 20), config)),
            #[cfg(feature = "disk")]
            Place::Disk(path) => {
                let hub = Hub::on_disk(path, self.history(1 << 30), self.sync, config);
                Ok(hub?)
            }
            #[cfg(feature = "redis")]
            Place::Redis(Url(url)) => {
                Ok(Hub::on_redis(url, self.history(256 << 20), config).await?)
            }
        }
    }

    fn history(&self, default_bytes: usize) -> History {
        History {
            events: self.history_events,
            age: self.history_age,
            bytes: self.history_bytes.unwrap_or(default_bytes),
        }
    }
}

fn sync(text: &str) -> Result<SyncPolicy, String> {
    match text.split_once(':') {
        None if text == "always" => Ok(SyncPolicy::Always),
        None if text == "never" => Ok(SyncPolicy::Never),
        Some(("interval", text)) => span(text).map(SyncPolicy::Interval),
        _ => Err("must be always, never, or interval:TIME such as interval:100ms".into()),
    }
}
