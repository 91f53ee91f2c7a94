//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, builder::RangedU64ValueParser, value_parser};

use crate::{
    Result,
    cases::{self, Case, Effort},
    chart,
    publisher::Pace,
    servers::{Own, Rival, Server},
    wire,
};

/// Measure herald beside other servers
#[derive(Parser)]
#[command(name = "load", allow_negative_numbers = true)]
pub(crate) struct Args {
    /// Measure this case only; may be given several times
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// Measure these servers only: herald, floor, naive, nchan, or a rival's name
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    servers: Vec<String>,
    /// Another server. {port} stands for the port that it is given. Both URLs begin with
    /// http://127.0.0.1:{port} or http://localhost:{port}, and {channel} in them stands for the
    /// channel. The command is split at white space; there is no shell, and no quoting
    #[arg(long, value_name = "NAME|COMMAND|SUBSCRIBE_URL|PUBLISH_URL")]
    rival: Vec<Rival>,
    /// How often each case is measured; the report has the medians
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long a round is
    #[arg(long, default_value = "3", value_name = "S", value_parser = seconds)]
    seconds: Duration,
    /// How long a subscriber stalls
    #[arg(long, default_value = "20", value_name = "S", value_parser = seconds)]
    stall_seconds: Duration,
    /// A case of one's own: so many subscribers
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "case",
        value_parser = value_parser!(u32).range(1..)
    )]
    subscribers: Option<u32>,
    /// Publish an event when the one so many before is with everybody, and the last was answered
    #[arg(
        long,
        default_value_t = 1,
        value_name = "W",
        requires = "subscribers",
        conflicts_with = "rate",
        value_parser = value_parser!(u32).range(1..)
    )]
    window: u32,
    /// Publish so many events a second
    #[arg(long, value_name = "R", requires = "subscribers", value_parser = number)]
    rate: Option<f64>,
    /// Bytes of an event's data
    #[arg(
        long,
        default_value_t = cases::BYTES,
        value_name = "B",
        requires = "subscribers",
        value_parser = RangedU64ValueParser::<usize>::new().range(wire::SHORTEST as u64..)
    )]
    bytes: usize,
    /// Only see that everything works, with small numbers
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "stall_seconds", "json", "svg"])]
    pub(crate) quick: bool,
    /// Write the report as JSON, with the figures of every round
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draw the main cases
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Be one of the servers
    #[arg(long, hide = true)]
    pub(crate) serve: Option<Own>,
    /// What `cargo bench` gives every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// A number of which times and rates can be made: not 0, nor beyond what a [`Duration`] holds.
fn number(text: &str) -> std::result::Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    let (least, most) = (0.001, 1_000_000.0);
    let fits = (least..=most).contains(&number);
    if fits { Ok(number) } else { Err(format!("must be from {least} to {most}")) }
}

fn seconds(text: &str) -> std::result::Result<Duration, String> {
    number(text).map(Duration::from_secs_f64)
}

impl Args {
    pub(crate) fn cases(&self) -> Result<Vec<Case>> {
        let mut cases = cases::all();
        if let Some(unknown) =
            self.case.iter().find(|name| cases.iter().all(|case| case.name != **name))
        {
            let names: Vec<_> = cases.iter().map(|case| case.name).collect();
            return Err(format!("no case {unknown}; there are {}", names.join(", ")).into());
        }
        if !self.case.is_empty() {
            cases.retain(|case| self.case.iter().any(|name| name == case.name));
        }
        if let Some(subscribers) = self.subscribers {
            let pace = self.rate.map_or(Pace::Window(self.window), Pace::Rate);
            cases = vec![Case::own(subscribers, pace, self.bytes)];
        }
        if self.quick {
            cases = cases.into_iter().map(Case::for_a_smoke_test).collect();
        }
        if self.svg.is_some() && !cases.iter().any(|case| chart::CASES.contains(&case.name)) {
            return Err(format!("--svg draws only {}", chart::CASES.join(", ")).into());
        }
        Ok(cases)
    }

    pub(crate) fn servers(&self) -> Result<Vec<Server>> {
        let mut servers = Server::OURS.to_vec();
        for rival in &self.rival {
            if servers.iter().any(|server| server.name() == rival.name) {
                return Err(format!("there is another server {}", rival.name).into());
            }
            servers.push(Server::Rival(rival.clone()));
        }
        let is_known = |name: &str| servers.iter().any(|server| server.name() == name);
        if let Some(unknown) = self.servers.iter().find(|name| !is_known(name)) {
            return Err(format!("no server {unknown}").into());
        }
        if !self.servers.is_empty() {
            servers.retain(|server| self.servers.iter().any(|name| name == server.name()));
        }
        servers.retain(|server| {
            let installed = server.is_installed();
            if !installed {
                eprintln!("{} is not installed, and left out", server.name());
            }
            installed
        });
        Ok(servers)
    }

    pub(crate) fn effort(&self) -> Effort {
        if self.quick {
            let (span, settle) = (Duration::from_millis(100), Duration::from_millis(50));
            let stall = Duration::from_millis(500);
            return Effort {
                rounds: 1,
                span,
                warm_up: span,
                settle,
                stall,
                stall_bytes: 2_000_000,
            };
        }
        Effort {
            rounds: self.rounds,
            span: self.seconds,
            warm_up: self.seconds / 5,
            settle: Duration::from_millis(500),
            stall: self.stall_seconds,
            stall_bytes: 100_000_000,
        }
    }
}
