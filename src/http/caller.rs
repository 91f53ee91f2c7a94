//! Who is asking: the app says what they may do.

use std::{convert::Infallible, rc::Rc};

use actix_web::{
    FromRequest, Handler, HttpRequest, dev::Payload, error::ErrorInternalServerError, web::Data,
};
use futures_util::future::{FutureExt, LocalBoxFuture, err};

use super::error::Error;
use crate::{
    channel::{Channel, Selector, View},
    grants::Grants,
    hub::Hub,
    listing::Sight,
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
            self.refused(format!("you may not subscribe to {:?}", pattern.to_string()))
        })
    }

    pub(super) fn may_publish(&self, channels: &[Channel]) -> Result<(), Error> {
        self.0.check_publish(channels).map_err(|channel| {
            self.refused(format!("you may not publish to {:?}", channel.as_str()))
        })
    }

    pub(super) fn may_come_in(&self) -> Result<(), Error> {
        let refused = || self.refused("nothing is here for those without a token".into());
        if self.0.may_come_in() { Ok(()) } else { Err(refused()) }
    }

    /// The caller's own channel.
    pub(super) fn own_channel(&self) -> Result<&Channel, Error> {
        let refused = || self.refused("nobody's own stream: the token must have a `sub`".into());
        self.0.own_channel().ok_or_else(refused)
    }

    pub(super) fn sight(&self, channel: &Channel) -> Sight {
        if !self.0.may_subscribe(channel) {
            Sight::Nothing
        } else if self.0.view(&channel.clone().into()) == View::All {
            Sight::Whole
        } else {
            Sight::Subscribers
        }
    }

    pub(super) fn grants(&self) -> &Grants {
        &self.0
    }

    fn refused(&self, why: String) -> Error {
        if self.0.is_anonymous() { Error::NoToken(why) } else { Error::Forbidden(why) }
    }
}

impl FromRequest for Caller {
    type Error = actix_web::Error;
    type Future = CallerFuture;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let app_data = req.app_data::<Grantor>().zip(req.app_data::<Data<Hub>>());
        let Some((grantor, hub)) = app_data else {
            let error = ErrorInternalServerError("herald's routes are not configured");
            return err(error).boxed_local();
        };
        let (caller, hub) = (grantor.0(req), hub.clone());
        async move {
            let caller = caller.await?;
            if let Some(id) = caller.0.token_id()
                && hub.is_revoked(id).await.map_err(Error::Journal)?
            {
                return Err(Error::Revoked.into());
            }
            Ok(caller)
        }
        .boxed_local()
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
