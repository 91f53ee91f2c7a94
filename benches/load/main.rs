//! The load bench: what a delivery, a publication and a subscriber cost, over real sockets, beside
//! other servers. `cargo bench --bench load -- --help` tells what can be asked for.
//!
//! In reading order: `args` and `cases` are what is measured, `measure` how; a `session` is a server
//! (`servers`, `process`), its subscribers (`crowd`, `subscriber`, `tally`, `wire`) and a
//! `publisher`, which know of each other's events through the `flight`; a `reader` stands beside
//! them; `rows`, `targets`, `report` and `chart` tell the outcome.

mod args;
mod cases;
mod chart;
mod crowd;
mod figures;
mod flight;
mod measure;
mod process;
mod publisher;
mod reader;
mod report;
mod rows;
mod servers;
mod session;
mod subscriber;
mod tally;
mod targets;
mod topics;
mod wire;

use std::{io, process::ExitCode};

use clap::Parser;

use args::Args;
use rows::Rows;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

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
    if !servers.iter().any(|server| cases.iter().any(|case| case.is_for(server))) {
        return Err("none of these cases is for any of these servers".into());
    }
    let mut rows = Rows::default();
    for group in cases.chunk_by(|a, b| a.group == b.group) {
        for round in 1..=effort.rounds {
            for case in group {
                for server in servers.iter().filter(|server| case.is_for(server)) {
                    let outcome = measure::measure(case, server, effort);
                    let failed = outcome.as_ref().err().map(|error| format!(": {error}"));
                    let (name, failed) = (server.name(), failed.unwrap_or_default());
                    eprintln!("{}, round {round}, {name}{failed}", case.title());
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
