//! What came out, for each case and server.

use std::collections::HashSet;

use serde::Serialize;

use crate::{
    Result,
    cases::Case,
    figures::{Figure, Figures, medians},
    servers::Server,
};

/// What a round brought.
pub(crate) struct Round {
    pub(crate) figures: Figures,
    /// Why some of them are missing.
    pub(crate) note: Option<String>,
}

impl From<Figures> for Round {
    fn from(figures: Figures) -> Self {
        Self { figures, note: None }
    }
}

#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) case: &'static str,
    pub(crate) title: String,
    pub(crate) server: String,
    pub(crate) median: Figures,
    pub(crate) rounds: Vec<Figures>,
    /// Why the last round that failed did.
    pub(crate) failure: Option<String>,
    /// Why figures are missing, in the last round that said it.
    pub(crate) note: Option<String>,
}

impl Row {
    /// The least and the most of a figure, if its rounds differ by more than a fifth of the median.
    pub(crate) fn spread(&self, figure: Figure) -> Option<(f64, f64)> {
        let values = || self.rounds.iter().filter_map(|round| round.get(&figure).copied());
        let (least, most) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
        (most - least > self.median.get(&figure)? / 5.0).then_some((least, most))
    }
}

#[derive(Default)]
pub(crate) struct Rows(pub(crate) Vec<Row>);

impl Rows {
    /// A round's outcome.
    pub(crate) fn add(&mut self, case: &Case, server: &Server, outcome: Result<Round>) {
        let found =
            self.0.iter().position(|row| row.case == case.name && row.server == server.name());
        let index = found.unwrap_or_else(|| {
            self.0.push(Row {
                case: case.name,
                title: case.title(),
                server: server.name().into(),
                median: Figures::new(),
                rounds: Vec::new(),
                failure: None,
                note: None,
            });
            self.0.len() - 1
        });
        let row = &mut self.0[index];
        match outcome {
            Ok(Round { figures, note }) => {
                row.rounds.push(figures);
                row.note = note.or(row.note.take());
            }
            Err(error) => row.failure = Some(error.to_string()),
        }
        row.median = medians(&row.rounds);
    }

    pub(crate) fn row(&self, case: &str, server: &str) -> Option<&Row> {
        self.0.iter().find(|row| row.case == case && row.server == server)
    }

    pub(crate) fn median(&self, case: &str, server: &str, figure: Figure) -> Option<f64> {
        self.row(case, server)?.median.get(&figure).copied()
    }

    /// The servers that were measured, by name, in their order.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &str> {
        let mut seen = HashSet::new();
        self.0.iter().map(|row| row.server.as_str()).filter(move |server| seen.insert(*server))
    }

    pub(crate) fn title(&self, case: &str) -> Option<&str> {
        self.0.iter().find(|row| row.case == case).map(|row| row.title.as_str())
    }
}
