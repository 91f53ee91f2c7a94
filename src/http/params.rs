//! What a request says in its path, query and headers, validated.

use actix_web::HttpRequest;
use actix_web_lab::extract::Query;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::error::Error;

/// The segment of a path that names a channel: no app has one of this name around it.
pub(super) const CHANNEL: &str = "herald_channel";

/// The channel of a path, decoded.
pub(super) fn channel_in_path(req: &HttpRequest) -> Result<String, Error> {
    check_path(req)?;
    let encoded = req.match_info().query(CHANNEL);
    if encoded.to_ascii_lowercase().contains("%2f") {
        return Err(Error::Invalid("write '/' in a channel as '/', not as '%2F'".into()));
    }
    Ok(percent_decode_str(encoded).decode_utf8_lossy().into_owned())
}

/// The segments of a path that name a file.
pub(super) const FILE: &str = "herald_file";

/// The segment of a path that names a user.
pub(super) const USER: &str = "herald_user";

/// The user of a path, decoded; an id may have any characters.
pub(super) fn user_in_path(req: &HttpRequest) -> Result<String, Error> {
    check_path(req)?;
    Ok(percent_decode_str(req.match_info().query(USER)).decode_utf8_lossy().into_owned())
}

/// actix decodes what it can and leaves `%2F` and `%25`; what is no UTF-8 it would patch up.
fn check_path(req: &HttpRequest) -> Result<(), Error> {
    match percent_decode_str(req.uri().path()).decode_utf8() {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::Invalid("the path must be UTF-8".into())),
    }
}

/// The words of the query; unknown ones are ignored.
pub(super) fn query<T: DeserializeOwned>(req: &HttpRequest) -> Result<T, Error> {
    if percent_decode_str(req.query_string()).decode_utf8().is_err() {
        return Err(Error::Invalid("the query must be UTF-8".into()));
    }
    match Query::<T>::from_query(req.query_string()) {
        Ok(Query(words)) => Ok(words),
        Err(error) => Err(Error::Invalid(format!("the query cannot be read: {error}"))),
    }
}

/// A whole number from a range.
pub(super) fn number(word: &str, text: &str, min: u64, max: u64) -> Result<u64, Error> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits_only && (min..=max).contains(&number) => Ok(number),
        _ => Err(Error::Invalid(format!("{word} must be a whole number from {min} to {max}"))),
    }
}

/// Yes or no.
pub(super) fn flag(word: &str, text: &str) -> Result<bool, Error> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Error::Invalid(format!("{word} must be 1 or 0"))),
    }
}
