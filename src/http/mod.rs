//! The bridge from HTTP to the hub: every route on one page. Handlers hold no state.
//!
//! An actix-web app mounts a hub under a prefix of its own:
//!
//! ```
//! use actix_web::{App, HttpRequest, error::ErrorUnauthorized, web};
//! use herald::{Channel, Grants, Hub, Pattern, config, http};
//!
//! /// What a caller may do; any extractors will do, as with a handler.
//! async fn grants(req: HttpRequest) -> Result<Grants, actix_web::Error> {
//!     match req.headers().get("X-User").and_then(|user| user.to_str().ok()) {
//!         Some("admin") => Ok(Grants::all()),
//!         Some(_) => Ok(Grants::none().subscribe(Pattern::parse("offers/**")?)),
//!         None => Err(ErrorUnauthorized("who are you?")),
//!     }
//! }
//!
//! let hub = Hub::in_memory(config::History::default(), config::HubConfig::default());
//! let app = App::new()
//!     .app_data(web::Data::new(hub.clone())) // for the app's own handlers
//!     .service(web::scope("/live").configure(http::configure(hub, grants)));
//! ```
//!
//! Streams are then under `/live/events/…`, the dashboard under `/live/`, and the modules for pages
//! under `/live/static/…`.
//!
//! What [`server::serve`](crate::server::serve) does around these routes is here the app's:
//! * to [`drain`](Hub::drain) the hub before its server stops, for streams have no end of their own;
//! * to say behind which [proxies](crate::config::HubConfig) it stands, where addresses have
//!   [limits](crate::config::Limits);
//! * to end connections whose client does not read ([`server::prepare`](crate::server::prepare)) or
//!   has gone (`h1_allow_half_closed(false)`);
//! * to keep other sites' pages away: where a cookie says who is calling, check `Origin` before
//!   publishing, or their pages publish in your users' names.

mod access;
mod address;
mod admin;
mod assets;
mod batch;
#[cfg(feature = "jwt")]
mod bearer;
mod body;
mod caller;
mod channels;
mod clock;
mod cors;
mod error;
mod local;
mod origin;
mod params;
mod publish;
mod sessions;
mod stream;
mod subscribe;

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder,
    dev::{AppService, HttpServiceFactory},
    guard,
    web::{self, Data, ServiceConfig},
};

use crate::{grants::Grants, hub::Hub};
use caller::Grantor;
use error::Error;

pub use access::Access;
pub(crate) use admin::configure as configure_admin;
#[cfg(feature = "jwt")]
pub use bearer::Bearer;
pub use caller::anyone;
pub(crate) use cors::cors;
pub(crate) use local::from_this_machine;
pub use subscribe::subscribe;

/// Adds herald's routes to an app or a scope, the dashboard at its root included.
///
/// `grants` is asked at each request but those for pages and modules what its caller may do: an async function of
/// any extractors that leave the body alone, such as [`anyone`]. Its errors are answered as they
/// are; what is not granted gets 403. A stream that has begun is not asked about again: it ends when
/// the grants do.
pub fn configure<F, Args, E>(hub: Hub, grants: F) -> impl FnOnce(&mut ServiceConfig)
where
    F: Handler<Args, Output = Result<Grants, E>>,
    Args: FromRequest + 'static,
    E: Into<actix_web::Error> + 'static,
{
    move |app| {
        app.app_data(Data::new(hub))
            .app_data(Grantor::new(grants))
            .service(at("/").get(assets::dashboard))
            .service(at("/static/{herald_file:.*}").get(assets::file))
            .service(at("/events").get(subscribe::several).post(publish::several))
            .service(at("/events/{herald_channel:.*}").get(subscribe::one).post(publish::one))
            .service(at("/me/events").get(subscribe::mine))
            .service(at("/users/{herald_user}/events").post(publish::to_user))
            .service(at("/users/{herald_user}/streams").delete(sessions::log_out))
            .service(at("/revocations").post(sessions::revoke))
            .service(at("/notifications").get(subscribe::notifications))
            .service(at("/notify").post(publish::notify))
            .service(at("/time").get(clock::time))
            .service(at("/channels").get(channels::list))
            .service(at("/channels/{herald_channel:.*}").get(channels::one));
        #[cfg(feature = "cli")]
        app.service(at("/demo/react").get(assets::react_demo));
    }
}

/// What a connection is told that has `most` streams already.
#[cfg(feature = "tls")]
pub(crate) fn too_many_streams(most: usize) -> actix_web::Error {
    Error::TooManyStreams { most }.into()
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

    fn delete<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.allow.push("DELETE");
        Self { resource: self.resource.route(web::delete().to(handler)), ..self }
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

#[cfg(test)]
mod tests {
    use actix_web::{App, test, web::scope};

    use super::*;
    use crate::{channel::Channel, config::HubConfig};

    #[actix_web::test]
    async fn a_prefix_may_have_segments_of_the_apps_own() {
        let hub = Hub::in_memory(Default::default(), HubConfig::default());
        let rooms = scope("/rooms/{channel}/{id}").configure(configure(hub.clone(), anyone));
        let app = test::init_service(App::new().service(rooms)).await;
        let request = test::TestRequest::post().uri("/rooms/kitchen/7/events/a/b").set_payload("x");
        assert!(test::call_service(&app, request.to_request()).await.status().is_success());
        let kept = hub.channel(Channel::parse("a/b").unwrap()).await.unwrap();
        assert_eq!(kept.events, Some(1));
    }
}
