//! What is measured, by name.

use std::collections::BTreeMap;

use serde::Serialize;

/// In the order of the report's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// A second.
    Deliveries,
    /// The server's, of user and system, for each delivery, in microseconds.
    Cpu,
    /// The same for the load itself.
    LoadCpu,
    /// The server's for each event, in microseconds.
    PublishCpu,
    /// Of a delivery, from the moment that the publisher began to send, or, at a rate, was to begin;
    /// in milliseconds, as all latencies are.
    P50,
    P99,
    P999,
    Max,
    /// Of a publication until its answer, from the same moment.
    PublishP50,
    PublishP99,
    /// With a window: how many events were under way when one was published, itself among them; the
    /// mean.
    UnderWay,
    /// Until everybody had the head of the answer, in seconds.
    Connect,
    /// Memory of the server for each subscriber, in KiB; this is when nothing was published yet.
    Idle,
    AfterBurst,
    AfterStorm,
    /// The most during the storm, of a server of one process: several may share memory, of which
    /// the kernel keeps no common peak.
    StormPeak,
    /// Events a second, from the first connection to the last event.
    Storm,
    /// The most memory that the server had beyond the journal's bound, in MiB.
    BeyondJournal,
}

impl Figure {
    /// A column's head.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries/s",
            Self::Cpu => "CPU per delivery",
            Self::LoadCpu => "load's CPU",
            Self::PublishCpu => "CPU per publish",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Max => "max",
            Self::PublishP50 => "publish p50",
            Self::PublishP99 => "publish p99",
            Self::UnderWay => "under way",
            Self::Connect => "connect",
            Self::Idle => "memory each, idle",
            Self::AfterBurst => "after a burst",
            Self::AfterStorm => "after a resume storm",
            Self::StormPeak => "peak in the storm",
            Self::Storm => "storm, events/s",
            Self::BeyondJournal => "memory beyond the journal's bound",
        }
    }

    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Deliveries | Self::Storm => thousands(value),
            Self::Cpu | Self::LoadCpu | Self::PublishCpu => format!("{value:.2} µs"),
            Self::P50
            | Self::P99
            | Self::P999
            | Self::Max
            | Self::PublishP50
            | Self::PublishP99 => format!("{value:.2} ms"),
            Self::UnderWay => format!("{value:.1}"),
            Self::Connect => format!("{value:.2} s"),
            Self::Idle | Self::AfterBurst | Self::AfterStorm | Self::StormPeak => {
                format!("{value:.1} KiB")
            }
            Self::BeyondJournal => format!("{value:.1} MiB"),
        }
    }
}

pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

pub(crate) type Figures = BTreeMap<Figure, f64>;

/// Of each figure the median over the rounds.
pub(crate) fn medians(rounds: &[Figures]) -> Figures {
    let mut all: BTreeMap<Figure, Vec<f64>> = BTreeMap::new();
    for (figure, value) in rounds.iter().flatten() {
        all.entry(*figure).or_default().push(*value);
    }
    all.into_iter().map(|(figure, values)| (figure, median(values))).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        (values[middle - 1] + values[middle]) / 2.0
    } else {
        values[middle]
    }
}
