//! Every error an answer can be, mapped to its status once (RFC 9457).

use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{Method, StatusCode, header},
};
use serde::Serialize;

#[cfg(feature = "jwt")]
use crate::auth::TokenError;
use crate::{
    channel::ChannelError,
    event::EventTypeError,
    hub::{PublishError, SubscribeError},
    id::OwnIdError,
    journal::JournalError,
};

/// Why a request was not served; the text says what to change.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Invalid(String),
    #[error("event {index} of the batch: {source}; nothing was published")]
    InBatch { index: usize, source: Box<Error> },
    #[error("the body is larger than {limit} bytes; send less, or split the batch")]
    BodyTooLarge { limit: usize },
    #[error("the body did not arrive in time; send it faster")]
    BodyTooSlow,
    #[error(
        "{0}; a hub without a key answers this machine's own pages only: use localhost or an address, or start it with --insecure"
    )]
    Foreign(String),
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}; send a token as `Authorization: Bearer`")]
    NoToken(String),
    #[error("the token is revoked")]
    Revoked,
    #[cfg(feature = "jwt")]
    #[error("{0}")]
    Token(TokenError),
    #[error("too many events lately; slow down, or send fewer at once")]
    TooManyEvents { wait: Duration },
    #[error("too many subscriptions from this address lately")]
    TooManySubscriptions { wait: Duration },
    #[cfg(feature = "tls")]
    #[error("this connection has {most} streams already; end some, or open another")]
    TooManyStreams { most: usize },
    #[error("nothing is served at this path")]
    NotFound,
    #[error("{method} is not served at this path; use {allow}")]
    Method { method: Method, allow: String },
    #[error("{0}{advice}", advice = advice(.0))]
    Publish(PublishError),
    #[error("{0}; try again later")]
    Subscribe(SubscribeError),
    #[error("{0}; try again later")]
    Journal(JournalError),
    #[error("{0}")]
    NotReady(&'static str),
}

impl Error {
    pub(crate) fn invalid(error: impl fmt::Display) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl Error {
    /// What an answer says of it beside its body.
    fn header(&self) -> Option<(header::HeaderName, String)> {
        match self {
            Self::InBatch { source, .. } => source.header(),
            Self::Method { allow, .. } => Some((header::ALLOW, allow.clone())),
            Self::TooManyEvents { wait } | Self::TooManySubscriptions { wait } => {
                // Whole seconds (RFC 9110, 10.2.3), and not too few.
                Some((header::RETRY_AFTER, (wait.as_secs() + 1).to_string()))
            }
            Self::NoToken(_) => Some((header::WWW_AUTHENTICATE, "Bearer".into())),
            Self::Revoked => Some((header::WWW_AUTHENTICATE, challenge(self))),
            #[cfg(feature = "jwt")]
            Self::Token(error) => Some((header::WWW_AUTHENTICATE, challenge(error))),
            _ => None,
        }
    }
}

/// When to try again after a 503, in seconds.
const RETRY_AFTER: &str = "5";

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::InBatch { source, .. } => source.status_code(),
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Foreign(_) | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NoToken(_) | Self::Revoked => StatusCode::UNAUTHORIZED,
            #[cfg(feature = "jwt")]
            Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::TooManyEvents { .. } | Self::TooManySubscriptions { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Publish(error) => error.status_code(),
            Self::Subscribe(error) => error.status_code(),
            Self::Journal(error) => error.status_code(),
            Self::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
            #[cfg(feature = "tls")]
            Self::TooManyStreams { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = problem(self.status_code(), self);
        if let Some((name, value)) = self.header()
            && let Ok(value) = value.parse()
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// What is wrong with a token (RFC 6750, 3).
fn challenge(error: &impl fmt::Display) -> String {
    // A claim may have any characters; RFC 6750 takes these but for quotes and backslashes.
    let is_quotable = |char: &char| matches!(char, ' '..='~') && !matches!(char, '"' | '\\');
    let description: String = error.to_string().chars().filter(is_quotable).collect();
    format!("Bearer error=\"invalid_token\", error_description=\"{description}\"")
}

/// The library's own errors, as answers of an app's handlers.
macro_rules! answer {
    ($($error:ty => $status:expr;)*) => {$(
        impl ResponseError for $error {
            fn status_code(&self) -> StatusCode {
                let status: fn(&Self) -> StatusCode = $status;
                status(self)
            }

            fn error_response(&self) -> HttpResponse {
                problem(self.status_code(), self)
            }
        }
    )*};
}

answer! {
    ChannelError => |_| StatusCode::BAD_REQUEST;
    EventTypeError => |_| StatusCode::BAD_REQUEST;
    OwnIdError => |_| StatusCode::BAD_REQUEST;
    PublishError => |error| match error {
        PublishError::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        PublishError::Closed | PublishError::Busy | PublishError::Journal(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    SubscribeError => |error| match error {
        SubscribeError::Revoked => StatusCode::UNAUTHORIZED,
        SubscribeError::Refused(_) | SubscribeError::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    JournalError => |_| StatusCode::SERVICE_UNAVAILABLE;
}

/// A problem as an answer (RFC 9457).
fn problem(status: StatusCode, detail: &impl fmt::Display) -> HttpResponse {
    #[derive(Serialize)]
    struct Problem {
        r#type: &'static str,
        title: &'static str,
        status: u16,
        detail: String,
    }
    let mut response = HttpResponse::build(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((header::RETRY_AFTER, RETRY_AFTER));
    }
    response
        .content_type("application/problem+json")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(Problem {
            // RFC 9457, 4.2.1: the status says it all, the detail explains.
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.to_string(),
        })
}

/// What a publisher that hears of an error had best do.
fn advice(error: &PublishError) -> &'static str {
    match error {
        PublishError::Closed => "; publish to another hub, or later",
        PublishError::KeyReused => "; give each publication a key of its own",
        PublishError::Busy | PublishError::Journal(_) => {
            "; publish them again with the same Idempotency-Key"
        }
    }
}
