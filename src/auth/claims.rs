//! What a token says.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::{TokenError, TokenRules};
use crate::{channel::Pattern, grants::Grants};

/// By so much clocks may differ before a token is not valid yet.
const LEEWAY: Duration = Duration::from_secs(60);

/// The claims that are heeded; one that is there twice is refused.
#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct Claims {
    sub: Option<String>,
    jti: Option<String>,
    /// Seconds since 1970 (RFC 7519, 2: a number, not always whole).
    exp: Option<f64>,
    nbf: Option<f64>,
    #[serde(default)]
    herald: Powers,
}

/// Channels and patterns.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Powers {
    subscribe: Vec<String>,
    publish: Vec<String>,
}

impl Claims {
    /// What they grant at `now`, with what everybody may do.
    pub(super) fn grants(self, rules: &TokenRules, now: SystemTime) -> Result<Grants, TokenError> {
        let Self { sub, jti, exp, nbf, herald } = self;
        if let Some(nbf) = nbf
            && date("nbf", nbf)? > now + LEEWAY
        {
            return Err(TokenError::NotYetValid);
        }
        let mut grants = rules.anonymous.clone().identified();
        match exp {
            Some(exp) => {
                let exp = date("exp", exp)?;
                if exp <= now {
                    return Err(TokenError::Expired);
                }
                grants = grants.until(exp);
            }
            None if rules.allow_no_expiry => {}
            None => return Err(TokenError::NoExpiry),
        }
        if let Some(sub) = sub {
            grants = grants.user(&sub).map_err(|error| wrong("sub", &error))?;
        }
        if let Some(jti) = jti {
            grants = grants.token(&jti);
        }
        for pattern in patterns("subscribe", &herald.subscribe) {
            grants = grants.subscribe(pattern?);
        }
        for pattern in patterns("publish", &herald.publish) {
            grants = grants.publish(pattern?);
        }
        Ok(grants)
    }
}

fn patterns(claim: &str, texts: &[String]) -> impl Iterator<Item = Result<Pattern, TokenError>> {
    texts.iter().map(move |text| {
        Pattern::parse(text).map_err(|error| wrong(&format!("herald.{claim} {text:?}"), &error))
    })
}

fn date(claim: &str, seconds: f64) -> Result<SystemTime, TokenError> {
    let since_epoch = Duration::try_from_secs_f64(seconds).ok();
    let date = since_epoch.and_then(|span| SystemTime::UNIX_EPOCH.checked_add(span));
    date.ok_or_else(|| wrong(claim, &"no date"))
}

fn wrong(claim: &str, why: &dyn std::fmt::Display) -> TokenError {
    TokenError::Claims(format!("{claim}: {why}"))
}
