//! `herald tail`.

use std::{
    io::{ErrorKind, Write},
    time::Duration,
};

use awc::{Client, http::Method};
use bytes::Bytes;
use clap::Args;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use sse_stream::{Sse, SseByteStream};

use super::{
    Error,
    client::{self, HubAddress, Patience},
};

/// A stream that is silent for so long is dead: a hub pings every 15 seconds unless told otherwise.
const SILENCE: Duration = Duration::from_secs(180);
/// How long to wait before reconnecting where the hub has not said.
const RETRY: Duration = Duration::from_secs(3);

/// Follow channels, across restarts of the hub
#[derive(Args)]
#[command(after_help = "Examples:
  herald tail demo                                  new events of one channel
  herald tail 'orders/*' --json | jq .data          of many, as JSON lines
  herald tail demo --last-event-id earliest         all that is kept, and then on")]
pub(crate) struct Tail {
    /// Channels and patterns, such as orders/eu or 'orders/*'
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Start after this event; `earliest` for all that is kept
    #[arg(long, value_name = "ID")]
    last_event_id: Option<String>,
    /// Print a JSON object a line: id, event, data
    #[arg(long)]
    json: bool,
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    hub: HubAddress,
}

/// What a stream has told so far, as an `EventSource` keeps it.
struct Progress {
    last_event_id: Option<String>,
    retry: Duration,
    left: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    id: Option<&'a str>,
    event: &'a str,
    data: &'a str,
}

/// How a stream came to its end.
enum End {
    /// Everything asked for was printed, or nobody reads it any more.
    Done,
    Lost(Error),
    Refused(Error),
}

impl Tail {
    pub(super) async fn run(self) -> Result<(), Error> {
        let client = client::client();
        let words: Vec<_> =
            self.channels.iter().map(|channel| client::query_word("channel", channel)).collect();
        let path = format!("/events?{}", words.join("&"));
        let mut patience = Patience::default();
        let mut progress = Progress {
            last_event_id: self.last_event_id.clone(),
            retry: Duration::ZERO,
            left: self.limit.unwrap_or(u64::MAX),
        };
        while progress.left > 0 {
            match self.follow(&client, &path, &mut progress, &mut patience).await {
                End::Done => break,
                End::Refused(error) => return Err(error),
                End::Lost(error) => {
                    log::warn!("{error}; reconnecting");
                    tokio::time::sleep(patience.next(progress.retry)).await;
                }
            }
        }
        Ok(())
    }

    async fn follow(
        &self,
        client: &Client,
        path: &str,
        progress: &mut Progress,
        patience: &mut Patience,
    ) -> End {
        let mut request = self
            .hub
            .request(client, Method::GET, path)
            .insert_header(("Accept", "text/event-stream, application/problem+json"));
        if let Some(id) = &progress.last_event_id {
            request = request.insert_header(("Last-Event-ID", id.as_bytes()));
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return End::Lost(error.to_string().into()),
        };
        let status = response.status();
        if !status.is_success() {
            let refusal = client::refusal(status, &response.body().await.unwrap_or_default());
            let may_pass = status.is_server_error() || status == 429;
            return if may_pass { End::Lost(refusal) } else { End::Refused(refusal) };
        }
        *patience = Patience::default();
        progress.retry = RETRY;
        self.print_events(SseByteStream::new(unless_silent(response)), progress).await
    }

    async fn print_events(
        &self,
        events: impl Stream<Item = Result<Sse, sse_stream::Error>>,
        progress: &mut Progress,
    ) -> End {
        let mut events = std::pin::pin!(events);
        while progress.left > 0 {
            let event = match events.next().await {
                Some(Ok(event)) => event,
                Some(Err(error)) => return End::Lost(error.to_string().into()),
                None => return End::Lost("the stream ended".into()),
            };
            if let Some(retry) = event.retry {
                progress.retry = Duration::from_millis(retry);
            }
            if event.id.is_some() {
                progress.last_event_id.clone_from(&event.id);
            }
            // A block without data only tells a position.
            let Some(data) = &event.data else { continue };
            match self.print(&event, data) {
                Ok(()) if is_gap(&event) => {}
                Ok(()) => progress.left -= 1,
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return End::Done,
                Err(error) => return End::Refused(error.into()),
            }
        }
        End::Done
    }

    fn print(&self, event: &Sse, data: &str) -> std::io::Result<()> {
        let event_type = event.event.as_deref().unwrap_or("message");
        let mut out = std::io::stdout().lock();
        if self.json {
            let line = Line { id: event.id.as_deref(), event: event_type, data };
            writeln!(out, "{}", serde_json::to_string(&line)?)?;
        } else if is_gap(event) {
            log::warn!("events are missing: {data}");
        } else {
            writeln!(out, "{data}")?;
        }
        out.flush()
    }
}

/// The pieces of a stream, and an error when none comes for too long; pings are pieces, too.
fn unless_silent<S, E>(pieces: S) -> impl Stream<Item = std::io::Result<Bytes>>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    stream::unfold(pieces, async |mut pieces| {
        let piece = match tokio::time::timeout(SILENCE, pieces.next()).await {
            Ok(piece) => piece?.map_err(std::io::Error::other),
            Err(_) => Err(std::io::Error::new(ErrorKind::TimedOut, "the stream is silent")),
        };
        Some((piece, pieces))
    })
}

/// The hub's notice that events are missing.
fn is_gap(event: &Sse) -> bool {
    event.event.as_deref() == Some("gap")
}
