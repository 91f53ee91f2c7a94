//! `GET /time`: a clock, for trying out clients and proxies.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime},
};

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use actix_web_lab::sse::{Data as Message, Event, Sse};
use futures_util::{StreamExt, stream};

use super::{
    error::Error,
    stream::{Guarded, respond},
    subscribe::refuse,
};
use crate::hub::Hub;

/// Streams the time once a second. Counts as a subscriber.
pub(super) async fn time(req: HttpRequest, hub: Data<Hub>) -> Result<HttpResponse, Error> {
    if req.method() == Method::HEAD {
        return Ok(respond(&req, ()));
    }
    let permit = match hub.admit() {
        Ok(permit) => permit,
        Err(error) => return refuse(&req, &hub, error),
    };
    let ticks = stream::unfold(
        (permit, tokio::time::interval(Duration::from_secs(1))),
        |(permit, mut interval)| async {
            interval.tick().await;
            let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
            Some((Ok::<_, Infallible>(Event::from(Message::new(now))), (permit, interval)))
        },
    );
    let clock = Sse::from_stream(Box::pin(ticks.take_until(Box::pin(hub.draining()))))
        .with_keep_alive(hub.config().ping)
        .with_retry_duration(hub.retry());
    Ok(respond(&req, Guarded::new(clock)))
}
