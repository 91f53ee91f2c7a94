//! Who may do what: keys, tokens and origins as a person gives them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use awc::{Client, Connector, http::Uri};
use clap::Args;
use futures_util::future::{FutureExt, LocalBoxFuture};
use herald::{
    Grants, Pattern,
    auth::{Jwks, Keys, TokenRules, Tokens},
    http::{Access, Bearer},
};

use super::{Error, client::tls, values::Secret};

/// The largest set of keys, in bytes.
const MAX_JWKS_BYTES: usize = 1 << 20;
/// How long fetching one may take.
const JWKS_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(super) struct AccessArgs {
    #[command(flatten)]
    secret: SecretArgs,
    /// Take tokens that this public key's owner signs: PEM of RSA, P-256, P-384 or Ed25519
    #[arg(long, env = "HERALD_JWT_PUBLIC_KEY_FILE", value_delimiter = ',', value_name = "FILE")]
    jwt_public_key_file: Vec<PathBuf>,
    /// Take tokens that a key of this JSON Web Key Set signs; fetched again for an unknown `kid`
    #[arg(long, env = "HERALD_JWKS", value_name = "URL|FILE")]
    jwks: Option<String>,
    /// Take tokens only if their `aud` names one of these
    #[arg(long, env = "HERALD_JWT_AUDIENCE", value_delimiter = ',', value_name = "NAME")]
    jwt_audience: Vec<String>,
    /// Take tokens only if their `iss` is one of these
    #[arg(long, env = "HERALD_JWT_ISSUER", value_delimiter = ',', value_name = "NAME")]
    jwt_issuer: Vec<String>,
    /// Take tokens without `exp` too, which never expire
    #[arg(long, env = "HERALD_ALLOW_NO_EXP")]
    allow_no_exp: bool,
    /// Take a token from this cookie
    #[arg(long, env = "HERALD_AUTH_COOKIE", default_value = "herald", value_name = "NAME")]
    auth_cookie: String,
    /// Take no token from the query (`?token=`), where an `EventSource` must put it
    #[arg(long, env = "HERALD_NO_QUERY_TOKEN")]
    no_query_token: bool,
    /// With a key: what everybody may subscribe to, but for private events
    #[arg(
        long,
        env = "HERALD_ANONYMOUS_SUBSCRIBE",
        value_parser = Pattern::parse,
        value_delimiter = ',',
        value_name = "PATTERN"
    )]
    anonymous_subscribe: Vec<Pattern>,
    /// With a key: what everybody may publish to
    #[arg(
        long,
        env = "HERALD_ANONYMOUS_PUBLISH",
        value_parser = Pattern::parse,
        value_delimiter = ',',
        value_name = "PATTERN"
    )]
    anonymous_publish: Vec<Pattern>,
    /// Let pages of this origin ask, such as https://shop.example; `*` for all, without cookies
    #[arg(
        long,
        env = "HERALD_CORS_ORIGIN",
        value_parser = origin,
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    cors_origin: Vec<String>,
    /// Let anybody publish and subscribe, on any address and from any web page
    #[arg(long, env = "HERALD_INSECURE")]
    insecure: bool,
}

/// The secret that tokens are signed with.
#[derive(Args, Debug)]
pub(super) struct SecretArgs {
    /// Take tokens that are signed with this secret of 32 bytes or more
    #[arg(long, env = "HERALD_JWT_KEY", hide_env_values = true, value_name = "SECRET")]
    jwt_key: Option<Secret>,
    /// The same secret, from a file
    #[arg(long, env = "HERALD_JWT_KEY_FILE", value_name = "FILE")]
    jwt_key_file: Option<PathBuf>,
}

impl SecretArgs {
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        match (&self.jwt_key, &self.jwt_key_file) {
            (Some(_), Some(_)) => {
                let what = "--jwt-key and --jwt-key-file are both given, perhaps in the environment \
                            or the configuration file; give one of them";
                Err(what.into())
            }
            (Some(secret), None) => Ok(Some(secret.reveal().into())),
            // Editors end a file with a line's end.
            (None, Some(path)) => Ok(Some(read(path)?.trim_ascii_end().to_vec())),
            (None, None) => Ok(None),
        }
    }
}

impl AccessArgs {
    /// Whether only this machine's own programs and pages are let in.
    pub(super) fn is_for_this_machine(&self) -> bool {
        !self.insecure && !self.has_key()
    }

    pub(super) fn origins(&self) -> Vec<String> {
        self.cors_origin.clone()
    }

    /// Reads the keys.
    pub(super) async fn access(&self) -> Result<Access, Error> {
        if !self.has_key() {
            if !self.anonymous_subscribe.is_empty() || !self.anonymous_publish.is_empty() {
                return Err("--anonymous-… needs a key: without one everybody may do everything; \
                            add --jwt-key, --jwt-public-key-file or --jwks"
                    .into());
            }
            return Ok(if self.insecure { Access::Anyone } else { Access::ThisMachine });
        }
        if self.insecure {
            return Err("--insecure lets everybody do everything, whatever their token says; \
                        leave out either it or the key"
                .into());
        }
        Ok(Access::Bearer(Bearer {
            tokens: Tokens::new(self.keys()?, self.jwks().await?, self.rules()),
            in_query: !self.no_query_token,
            cookie: Some(self.auth_cookie.clone()),
            origins: self.origins(),
        }))
    }

    fn has_key(&self) -> bool {
        let SecretArgs { jwt_key, jwt_key_file } = &self.secret;
        let has_public = !self.jwt_public_key_file.is_empty() || self.jwks.is_some();
        has_public || jwt_key.is_some() || jwt_key_file.is_some()
    }

    fn keys(&self) -> Result<Keys, Error> {
        let mut keys = Keys::default();
        if let Some(secret) = self.secret.read()? {
            keys = keys.secret(&secret)?;
        }
        for path in &self.jwt_public_key_file {
            let added = keys.public_pem(&read(path)?);
            keys = added.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(keys)
    }

    async fn jwks(&self) -> Result<Option<Jwks>, Error> {
        let Some(place) = self.jwks.clone() else { return Ok(None) };
        let is_url = place.starts_with("http://") || place.starts_with("https://");
        let fetch = {
            let place = place.clone();
            move || if is_url { from_url(&place) } else { from_file(place.clone().into()) }
        };
        Ok(Some(Jwks::fetched(place, fetch).await?))
    }

    fn rules(&self) -> TokenRules {
        let mut anonymous = Grants::anonymous();
        for pattern in &self.anonymous_subscribe {
            anonymous = anonymous.subscribe_public(pattern.clone());
        }
        for pattern in &self.anonymous_publish {
            anonymous = anonymous.publish(pattern.clone());
        }
        TokenRules {
            audiences: self.jwt_audience.clone(),
            issuers: self.jwt_issuer.clone(),
            allow_no_expiry: self.allow_no_exp,
            anonymous,
        }
    }
}

type Json = LocalBoxFuture<'static, Result<Vec<u8>, String>>;

fn from_file(path: PathBuf) -> Json {
    async move { tokio::fs::read(path).await.map_err(|error| error.to_string()) }.boxed_local()
}

fn from_url(url: &str) -> Json {
    let connector = Connector::new().timeout(JWKS_TIMEOUT).rustls_0_23(tls());
    let client = Client::builder().connector(connector).disable_redirects().finish();
    let request = client.get(url).timeout(JWKS_TIMEOUT);
    async move {
        let mut response = request.send().await.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("the answer is {}", response.status()));
        }
        let body = response.body().limit(MAX_JWKS_BYTES).await;
        body.map(Vec::from).map_err(|error| error.to_string())
    }
    .boxed_local()
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    Ok(std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// A scheme, a host, and perhaps a port (RFC 6454, 6.2).
fn origin(text: &str) -> Result<String, String> {
    let is_origin = text.parse::<Uri>().is_ok_and(|uri| {
        let parts = uri.scheme_str().zip(uri.authority());
        parts.is_some_and(|(scheme, authority)| format!("{scheme}://{authority}") == text)
    });
    if text == "*" || is_origin {
        Ok(text.to_owned())
    } else {
        Err("must be an origin such as https://shop.example or http://localhost:5173, or *".into())
    }
}
