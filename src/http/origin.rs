//! Whose page a request comes from.

use actix_web::{
    HttpRequest,
    http::{
        header::{HOST, HeaderName},
        uri::Authority,
    },
};

use super::error::Error;

/// A header that may be there once.
pub(super) fn header(req: &HttpRequest, name: HeaderName) -> Result<Option<&str>, Error> {
    let mut values = req.headers().get_all(&name);
    let value = values.next();
    if values.next().is_some() {
        return Err(Error::Invalid(format!("{name} is given twice; send it once")));
    }
    let text = value.map(|value| value.to_str());
    text.transpose().map_err(|_| Error::Invalid(format!("{name} must be ASCII")))
}

/// The host that is asked: HTTP/2 has it in the target (RFC 9113, 8.3.1).
pub(super) fn host(req: &HttpRequest) -> Result<Option<&str>, Error> {
    let in_header = header(req, HOST)?;
    Ok(in_header.or_else(|| req.uri().authority().map(Authority::as_str)))
}

/// Whether an origin (RFC 6454, 7) is that of the host which was asked.
pub(super) fn is_own(origin: &str, host: Option<&str>) -> bool {
    let site = origin.strip_prefix("http://").or(origin.strip_prefix("https://"));
    site.zip(host).is_some_and(|(site, host)| site.eq_ignore_ascii_case(host))
}

/// Whether an origin is one of those that are let in; `*` stands for all.
pub(super) fn is_listed(origin: &str, origins: &[String]) -> bool {
    origins.iter().any(|listed| listed == "*" || listed == origin)
}
