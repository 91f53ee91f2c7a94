//! What is measured: the table of cases.

use std::time::Duration;

use crate::{figures::thousands, publisher::Pace, servers::Server, topics::Topics};

/// What README, targets and chart speak of, unless a case says otherwise.
pub(crate) const BYTES: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Cases of a group take turns, so that they can be compared.
    pub(crate) group: &'static str,
    pub(crate) subscribers: u32,
    pub(crate) topics: Topics,
    pub(crate) bytes: usize,
    pub(crate) task: Task,
    /// Whether it is for herald alone.
    pub(crate) herald_only: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// Events go out to everybody.
    FanOut(Pace),
    /// Memory when idle, after a burst, after all have come back at once.
    Memory,
    /// Events go out beside a subscriber that reads nothing, or beside none.
    Stall { stalled: u32 },
}

/// How long it all takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: u32,
    pub(crate) span: Duration,
    pub(crate) warm_up: Duration,
    /// For what servers do on the side.
    pub(crate) settle: Duration,
    pub(crate) stall: Duration,
    /// What passes by a stalled subscriber.
    pub(crate) stall_bytes: usize,
}

impl Case {
    fn new(name: &'static str, subscribers: u32, task: Task) -> Self {
        let (group, topics) = (name, Topics::One);
        Self { name, group, subscribers, topics, bytes: BYTES, task, herald_only: false }
    }

    fn window(name: &'static str, subscribers: u32, window: u32) -> Self {
        Self::new(name, subscribers, Task::FanOut(Pace::Window(window)))
    }

    /// For herald, in turn with the group.
    fn herald(self, group: &'static str, topics: Topics) -> Self {
        Self { group, topics, herald_only: true, ..self }
    }

    fn bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// One that the command line describes.
    pub(crate) fn own(subscribers: u32, pace: Pace, bytes: usize) -> Self {
        Self::new("own", subscribers, Task::FanOut(pace)).bytes(bytes)
    }

    /// What the report calls it.
    pub(crate) fn title(&self) -> String {
        let many = |number: u32| thousands(f64::from(number));
        let (subscribers, each) = (self.subscribers, self.topics.audience(self.subscribers));
        let who = match self.topics {
            Topics::One => many(subscribers),
            Topics::Selectors => format!("{} selectors", many(subscribers)),
            Topics::Channels(channels) => format!("{} channels × {}", many(channels), many(each)),
            Topics::Few(channels) => {
                format!("{} of {} channels × {each}", many(channels), many(subscribers))
            }
        };
        let what = match self.task {
            Task::FanOut(Pace::Window(window)) => format!(", window {window}"),
            Task::FanOut(Pace::Rate(rate)) => format!(", {rate} events/s"),
            Task::Memory => String::new(),
            Task::Stall { stalled } => format!(" beside {stalled} stalled"),
        };
        let size = match self.bytes {
            BYTES => String::new(),
            bytes => format!(", {} bytes", thousands(bytes as f64)),
        };
        format!("{who}{what}{size}")
    }

    /// Small enough to be done at once.
    pub(crate) fn for_a_smoke_test(self) -> Self {
        let fewer = |many: u32| (many / 50).max(1);
        let topics = match self.topics {
            Topics::Channels(channels) => Topics::Channels(fewer(channels)),
            Topics::Few(channels) => Topics::Few(fewer(channels)),
            other => other,
        };
        Self { subscribers: fewer(self.subscribers), topics, ..self }
    }

    pub(crate) fn is_for(&self, server: &Server) -> bool {
        !self.herald_only || *server == Server::Herald
    }
}

#[rustfmt::skip]
pub(crate) fn all() -> Vec<Case> {
    use Topics::{Channels, Few, Selectors};
    vec![
        Case::window("1k-w1", 1_000, 1),
        Case::window("selectors-w1", 1_000, 1).herald("1k-w1", Selectors),
        Case::window("1k-w32", 1_000, 32),
        Case::window("selectors-w32", 1_000, 32).herald("1k-w32", Selectors),
        Case::window("10k-w1", 10_000, 1),
        Case::window("10k-w16", 10_000, 16),
        Case::window("100-w64", 100, 64),
        Case::new("1k-50hz", 1_000, Task::FanOut(Pace::Rate(50.0))),
        Case::window("channels-15000", 15_000, 32).herald("channels", Channels(15_000)),
        Case::window("channels-few", 15_000, 32).herald("channels", Few(100)),
        Case::window("channels-100", 100, 32).herald("channels", Channels(100)),
        Case::window("channels-100x150", 15_000, 32).herald("channels", Channels(100)),
        Case::new("memory", 10_000, Task::Memory),
        Case::new("stall", 100, Task::Stall { stalled: 1 })
            .herald("stall", Topics::One).bytes(16 * 1024),
        Case::new("stall-none", 100, Task::Stall { stalled: 0 })
            .herald("stall", Topics::One).bytes(16 * 1024),
    ]
}
