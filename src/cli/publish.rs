//! `herald publish`.

use std::{
    io::{IsTerminal, Read},
    time::Duration,
};

use awc::{Client, http::Method};
use clap::Args;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use tokio::sync::oneshot;

use super::{
    Error, Failure,
    client::{self, HubAddress, Patience, Trouble},
    lines::Lines,
    progress::Progress,
    signals::Signals,
};

/// How long one try may take; the key makes another harmless.
const TRY_TIMEOUT: Duration = Duration::from_secs(30);
/// And of who has little patience.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long after an interruption it is told what is still going on.
const HINT_AFTER: Duration = Duration::from_secs(1);

/// Publish an event, or one for each line of standard input
#[derive(Args)]
#[command(after_help = "Examples:
  herald publish demo hello                         one event
  herald publish demo --event greeting '{\"to\":\"all\"}'
  herald publish demo < message.txt                 one event of several lines
  vmstat 1 | herald publish --lines demo/vmstat     an event a line, as they come

Exit status:
  0  published: the hub has it all
  1  refused, or the input cannot be read; of lines, those before the bad one are published
  2  a mistake on the command line
  3  the hub was away for longer than --patience
  130, 143  interrupted; with --lines, what is at hand is published, and how many lines that
     were in all is told; a second time at once")]
pub(crate) struct Publish {
    /// The channel, such as orders/eu
    channel: String,
    /// The event's data; `-` or nothing reads standard input
    data: Option<String>,
    /// The event's type
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,
    /// An id of your own
    #[arg(long, value_name = "ID", conflicts_with = "lines")]
    id: Option<String>,
    /// Publish only once, however often the same event comes with this key within ten minutes
    #[arg(long, value_parser = client::header_value, value_name = "KEY", conflicts_with = "lines")]
    idempotency_key: Option<String>,
    /// Publish each line of standard input as an event of its own
    #[arg(long, conflicts_with = "data")]
    lines: bool,
    /// While the hub cannot be reached, keep trying for so long
    #[arg(long, default_value = "1m", value_parser = herald::config::parse_span, value_name = "TIME")]
    patience: Duration,
    #[command(flatten)]
    hub: HubAddress,
}

/// A request that can be repeated.
struct Post {
    path: String,
    media_type: &'static str,
    key: String,
    body: bytes::Bytes,
}

impl Publish {
    pub(super) async fn run(self) -> Result<(), Error> {
        let client = client::client();
        if self.lines { self.run_lines(&client).await } else { self.run_one(&client).await }
    }

    async fn run_one(&self, client: &Client) -> Result<(), Error> {
        let data = match self.data.as_deref() {
            Some("-") | None => read_all()?,
            Some(data) => data.to_owned(),
        };
        let words = [("event", &self.event), ("id", &self.id)].into_iter();
        let words =
            words.filter_map(|(name, value)| Some(client::query_word(name, value.as_deref()?)));
        let words = words.collect::<Vec<_>>().join("&");
        let post = Post {
            path: format!("{}?{words}", client::events_path(&self.channel)),
            media_type: "text/plain; charset=utf-8",
            key: self.idempotency_key.clone().unwrap_or_else(random_key),
            body: data.into(),
        };
        self.send(client, post).await
    }

    /// Publishes lines until they end or it is interrupted, and at a second interruption no more.
    async fn run_lines(&self, client: &Client) -> Result<(), Error> {
        let mut signals = Signals::new()?;
        let (stop, stopped) = oneshot::channel();
        let twice = async {
            // Heard unless it is over anyway.
            let _ = stop.send(signals.next().await);
            let again = signals.next();
            let mut again = std::pin::pin!(again);
            tokio::select! {
                signal = &mut again => return signal,
                () = tokio::time::sleep(HINT_AFTER) => {}
            }
            log::warn!("publishing what is at hand; interrupt again to end at once");
            again.await
        };
        tokio::select! {
            result = self.publish_lines(client, stopped) => result,
            signal = twice => Err(Failure::Interrupted { signal, lines: None }.into()),
        }
    }

    async fn publish_lines(
        &self,
        client: &Client,
        mut stopped: oneshot::Receiver<u8>,
    ) -> Result<(), Error> {
        let mut lines = Lines::of_stdin();
        let mut progress = Progress::start();
        let mut interruption = None;
        loop {
            let batch = tokio::select! {
                signal = &mut stopped, if interruption.is_none() => {
                    interruption = signal.ok();
                    lines.close();
                    continue;
                }
                batch = lines.next() => batch?,
            };
            if batch.is_empty() {
                return match interruption {
                    Some(signal) => {
                        let lines = Some(progress.lines());
                        Err(Failure::Interrupted { signal, lines }.into())
                    }
                    None => Ok(()),
                };
            }
            self.publish_batch(client, &batch, &mut progress).await?;
        }
    }

    /// Publishes lines, or those before the first that the hub refuses.
    async fn publish_batch(
        &self,
        client: &Client,
        lines: &[String],
        progress: &mut Progress,
    ) -> Result<(), Error> {
        let post = Post {
            path: "/events".into(),
            media_type: "application/x-ndjson",
            key: random_key(),
            body: self.batch(lines)?.into(),
        };
        match self.send(client, post).await {
            Ok(()) => progress.add(lines.len()),
            // All or none: the hub may take less at a time, or a single line is bad.
            Err(error) if lines.len() > 1 && is_unacceptable(&error) => {
                let (first, second) = lines.split_at(lines.len() / 2);
                Box::pin(self.publish_batch(client, first, progress)).await?;
                Box::pin(self.publish_batch(client, second, progress)).await?;
            }
            Err(error) if is_unacceptable(&error) => {
                return Err(format!("line {}: {error}", progress.lines() + 1).into());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn batch(&self, lines: &[String]) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Item<'a> {
            channel: &'a str,
            data: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            event: Option<&'a str>,
        }
        let mut batch = String::new();
        for line in lines {
            let item = Item { channel: &self.channel, data: line, event: self.event.as_deref() };
            batch += &serde_json::to_string(&item)?;
            batch.push('\n');
        }
        Ok(batch)
    }

    /// Posts until it is acknowledged; the key makes the repeats harmless.
    async fn send(&self, client: &Client, post: Post) -> Result<(), Error> {
        let mut patience = Patience::new(Some(self.patience));
        loop {
            match self.try_once(client, &post).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Refused(error)) => return Err(error),
                Err(Trouble::Passing(error, wait)) => patience.wait(error, wait).await?,
            }
        }
    }

    async fn try_once(&self, client: &Client, post: &Post) -> Result<(), Trouble> {
        #[derive(Deserialize)]
        struct Receipt {
            #[serde(rename = "id", alias = "ids")]
            _ids: IgnoredAny,
        }
        let request = self.hub.request(client, Method::POST, &post.path);
        let request = request
            .timeout(TRY_TIMEOUT.min(self.patience.max(MIN_TIMEOUT)))
            .insert_header(("Content-Type", post.media_type))
            .insert_header(("Idempotency-Key", post.key.as_str()))
            .send_body(post.body.clone());
        let mut response = request.await.map_err(Trouble::sending)?;
        if !response.status().is_success() {
            return Err(Trouble::answered(response).await);
        }
        let length = response.headers().get("Content-Length");
        let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let receipt = response.body().await.map_err(Trouble::passing)?;
        match serde_json::from_slice::<Receipt>(&receipt) {
            Ok(_) => Ok(()),
            Err(_) if length.is_some_and(|length| receipt.len() < length) => {
                Err(Trouble::passing("the answer was cut short"))
            }
            Err(_) => Err(Trouble::Refused("the answer is not a hub's".into())),
        }
    }
}

fn is_unacceptable(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(Failure::Unacceptable(_)))
}

fn random_key() -> String {
    format!("{:032x}", fastrand::u128(..))
}

fn read_all() -> Result<String, Error> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("herald: reading standard input; end with Ctrl-D");
    }
    let mut data = String::new();
    stdin.read_to_string(&mut data)?;
    // The line end that an editor or `echo` adds is not part of the message.
    let line_end = ["\r\n", "\n"].into_iter().find(|end| data.ends_with(end)).unwrap_or_default();
    data.truncate(data.len() - line_end.len());
    Ok(data)
}
