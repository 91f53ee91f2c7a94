//! Values as a person types them.

use std::{convert::Infallible, fmt, net::IpAddr, str::FromStr, time::Duration};

use herald::config::parse_span;
use ipnet::IpNet;

pub(super) fn span(text: &str) -> Result<Duration, String> {
    match any_span(text)? {
        Duration::ZERO => Err("must be longer than 0".into()),
        span => Ok(span),
    }
}

/// The kernel counts in milliseconds, and takes 0 for never.
pub(super) fn stall(text: &str) -> Result<Duration, String> {
    let span = span(text)?;
    if span < Duration::from_secs(1) { Err("must be at least 1s".into()) } else { Ok(span) }
}

/// What no message shows.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    // An error would be shown with the secret.
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        // A file with lines of another system leaves a CR.
        Ok(Self(text.trim().into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A network in CIDR notation, or an address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| address.into()));
    network.map_err(|_| "must be an address or a network such as 10.0.0.0/8".into())
}

pub(super) fn any_span(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|error| error.to_string())
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a whole number of at least 1".into()),
        Ok(number) => Ok(number),
    }
}

pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|char: char| !char.is_ascii_digit());
    let unit: usize = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err("the unit must be KiB, MiB or GiB".into()),
    };
    let number = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    number
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "must be a number of bytes such as 64MiB".into())
}
