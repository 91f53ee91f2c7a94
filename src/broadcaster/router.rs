//! Which feeds an event goes to.

use std::collections::{BTreeMap, HashMap};

use crate::channel::{Channel, PatternKind, Selector, starting_with};

/// The key of a feed in its broadcaster.
pub(super) type FeedKey = usize;

/// Finds the feeds whose selectors take in a channel: by name, and for patterns down a tree of
/// their segments, where patterns that begin differently are not looked at.
#[derive(Debug, Default)]
pub(super) struct Router {
    exact: BTreeMap<Channel, Vec<FeedKey>>,
    wild: Node,
}

/// The patterns that share a beginning.
#[derive(Debug, Default)]
struct Node {
    segments: HashMap<Box<str>, Node>,
    /// After a `*`.
    any: Option<Box<Node>>,
    /// Feeds whose pattern ends here.
    here: Vec<FeedKey>,
    /// Feeds whose pattern goes on with `**`.
    deep: Vec<FeedKey>,
}

impl Router {
    pub(super) fn insert(&mut self, selector: &Selector, feed: FeedKey) {
        for pattern in selector.patterns() {
            match pattern.kind() {
                PatternKind::Exact(channel) => {
                    self.exact.entry(channel.clone()).or_default().push(feed)
                }
                PatternKind::Wild(pattern) => self.wild.insert(pattern.split('/'), feed),
            }
        }
    }

    pub(super) fn remove(&mut self, selector: &Selector, feed: FeedKey) {
        for pattern in selector.patterns() {
            match pattern.kind() {
                PatternKind::Exact(channel) => {
                    if let Some(feeds) = self.exact.get_mut(channel) {
                        feeds.retain(|other| *other != feed);
                        if feeds.is_empty() {
                            self.exact.remove(channel);
                        }
                    }
                }
                PatternKind::Wild(pattern) => self.wild.remove(pattern.split('/'), feed),
            }
        }
    }

    /// Adds to `found` the feeds of an event on `channels`, each once.
    pub(super) fn find(&self, channels: &[Channel], found: &mut Vec<FeedKey>) {
        for channel in channels {
            found.extend(self.exact.get(channel).into_iter().flatten());
            if !self.wild.is_empty() && !channel.is_reserved() {
                self.wild.find(channel.as_str().split('/'), found);
            }
        }
        found.sort_unstable();
        found.dedup();
    }

    /// Up to `limit` channels subscribed to by name that start with `prefix` and come after
    /// `after`, in order.
    pub(super) fn named(&self, prefix: &str, after: &str, limit: usize) -> Vec<Channel> {
        let channels = starting_with(&self.exact, prefix, after).take(limit);
        channels.map(|(channel, _)| channel.clone()).collect()
    }
}

impl Node {
    fn insert<'a>(&mut self, mut segments: impl Iterator<Item = &'a str>, feed: FeedKey) {
        match segments.next() {
            None => self.here.push(feed),
            Some("**") => self.deep.push(feed),
            Some("*") => self.any.get_or_insert_default().insert(segments, feed),
            Some(segment) => {
                self.segments.entry(segment.into()).or_default().insert(segments, feed)
            }
        }
    }

    fn remove<'a>(&mut self, mut segments: impl Iterator<Item = &'a str>, feed: FeedKey) {
        match segments.next() {
            None => self.here.retain(|other| *other != feed),
            Some("**") => self.deep.retain(|other| *other != feed),
            Some("*") => {
                if let Some(node) = &mut self.any {
                    node.remove(segments, feed);
                    if node.is_empty() {
                        self.any = None;
                    }
                }
            }
            Some(segment) => {
                if let Some(node) = self.segments.get_mut(segment) {
                    node.remove(segments, feed);
                    if node.is_empty() {
                        self.segments.remove(segment);
                    }
                }
            }
        }
    }

    fn find<'a>(
        &self,
        mut segments: impl Iterator<Item = &'a str> + Clone,
        found: &mut Vec<FeedKey>,
    ) {
        let Some(segment) = segments.next() else {
            found.extend(&self.here);
            return;
        };
        found.extend(&self.deep);
        if let Some(node) = self.segments.get(segment) {
            node.find(segments.clone(), found);
        }
        if let Some(node) = &self.any {
            node.find(segments, found);
        }
    }

    fn is_empty(&self) -> bool {
        self.segments.is_empty()
            && self.any.is_none()
            && self.here.is_empty()
            && self.deep.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::channel::Pattern;

    fn pattern() -> impl Strategy<Value = Pattern> {
        let segment = prop_oneof![Just("a"), Just("b"), Just("*")];
        (prop::collection::vec(segment, 1..4), any::<bool>()).prop_map(|(mut segments, deep)| {
            if deep {
                segments.push("**");
            }
            Pattern::parse(&segments.join("/")).unwrap()
        })
    }

    fn channel() -> impl Strategy<Value = Channel> {
        let segment = prop_oneof![Just("a"), Just("b"), Just("c")];
        prop::collection::vec(segment, 1..6)
            .prop_map(|segments| Channel::parse(&segments.join("/")).unwrap())
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_the_selectors_match(
            selectors in prop::collection::vec(prop::collection::vec(pattern(), 1..4), 1..20),
            removed in prop::collection::vec(any::<bool>(), 20),
            channels in prop::collection::vec(channel(), 1..4),
        ) {
            let selectors: Vec<_> = selectors.into_iter().map(Selector::new).collect();
            let mut router = Router::default();
            for (feed, selector) in selectors.iter().enumerate() {
                router.insert(selector, feed);
            }
            for (feed, selector) in selectors.iter().enumerate().filter(|(feed, _)| removed[*feed]) {
                router.remove(selector, feed);
            }
            let mut found = Vec::new();
            router.find(&channels, &mut found);
            let expected: Vec<_> = (0..selectors.len())
                .filter(|feed| !removed[*feed] && selectors[*feed].matches(&channels))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn removing_every_selector_leaves_nothing_behind() {
        let selector =
            Selector::new(["a/b", "a/*/c", "a/**"].map(|text| Pattern::parse(text).unwrap()));
        let mut router = Router::default();
        router.insert(&selector, 0);
        router.remove(&selector, 0);
        assert!(router.exact.is_empty() && router.wild.is_empty());
    }
}
