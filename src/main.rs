//! The `herald` program.

use std::process::ExitCode;

mod cli;

/// A connection costs half of what it does with the system's allocator under churn.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let command = cli::parse();
    cli::start_log(&command);
    match cli::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::report(&error),
    }
}
