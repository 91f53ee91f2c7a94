//! Requests from this machine only.

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, ORIGIN},
    middleware::Next,
};

use super::{
    error::Error,
    origin::{header, host, is_listed, is_own},
};

/// Lets only this machine's own programs and pages in: a page from elsewhere must not reach a
/// developer's hub, neither directly nor by a name that it points here (DNS rebinding).
///
/// Pages of `origins` may come from elsewhere.
pub(crate) async fn from_this_machine<B: MessageBody>(
    origins: Arc<[String]>,
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    check(req.request(), &origins)?;
    next.call(req).await
}

fn check(req: &HttpRequest, origins: &[String]) -> Result<(), Error> {
    let host = host(req)?;
    let in_target = req.uri().authority().map(|authority| authority.as_str());
    for authority in [host, in_target].into_iter().flatten() {
        if !is_local_name(authority) {
            return Err(Error::Foreign(format!(
                "the host {authority:?} is not this machine's own name"
            )));
        }
    }
    let origin = header(req, ORIGIN)?;
    if origin.is_some_and(|origin| is_listed(origin, origins)) {
        return Ok(());
    }
    // Not every request of a page carries its origin: an image's does not (Fetch Metadata, 2).
    let word = |name| header(req, HeaderName::from_static(name));
    if word("sec-fetch-site")? == Some("cross-site") && word("sec-fetch-mode")? != Some("navigate")
    {
        return Err(Error::Foreign("a page of another site asks".into()));
    }
    // A module's request carries its page's origin, of which a proxy's hub knows nothing; those of
    // the page's other reads do not.
    let is_pages_own = req.method().is_safe() && word("sec-fetch-site")? == Some("same-origin");
    match origin {
        Some(origin) if !is_pages_own && !is_own(origin, host) => {
            Err(Error::Foreign(format!("the origin {origin:?} is not this hub's")))
        }
        _ => Ok(()),
    }
}

/// `localhost` or an address, with or without a port (RFC 9110, 7.2).
fn is_local_name(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address, port),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_port = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    is_port && (host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_localhost_and_addresses_are_local_names() {
        for local in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:8080",
            "192.168.1.7:80",
        ] {
            assert!(is_local_name(local), "{local}");
        }
        for foreign in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[evil]",
            "localhost:80@evil.example",
            "localhost:abc",
            "127.0.0.1:80:90",
            "[::1]evil",
        ] {
            assert!(!is_local_name(foreign), "{foreign}");
        }
    }
}
