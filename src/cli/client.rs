//! What `publish` and `tail` share: a hub's address, and patience with it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use awc::{
    Client, ClientRequest, ClientResponse,
    error::SendRequestError,
    http::{
        Method, StatusCode, Uri,
        header::{HeaderMap, HeaderValue, RETRY_AFTER},
        uri::{Authority, Scheme},
    },
};
use bytes::Bytes;
use clap::Args;
use futures_util::Stream;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_native_certs::load_native_certs;

use super::{Error, Failure, values::Secret};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest wait that a hub can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Segments keep their slashes.
const CHANNEL: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*');

#[derive(Args, Debug)]
pub(super) struct HubAddress {
    /// The hub's address
    #[arg(long, env = "HERALD_URL", default_value = "http://127.0.0.1:8080", value_parser = hub_url, value_name = "URL")]
    url: String,
    /// What says that you may
    #[arg(long, env = "HERALD_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<Secret>,
}

impl HubAddress {
    /// A request for a path of the hub.
    pub(super) fn request(&self, client: &Client, method: Method, path: &str) -> ClientRequest {
        let request = client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        }
    }
}

fn hub_url(text: &str) -> Result<String, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
    if ![Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme()) {
        return Err("must begin with http:// or https://".into());
    }
    let is_host = |authority: &Authority| {
        let port = authority.as_str().rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        !authority.as_str().contains('@') && (port.is_none() || authority.port_u16().is_some())
    };
    if !uri.authority().is_some_and(is_host) || text.contains(['?', '#']) {
        return Err("must be a host, and perhaps a port and a path: http://host:8080/path".into());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// What can stand in a header.
pub(super) fn header_value(text: &str) -> Result<String, String> {
    match HeaderValue::from_str(text) {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err("must have a character, and no control characters".into()),
    }
}

/// A client without a time-out on the whole exchange: streams have no end.
pub(super) fn client() -> Client {
    let connector = awc::Connector::new()
        .timeout(CONNECT_TIMEOUT)
        .handshake_timeout(CONNECT_TIMEOUT)
        .rustls_0_23(tls());
    Client::builder().connector(connector).disable_timeout().disable_redirects().finish()
}

/// How HTTPS is spoken: with those that this machine trusts, over HTTP/1.1.
pub(super) fn tls() -> Arc<ClientConfig> {
    let found = load_native_certs();
    for error in found.errors {
        // Who asks for no HTTPS needs none of them.
        log::debug!("certificates cannot be read: {error}");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(roots).with_no_client_auth());
    #[expect(clippy::expect_used, reason = "ring speaks all versions that are safe")]
    let mut config = config.expect("a provider for these versions");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A channel as a path below `/events/`.
pub(super) fn events_path(channel: &str) -> String {
    format!("/events/{}", utf8_percent_encode(channel, CHANNEL))
}

/// A word of a query, encoded.
pub(super) fn query_word(name: &str, value: &str) -> String {
    format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
}

/// Why a try failed.
pub(super) enum Trouble {
    /// It will fail again.
    Refused(Error),
    /// It may pass: the hub is away or busy. It may also say for how long.
    Passing(Error, Duration),
}

impl Trouble {
    pub(super) fn passing(error: impl Into<Error>) -> Self {
        Self::Passing(error.into(), Duration::ZERO)
    }

    /// A request that brought no answer.
    pub(super) fn sending(error: SendRequestError) -> Self {
        let text = error.to_string();
        match error {
            SendRequestError::Url(_) | SendRequestError::Http(_) => Self::Refused(text.into()),
            _ => Self::passing(text),
        }
    }

    /// What the hub says is wrong, or its bare status.
    pub(super) async fn answered<S>(mut response: ClientResponse<S>) -> Self
    where
        S: Stream<Item = Result<Bytes, awc::error::PayloadError>>,
    {
        #[derive(serde::Deserialize)]
        struct Problem {
            detail: String,
        }
        let (status, wait) = (response.status(), retry_after(response.headers()));
        let body = response.body().await.unwrap_or_default();
        let error = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => problem.detail,
            Err(_) => format!("the answer is {status}, and not a hub's"),
        };
        match status {
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Self::Passing(error.into(), wait),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                Self::Refused(Failure::Unacceptable(error).into())
            }
            _ => Self::Refused(error.into()),
        }
    }
}

/// In seconds; a date is as good as none.
fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(Duration::ZERO, Duration::from_secs).min(MAX_RETRY_AFTER)
}

/// Waits between tries, until it has been long enough since the first that failed.
pub(super) struct Patience {
    /// For ever, if not said.
    limit: Option<Duration>,
    since: Option<Instant>,
    tries: u32,
}

impl Patience {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { limit, since: None, tries: 0 }
    }

    /// A try succeeded.
    pub(super) fn restore(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Waits at least `least`, and the longer the more tries failed: from a tenth of a second to
    /// five, jittered. The last try is when patience ends.
    pub(super) async fn wait(&mut self, error: Error, least: Duration) -> Result<(), Error> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let longest = Duration::from_millis(100 << self.tries.min(6)).min(Duration::from_secs(5));
        let mut wait = least + longest.mul_f64(0.5 + fastrand::f64() / 2.0);
        if let Some(limit) = self.limit {
            let left = limit.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(Failure::OutOfPatience(error).into());
            }
            wait = wait.min(left);
        }
        self.tries += 1;
        log::warn!("{error}; trying again");
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
