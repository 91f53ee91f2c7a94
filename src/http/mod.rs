//! The bridge from HTTP to the hub: every route on one page. Handlers hold no state.

mod admin;
mod assets;
mod batch;
mod body;
mod caller;
mod channels;
mod clock;
mod error;
mod params;
mod publish;
mod stream;
mod subscribe;

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder,
    dev::{AppService, HttpServiceFactory},
    guard,
    web::{self, Data, ServiceConfig},
};

use crate::hub::Hub;
use error::Error;

pub(crate) use admin::configure as configure_admin;
pub(crate) use caller::from_this_machine;

/// Adds herald's routes to an app or a scope, the page at its root included.
///
/// Whoever reaches them may publish and subscribe: who may reach them is the app's to say.
pub fn configure(hub: Hub) -> impl FnOnce(&mut ServiceConfig) {
    move |app| {
        app.app_data(Data::new(hub))
            .service(at("/").get(assets::index))
            .service(at("/events").get(subscribe::several).post(publish::several))
            .service(at("/events/{channel:.*}").get(subscribe::one).post(publish::one))
            .service(at("/notifications").get(subscribe::notifications))
            .service(at("/notify").post(publish::notify))
            .service(at("/time").get(clock::time))
            .service(at("/channels").get(channels::list))
            .service(at("/channels/{channel:.*}").get(channels::one));
    }
}

/// Answers a path that has no route.
pub(crate) async fn not_found() -> Result<HttpResponse, Error> {
    Err(Error::NotFound)
}

fn at(path: &str) -> Route {
    Route { resource: web::resource(path), allow: Vec::new() }
}

/// A path that answers some methods, and the others with 405.
struct Route {
    resource: Resource,
    allow: Vec<&'static str>,
}

impl Route {
    /// `GET`, and `HEAD` with it (RFC 9110, 9.3.2).
    fn get<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let get_or_head = guard::Any(guard::Get()).or(guard::Head());
        self.allow.extend(["GET", "HEAD"]);
        Self { resource: self.resource.route(web::route().guard(get_or_head).to(handler)), ..self }
    }

    fn post<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.allow.push("POST");
        Self { resource: self.resource.route(web::post().to(handler)), ..self }
    }
}

impl HttpServiceFactory for Route {
    fn register(self, config: &mut AppService) {
        let allow = self.allow.join(", ");
        let refuse = move |req: HttpRequest| {
            let error = Error::Method { method: req.method().clone(), allow: allow.clone() };
            async move { Err::<HttpResponse, _>(error) }
        };
        self.resource.default_service(web::to(refuse)).register(config);
    }
}
