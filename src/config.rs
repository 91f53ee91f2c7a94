//! Settings of a hub and of its server. Plain values: who fills them in, and from where, is not
//! known here.

use std::{num::NonZeroU32, time::Duration};

pub use ipnet::IpNet;

/// The largest number in a rate: what is told one by one is a microsecond apart or more.
const MAX_RATE_NUMBER: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();

/// The longest span of time that can be asked for.
const MAX_SPAN: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Reads a span of time such as `90s`, `500ms` or `1h30m`, of a year at most.
///
/// # Errors
/// Says what a span looks like.
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    // Numbers so long that their sum could overflow are beyond the year anyway.
    let has_long_number =
        text.split(|char: char| !char.is_ascii_digit()).any(|digits| digits.len() > 12);
    let span = if has_long_number { None } else { humantime::parse_duration(text).ok() };
    span.filter(|span| *span <= MAX_SPAN).ok_or(SpanError)
}

/// Not a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a span of time such as 90s, 500ms or 1h30m, of a year at most")]
pub struct SpanError;

/// How often something may be done: evenly, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many…
    pub count: NonZeroU32,
    /// …in so long,
    pub per: Duration,
    /// and so many at once, if it was less before; no more than come in 117 years.
    pub burst: NonZeroU32,
}

/// Reads a rate such as `100/s`, `10/m` or `5/h`, or `100/s:1000`, where up to 1,000 may come at
/// once. Without that, as many as in the span. Numbers are from 1 to 1,000,000.
///
/// # Errors
/// Says what a rate looks like.
pub fn parse_rate(text: &str) -> Result<Rate, RateError> {
    let (rate, burst) =
        text.split_once(':').map_or((text, None), |(rate, burst)| (rate, Some(burst)));
    let (count, unit) = rate.split_once('/').ok_or(RateError)?;
    let number = |text: &str| {
        let has_digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok();
        number.filter(|number| has_digits_only && *number <= MAX_RATE_NUMBER).ok_or(RateError)
    };
    let per = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => return Err(RateError),
    };
    let count = number(count)?;
    let burst = burst.map_or(Ok(count), number)?;
    Ok(Rate { count, per: Duration::from_secs(per), burst })
}

/// Not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a rate such as 100/s, 10/m or 5/h, perhaps with how many may come at once: 100/s:1000"
)]
pub struct RateError;

/// How much of the past a journal keeps, for the whole hub: whichever bound is reached first.
#[derive(Clone, Debug)]
pub struct History {
    /// Events, at least 1.
    pub events: usize,
    /// Age.
    pub age: Duration,
    /// Bytes: each event counts its frame, rounded up as an allocator does (by a quarter at most),
    /// its channels' names, and 128 bytes for itself and for each channel. The newest event is kept
    /// even if it is larger.
    pub bytes: usize,
}

impl Default for History {
    fn default() -> Self {
        Self { events: 1_000_000, age: Duration::from_secs(60 * 60), bytes: 64 * 1024 * 1024 }
    }
}

/// When the journal on disk is synced, and what may be lost when the machine goes down. The process
/// alone may be killed at any time: that loses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before a publication is acknowledged: nothing that was is lost.
    Always,
    /// So often: the events of the last such span may be lost, though they were acknowledged and
    /// delivered.
    Interval(Duration),
    /// When the operating system likes: some half a minute of events may be lost.
    Never,
}

/// What one request or one hub may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A request's body, in bytes.
    pub body_bytes: usize,
    /// Events in a batch.
    pub batch_events: usize,
    /// Channels and patterns of one subscriber, and channels of one event.
    pub channels: usize,
    /// Subscribers of the hub.
    pub subscribers: usize,
    /// Subscribers from one address, or from one /64 network of IPv6.
    pub subscribers_per_address: Option<usize>,
    /// Subscribers of one user.
    pub subscribers_per_user: Option<usize>,
    /// Subscribing, for each address.
    pub subscribe_rate: Option<Rate>,
    /// Publishing events, for each user, or for each address of those who are nobody. No batch may
    /// have more than the burst.
    pub publish_rate: Option<Rate>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            batch_events: 1_000,
            channels: 100,
            subscribers: 100_000,
            subscribers_per_address: None,
            subscribers_per_user: None,
            subscribe_rate: None,
            publish_rate: None,
        }
    }
}

/// A hub's settings.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// A stream that was quiet for so long gets a ping, or a fresh position.
    pub ping: Duration,
    /// How long a publisher waits for room and for the journal before it is refused.
    pub publish_timeout: Duration,
    /// Bounds on requests.
    pub limits: Limits,
    /// Proxies that say in `X-Forwarded-For` who asks.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(15),
            publish_timeout: Duration::from_secs(5),
            limits: Limits::default(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// The server's settings.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Worker threads.
    pub workers: usize,
    /// Connections of a worker; more wait to be accepted.
    pub connections: usize,
    /// A peer that acknowledges nothing, or leaves its window closed, for so long is cut off.
    pub stall: Duration,
    /// Over how long the subscribers are sent away when the server stops.
    pub drain: Duration,
    /// The kernel's send buffer for each connection, in bytes.
    pub send_buffer: usize,
    /// Pages of these origins may ask, such as `https://shop.example`; `*` stands for all, but
    /// without their cookies.
    pub origins: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            connections: 100_000,
            stall: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            send_buffer: 128 * 1024,
            origins: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_within_bounds() {
        let rate = |count, per, burst| {
            let number = |number| NonZeroU32::new(number).unwrap();
            let per = Duration::from_secs(per);
            Ok(Rate { count: number(count), per, burst: number(burst) })
        };
        assert_eq!(parse_rate("100/s"), rate(100, 1, 100));
        assert_eq!(parse_rate("5/h:1"), rate(5, 3_600, 1));
        for bad in [
            "",
            "5",
            "/s",
            "0/s",
            "5/d",
            "5/s:",
            "5/s:0",
            "-1/s",
            "1/h:4294967295",
            "4294967295/s",
            "1/s:5000000000",
            "1000001/s",
            "1/s:1000001",
            "+1/s",
        ] {
            assert_eq!(parse_rate(bad), Err(RateError), "{bad:?}");
        }
    }

    #[test]
    fn a_span_is_read_within_bounds() {
        assert_eq!(parse_span("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_span("0s"), Ok(Duration::ZERO));
        for bad in [
            "",
            "soon",
            "-1s",
            "366d",
            "18446744073709551615s1000ms",
            "584554530872y1000ms",
            "999999999999y999999999999y",
        ] {
            assert_eq!(parse_span(bad), Err(SpanError), "{bad:?}");
        }
    }
}
