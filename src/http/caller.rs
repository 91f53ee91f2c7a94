//! Who is asking: the app says what they may do.

use std::{convert::Infallible, rc::Rc};

use actix_web::{FromRequest, Handler, HttpRequest, dev::Payload, error::ErrorInternalServerError};
use futures_util::future::{FutureExt, LocalBoxFuture, err};

use super::error::Error;
use crate::{
    channel::{Channel, Selector},
    grants::Grants,
};

/// Grants everything to whoever asks.
pub async fn anyone() -> Result<Grants, Infallible> {
    Ok(Grants::all())
}

/// The caller of a request.
pub(super) struct Caller(Grants);

impl Caller {
    pub(super) fn may_subscribe(&self, selector: &Selector) -> Result<(), Error> {
        self.0.check_subscribe(selector).map_err(|pattern| {
            Error::Forbidden(format!("you may not subscribe to {:?}", pattern.to_string()))
        })
    }

    pub(super) fn may_publish(&self, channels: &[Channel]) -> Result<(), Error> {
        self.0.check_publish(channels).map_err(|channel| {
            Error::Forbidden(format!("you may not publish to {:?}", channel.as_str()))
        })
    }

    pub(super) fn may_see(&self, channel: &Channel) -> bool {
        self.0.may_subscribe(channel)
    }
}

impl FromRequest for Caller {
    type Error = actix_web::Error;
    type Future = CallerFuture;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        match req.app_data::<Grantor>() {
            Some(grantor) => grantor.0(req),
            None => {
                err(ErrorInternalServerError("herald's routes are not configured")).boxed_local()
            }
        }
    }
}

/// Who knows what a caller may do: a handler of the app.
#[derive(Clone)]
pub(super) struct Grantor(Rc<dyn Fn(&HttpRequest) -> CallerFuture>);

type CallerFuture = LocalBoxFuture<'static, Result<Caller, actix_web::Error>>;

impl Grantor {
    pub(super) fn new<F, Args, E>(grants: F) -> Self
    where
        F: Handler<Args, Output = Result<Grants, E>>,
        Args: FromRequest + 'static,
        E: Into<actix_web::Error> + 'static,
    {
        Self(Rc::new(move |req| {
            let args = Args::extract(req);
            let grants = grants.clone();
            async move {
                let args = args.await.map_err(Into::into)?;
                grants.call(args).await.map(Caller).map_err(Into::into)
            }
            .boxed_local()
        }))
    }
}
