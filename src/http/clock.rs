//! `GET /time`: a clock, for trying out clients and proxies.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, MessageBody},
    http::Method,
    web::Data,
};
use actix_web_lab::sse::{Data as Message, Event, Sse};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{
    caller::Caller,
    error::Error,
    stream::respond,
    subscribe::{count, refuse},
};
use crate::{admission::Permit, frame, hub::Hub, subscriber::MAX_IDLE_POLLS};

/// Streams the time once a second, to whoever the app knows. Counts as a subscriber.
pub(super) async fn time(
    req: HttpRequest,
    hub: Data<Hub>,
    caller: Caller,
) -> Result<HttpResponse, Error> {
    caller.may_come_in()?;
    if req.method() == Method::HEAD {
        return Ok(respond(&req, &hub, ()));
    }
    let address = match count(&req, &hub) {
        Ok(address) => address,
        Err(wait) => return refuse(&req, wait, Error::TooManySubscriptions { wait }),
    };
    let permit = match hub.admission().admit(Some(address), caller.grants().own_channel()) {
        Ok(permit) => permit,
        Err(refusal) => {
            let error = Error::Subscribe(refusal.into());
            return refuse(&req, hub.admission().retry(), error);
        }
    };
    let interval = tokio::time::interval(Duration::from_secs(1));
    let (revocations, session) = (hub.revocations().clone(), caller.grants().session());
    let ticks = stream::unfold(interval, move |mut interval| {
        let (revocations, session) = (revocations.clone(), session.clone());
        async move {
            interval.tick().await;
            if session.is_some_and(|session| revocations.end(&session)) {
                return None;
            }
            let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
            Some((Ok::<_, Infallible>(Event::from(Message::new(now))), interval))
        }
    });
    let draining = hub.admission().draining();
    let leave = async move {
        let span = draining.await;
        // Not all clocks at once.
        tokio::time::sleep(span.mul_f64(fastrand::f64())).await;
    };
    let sse = Sse::from_stream(Box::pin(ticks.take_until(Box::pin(leave))))
        .with_keep_alive(hub.config().ping)
        .with_retry_duration(permit.retry());
    Ok(respond(&req, &hub, Clock { sse, permit, has_left: false, idle_polls: 0 }))
}

/// A clock that says when to come back before it ends.
struct Clock<S> {
    sse: Sse<S>,
    permit: Permit,
    has_left: bool,
    /// Polls since the last tick.
    idle_polls: u32,
}

impl<S> MessageBody for Clock<S>
where
    Sse<S>: MessageBody + Unpin,
{
    type Error = <Sse<S> as MessageBody>::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.has_left {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.sse).poll_next(cx) {
            Poll::Pending if self.idle_polls == MAX_IDLE_POLLS => return Poll::Ready(None),
            Poll::Pending => self.idle_polls += 1,
            Poll::Ready(None) => {
                self.has_left = true;
                return Poll::Ready(Some(Ok(frame::farewell(self.permit.retry()))));
            }
            tick => {
                self.idle_polls = 0;
                return tick;
            }
        }
        Poll::Pending
    }
}
