//! What a person types.

mod access;
mod client;
mod config_file;
mod journal;
mod lines;
mod progress;
mod publish;
mod serve;
mod signals;
mod tail;
mod token;
mod values;

use std::{
    io::{IsTerminal, Write, stderr},
    process::ExitCode,
};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// A Server-Sent Events hub: publish over HTTP, subscribe with EventSource, lose nothing.
///
/// Without a command it serves.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Herald {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Box<serve::Serve>,
}

const EXAMPLES: &str = "Examples:
  herald                                            serve on 127.0.0.1:8080
  curl -N localhost:8080/events/demo                subscribe to the channel demo
  curl localhost:8080/events/demo -d hello          publish to it
  vmstat 1 | herald publish --lines demo/vmstat     publish a program's output, line by line
  herald tail 'demo/**'                             follow all channels under demo/";

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve a hub (the default)
    Serve(Box<serve::Serve>),
    /// Publish an event, or one for each line of standard input
    Publish(publish::Publish),
    /// Follow channels, across restarts of the hub
    Tail(tail::Tail),
    /// Make a token that lets its bearer subscribe and publish, or show one
    Token(token::Token),
}

/// A failure, told to the user in one line.
pub(crate) type Error = Box<dyn std::error::Error>;

/// A failure that is told apart from others.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// What was sent is at fault, or is too much at once.
    #[error("{0}")]
    Unacceptable(String),
    #[error("{0}; gave up")]
    OutOfPatience(Error),
    #[error("interrupted{}", published(.lines))]
    Interrupted { signal: u8, lines: Option<usize> },
}

fn published(lines: &Option<usize>) -> String {
    lines.map_or(String::new(), |lines| format!("; {lines} lines are published"))
}

/// Text that cannot take control of a terminal.
fn harmless(text: &str) -> String {
    text.replace(|char: char| char.is_control() && !matches!(char, '\n' | '\t'), "\u{fffd}")
}

/// The same in one line, so that it cannot pass for two.
fn one_line(text: &str) -> String {
    harmless(text).replace('\n', " ")
}

/// Reads the command line; on a mistake says so and exits with 2.
pub(crate) fn parse() -> Command {
    let mut herald = Herald::parse();
    let serve = match &mut herald.command {
        Some(Command::Serve(serve)) => serve,
        Some(command) => return std::mem::replace(command, Command::Serve(herald.serve)),
        None => &mut herald.serve,
    };
    let Some(path) = &serve.config else {
        return herald.command.unwrap_or(Command::Serve(herald.serve));
    };
    let with_file = match config_file::defaults(Herald::command(), path) {
        Ok(command) => command,
        Err(error) => Herald::command().error(clap::error::ErrorKind::InvalidValue, error).exit(),
    };
    let herald =
        Herald::from_arg_matches(&with_file.get_matches()).unwrap_or_else(|error| error.exit());
    herald.command.unwrap_or(Command::Serve(herald.serve))
}

/// Logs to standard error; `RUST_LOG` says how much.
pub(crate) fn start_log(command: &Command) {
    // actix-http calls the end of a misbehaving connection an error; herald ends them on purpose.
    // What the storage engine has to say, the journal says too.
    let default = "info,actix_http=off,actix_server=warn,fjall=off,lsm_tree=off";
    let mut log =
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(default));
    if !matches!(command, Command::Serve(_)) {
        // To a person, and in place of what `Progress` may have told.
        let start = if stderr().is_terminal() { "\r\x1b[K" } else { "" };
        log.format(move |out, record| {
            writeln!(out, "{start}herald: {}", one_line(&record.args().to_string()))
        });
    }
    log.init();
}

/// Tells why a command failed, and returns its exit status.
pub(crate) fn report(error: &Error) -> ExitCode {
    let status = match error.downcast_ref() {
        Some(Failure::Interrupted { signal, .. }) => 128 + signal,
        Some(Failure::OutOfPatience(_)) => 3,
        Some(Failure::Unacceptable(_)) | None => 1,
    };
    // Nobody may be reading it.
    let _ = writeln!(stderr(), "herald: {}", one_line(&error.to_string()));
    status.into()
}

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> Result<(), Error> {
    let system = actix_web::rt::System::new();
    system.block_on(async {
        match command {
            Command::Serve(serve) => serve.run().await,
            Command::Publish(publish) => publish.run().await,
            Command::Tail(tail) => tail.run().await,
            Command::Token(token) => token.run().await,
        }
    })
}
