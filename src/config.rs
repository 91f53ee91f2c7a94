//! Settings of a hub and of its server. Plain values: who fills them in, and from where, is not
//! known here.

use std::time::Duration;

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
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 1024 * 1024, batch_events: 1_000, channels: 100, subscribers: 100_000 }
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
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(15),
            publish_timeout: Duration::from_secs(5),
            limits: Limits::default(),
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
