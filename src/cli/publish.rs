//! `herald publish`.

use std::{
    io::{IsTerminal, Read},
    time::{Duration, Instant},
};

use awc::{Client, http::Method};
use clap::Args;
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::mpsc,
};

use super::{
    Error,
    client::{self, HubAddress, Patience},
};

/// How long one try may take; the key makes another harmless.
const TRY_TIMEOUT: Duration = Duration::from_secs(30);
/// The most lines in one request.
const MAX_LINES: usize = 500;
/// The most bytes in one request of several lines.
const MAX_BYTES: usize = 256 * 1024;

/// Publish an event, or one for each line of standard input
#[derive(Args)]
#[command(after_help = "Examples:
  herald publish demo hello                         one event
  herald publish demo --event greeting '{\"to\":\"all\"}'
  herald publish demo < message.txt                 one event of several lines
  vmstat 1 | herald publish --lines demo/vmstat     an event a line, as they come")]
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
    /// Publish each line of standard input as an event of its own
    #[arg(long, conflicts_with = "data")]
    lines: bool,
    /// While the hub cannot be reached, keep trying for so long
    #[arg(long, default_value = "1m", value_parser = herald::config::parse_span, value_name = "TIME")]
    patience: Duration,
    #[command(flatten)]
    hub: HubAddress,
}

#[derive(Serialize)]
struct Item<'a> {
    channel: &'a str,
    data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
}

impl Publish {
    pub(super) async fn run(self) -> Result<(), Error> {
        let client = client::client();
        if self.lines {
            return self.publish_lines(&client).await;
        }
        let data = match self.data.as_deref() {
            Some("-") | None => read_all()?,
            Some(data) => data.to_owned(),
        };
        let words = [("event", &self.event), ("id", &self.id)];
        let words = words
            .iter()
            .filter_map(|(name, value)| Some(client::query_word(name, value.as_deref()?)));
        let path = format!(
            "{}?{}",
            client::events_path(&self.channel),
            words.collect::<Vec<_>>().join("&")
        );
        self.post(&client, &path, "text/plain; charset=utf-8", data).await
    }

    /// Publishes lines as they come, and together what came in the meantime.
    async fn publish_lines(&self, client: &Client) -> Result<(), Error> {
        let (sender, mut lines) = mpsc::channel(MAX_LINES);
        // Not joined: it may wait for a line that never comes.
        actix_web::rt::spawn(async move {
            let mut stdin = BufReader::new(tokio::io::stdin());
            loop {
                let mut line = Vec::new();
                match stdin.read_until(b'\n', &mut line).await {
                    Ok(0) => break,
                    Ok(_) => {
                        let line = String::from_utf8(line).map_err(std::io::Error::other);
                        let line = line.map(|line| line.trim_end_matches(['\r', '\n']).to_owned());
                        if sender.send(line).await.is_err() {
                            break;
                        }
                    }
                    Err(error) => {
                        let _ = sender.send(Err(error)).await;
                        break;
                    }
                }
            }
        });
        let mut next = None;
        loop {
            let mut body = match next.take() {
                Some(item) => item?,
                None => match lines.recv().await {
                    Some(line) => self.item(line)?,
                    None => return Ok(()),
                },
            };
            for _ in 1..MAX_LINES {
                let Ok(line) = lines.try_recv() else { break };
                match self.item(line) {
                    Ok(item) if body.len() + item.len() <= MAX_BYTES => body += &item,
                    // Goes next, or ends it: once what came before is published.
                    other => {
                        next = Some(other);
                        break;
                    }
                }
            }
            self.post(client, "/events", "application/x-ndjson", body).await?;
        }
    }

    fn item(&self, line: std::io::Result<String>) -> Result<String, Error> {
        let item = Item { channel: &self.channel, data: &line?, event: self.event.as_deref() };
        Ok(serde_json::to_string(&item)? + "\n")
    }

    /// Posts until it is acknowledged; a key makes the repeats harmless.
    async fn post(
        &self,
        client: &Client,
        path: &str,
        media_type: &'static str,
        body: String,
    ) -> Result<(), Error> {
        let key = format!("{:032x}", fastrand::u128(..));
        let body = bytes::Bytes::from(body);
        let since = Instant::now();
        let mut patience = Patience::default();
        loop {
            let request = self
                .hub
                .request(client, Method::POST, path)
                .timeout(TRY_TIMEOUT)
                .insert_header(("Content-Type", media_type))
                .insert_header(("Idempotency-Key", key.as_str()))
                .send_body(body.clone());
            let failure: Error = match request.await {
                Ok(mut response) if response.status().is_success() => {
                    // Read to its end, so that the connection serves the next request. The head
                    // alone was the acknowledgement.
                    let _ = response.body().await;
                    return Ok(());
                }
                Ok(mut response) => {
                    let status = response.status();
                    let failure =
                        client::refusal(status, &response.body().await.unwrap_or_default());
                    if !status.is_server_error() && status != 429 {
                        return Err(failure);
                    }
                    failure
                }
                Err(error) => error.to_string().into(),
            };
            let wait = patience.next(Duration::ZERO);
            if since.elapsed() + wait > self.patience {
                return Err(failure);
            }
            log::warn!("{failure}; trying again");
            tokio::time::sleep(wait).await;
        }
    }
}

fn read_all() -> Result<String, Error> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("herald: reading standard input; end with Ctrl-D");
    }
    let mut data = String::new();
    stdin.read_to_string(&mut data)?;
    // The line end that an editor or `echo` adds is not part of the message.
    Ok(data.strip_suffix('\n').map(str::to_owned).unwrap_or(data))
}
