//! What ends before its time: tokens that are revoked, and users who have logged out.
//!
//! A notice of it is an event on a channel of the hub's own. So it has its place in the journal,
//! reaches every node, and is there after a restart.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{
    channel::Channel,
    event::Event,
    grants::{Session, user_channel},
    journal::{Entry, Listener, Loss, News},
};

/// The longest id of a token, in bytes.
pub(crate) const MAX_TOKEN_ID_BYTES: usize = 256;
/// The most tokens that can be revoked at a time.
pub(crate) const MAX_REVOKED: usize = 100_000;

/// Ends streams, and refuses a token.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", untagged)]
pub(crate) enum Notice {
    /// The token with this id is refused until it expires, in seconds since 1970.
    Token { jti: String, exp: u64 },
    /// The user's streams end; they may come back.
    User { user: String },
}

impl Notice {
    /// The channel of notices.
    pub(crate) fn channel() -> Channel {
        Channel::revocations()
    }

    /// The notice as an event, for those to see who may read the channel.
    pub(crate) fn event(&self) -> Event {
        // What is made of texts and numbers can be written.
        let json = serde_json::to_string(self).unwrap_or_default();
        Event::new(Self::channel(), json).private(true)
    }

    /// The notices among frames.
    pub(crate) fn all_in(frames: &[u8]) -> impl Iterator<Item = Self> {
        let lines = frames.split(|byte| *byte == b'\n');
        lines.filter_map(|line| serde_json::from_slice(line.strip_prefix(b"data: ")?).ok())
    }

    /// The notice that an entry is, if it is one.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        match &*entry.channels {
            [channel] if channel.is_reserved() && *channel == Self::channel() => {
                Self::all_in(&entry.frame).next()
            }
            _ => None,
        }
    }

    /// Tells the sessions that it ends.
    pub(crate) fn ends(&self) -> impl Fn(&Session) -> bool {
        let (token, channel) = match self {
            Self::Token { jti, .. } => (Some(jti.as_str()), None),
            Self::User { user } => (None, user_channel(user).ok()),
        };
        move |session| {
            let is = |own: &Option<Channel>| own.is_some() && *own == channel;
            (token.is_some() && session.token_id.as_deref() == token) || is(&session.own_channel)
        }
    }
}

/// The tokens that are revoked.
#[derive(Debug, Default)]
pub(crate) struct Revocations(RwLock<HashMap<String, Revoked>>);

#[derive(Debug)]
struct Revoked {
    exp: u64,
    /// When a notice of it was last heard.
    heard: Instant,
}

impl Revocations {
    /// Remembers what a notice says of a token.
    pub(crate) fn take(&self, notice: Notice) {
        if let Notice::Token { jti, exp } = notice {
            let heard = Instant::now();
            let mut revoked = self.0.write();
            let known = revoked.entry(jti).or_insert(Revoked { exp, heard });
            *known = Revoked { exp: exp.max(known.exp), heard };
        }
    }

    pub(crate) fn has(&self, token_id: &str) -> bool {
        self.0.read().contains_key(token_id)
    }

    /// Whether a session is at its end, by its time or because its token is revoked.
    pub(crate) fn end(&self, session: &Session) -> bool {
        session.end.is_some_and(|end| end <= SystemTime::now())
            || session.token_id.as_deref().is_some_and(|id| self.has(id))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.read().len()
    }

    /// Forgets tokens that have expired, and returns notices of those that were not heard of for so
    /// long: the journal may let go of the last ones.
    pub(crate) fn to_repeat(&self, after: Duration) -> Vec<Notice> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut revoked = self.0.write();
        revoked.retain(|_, token| token.exp >= now);
        let old = revoked.iter().filter(|(_, token)| token.heard.elapsed() >= after);
        old.map(|(jti, token)| Notice::Token { jti: jti.clone(), exp: token.exp }).collect()
    }
}

/// Hears notices before anybody is told of them.
impl Listener for std::sync::Weak<Revocations> {
    fn hear(&self, news: News) -> bool {
        let Some(revocations) = self.upgrade() else { return false };
        news.entries().iter().filter_map(|entry| Notice::of(entry)).for_each(|notice| {
            revocations.take(notice);
        });
        true
    }

    /// What was revoked stays so.
    fn lose(&self, _: Loss) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{grants::Grants, journal::tests::entry_of};

    fn token(jti: &str, exp: u64) -> Notice {
        Notice::Token { jti: jti.into(), exp }
    }

    #[test]
    fn a_notice_is_what_its_event_says() {
        for notice in [token("a \"b\"\n", 7), Notice::User { user: "é/1".into() }] {
            assert_eq!(Notice::of(&entry_of(notice.event())), Some(notice));
        }
        let elsewhere = Event::new(Channel::notifications(), r#"{"jti":"a","exp":1}"#);
        assert_eq!(Notice::of(&entry_of(elsewhere)), None);
    }

    #[test]
    fn a_notice_ends_the_sessions_that_it_names() {
        let session = |grants: Grants| grants.session().unwrap();
        let mine = session(Grants::none().user("a/b").unwrap().token("t"));
        assert!(token("t", 1).ends()(&mine) && !token("u", 1).ends()(&mine));
        assert!(Notice::User { user: "a/b".into() }.ends()(&mine));
        for other in ["a", "a%2Fb", ""] {
            assert!(!Notice::User { user: other.into() }.ends()(&mine), "{other:?}");
        }
    }

    #[test]
    fn tokens_are_forgotten_when_they_have_expired() {
        let revocations = Revocations::default();
        revocations.take(token("old", 1));
        revocations.take(token("good", u64::MAX));
        revocations.take(token("good", 5));
        let repeated = revocations.to_repeat(Duration::ZERO);
        assert_eq!(repeated, [token("good", u64::MAX)], "nothing shortens a revocation");
        assert!(revocations.has("good") && !revocations.has("old"));
        assert_eq!(revocations.to_repeat(Duration::from_secs(60)), []);
    }
}
