//! What is measured: the table of cases.

use std::time::Duration;

use crate::{
    publisher::{Length, Pace},
    servers::Server,
    topics::Topics,
};

/// What README, targets and chart speak of, unless a case says otherwise.
const BYTES: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: String,
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
    pub(crate) rounds: usize,
    pub(crate) span: Duration,
    pub(crate) warm_up: Duration,
    /// For what servers do on the side.
    pub(crate) settle: Duration,
    pub(crate) stall: Duration,
    /// What passes by a stalled subscriber.
    pub(crate) stall_bytes: usize,
}

impl Effort {
    pub(crate) fn length(self) -> Length {
        Length::Time(self.span)
    }
}

impl Case {
    fn new(name: &'static str, title: &str, subscribers: u32, task: Task) -> Self {
        let (group, title) = (name, title.into());
        let topics = Topics::One;
        Self { name, title, group, subscribers, topics, bytes: BYTES, task, herald_only: false }
    }

    fn window(name: &'static str, title: &str, subscribers: u32, window: u32) -> Self {
        Self::new(name, title, subscribers, Task::FanOut(Pace::Window(window)))
    }

    /// For herald, in turn with the group.
    fn herald(self, group: &'static str, topics: Topics) -> Self {
        Self { group, topics, herald_only: true, ..self }
    }

    fn bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// One that the command line describes.
    pub(crate) fn own(subscribers: u32, pace: Pace, bytes: Option<usize>) -> Self {
        let bytes = bytes.unwrap_or(BYTES);
        let title = match pace {
            Pace::Window(window) => format!("{subscribers} × {bytes} bytes, window {window}"),
            Pace::Rate(rate) => format!("{subscribers} × {bytes} bytes, {rate} events/s"),
        };
        Self::new("own", &title, subscribers, Task::FanOut(pace)).bytes(bytes)
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
        Case::window("1k-w1", "1,000, window 1", 1_000, 1),
        Case::window("selectors-w1", "1,000 selectors, window 1", 1_000, 1).herald("1k-w1", Selectors),
        Case::window("1k-w32", "1,000, window 32", 1_000, 32),
        Case::window("selectors-w32", "1,000 selectors, window 32", 1_000, 32).herald("1k-w32", Selectors),
        Case::window("10k-w1", "10,000, window 1", 10_000, 1),
        Case::window("10k-w16", "10,000, window 16", 10_000, 16),
        Case::window("100-w64", "100, window 64", 100, 64),
        Case::new("1k-50hz", "1,000, 50 events/s", 1_000, Task::FanOut(Pace::Rate(50.0))),
        Case::window("channels-15000", "15,000 channels × 1", 15_000, 32).herald("channels", Channels(15_000)),
        Case::window("channels-few", "100 of 15,000 channels × 1", 15_000, 32).herald("channels", Few(100)),
        Case::window("channels-100", "100 channels × 1", 100, 32).herald("channels", Channels(100)),
        Case::window("channels-100x150", "100 channels × 150", 15_000, 32).herald("channels", Channels(100)),
        Case::new("memory", "10,000", 10_000, Task::Memory),
        Case::new("stall", "100 beside a stalled one", 100, Task::Stall { stalled: 1 })
            .herald("stall", Topics::One).bytes(16 * 1024),
        Case::new("stall-none", "100 beside none", 100, Task::Stall { stalled: 0 })
            .herald("stall", Topics::One).bytes(16 * 1024),
    ]
}
