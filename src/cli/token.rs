//! `herald token`.

use std::{
    io::Write,
    time::{Duration, SystemTime},
};

use clap::Args;
use herald::{
    Pattern,
    auth::{Keys, TokenRules, Tokens},
};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header, dangerous::insecure_decode, encode, get_current_timestamp,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Error, access::SecretArgs, harmless, values::span};

/// Make a token, or show one
#[derive(Args)]
#[command(after_help = "Examples:
  export HERALD_JWT_KEY=$(openssl rand -hex 32)
  herald token --sub 42 --subscribe 'orders/*' --publish orders/eu --ttl 1h
  herald token --decode eyJ…")]
pub(crate) struct Token {
    #[command(flatten)]
    secret: SecretArgs,
    /// Whose it is: they may subscribe to user/ID
    #[arg(long, value_name = "ID")]
    sub: Option<String>,
    /// Lets subscribe to a channel or a pattern; repeat it for more
    #[arg(long, value_parser = Pattern::parse, value_name = "PATTERN")]
    subscribe: Vec<Pattern>,
    /// Lets publish to a channel or a pattern; repeat it for more
    #[arg(long, value_parser = Pattern::parse, value_name = "PATTERN")]
    publish: Vec<Pattern>,
    /// It expires after so long
    #[arg(long, default_value = "1h", value_parser = span, value_name = "TIME")]
    ttl: Duration,
    /// Its `aud`
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// Its `iss`
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Show what a token says, and with the secret, whether it is good
    #[arg(
        long,
        value_name = "TOKEN",
        conflicts_with_all = ["sub", "subscribe", "publish", "ttl", "audience", "issuer"]
    )]
    decode: Option<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    iat: u64,
    exp: u64,
    herald: Powers,
}

#[derive(Serialize)]
struct Powers {
    subscribe: Vec<String>,
    publish: Vec<String>,
}

impl Token {
    pub(super) async fn run(self) -> Result<(), Error> {
        let text = match &self.decode {
            Some(token) => self.show(token).await?,
            None => self.make()?,
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }

    fn make(&self) -> Result<String, Error> {
        let Some(secret) = self.secret.read()? else {
            return Err(
                "no secret to sign with: give --jwt-key, --jwt-key-file or HERALD_JWT_KEY".into()
            );
        };
        // The hub would not take a token of a secret that it does not take.
        Keys::default().secret(&secret)?;
        let iat = get_current_timestamp();
        let texts = |patterns: &[Pattern]| patterns.iter().map(Pattern::to_string).collect();
        let claims = Claims {
            sub: self.sub.as_deref(),
            aud: self.audience.as_deref(),
            iss: self.issuer.as_deref(),
            iat,
            exp: iat + self.ttl.as_secs().max(1),
            herald: Powers { subscribe: texts(&self.subscribe), publish: texts(&self.publish) },
        };
        let header = Header::new(Algorithm::HS256);
        Ok(encode(&header, &claims, &EncodingKey::from_secret(&secret))?)
    }

    /// What a token says, and whether it is good if that can be told.
    async fn show(&self, token: &str) -> Result<String, Error> {
        let decoded = insecure_decode::<Map<String, Value>>(token)
            .map_err(|error| format!("no token: {error}"))?;
        let mut claims = decoded.claims;
        for time in ["exp", "nbf", "iat"] {
            let date = claims.get(time).and_then(Value::as_u64).and_then(date);
            claims.extend(date.map(|date| (format!("{time} is"), date.into())));
        }
        let verdict = match self.secret.read()? {
            None => "not checked: give the secret with --jwt-key to check it".to_owned(),
            Some(secret) => {
                let keys = Keys::default().secret(&secret)?;
                let rules = TokenRules { allow_no_expiry: true, ..TokenRules::default() };
                match Tokens::new(keys, None, rules).check(token).await {
                    Ok(_) => "good".to_owned(),
                    Err(error) => error.to_string(),
                }
            }
        };
        let shown = serde_json::json!({
            "header": decoded.header,
            "claims": claims,
            "verdict": verdict,
        });
        Ok(harmless(&serde_json::to_string_pretty(&shown)?))
    }
}

fn date(seconds: u64) -> Option<String> {
    let date = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    // Later ones cannot be written in four digits.
    let is_writable = seconds < 253_402_300_800;
    is_writable.then(|| humantime::format_rfc3339_seconds(date).to_string())
}
