//! Pages of other origins (the CORS protocol of the Fetch standard, 3.2).

use actix_cors::Cors;
use actix_web::http::header;

use super::stream::PING;

/// For how long a browser need not ask again, in seconds.
const MAX_AGE: usize = 3_600;

/// Lets pages of `origins` ask: with cookies if they are named, without if it is `*`, for all.
pub(crate) fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "HEAD", "POST", "DELETE"])
        .allowed_headers([header::AUTHORIZATION, header::CACHE_CONTROL, header::CONTENT_TYPE])
        .allowed_headers(["Last-Event-ID", "Idempotency-Key"])
        .expose_headers([header::RETRY_AFTER, header::WWW_AUTHENTICATE, PING])
        .block_on_origin_mismatch(false)
        .max_age(MAX_AGE);
    if origins.iter().any(|origin| origin == "*") {
        cors.send_wildcard().allow_any_origin()
    } else {
        origins.iter().fold(cors.supports_credentials(), |cors, origin| cors.allowed_origin(origin))
    }
}
