//! Channels, patterns over them, and selectors: sets of patterns.

use std::{borrow::Borrow, collections::BTreeMap, fmt, ops::Bound, sync::Arc};

use PatternKind::{Exact, Wild};

/// The longest channel name or pattern, in bytes.
pub(crate) const MAX_CHANNEL_BYTES: usize = 255;

/// The most segments of a pattern with wildcards: what it costs to match grows with them.
pub(crate) const MAX_PATTERN_SEGMENTS: usize = 16;

/// The hub's own channels start with this: not to be published to, and matched by name only.
const RESERVED: &str = "herald/";

/// The name of a stream of events, such as `orders/eu`.
///
/// 1 to 255 bytes of UTF-8 in segments parted by `/`; no segment is empty, `.` or `..`; no control
/// character, no `*`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(Arc<str>);

impl Channel {
    /// Validates a channel's name.
    ///
    /// # Errors
    /// Says which rule `name` breaks.
    pub fn parse(name: &str) -> Result<Self, ChannelError> {
        check(name)?;
        if name.contains('*') {
            return Err(ChannelError::PatternAsChannel);
        }
        Ok(Self(name.into()))
    }

    /// The channel of `/notifications` and `/notify`.
    pub(crate) fn notifications() -> Self {
        Self("notifications".into())
    }

    /// The channel of notices that tokens and streams end before their time.
    pub(crate) fn revocations() -> Self {
        Self("herald/revocations".into())
    }

    /// The channel of the hub's statistics.
    pub(crate) fn stats() -> Self {
        Self("herald/stats".into())
    }

    /// Whether the channel is one of the hub's own, under `herald/`.
    pub(crate) fn is_reserved(&self) -> bool {
        self.0.starts_with(RESERVED)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Channel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A channel, or many: `*` stands for one whole segment anywhere, `**` only last and for one or
/// more segments; at most 16 segments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(PatternKind);

/// How a pattern is matched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PatternKind {
    /// Exactly this channel.
    Exact(Channel),
    /// Every channel that the wildcards match, save the hub's own.
    Wild(Arc<str>),
}

impl Pattern {
    /// Validates a pattern.
    ///
    /// # Errors
    /// Says which rule `text` breaks.
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        check(text)?;
        if !text.contains('*') {
            return Ok(Self(Exact(Channel(text.into()))));
        }
        let mut segments = text.split('/').peekable();
        while let Some(segment) = segments.next() {
            match segment {
                "**" if segments.peek().is_some() => return Err(ChannelError::DeepNotLast),
                "*" | "**" => {}
                _ if segment.contains('*') => return Err(ChannelError::PartialWildcard),
                _ => {}
            }
        }
        if text.starts_with(RESERVED) {
            return Err(ChannelError::ReservedPattern);
        }
        if text.split('/').count() > MAX_PATTERN_SEGMENTS {
            return Err(ChannelError::LongPattern);
        }
        Ok(Self(Wild(text.into())))
    }

    /// Whether the pattern takes in `channel`.
    pub fn matches(&self, channel: &Channel) -> bool {
        match &self.0 {
            Exact(exact) => exact == channel,
            Wild(_) if channel.is_reserved() => false,
            Wild(pattern) => {
                let mut segments = channel.as_str().split('/');
                for wanted in pattern.split('/') {
                    match segments.next() {
                        None => return false,
                        Some(_) if wanted == "**" => return true,
                        Some(segment) if wanted == "*" || wanted == segment => {}
                        Some(_) => return false,
                    }
                }
                segments.next().is_none()
            }
        }
    }

    /// Whether the pattern takes in every channel that `other` does, as their segments tell.
    pub fn covers(&self, other: &Self) -> bool {
        let (wide, narrow) = match (&self.0, &other.0) {
            (_, Exact(channel)) => return self.matches(channel),
            (Exact(_), Wild(_)) => return false,
            (Wild(wide), Wild(narrow)) => (wide, narrow),
        };
        let mut narrow = narrow.split('/');
        for wide in wide.split('/') {
            match narrow.next() {
                None => return false,
                Some(_) if wide == "**" => return true,
                Some("**") => return false,
                Some(segment) if wide == "*" || wide == segment => {}
                Some(_) => return false,
            }
        }
        narrow.next().is_none()
    }

    /// Whether some channel is taken in by both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let (one, other) = match (&self.0, &other.0) {
            (Exact(channel), _) => return other.matches(channel),
            (_, Exact(channel)) => return self.matches(channel),
            (Wild(one), Wild(other)) => (one, other),
        };
        let (mut one, mut other) = (one.split('/'), other.split('/'));
        loop {
            match (one.next(), other.next()) {
                (None, None) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some("**"), Some(_)) | (Some(_), Some("**")) => return true,
                (Some(one), Some(other)) if one == other || one == "*" || other == "*" => {}
                _ => return false,
            }
        }
    }

    pub(crate) fn kind(&self) -> &PatternKind {
        &self.0
    }

    /// What every channel of this pattern starts with.
    pub(crate) fn literal_prefix(&self) -> &str {
        match &self.0 {
            Exact(channel) => channel.as_str(),
            Wild(pattern) => pattern.split('*').next().unwrap_or_default(),
        }
    }
}

impl From<Channel> for Pattern {
    fn from(channel: Channel) -> Self {
        Self(Exact(channel))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Exact(channel) => channel.fmt(f),
            Wild(pattern) => f.write_str(pattern),
        }
    }
}

/// A set of patterns: what a subscriber listens to, or what a view lets it see.
///
/// Equal sets are equal selectors, whatever their order, if both or neither
/// [show channels](Self::showing_channels). Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    patterns: Arc<[Pattern]>,
    /// A part of what is asked for, as its events are others on the wire.
    shows_channels: bool,
}

impl Selector {
    /// A selector of `patterns`, which may repeat.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        let mut patterns: Vec<_> = patterns.into_iter().collect();
        patterns.sort();
        patterns.dedup();
        Self { patterns: patterns.into(), shows_channels: false }
    }

    /// The same, but each event begins with a line `channel: orders/eu` for each of its channels
    /// that the selector takes in. An `EventSource` ignores such lines (WHATWG HTML 9.2.6).
    ///
    /// Its subscribers share the bytes of their events among themselves only.
    pub fn showing_channels(self) -> Self {
        Self { shows_channels: true, ..self }
    }

    pub(crate) fn shows_channels(&self) -> bool {
        self.shows_channels
    }

    /// Its patterns, sorted, each once.
    pub(crate) fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether any of `channels` is taken in by any pattern.
    pub fn matches(&self, channels: &[Channel]) -> bool {
        self.those_in(channels).next().is_some()
    }

    /// Those of `channels` that are taken in by any pattern.
    pub(crate) fn those_in<'a>(
        &'a self,
        channels: &'a [Channel],
    ) -> impl Iterator<Item = &'a Channel> {
        let takes_in =
            |channel: &&Channel| self.patterns.iter().any(|pattern| pattern.matches(channel));
        channels.iter().filter(takes_in)
    }
}

impl From<Channel> for Selector {
    fn from(channel: Channel) -> Self {
        Pattern::from(channel).into()
    }
}

impl From<Pattern> for Selector {
    fn from(pattern: Pattern) -> Self {
        Self { patterns: Arc::new([pattern]), shows_channels: false }
    }
}

/// Which private events of a feed may be seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// None of them.
    Public,
    /// All of them.
    All,
    /// Those on a channel that the selector takes in.
    Only(Selector),
}

impl View {
    /// Whether an event on `channels` may be seen.
    pub(crate) fn shows(&self, channels: &[Channel], private: bool) -> bool {
        !private
            || match self {
                Self::Public => false,
                Self::All => true,
                Self::Only(selector) => selector.matches(channels),
            }
    }
}

/// The channels of a map that start with `prefix` and come after `after`, in order.
pub(crate) fn starting_with<'a, T>(
    map: &'a BTreeMap<Channel, T>,
    prefix: &str,
    after: &str,
) -> impl Iterator<Item = (&'a Channel, &'a T)> {
    let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
    map.range::<str, _>((from, Bound::Unbounded))
        .take_while(move |(channel, _)| channel.as_str().starts_with(prefix))
}

/// The rules that channels and patterns share.
fn check(name: &str) -> Result<(), ChannelError> {
    if name.is_empty() || name.len() > MAX_CHANNEL_BYTES {
        return Err(ChannelError::Length(name.len()));
    }
    if name.chars().any(char::is_control) {
        return Err(ChannelError::Control);
    }
    for segment in name.split('/') {
        match segment {
            "" => return Err(ChannelError::EmptySegment),
            "." | ".." => return Err(ChannelError::DotSegment),
            _ => {}
        }
    }
    Ok(())
}

/// Why a text cannot be a channel or a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// Empty or too long.
    #[error("channel has {0} bytes; give 1 to {MAX_CHANNEL_BYTES}")]
    Length(usize),
    /// A control character.
    #[error("channel must not contain control characters")]
    Control,
    /// `a//b`, `/a` or `a/`.
    #[error("channel has an empty segment; write it without leading, trailing or double '/'")]
    EmptySegment,
    /// `.` or `..`.
    #[error("channel must not have '.' or '..' as a segment")]
    DotSegment,
    /// A wildcard where one channel is meant.
    #[error("channel must not contain '*'; patterns are for subscribing only")]
    PatternAsChannel,
    /// `**` before the end.
    #[error("'**' may only be a pattern's last segment")]
    DeepNotLast,
    /// `a*` or the like.
    #[error("'*' must be a whole segment of a pattern")]
    PartialWildcard,
    /// Too many segments.
    #[error("a pattern with wildcards may have {MAX_PATTERN_SEGMENTS} segments at most")]
    LongPattern,
    /// A pattern over the hub's own channels.
    #[error("channels under 'herald/' are subscribed to by name, not by pattern")]
    ReservedPattern,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> Channel {
        Channel::parse(name).unwrap()
    }

    #[test]
    fn a_channels_name_is_checked() {
        for good in ["a", "orders/eu", "ünï/cödé", "a b", "a.b", "...", "50%", &"x".repeat(255)]
        {
            assert!(Channel::parse(good).is_ok(), "{good:?}");
        }
        let cases: &[(&str, ChannelError)] = &[
            ("", ChannelError::Length(0)),
            (&"x".repeat(256), ChannelError::Length(256)),
            ("a\nb", ChannelError::Control),
            ("a\u{7f}", ChannelError::Control),
            ("a\u{85}", ChannelError::Control),
            ("/a", ChannelError::EmptySegment),
            ("a/", ChannelError::EmptySegment),
            ("a//b", ChannelError::EmptySegment),
            (".", ChannelError::DotSegment),
            ("a/../b", ChannelError::DotSegment),
            ("a/*", ChannelError::PatternAsChannel),
        ];
        for (bad, error) in cases {
            assert_eq!(Channel::parse(bad), Err(*error), "{bad:?}");
        }
    }

    #[test]
    fn a_pattern_is_checked() {
        for good in ["*", "**", "a/*", "*/b", "a/*/c/**", "a", &["a"; 100].join("/")] {
            assert!(Pattern::parse(good).is_ok(), "{good:?}");
        }
        let cases = [
            ("**/a", ChannelError::DeepNotLast),
            ("a*", ChannelError::PartialWildcard),
            ("a/b*/c", ChannelError::PartialWildcard),
            ("***", ChannelError::PartialWildcard),
            ("a//*", ChannelError::EmptySegment),
            ("../*", ChannelError::DotSegment),
            ("herald/*", ChannelError::ReservedPattern),
            ("herald/**", ChannelError::ReservedPattern),
            ("*/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", ChannelError::LongPattern),
        ];
        for (bad, error) in cases {
            assert_eq!(Pattern::parse(bad), Err(error), "{bad:?}");
        }
    }

    #[test]
    fn a_star_is_one_segment_and_two_stars_are_one_or_more() {
        let matches =
            |pattern: &str, name: &str| Pattern::parse(pattern).unwrap().matches(&channel(name));
        assert!(matches("a/*", "a/b"));
        assert!(!matches("a/*", "a"));
        assert!(!matches("a/*", "a/b/c"));
        assert!(matches("*/b", "a/b"));
        assert!(matches("a/*/c", "a/b/c"));
        assert!(!matches("a/*/c", "a/b/d"));
        assert!(matches("**", "a"));
        assert!(matches("**", "a/b/c"));
        assert!(matches("a/**", "a/b/c"));
        assert!(!matches("a/**", "a"));
        assert!(matches("a/*/**", "a/b/c/d"));
        assert!(!matches("a/*/**", "a/b"));
        assert!(!matches("*", "a/b"));
    }

    /// Every name of up to `longest` segments that are each one of `segments`.
    fn names(segments: &[&str], longest: usize) -> Vec<String> {
        let mut names = Vec::new();
        let mut last = vec![String::new()];
        for _ in 0..longest {
            let longer = last.iter().flat_map(|start| {
                segments
                    .iter()
                    .map(move |end| format!("{start}/{end}").trim_start_matches('/').to_owned())
            });
            last = longer.collect();
            names.extend_from_slice(&last);
        }
        names
    }

    #[test]
    fn a_pattern_covers_or_overlaps_another_as_their_channels_say() {
        // A letter more than patterns use, and a segment more than they have, tell them apart.
        let channels: Vec<_> =
            names(&["a", "b", "c"], 4).iter().map(|name| channel(name)).collect();
        let patterns = names(&["a", "b", "*", "**"], 3);
        let patterns: Vec<_> = patterns.iter().flat_map(|text| Pattern::parse(text)).collect();
        assert_eq!(patterns.len(), 3 + 1 + 9 + 3 + 27 + 9);
        for wide in &patterns {
            for narrow in &patterns {
                let all = channels.iter().all(|name| wide.matches(name) || !narrow.matches(name));
                assert_eq!(wide.covers(narrow), all, "{wide} {narrow}");
                let any = channels.iter().any(|name| wide.matches(name) && narrow.matches(name));
                assert_eq!(wide.overlaps(narrow), any, "{wide} {narrow}");
            }
        }
    }

    #[test]
    fn the_hubs_own_channels_are_matched_by_name_only() {
        assert!(!Pattern::parse("**").unwrap().matches(&channel("herald/stats")));
        assert!(!Pattern::parse("*/stats").unwrap().matches(&channel("herald/stats")));
        assert!(Pattern::parse("herald/stats").unwrap().matches(&channel("herald/stats")));
        assert!(Pattern::parse("*").unwrap().matches(&channel("herald")));
    }

    #[test]
    fn equal_sets_are_equal_selectors() {
        let selector =
            |texts: &[&str]| Selector::new(texts.iter().map(|text| Pattern::parse(text).unwrap()));
        assert_eq!(selector(&["a", "b/*", "a"]), selector(&["b/*", "a"]));
        assert_ne!(selector(&["a"]), selector(&["b"]));
        assert_ne!(selector(&["a"]), selector(&["a"]).showing_channels());
        assert!(selector(&["a", "b/*"]).matches(&[channel("x"), channel("b/c")]));
        assert!(!selector(&["a", "b/*"]).matches(&[channel("x"), channel("b")]));
    }

    #[test]
    fn a_view_hides_private_events_only() {
        let channels = [channel("a"), channel("b")];
        let only = |name: &str| View::Only(channel(name).into());
        assert!(View::Public.shows(&channels, false));
        assert!(!View::Public.shows(&channels, true));
        assert!(View::All.shows(&channels, true));
        assert!(only("b").shows(&channels, true));
        assert!(!only("c").shows(&channels, true));
    }
}
