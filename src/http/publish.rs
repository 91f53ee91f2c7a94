//! Publishing: `POST /events…`.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use serde::{Deserialize, Serialize};

use super::{
    address::counted_address,
    batch, body,
    caller::Caller,
    error::Error,
    params::{self, channel_in_path, user_in_path},
};
use crate::{
    admission::Holder,
    channel::Channel,
    event::{Event, EventType, MAX_RETRY},
    grants::user_channel,
    hub::Hub,
    id::{OwnId, WireId},
    journal::{Batch, IdempotencyKey, MAX_KEY_BYTES, Receipt},
    pace::TooMany,
};

/// `POST /events/{channel}`
pub(super) async fn one(
    req: HttpRequest,
    hub: Data<Hub>,
    caller: Caller,
    body: Payload,
) -> Result<HttpResponse, Error> {
    let channel = channel_to_publish_to(&channel_in_path(&req)?)?;
    let about = About::in_query(&req)?;
    publish_one(&req, &hub, &caller, channel, about, body).await
}

/// `POST /notify`
pub(super) async fn notify(
    req: HttpRequest,
    hub: Data<Hub>,
    caller: Caller,
    body: Payload,
) -> Result<HttpResponse, Error> {
    let about = About { event: Some("notification".into()), ..About::in_query(&req)? };
    publish_one(&req, &hub, &caller, Channel::notifications(), about, body).await
}

/// `POST /users/{id}/events`
pub(super) async fn to_user(
    req: HttpRequest,
    hub: Data<Hub>,
    caller: Caller,
    body: Payload,
) -> Result<HttpResponse, Error> {
    let channel = user_channel(&user_in_path(&req)?).map_err(Error::invalid)?;
    let about = About::in_query(&req)?;
    publish_one(&req, &hub, &caller, channel, about, body).await
}

/// `POST /events`
pub(super) async fn several(
    req: HttpRequest,
    hub: Data<Hub>,
    caller: Caller,
    body: Payload,
) -> Result<HttpResponse, Error> {
    #[derive(Serialize)]
    struct Answer<'a> {
        ids: &'a [WireId],
    }
    let limits = &hub.config().limits;
    let events = batch::parse(&body::read(body, limits.body_bytes).await?, limits)?;
    for (index, event) in events.iter().enumerate() {
        caller
            .may_publish(&event.channels)
            .map_err(|source| Error::InBatch { index, source: Box::new(source) })?;
    }
    let receipt = publish(&req, &hub, &caller, events).await?;
    Ok(HttpResponse::Ok().json(Answer { ids: &receipt }))
}

async fn publish_one(
    req: &HttpRequest,
    hub: &Hub,
    caller: &Caller,
    channel: Channel,
    about: About,
    body: Payload,
) -> Result<HttpResponse, Error> {
    #[derive(Serialize)]
    struct Answer<'a> {
        id: Option<&'a WireId>,
    }
    caller.may_publish(std::slice::from_ref(&channel))?;
    let body = body::read(body, hub.config().limits.body_bytes).await?;
    let event = about.apply_to(Event::new(channel, body::data(req, body)?))?;
    let receipt = publish(req, hub, caller, vec![event]).await?;
    Ok(HttpResponse::Ok().json(Answer { id: receipt.first() }))
}

async fn publish(
    req: &HttpRequest,
    hub: &Hub,
    caller: &Caller,
    events: Vec<Event>,
) -> Result<Receipt, Error> {
    count(req, hub, caller, events.len())?;
    let key = match req.headers().get("Idempotency-Key") {
        None => None,
        Some(value) => Some(IdempotencyKey::new(value.as_bytes()).ok_or_else(|| {
            Error::Invalid(format!("Idempotency-Key must have 1 to {MAX_KEY_BYTES} bytes"))
        })?),
    };
    hub.publish(Batch { events, key }).await.map_err(Error::Publish)
}

/// Counts events as a user's, or else as an address's.
pub(super) fn count(
    req: &HttpRequest,
    hub: &Hub,
    caller: &Caller,
    events: usize,
) -> Result<(), Error> {
    let Some(pace) = &hub.rates().publishing else { return Ok(()) };
    let user = caller.grants().own_channel().cloned();
    let publisher = user.map_or_else(|| Holder::Address(counted_address(req, hub)), Holder::User);
    let count = u32::try_from(events).unwrap_or(u32::MAX);
    pace.take(&publisher, count).map_err(|error| match error {
        TooMany::Lately(wait) => Error::TooManyEvents { wait },
        TooMany::AtOnce(most) => Error::Invalid(format!(
            "{events} events are more than the {most} that you may publish at once; split the batch"
        )),
    })
}

pub(super) fn channel_to_publish_to(name: &str) -> Result<Channel, Error> {
    let channel = Channel::parse(name).map_err(Error::invalid)?;
    if channel.is_reserved() {
        let what = "channels under 'herald/' are the hub's own; publish to another";
        return Err(Error::Invalid(what.into()));
    }
    Ok(channel)
}

/// What may be said of an event beside its channels and data.
#[derive(Default)]
pub(super) struct About {
    pub(super) event: Option<String>,
    pub(super) id: Option<String>,
    /// Milliseconds.
    pub(super) retry: Option<u64>,
    pub(super) private: bool,
}

impl About {
    fn in_query(req: &HttpRequest) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Words {
            event: Option<String>,
            id: Option<String>,
            retry: Option<String>,
            private: Option<String>,
        }
        let Words { event, id, retry, private } = params::query(req)?;
        let retry = retry.map(|retry| params::number("retry", &retry, 0, most_retry()));
        let private = private.map(|private| params::flag("private", &private));
        Ok(Self {
            event,
            id,
            retry: retry.transpose()?,
            private: private.transpose()?.unwrap_or(false),
        })
    }

    /// Checks what is said, and says it of `event`.
    pub(super) fn apply_to(self, mut event: Event) -> Result<Event, Error> {
        if let Some(event_type) = self.event.filter(|event_type| !event_type.is_empty()) {
            event = event.event_type(EventType::parse(event_type).map_err(Error::invalid)?);
        }
        if let Some(id) = self.id {
            event = event.id(OwnId::parse(id).map_err(Error::invalid)?);
        }
        if let Some(retry) = self.retry {
            if retry > most_retry() {
                return Err(Error::Invalid(format!("retry must be at most {}", most_retry())));
            }
            event = event.retry(Duration::from_millis(retry));
        }
        Ok(event.private(self.private))
    }
}

/// The longest retry, in milliseconds.
fn most_retry() -> u64 {
    MAX_RETRY.as_secs() * 1000
}
