//! The load bench: what a delivery, a publication and a subscriber cost, over real sockets, beside
//! other servers. `cargo bench --bench load -- --help` tells what can be asked for.
//!
//! In reading order: `cases` is what is measured, `measure` how; a `session` is a server (`servers`,
//! `process`), its subscribers (`crowd`, `tally`, `wire`) and a `publisher`, which know of each
//! other's events through the `flight`; `rows`, `targets`, `report` and `chart` tell the outcome.

mod cases;
mod chart;
mod crowd;
mod figures;
mod flight;
mod measure;
mod process;
mod publisher;
mod report;
mod rows;
mod servers;
mod session;
mod tally;
mod targets;
mod topics;
mod wire;

use std::{io, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

use cases::{Case, Effort};
use publisher::Pace;
use rows::Rows;
use servers::{Own, Rival, Server};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measure herald beside other servers
#[derive(Parser)]
#[command(name = "load")]
struct Args {
    /// Measure this case only; may be given several times
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// Measure these servers only: herald, floor, naive, nchan, or a rival's name
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    servers: Vec<String>,
    /// Another server; {port} stands for the port that it is given
    #[arg(long, value_name = "NAME|COMMAND|SUBSCRIBE_URL|PUBLISH_URL")]
    rival: Vec<Rival>,
    /// How often each case is measured; the report has the medians
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// How long a round is
    #[arg(long, default_value_t = 3.0, value_name = "S")]
    seconds: f64,
    /// How long a subscriber stalls
    #[arg(long, default_value_t = 20.0, value_name = "S")]
    stall_seconds: f64,
    /// A case of one's own: so many subscribers
    #[arg(long, value_name = "N", conflicts_with = "case")]
    subscribers: Option<u32>,
    /// Publish an event when the one so many before is with everybody
    #[arg(long, value_name = "W", requires = "subscribers", conflicts_with = "rate")]
    window: Option<u32>,
    /// Publish so many events a second
    #[arg(long, value_name = "R", requires = "subscribers")]
    rate: Option<f64>,
    /// Bytes of an event's data
    #[arg(long, value_name = "B", requires = "subscribers")]
    bytes: Option<usize>,
    /// Only see that everything works, with small numbers
    #[arg(long)]
    quick: bool,
    /// Write the report as JSON, with the figures of every round
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the main cases
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Be one of the servers
    #[arg(long, hide = true)]
    serve: Option<Own>,
    /// What `cargo bench` gives every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.serve {
        Some(own) => own.serve().map(|()| true),
        None => run(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and reports; `false` if herald lost events, or failed in another way.
fn run(args: &Args) -> Result<bool> {
    // The servers inherit it.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let (cases, servers, effort) = (args.cases()?, args.servers()?, args.effort());
    let mut rows = Rows::default();
    for group in cases.chunk_by(|a, b| a.group == b.group) {
        for round in 1..=effort.rounds {
            for case in group {
                for server in servers.iter().filter(|server| case.is_for(server)) {
                    let outcome = measure::measure(case, server, effort);
                    let failed = outcome.as_ref().err().map(|error| format!(": {error}"));
                    let (name, failed) = (server.name(), failed.unwrap_or_default());
                    eprintln!("{}, round {round}, {name}{failed}", case.title);
                    rows.add(case, server, outcome);
                }
            }
        }
    }
    // A smoke test measures nothing that could be judged.
    let verdicts = if args.quick { Vec::new() } else { report::verdicts(&rows) };
    report::print(&rows, &verdicts, &mut io::stdout().lock())?;
    if let Some(path) = &args.json {
        report::write_json(&rows, &verdicts, path)?;
    }
    if let Some(path) = &args.svg {
        chart::draw(&rows, path)?;
    }
    Ok(!rows.0.iter().any(|row| row.server == "herald" && row.failure.is_some()))
}

impl Args {
    fn cases(&self) -> Result<Vec<Case>> {
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
            let window = || Pace::Window(self.window.unwrap_or(1).max(1));
            let pace = self.rate.map_or_else(window, Pace::Rate);
            cases = vec![Case::own(subscribers.max(1), pace, self.bytes)];
        }
        if self.quick {
            cases = cases.into_iter().map(Case::for_a_smoke_test).collect();
        }
        Ok(cases)
    }

    fn servers(&self) -> Result<Vec<Server>> {
        let rivals = self.rival.iter().cloned().map(Server::Rival);
        let mut servers: Vec<_> = Server::OURS.into_iter().chain(rivals).collect();
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

    fn effort(&self) -> Effort {
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
        let span = Duration::from_secs_f64(self.seconds);
        Effort {
            rounds: self.rounds,
            span,
            warm_up: span / 5,
            settle: Duration::from_millis(500),
            stall: Duration::from_secs_f64(self.stall_seconds),
            stall_bytes: 100_000_000,
        }
    }
}
