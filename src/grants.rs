//! Grants: what a caller may do.

use crate::channel::{Channel, Pattern, Selector};

/// What a caller may subscribe and publish to.
///
/// ```
/// use herald::{Channel, Grants, Pattern};
///
/// # fn grants() -> Result<Grants, herald::ChannelError> {
/// let shopper = Grants::none()
///     .subscribe(Pattern::parse("offers/**")?)
///     .subscribe(Channel::parse("user/42")?)
///     .publish(Channel::parse("chat")?);
/// # Ok(shopper)
/// # }
/// # assert!(grants().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Grants {
    subscribe: Reach,
    publish: Reach,
}

/// Which channels.
#[derive(Clone, Debug)]
enum Reach {
    All,
    Only(Vec<Pattern>),
}

impl Grants {
    /// Everything.
    pub fn all() -> Self {
        Self { subscribe: Reach::All, publish: Reach::All }
    }

    /// Nothing.
    pub fn none() -> Self {
        Self { subscribe: Reach::Only(Vec::new()), publish: Reach::Only(Vec::new()) }
    }

    /// Adds subscribing to what `selector` takes in: its channels, its patterns, and narrower
    /// patterns.
    pub fn subscribe(mut self, selector: impl Into<Selector>) -> Self {
        self.subscribe.add(&selector.into());
        self
    }

    /// Adds publishing to the channels that `selector` takes in.
    pub fn publish(mut self, selector: impl Into<Selector>) -> Self {
        self.publish.add(&selector.into());
        self
    }

    /// The first pattern of `selector` that is not granted.
    pub(crate) fn check_subscribe<'a>(&self, selector: &'a Selector) -> Result<(), &'a Pattern> {
        let refused = selector.patterns().iter().find(|pattern| !self.subscribe.covers(pattern));
        refused.map_or(Ok(()), Err)
    }

    /// The first of an event's channels that is not granted.
    pub(crate) fn check_publish<'a>(&self, channels: &'a [Channel]) -> Result<(), &'a Channel> {
        let refused = channels.iter().find(|channel| !self.publish.takes_in(channel));
        refused.map_or(Ok(()), Err)
    }

    /// Whether subscribing to `channel` is granted.
    pub(crate) fn may_subscribe(&self, channel: &Channel) -> bool {
        self.subscribe.takes_in(channel)
    }
}

impl Reach {
    fn add(&mut self, selector: &Selector) {
        if let Self::Only(patterns) = self {
            patterns.extend_from_slice(selector.patterns());
        }
    }

    fn covers(&self, wanted: &Pattern) -> bool {
        match self {
            Self::All => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.covers(wanted)),
        }
    }

    fn takes_in(&self, channel: &Channel) -> bool {
        match self {
            Self::All => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.matches(channel)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> Channel {
        Channel::parse(name).unwrap()
    }

    fn selector(patterns: &[&str]) -> Selector {
        Selector::new(patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()))
    }

    #[test]
    fn every_pattern_must_be_granted() {
        let grants = Grants::none().subscribe(selector(&["a/*", "b"])).publish(channel("c"));
        assert_eq!(grants.check_subscribe(&selector(&["a/x", "b", "a/*"])), Ok(()));
        let wanted = selector(&["a/x", "c"]);
        assert_eq!(grants.check_subscribe(&wanted), Err(&channel("c").into()));
        assert!(grants.check_subscribe(&selector(&["a/**"])).is_err());
        assert!(grants.may_subscribe(&channel("a/x")) && !grants.may_subscribe(&channel("c")));
    }

    #[test]
    fn every_channel_of_an_event_must_be_granted() {
        let grants = Grants::none().publish(selector(&["a/**"])).publish(channel("b"));
        assert_eq!(grants.check_publish(&[channel("a/x/y"), channel("b")]), Ok(()));
        let channels = [channel("b"), channel("a")];
        assert_eq!(grants.check_publish(&channels), Err(&channels[1]));
    }

    #[test]
    fn all_takes_in_the_hubs_own_channels_and_none_nothing() {
        let wanted = selector(&["herald/stats", "**"]);
        assert_eq!(Grants::all().check_subscribe(&wanted), Ok(()));
        assert!(Grants::none().subscribe(selector(&["**"])).check_subscribe(&wanted).is_err());
        assert!(Grants::none().check_subscribe(&selector(&["a"])).is_err());
        assert!(
            Grants::all().subscribe(channel("a")).may_subscribe(&channel("b")),
            "nothing is taken away"
        );
    }
}
