//! What `publish` and `tail` share: a hub's address, and patience with it.

use std::time::Duration;

use awc::{Client, ClientRequest, http::Method};
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Error;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Segments keep their slashes.
const CHANNEL: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*');

#[derive(Args, Debug)]
pub(super) struct HubAddress {
    /// The hub's address
    #[arg(long, env = "HERALD_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
}

impl HubAddress {
    /// A request for a path of the hub.
    pub(super) fn request(&self, client: &Client, method: Method, path: &str) -> ClientRequest {
        client.request(method, format!("{}{path}", self.url.trim_end_matches('/')))
    }
}

/// A client without a time-out on the whole exchange: streams have no end.
pub(super) fn client() -> Client {
    let connector = awc::Connector::new().timeout(CONNECT_TIMEOUT);
    Client::builder().connector(connector).disable_timeout().disable_redirects().finish()
}

/// A channel as a path below `/events/`.
pub(super) fn events_path(channel: &str) -> String {
    format!("/events/{}", utf8_percent_encode(channel, CHANNEL))
}

/// A word of a query, encoded.
pub(super) fn query_word(name: &str, value: &str) -> String {
    format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
}

/// Waits that grow from a tenth of a second to five, each jittered.
#[derive(Default)]
pub(super) struct Patience {
    tries: u32,
}

impl Patience {
    /// The wait before the next try, at least `least`.
    pub(super) fn next(&mut self, least: Duration) -> Duration {
        let longest = Duration::from_millis(100 << self.tries.min(6)).min(Duration::from_secs(5));
        self.tries += 1;
        least + longest.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// What the hub says is wrong, or its bare status.
pub(super) fn refusal(status: awc::http::StatusCode, body: &[u8]) -> Error {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: String,
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => problem.detail.into(),
        Err(_) => format!("the hub answered {status}").into(),
    }
}
