//! Where a Redis is, and under which key; nothing that is shown has the password.

use std::{fmt, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

use crate::journal::JournalError;

/// The key, unless another is given.
const DEFAULT_KEY: &str = "herald";

const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that acknowledges nothing for so long is gone, whether or not it was asked anything.
const SILENCE: Duration = Duration::from_secs(5);

pub(super) struct Address {
    client: Client,
    /// In braces, so that all keys are in one slot of a cluster.
    pub(super) prefix: String,
    shown: String,
}

impl Address {
    /// Reads a URL: `redis://user:password@host:6379/0?key=herald`, or with `rediss` for TLS.
    pub(super) fn parse(text: &str) -> Result<Self, JournalError> {
        let url = redis::parse_redis_url(text);
        let mut url = url.ok_or_else(|| unavailable("it must begin with redis:// or rediss://"))?;
        let key =
            url.query_pairs().find(|(name, _)| name == "key").map(|(_, key)| key.into_owned());
        let key = key.filter(|key| !key.is_empty()).unwrap_or_else(|| DEFAULT_KEY.into());
        let others: Vec<_> = url
            .query_pairs()
            .filter(|(name, _)| name != "key")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        url.set_query(None);
        if !others.is_empty() {
            url.query_pairs_mut().extend_pairs(others);
        }
        let info = url.into_connection_info().map_err(unavailable)?;
        let shown = format!("redis {}, key {key}", info.addr());
        let client = Client::open(info.set_tcp_settings(tcp())).map_err(unavailable)?;
        Ok(Self { client, prefix: format!("{{{key}}}:"), shown })
    }

    /// Makes a connection whose answers may take `patience` each.
    pub(super) async fn connect(
        &self,
        patience: Duration,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECTION_TIMEOUT))
            .set_response_timeout(Some(patience));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE / 5);
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(SILENCE);
    tcp
}

fn unavailable(error: impl fmt::Display) -> JournalError {
    JournalError::Unavailable(format!("the address of the redis cannot be used: {error}"))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_no_password() {
        let address = Address::parse("redis://me:secret@example.com:7000/3?key=a&protocol=resp3");
        let address = address.unwrap();
        assert_eq!(address.to_string(), "redis example.com:7000, key a");
        assert_eq!(address.prefix, "{a}:");
        assert_eq!(Address::parse("redis://localhost").unwrap().prefix, "{herald}:");
        for wrong in ["", "http://localhost", "redis://me:secret@localhost/x"] {
            let error = Address::parse(wrong).err().unwrap().to_string();
            assert!(error.contains("address") && !error.contains("secret"), "{error}");
        }
    }
}
