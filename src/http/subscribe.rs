//! Subscribing: `GET /events…`.

use std::{net::IpAddr, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web::Data,
};
use serde::Deserialize;

use super::{
    address::counted_address,
    caller::Caller,
    error::Error,
    params::{self, channel_in_path},
    stream,
};
use crate::{
    channel::{Channel, Pattern, Selector},
    config::parse_span,
    grants::Grants,
    hub::{Hub, SubscribeError},
    id::LastEventId,
    journal::Start,
    subscriber::Subscription,
};

/// The most events that `last` can ask for.
const MAX_LAST: u64 = 100_000;

/// `GET /events/{channel}`
pub(super) async fn one(
    req: HttpRequest,
    hub: Data<Hub>,
    caller: Caller,
) -> Result<HttpResponse, Error> {
    let words = params::query::<Words>(&req)?;
    let pattern = Pattern::parse(&channel_in_path(&req)?).map_err(Error::invalid)?;
    answer(&req, &hub, &caller, pattern.into(), words).await
}

/// `GET /events?channel=a&channel=b`
pub(super) async fn several(
    req: HttpRequest,
    hub: Data<Hub>,
    caller: Caller,
) -> Result<HttpResponse, Error> {
    let mut words = params::query::<Words>(&req)?;
    let names = std::mem::take(&mut words.channel);
    let most = hub.config().limits.channels;
    if names.is_empty() || names.len() > most {
        return Err(Error::Invalid(format!(
            "{} channels asked for; give 1 to {most} as ?channel=a&channel=b",
            names.len()
        )));
    }
    let patterns = names.iter().map(|name| {
        Pattern::parse(name).map_err(|error| Error::Invalid(format!("channel {name:?}: {error}")))
    });
    let patterns = patterns.collect::<Result<Vec<_>, _>>()?;
    answer(&req, &hub, &caller, Selector::new(patterns), words).await
}

/// `GET /notifications`
pub(super) async fn notifications(
    req: HttpRequest,
    hub: Data<Hub>,
    caller: Caller,
) -> Result<HttpResponse, Error> {
    let words = params::query::<Words>(&req)?;
    answer(&req, &hub, &caller, Channel::notifications().into(), words).await
}

/// `GET /me/events`
pub(super) async fn mine(
    req: HttpRequest,
    hub: Data<Hub>,
    caller: Caller,
) -> Result<HttpResponse, Error> {
    let words = params::query::<Words>(&req)?;
    let own = caller.own_channel()?.clone();
    answer(&req, &hub, &caller, own.into(), words).await
}

#[derive(Deserialize)]
struct Words {
    #[serde(default)]
    channel: Vec<String>,
    #[serde(alias = "lastEventId", alias = "lastEventID", alias = "Last-Event-ID")]
    last_event_id: Option<String>,
    since: Option<String>,
    last: Option<String>,
    wait: Option<String>,
    limit: Option<String>,
    show: Option<String>,
}

/// Answers a request with the events of `selector`: for an app's own routes, which say themselves
/// who may have them.
///
/// Heeds what `GET /events/…` heeds: `Last-Event-ID`, `since`, `last`, `limit`, `wait`, `show`. Does not
/// ask whether `grants` let subscribe: they say which private events are shown, and when it ends.
///
/// # Errors
/// The request asks for something impossible (400), or the hub takes no subscriber now (503). A
/// plain `EventSource` would give up for good on a 503, and gets a 200 that tells it to come back.
pub async fn subscribe(
    req: &HttpRequest,
    hub: &Hub,
    grants: &Grants,
    selector: impl Into<Selector>,
) -> Result<HttpResponse, actix_web::Error> {
    let subscription = subscription(req, selector.into(), params::query(req)?)?;
    Ok(stream_of(req, hub, subscription.as_caller(grants)).await?)
}

async fn answer(
    req: &HttpRequest,
    hub: &Hub,
    caller: &Caller,
    selector: Selector,
    words: Words,
) -> Result<HttpResponse, Error> {
    caller.may_subscribe(&selector)?;
    let subscription = subscription(req, selector, words)?.as_caller(caller.grants());
    stream_of(req, hub, subscription).await
}

fn subscription(
    req: &HttpRequest,
    selector: Selector,
    words: Words,
) -> Result<Subscription, Error> {
    Ok(Subscription {
        start: start(req, &words)?,
        limit: match &words.limit {
            Some(text) => Some(params::number("limit", text, 1, u32::MAX.into())? as usize),
            None => None,
        },
        wait: match &words.wait {
            Some(text) => params::flag("wait", text)?,
            None => true,
        },
        ..Subscription::new(match words.show.as_deref() {
            Some("channel") => selector.showing_channels(),
            Some(_) => return Err(Error::Invalid("show must be channel, or be left out".into())),
            None => selector,
        })
    })
}

async fn stream_of(
    req: &HttpRequest,
    hub: &Hub,
    subscription: Subscription,
) -> Result<HttpResponse, Error> {
    if req.method() == Method::HEAD {
        return Ok(stream::respond(req, hub, ()));
    }
    let address = match count(req, hub) {
        Ok(address) => address,
        Err(wait) => return refuse(req, wait, Error::TooManySubscriptions { wait }),
    };
    let subscription = Subscription { address: Some(address), ..subscription };
    match hub.subscribe(subscription).await {
        Ok(subscriber) => Ok(stream::respond(req, hub, subscriber)),
        Err(SubscribeError::Revoked) => Err(Error::Revoked),
        Err(error) => refuse(req, hub.admission().retry(), Error::Subscribe(error)),
    }
}

/// Counts a new subscriber, and says where it comes from.
///
/// # Errors
/// Too many came from there lately: how long to wait.
pub(super) fn count(req: &HttpRequest, hub: &Hub) -> Result<IpAddr, Duration> {
    let address = counted_address(req, hub);
    if let Some(pace) = &hub.rates().subscribing {
        pace.take_one(&address)?;
    }
    Ok(address)
}

/// From where to read: a reconnecting client's header, or else what the URL says.
fn start(req: &HttpRequest, words: &Words) -> Result<Start, Error> {
    let header =
        req.headers().get("Last-Event-ID").map(|value| String::from_utf8_lossy(value.as_bytes()));
    let header = header.as_deref().filter(|id| !id.is_empty());
    let in_query = words.last_event_id.as_deref().filter(|id| !id.is_empty());
    if let Some(id) = header.or(in_query) {
        Ok(Start::After(LastEventId::parse(id)))
    } else if let Some(span) = &words.since {
        let span = parse_span(span).map_err(|error| Error::Invalid(format!("since {error}")))?;
        Ok(Start::Since(span))
    } else if let Some(count) = &words.last {
        Ok(Start::Last(params::number("last", count, 0, MAX_LAST)? as usize))
    } else {
        Ok(Start::Head)
    }
}

/// Sends a subscriber away: one that can only be an `EventSource` is told so in a stream.
pub(super) fn refuse(
    req: &HttpRequest,
    wait: Duration,
    error: Error,
) -> Result<HttpResponse, Error> {
    let accept = req.headers().get(header::ACCEPT).map(header::HeaderValue::as_bytes);
    if accept == Some(b"text/event-stream") {
        let jitter = Duration::from_millis(fastrand::u64(5_000..=15_000));
        Ok(stream::come_back_in(req, wait + jitter))
    } else {
        Err(error)
    }
}
