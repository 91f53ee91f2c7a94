//! Grants: what a caller may do.

use std::{sync::Arc, time::SystemTime};

use crate::channel::{Channel, ChannelError, Pattern, Selector, View};

/// What a caller may subscribe and publish to, who they are, and for how long.
///
/// ```
/// use herald::{Channel, Grants, Pattern};
///
/// # fn grants() -> Result<Grants, herald::ChannelError> {
/// let shopper = Grants::none()
///     .user("42")?
///     .subscribe(Pattern::parse("offers/**")?)
///     .publish(Channel::parse("chat")?);
/// # Ok(shopper)
/// # }
/// # assert!(grants().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Grants {
    subscribe: Reach,
    /// Subscribing to the events that are not private.
    subscribe_public: Reach,
    publish: Reach,
    is_anonymous: bool,
    session: Session,
}

/// Who the caller is, and until when: what may end a stream early.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The user's own channel.
    pub(crate) own_channel: Option<Channel>,
    pub(crate) token_id: Option<Arc<str>>,
    pub(crate) end: Option<SystemTime>,
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
        Self { subscribe: Reach::All, publish: Reach::All, ..Self::none() }
    }

    /// Nothing.
    pub fn none() -> Self {
        Self {
            subscribe: Reach::NOTHING,
            subscribe_public: Reach::NOTHING,
            publish: Reach::NOTHING,
            is_anonymous: false,
            session: Session::default(),
        }
    }

    /// Nothing, to somebody who did not say who they are: what is refused them is answered with
    /// 401, and not with 403.
    pub fn anonymous() -> Self {
        Self { is_anonymous: true, ..Self::none() }
    }

    /// The same, to somebody who has said who they are.
    pub fn identified(self) -> Self {
        Self { is_anonymous: false, ..self }
    }

    /// Adds subscribing to what `selector` takes in: its channels, its patterns, and narrower
    /// patterns.
    pub fn subscribe(mut self, selector: impl Into<Selector>) -> Self {
        self.subscribe.add(&selector.into());
        self
    }

    /// The same, but for private events.
    pub fn subscribe_public(mut self, selector: impl Into<Selector>) -> Self {
        self.subscribe_public.add(&selector.into());
        self
    }

    /// Adds publishing to the channels that `selector` takes in.
    pub fn publish(mut self, selector: impl Into<Selector>) -> Self {
        self.publish.add(&selector.into());
        self
    }

    /// Says who the caller is, and adds subscribing to their own channel, `user/{id}`.
    ///
    /// In a channel's name `%`, `/`, `*` and control characters of an id are percent-encoded.
    ///
    /// # Errors
    /// The id is empty, or too long for a channel.
    pub fn user(mut self, id: &str) -> Result<Self, ChannelError> {
        let channel = user_channel(id)?;
        self.session.own_channel = Some(channel.clone());
        Ok(self.subscribe(channel))
    }

    /// Ends it: streams, too, end then.
    pub fn until(mut self, end: SystemTime) -> Self {
        self.session.end = Some(end);
        self
    }

    /// Says by which id (`jti`) the caller's token can be revoked.
    pub fn token(mut self, id: &str) -> Self {
        self.session.token_id = Some(id.into());
        self
    }

    /// The first pattern of `selector` that is not granted.
    pub(crate) fn check_subscribe<'a>(&self, selector: &'a Selector) -> Result<(), &'a Pattern> {
        let is_granted = |pattern: &Pattern| {
            self.subscribe.covers(pattern) || self.subscribe_public.covers(pattern)
        };
        let refused = selector.patterns().iter().find(|pattern| !is_granted(pattern));
        refused.map_or(Ok(()), Err)
    }

    /// The first of an event's channels that is not granted.
    pub(crate) fn check_publish<'a>(&self, channels: &'a [Channel]) -> Result<(), &'a Channel> {
        let refused = channels.iter().find(|channel| !self.publish.takes_in(channel));
        refused.map_or(Ok(()), Err)
    }

    /// Which private events of `selector` may be seen: all where each pattern of it is granted with
    /// them, or else those on a channel that is granted by a pattern which has channels in common with
    /// it.
    ///
    /// Other grants are left out, so that those who have them share a feed with those who do not.
    pub(crate) fn view(&self, selector: &Selector) -> View {
        let wanted = selector.patterns();
        let Reach::Only(granted) = &self.subscribe else { return View::All };
        if wanted.iter().all(|pattern| self.subscribe.covers(pattern)) {
            return View::All;
        }
        let in_common = |granted: &&Pattern| wanted.iter().any(|wanted| granted.overlaps(wanted));
        let granted: Vec<_> = granted.iter().filter(in_common).cloned().collect();
        if granted.is_empty() { View::Public } else { View::Only(Selector::new(granted)) }
    }

    /// Whether subscribing to `channel` is granted.
    pub(crate) fn may_subscribe(&self, channel: &Channel) -> bool {
        self.subscribe.takes_in(channel) || self.subscribe_public.takes_in(channel)
    }

    /// Whether the caller is known, or everybody may subscribe to something.
    pub(crate) fn may_come_in(&self) -> bool {
        !self.is_anonymous || !self.subscribe_public.is_nothing() || !self.subscribe.is_nothing()
    }

    pub(crate) fn own_channel(&self) -> Option<&Channel> {
        self.session.own_channel.as_ref()
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        self.is_anonymous
    }

    /// What may end the caller's streams, if anything may.
    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        let Session { own_channel, token_id, end } = &self.session;
        let may_end = own_channel.is_some() || token_id.is_some() || end.is_some();
        may_end.then(|| Arc::new(self.session.clone()))
    }

    pub(crate) fn token_id(&self) -> Option<&str> {
        self.session.token_id.as_deref()
    }
}

/// A user's own channel.
pub(crate) fn user_channel(id: &str) -> Result<Channel, ChannelError> {
    // No segment may be `.` or `..`.
    let segment = if matches!(id, "." | "..") { id.replace('.', "%2E") } else { encoded(id) };
    Channel::parse(&format!("user/{segment}"))
}

fn encoded(id: &str) -> String {
    let mut segment = String::with_capacity(id.len());
    for char in id.chars() {
        if char.is_control() || matches!(char, '%' | '/' | '*') {
            let bytes = char.encode_utf8(&mut [0; 4]).as_bytes().to_vec();
            segment.extend(bytes.iter().map(|byte| format!("%{byte:02X}")));
        } else {
            segment.push(char);
        }
    }
    segment
}

impl Reach {
    const NOTHING: Self = Self::Only(Vec::new());

    fn is_nothing(&self) -> bool {
        matches!(self, Self::Only(patterns) if patterns.is_empty())
    }

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

    #[test]
    fn a_grant_without_private_events_grants_the_others() {
        let grants = Grants::anonymous().subscribe_public(selector(&["public/**"]));
        let wanted = selector(&["public/a"]);
        assert_eq!(grants.check_subscribe(&wanted), Ok(()));
        assert_eq!(grants.view(&wanted), View::Public);
        let grants = grants.identified().subscribe(selector(&["public/b"]));
        let more = selector(&["public/*"]);
        assert_eq!(grants.view(&more), View::Only(selector(&["public/b"])));
        assert_eq!(grants.view(&selector(&["public/b"])), View::All);
        assert_eq!(grants.view(&selector(&["public/a"])), View::Public, "whatever else is granted");
        assert_eq!(Grants::all().view(&wanted), View::All);
    }

    #[test]
    fn a_users_channel_is_one_segment_whatever_the_id() {
        for (id, channel) in [
            ("42", "user/42"),
            ("a/b", "user/a%2Fb"),
            ("50%", "user/50%25"),
            ("*", "user/%2A"),
            ("..", "user/%2E%2E"),
            (".", "user/%2E"),
            ("a.b", "user/a.b"),
            ("é\n\u{85}", "user/é%0A%C2%85"),
        ] {
            assert_eq!(user_channel(id).unwrap().as_str(), channel);
            let own = Grants::none().user(id).unwrap();
            assert_eq!(own.check_subscribe(&user_channel(id).unwrap().into()), Ok(()));
        }
        assert!(user_channel("").is_err());
        assert!(user_channel(&"x".repeat(251)).is_err());
    }
}
