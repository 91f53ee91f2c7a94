//! Who is asking: their token says what they may do.

use actix_web::{
    HttpRequest,
    cookie::Cookie,
    http::header::{AUTHORIZATION, ORIGIN},
};
use futures_util::future::{FutureExt, LocalBoxFuture};
use serde::Deserialize;

use super::{
    error::Error,
    origin::{header, host, is_own},
    params,
};
use crate::{auth::Tokens, grants::Grants};

/// Where a request carries its token: in `Authorization: Bearer` (RFC 6750), or else in the query,
/// or else in a cookie.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// What tokens grant.
    pub tokens: Tokens,
    /// Take one from the query, as `token`, `access_token` or `authorization`: an `EventSource`
    /// sets no headers.
    pub in_query: bool,
    /// Take one from the cookie of this name.
    pub cookie: Option<String>,
    /// Pages of these origins, beside the hub's own, may publish by cookie.
    pub origins: Vec<String>,
}

impl Bearer {
    /// A handler for [`configure`](super::configure).
    pub fn grants(
        self,
    ) -> impl Fn(HttpRequest) -> LocalBoxFuture<'static, Result<Grants, actix_web::Error>>
    + Clone
    + 'static {
        move |req| {
            let bearer = self.clone();
            async move { Ok(bearer.of(&req).await?) }.boxed_local()
        }
    }

    async fn of(&self, req: &HttpRequest) -> Result<Grants, Error> {
        let token = match self.carried(req)? {
            None => return Ok(self.tokens.anonymous().clone()),
            Some(token) => token,
        };
        self.tokens.check(&token).await.map_err(Error::Token)
    }

    fn carried(&self, req: &HttpRequest) -> Result<Option<String>, Error> {
        if let Some(token) = header(req, AUTHORIZATION)?.and_then(in_authorization) {
            return Ok(Some(token.to_owned()));
        }
        if self.in_query
            && let Some(token) = in_query(req)?
        {
            return Ok(Some(token));
        }
        let cookie = self.cookie.as_deref().and_then(|name| req.cookie(name));
        if cookie.is_some() && !req.method().is_safe() {
            // The browser sends it with whichever page's requests.
            self.check_origin(req)?;
        }
        Ok(cookie.map(|cookie: Cookie<'_>| cookie.value().to_owned()))
    }

    fn check_origin(&self, req: &HttpRequest) -> Result<(), Error> {
        let Some(origin) = header(req, ORIGIN)? else {
            let what = "a token in a cookie is good for publishing with an `Origin` only; send it as `Authorization: Bearer`";
            return Err(Error::Forbidden(what.into()));
        };
        // `*` lets no page use a cookie.
        if is_own(origin, host(req)?) || self.origins.iter().any(|named| named == origin) {
            return Ok(());
        }
        Err(Error::Forbidden(format!("pages of {origin:?} may not publish by cookie")))
    }
}

/// The token of `Bearer …`; other schemes are a proxy's business.
fn in_authorization(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

fn in_query(req: &HttpRequest) -> Result<Option<String>, Error> {
    #[derive(Deserialize)]
    struct Words {
        #[serde(alias = "access_token", alias = "authorization")]
        token: Option<String>,
    }
    let Words { token } = params::query(req)?;
    Ok(token.filter(|token| !token.is_empty()))
}
