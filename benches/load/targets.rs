//! What herald shall reach.

use serde::Serialize;

use crate::{figures::Figure, rows::Rows};

/// Another row that herald's figure is measured against.
type Row = (&'static str, &'static str);

pub(crate) struct Target {
    case: &'static str,
    figure: Figure,
    against: Option<Row>,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// So much more than the other at most.
    NotBeyond(f64),
}

#[derive(Serialize)]
pub(crate) struct Verdict {
    pub(crate) target: String,
    pub(crate) measured: String,
    pub(crate) hit: bool,
}

#[rustfmt::skip]
pub(crate) fn all() -> Vec<Target> {
    use Bound::{AtLeast, AtMost, NotBeyond};
    use Figure::*;
    let of = |case, figure, bound| Target { case, figure, against: None, bound };
    let to = |case, figure, against, bound| Target { case, figure, against: Some(against), bound };
    let than = |case, figure, server, bound| to(case, figure, (case, server), bound);
    vec![
        than("1k-w1", Cpu, "floor", AtMost(1.2)),
        than("1k-w1", Cpu, "nchan", AtMost(0.7)),
        than("1k-w32", Cpu, "floor", AtMost(0.15)),
        than("1k-w32", Deliveries, "nchan", AtLeast(10.0)),
        than("10k-w1", Cpu, "floor", AtMost(1.3)),
        than("10k-w16", Deliveries, "nchan", AtLeast(10.0)),
        than("100-w64", Deliveries, "nchan", AtLeast(5.0)),
        than("1k-50hz", P99, "nchan", AtMost(1.0)),
        than("1k-50hz", P99, "floor", AtMost(1.0)),
        of("1k-w32", PublishP50, AtMost(0.3)),
        of("1k-w32", PublishP99, AtMost(8.0)),
        of("memory", Idle, AtMost(10.5)),
        of("memory", AfterBurst, AtMost(20.0)),
        of("memory", AfterStorm, AtMost(20.0)),
        to("channels-15000", PublishCpu, ("channels-100x150", "herald"), AtMost(1.2)),
        to("channels-15000", PublishCpu, ("channels-100", "herald"), AtMost(1.2)),
        to("channels-few", PublishCpu, ("channels-100", "herald"), AtMost(1.2)),
        to("selectors-w1", Cpu, ("1k-w1", "herald"), AtMost(1.5)),
        to("selectors-w32", Cpu, ("1k-w32", "herald"), AtMost(1.5)),
        of("memory", Storm, AtLeast(1e6)),
        to("stall", P99, ("stall-none", "herald"), AtMost(1.1)),
        of("stall", BeyondJournal, AtMost(1.0)),
        to("stall", BeyondJournal, ("stall-none", "herald"), NotBeyond(1.0)),
    ]
}

impl Target {
    /// Whether it is hit, if it was measured.
    pub(crate) fn judge(&self, rows: &Rows) -> Option<Verdict> {
        let figure = self.figure;
        let value = rows.median(self.case, "herald", figure)?;
        let title = rows.title(self.case)?;
        let (other, by) = match self.against {
            None => (None, ""),
            Some((case, server)) => {
                let by = if case == self.case { server } else { rows.title(case)? };
                (Some(rows.median(case, server, figure)?), by)
            }
        };
        let ratio = other.map_or(value, |other| value / other);
        let (limit, hit) = match self.bound {
            Bound::AtMost(limit) => (format!("≤ {}", limited(figure, limit, by)), ratio <= limit),
            Bound::AtLeast(limit) => (format!("≥ {}", limited(figure, limit, by)), ratio >= limit),
            Bound::NotBeyond(limit) => (
                format!("≤ {} more than {by}", figure.show(limit)),
                value - other.unwrap_or(0.0) <= limit,
            ),
        };
        let measured = match (other, self.bound) {
            (None, _) => figure.show(value),
            (Some(other), Bound::NotBeyond(_)) => {
                format!("{} : {}", figure.show(value), figure.show(other))
            }
            (Some(other), _) => {
                format!("{ratio:.2} ({} : {})", figure.show(value), figure.show(other))
            }
        };
        let target = format!("{title}: {} {limit}", figure.title());
        Some(Verdict { target, measured, hit })
    }
}

/// A bound in the figure's unit, or in how often it is the other's.
fn limited(figure: Figure, limit: f64, other: &str) -> String {
    if other.is_empty() { figure.show(limit) } else { format!("{limit} × {other}") }
}
