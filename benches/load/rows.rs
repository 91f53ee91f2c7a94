//! What came out, for each case and server.

use serde::Serialize;

use crate::{
    cases::Case,
    figures::{Figure, Figures, medians},
    servers::Server,
};

#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) case: &'static str,
    pub(crate) title: String,
    pub(crate) server: String,
    pub(crate) median: Figures,
    pub(crate) rounds: Vec<Figures>,
    /// Why the last round that failed did.
    pub(crate) failure: Option<String>,
}

#[derive(Default)]
pub(crate) struct Rows(pub(crate) Vec<Row>);

impl Rows {
    /// A round's outcome.
    pub(crate) fn add(&mut self, case: &Case, server: &Server, outcome: crate::Result<Figures>) {
        let found =
            self.0.iter().position(|row| row.case == case.name && row.server == server.name());
        let index = found.unwrap_or_else(|| {
            self.0.push(Row {
                case: case.name,
                title: case.title.clone(),
                server: server.name().into(),
                median: Figures::new(),
                rounds: Vec::new(),
                failure: None,
            });
            self.0.len() - 1
        });
        let row = &mut self.0[index];
        match outcome {
            Ok(figures) => row.rounds.push(figures),
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

    pub(crate) fn title(&self, case: &str) -> Option<&str> {
        self.0.iter().find(|row| row.case == case).map(|row| row.title.as_str())
    }
}
