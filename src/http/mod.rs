//! The bridge from HTTP to the hub: every route on one page. Handlers hold no state.

mod admin;
mod assets;
mod caller;
mod channels;
mod clock;
mod error;
mod params;
mod publish;
mod stream;
mod subscribe;

use actix_web::{
    Handler, HttpRequest, Resource, Responder, guard,
    web::{self, Data, ServiceConfig},
};

use crate::{channel::Channel, hub::Hub};
use error::Error;

pub(crate) use admin::configure as configure_admin;
pub(crate) use caller::from_this_machine;

/// Adds herald's routes to an app or a scope.
pub fn configure(hub: Hub) -> impl FnOnce(&mut ServiceConfig) {
    move |app| {
        app.app_data(Data::new(hub))
            .service(only("/", "GET, HEAD").get(assets::index))
            .service(
                only("/events", "GET, HEAD, POST").get(subscribe::several).post(publish::batch),
            )
            .service(
                only("/events/{channel:.*}", "GET, HEAD, POST")
                    .get(subscribe::one)
                    .post(publish::one),
            )
            .service(only("/notifications", "GET, HEAD").get(subscribe::notifications))
            .service(only("/notify", "POST").post(publish::notify))
            .service(only("/time", "GET, HEAD").get(clock::time))
            .service(only("/channels", "GET, HEAD").get(channels::list))
            .service(only("/channels/{channel:.*}", "GET, HEAD").get(channels::one))
            .default_service(web::to(not_found));
    }
}

/// The channel of `/notifications` and `/notify`.
fn notifications_channel() -> Result<Channel, Error> {
    Channel::parse("notifications").map_err(Error::invalid)
}

async fn not_found() -> Error {
    Error::NotFound
}

/// A path that answers only the methods of `allow`, and the others with 405.
fn only(path: &str, allow: &'static str) -> Methods {
    let refuse = move |req: HttpRequest| async move {
        Error::Method { method: req.method().clone(), allow }
    };
    Methods(web::resource(path).default_service(web::to(refuse)))
}

struct Methods(Resource);

impl Methods {
    /// `GET`, and `HEAD` with it (RFC 9110, 9.3.2).
    fn get<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let get_or_head = guard::Any(guard::Get()).or(guard::Head());
        Self(self.0.route(web::route().guard(get_or_head).to(handler)))
    }

    fn post<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        Self(self.0.route(web::post().to(handler)))
    }
}

impl actix_web::dev::HttpServiceFactory for Methods {
    fn register(self, config: &mut actix_web::dev::AppService) {
        self.0.register(config);
    }
}

impl Responder for Error {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &HttpRequest) -> actix_web::HttpResponse {
        actix_web::ResponseError::error_response(&self)
    }
}
