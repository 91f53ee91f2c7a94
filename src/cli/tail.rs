//! `herald tail`.

use std::{
    io::{ErrorKind, IsTerminal, Write, stdout},
    thread,
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use awc::{Client, http::Method};
use bytes::Bytes;
use clap::Args;
use futures_util::{Stream, StreamExt, future, stream};
use rustix::event::{PollFd, PollFlags, poll};
use serde::Serialize;
use sse_stream::{Sse, SseByteStream};
use tokio::sync::oneshot;

use super::{
    Error,
    client::{self, HubAddress, Patience, Trouble},
    harmless,
};

/// How long to wait before reconnecting where the hub has not said.
const RETRY: Duration = Duration::from_secs(3);

const DIM: Style = Style::new().dimmed();
const TYPE: Style = AnsiColor::Cyan.on_default();

/// Follow channels, across restarts of the hub
#[derive(Args)]
#[command(after_help = "Examples:
  herald tail demo                                  new events of one channel
  herald tail 'orders/*' --json | jq .data          of many, as JSON lines
  herald tail demo --last 10                        the last ten, and then on
  herald tail demo --last-event-id earliest         all that is kept, and then on

Prints each event's data; to a terminal also its id, and its type if it has one.

Exit status:
  0  --limit events were printed, or nobody reads them any more
  1  refused
  2  a mistake on the command line
  3  the hub was away for longer than --patience")]
pub(crate) struct Tail {
    /// Channels and patterns, such as orders/eu or 'orders/*'
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Start after this event; `earliest` for all that is kept
    #[arg(long, value_parser = client::header_value, value_name = "ID")]
    last_event_id: Option<String>,
    /// Start with the last N events
    #[arg(long, value_name = "N", conflicts_with = "last_event_id")]
    last: Option<u64>,
    /// Start with the events of the last TIME
    #[arg(long, value_name = "TIME", conflicts_with_all = ["last_event_id", "last"])]
    since: Option<String>,
    /// Print a JSON object a line: id, event, data
    #[arg(long)]
    json: bool,
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// While the hub cannot be reached, keep trying for so long [default: for ever]
    #[arg(long, value_parser = herald::config::parse_span, value_name = "TIME")]
    patience: Option<Duration>,
    /// Reconnect when nothing came for so long; a hub pings every 15 seconds unless told otherwise
    #[arg(long, default_value = "3m", value_parser = herald::config::parse_span, value_name = "TIME")]
    silence: Duration,
    #[command(flatten)]
    hub: HubAddress,
}

/// What a stream has told so far, as an `EventSource` keeps it.
struct Position {
    last_event_id: Option<String>,
    retry: Duration,
    left: u64,
}

/// Everything asked for was printed, or nobody reads it any more.
struct Done;

impl Tail {
    pub(super) async fn run(self) -> Result<(), Error> {
        tokio::select! {
            result = self.follow() => result,
            () = stdout_closed() => Ok(()),
        }
    }

    async fn follow(&self) -> Result<(), Error> {
        let client = client::client();
        let mut patience = Patience::new(self.patience);
        let mut position = Position {
            last_event_id: self.last_event_id.clone(),
            retry: Duration::ZERO,
            left: self.limit.unwrap_or(u64::MAX),
        };
        while position.left > 0 {
            match self.follow_stream(&client, &mut position, &mut patience).await {
                Ok(Done) => break,
                Err(Trouble::Refused(error)) => return Err(error),
                Err(Trouble::Passing(error, wait)) => {
                    patience.wait(error, wait.max(position.retry)).await?;
                }
            }
        }
        Ok(())
    }

    fn path(&self) -> String {
        let channels = self.channels.iter().map(|channel| client::query_word("channel", channel));
        // A stream that goes on begins after its last event, whatever these say.
        let last = self.last.map(|last| client::query_word("last", &last.to_string()));
        let since = self.since.as_ref().map(|since| client::query_word("since", since));
        format!("/events?{}", channels.chain(last).chain(since).collect::<Vec<_>>().join("&"))
    }

    async fn follow_stream(
        &self,
        client: &Client,
        position: &mut Position,
        patience: &mut Patience,
    ) -> Result<Done, Trouble> {
        let mut request = self
            .hub
            .request(client, Method::GET, &self.path())
            .insert_header(("Accept", "text/event-stream, application/problem+json"));
        // As an `EventSource`, which sends none if the last id was empty.
        if let Some(id) = position.last_event_id.as_ref().filter(|id| !id.is_empty()) {
            request = request.insert_header(("Last-Event-ID", id.as_bytes()));
        }
        let answer = tokio::time::timeout(self.silence, async {
            match request.send().await {
                Ok(response) if response.status().is_success() => Ok(response),
                Ok(response) => Err(Trouble::answered(response).await),
                Err(error) => Err(Trouble::sending(error)),
            }
        });
        let response = answer.await.map_err(|_| Trouble::passing("the hub is silent"))??;
        let content_type = response.headers().get("Content-Type");
        let content_type = content_type.and_then(|value| value.to_str().ok()?.split(';').next());
        if !content_type.is_some_and(|name| name.trim().eq_ignore_ascii_case("text/event-stream")) {
            return Err(Trouble::Refused("the answer is not a hub's".into()));
        }
        patience.restore();
        position.retry = RETRY;
        self.print_events(SseByteStream::new(self.unless_silent(response)), position).await
    }

    async fn print_events(
        &self,
        events: impl Stream<Item = Result<Sse, sse_stream::Error>>,
        position: &mut Position,
    ) -> Result<Done, Trouble> {
        let mut events = std::pin::pin!(events);
        while position.left > 0 {
            let event = match events.next().await {
                Some(event) => event.map_err(|error| Trouble::passing(error.to_string()))?,
                None => return Err(Trouble::passing("the stream ended")),
            };
            if let Some(retry) = event.retry {
                position.retry = Duration::from_millis(retry);
            }
            if event.id.is_some() {
                position.last_event_id.clone_from(&event.id);
            }
            // A block without data only tells a position.
            let Some(data) = &event.data else { continue };
            match self.print(&event, data) {
                Ok(()) if is_gap(&event) => {}
                Ok(()) => position.left -= 1,
                Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                Err(error) => return Err(Trouble::Refused(error.into())),
            }
        }
        Ok(Done)
    }

    fn print(&self, event: &Sse, data: &str) -> std::io::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            id: Option<&'a str>,
            event: &'a str,
            data: &'a str,
        }
        let mut out = stdout().lock();
        if self.json {
            let event_type = event.event.as_deref().unwrap_or("message");
            let line = Line { id: event.id.as_deref(), event: event_type, data };
            let line = serde_json::to_string(&line)?;
            writeln!(out, "{}", if out.is_terminal() { harmless(&line) } else { line })?;
        } else if is_gap(event) {
            log::warn!("events are missing: {data}");
        } else if out.is_terminal() {
            return print_to_person(event, data);
        } else {
            writeln!(out, "{data}")?;
        }
        out.flush()
    }

    /// The pieces of a stream, and an error when none comes for too long; pings are pieces, too.
    fn unless_silent<S, E>(&self, pieces: S) -> impl Stream<Item = std::io::Result<Bytes>>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::error::Error + Send + Sync + 'static,
    {
        let silence = self.silence;
        stream::unfold(pieces, move |mut pieces| async move {
            let piece = match tokio::time::timeout(silence, pieces.next()).await {
                Ok(piece) => piece?.map_err(std::io::Error::other),
                Err(_) => Err(std::io::Error::new(ErrorKind::TimedOut, "the stream is silent")),
            };
            Some((piece, pieces))
        })
    }
}

fn print_to_person(event: &Sse, data: &str) -> std::io::Result<()> {
    // Leaves the colours out where they are not wanted.
    let mut out = anstream::stdout().lock();
    if let Some(id) = &event.id {
        write!(out, "{DIM}{}{DIM:#} ", harmless(id))?;
    }
    if let Some(event_type) = &event.event {
        write!(out, "{TYPE}{}{TYPE:#} ", harmless(event_type))?;
    }
    writeln!(out, "{}", harmless(data))
}

/// The hub's notice that events are missing.
fn is_gap(event: &Sse) -> bool {
    event.event.as_deref() == Some("gap")
}

/// Resolves when nobody reads standard output any more: a pipe's reader has left.
async fn stdout_closed() {
    let (sender, closed) = oneshot::channel();
    // Not the runtime's, which would wait for it at the end.
    thread::spawn(move || {
        let stdout = stdout();
        // Errors and hang-ups are always told.
        let polled = poll(&mut [PollFd::new(&stdout, PollFlags::empty())], None);
        // Nobody may be there to hear it.
        polled.is_ok().then(|| sender.send(()))
    });
    if closed.await.is_err() {
        future::pending().await
    }
}
