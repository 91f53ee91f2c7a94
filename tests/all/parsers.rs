//! What is read of strangers' texts, given any text.

use herald::{
    Channel, EventType, LastEventId, OwnId, Pattern,
    auth::{Keys, TokenRules, Tokens},
    config::{parse_rate, parse_span},
};
use proptest::prelude::*;

use crate::mint::{SECRET, token};

/// Texts that are nearly right more often than chance would have it.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ab/*.%é \u{0}\n\r-]{0,24}",
        "(a|b|\\*|\\*\\*|herald|\\.\\.|)(/(a|\\*|\\*\\*|))*",
        "[0-9]{0,22}-?[0-9]{0,22}",
        "[0-9]{0,12}(s|ms|h|d|y|/s|/m|/h)?(:[0-9]{0,12}|[0-9]{0,3}[smh])?",
    ]
}

proptest! {
    #[test]
    fn a_channel_is_what_was_written_and_a_pattern_of_its_own(text in text()) {
        if let Ok(channel) = Channel::parse(&text) {
            prop_assert_eq!(channel.as_str(), &text);
            prop_assert!(!text.chars().any(char::is_control) && !text.contains('*'));
            let pattern = Pattern::parse(&text).unwrap();
            prop_assert!(pattern.matches(&channel));
        }
    }

    #[test]
    fn a_pattern_is_what_was_written_and_covers_itself(text in text()) {
        if let Ok(pattern) = Pattern::parse(&text) {
            prop_assert_eq!(pattern.to_string(), text);
            prop_assert!(pattern.covers(&pattern));
        }
    }

    #[test]
    fn an_id_is_what_was_written(text in text()) {
        if let Ok(own) = OwnId::parse(text.clone()) {
            prop_assert_eq!(LastEventId::parse(&text), LastEventId::Own(own));
            prop_assert_eq!(LastEventId::parse(&text).to_string(), text.clone());
        }
        if let LastEventId::Hub(id) = LastEventId::parse(&text) {
            prop_assert_eq!(id.to_string(), text.clone());
            prop_assert!(OwnId::parse(text).is_err(), "it is the hub's");
        }
    }

    #[test]
    fn a_type_has_no_line_of_its_own(text in text()) {
        if EventType::parse(text.clone()).is_ok() {
            prop_assert!(!text.contains(['\n', '\r', '\0']) && !text.is_empty());
        }
    }

    #[test]
    fn a_span_and_a_rate_are_within_their_bounds(text in text()) {
        if let Ok(span) = parse_span(&text) {
            prop_assert!(span.as_secs() <= 366 * 24 * 60 * 60);
        }
        if let Ok(rate) = parse_rate(&text) {
            prop_assert!(!(rate.per / rate.count.get()).is_zero());
        }
    }

    #[test]
    fn a_token_that_was_changed_is_none(
        place in any::<prop::sample::Index>(),
        change in any::<u8>(),
        garbage in text(),
    ) {
        let keys = Keys::default().secret(SECRET.as_bytes()).unwrap();
        let tokens = Tokens::new(keys, None, TokenRules::default());
        let good = token(&["a"], &[]);
        let check = |token: &str| futures_util::FutureExt::now_or_never(tokens.check(token)).unwrap();
        prop_assert!(check(&good).is_ok());
        let mut bytes = good.clone().into_bytes();
        // The last letter has bits that stand for nothing.
        let place = place.index(bytes.len() - 1);
        bytes[place] = change & 0x7f;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(check(&changed).is_ok(), changed == good);
        prop_assert!(check(&garbage).is_err());
    }

    #[test]
    fn a_set_of_keys_has_some_or_is_refused(garbage in text(), count in 0usize..70) {
        prop_assert!(Keys::from_jwks(garbage.as_bytes()).is_err());
        let set = serde_json::json!({"keys": vec![serde_json::json!({"kty": garbage}); count]});
        prop_assert!(Keys::from_jwks(set.to_string().as_bytes()).is_err());
        prop_assert!(Keys::default().public_pem(garbage.as_bytes()).is_err());
    }
}
