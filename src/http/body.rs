//! Request bodies: read within bounds, and understood as an event's data.

use std::time::Duration;

use actix_web::{HttpRequest, http::header, web::Payload};
use bytes::Bytes;
use bytestring::ByteString;
use serde_json::value::RawValue;

use super::error::Error;

/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a body within its bounds of size and time.
pub(super) async fn read(body: Payload, limit: usize) -> Result<Bytes, Error> {
    match tokio::time::timeout(TIMEOUT, body.to_bytes_limited(limit)).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(error))) => Err(Error::Invalid(format!("the body cannot be read: {error}"))),
        Ok(Err(_)) => Err(Error::BodyTooLarge { limit }),
        Err(_) => Err(Error::BodyTooSlow),
    }
}

/// A body as an event's data: JSON goes out compact, anything else as it is.
pub(super) fn data(req: &HttpRequest, body: Bytes) -> Result<ByteString, Error> {
    let media_type = req.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    if media_type.trim().eq_ignore_ascii_case("application/json") {
        let json = serde_json::from_slice::<&RawValue>(&body)
            .map_err(|error| Error::Invalid(format!("the body is not JSON: {error}")))?;
        Ok(compact(json))
    } else {
        ByteString::try_from(body).map_err(|_| Error::Invalid("the body must be UTF-8".into()))
    }
}

/// Drops the white space between the tokens of valid JSON; numbers and strings stay to the letter.
pub(super) fn compact(json: &RawValue) -> ByteString {
    let mut in_string = false;
    let mut is_escaped = false;
    let keep = |char: &char| {
        if in_string {
            in_string = is_escaped || *char != '"';
            is_escaped = !is_escaped && *char == '\\';
            true
        } else {
            in_string = *char == '"';
            !char.is_ascii_whitespace()
        }
    };
    json.get().chars().filter(keep).collect::<String>().into()
}
