//! What a supervisor asks, on a listener of its own so that a full hub can still answer.

use actix_web::{
    HttpResponse,
    web::{self, Data, ServiceConfig},
};

use super::{at, error::Error, not_found};
use crate::hub::Hub;

/// The routes of the admin listener.
pub(crate) fn configure(hub: Hub) -> impl FnOnce(&mut ServiceConfig) {
    move |app| {
        app.app_data(Data::new(hub))
            .service(at("/healthz").get(healthz))
            .service(at("/readyz").get(readyz))
            .default_service(web::to(not_found));
    }
}

/// The process answers.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// The hub takes subscribers and events.
async fn readyz(hub: Data<Hub>) -> Result<HttpResponse, Error> {
    if hub.is_ready() {
        Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ready\n"))
    } else {
        Err(Error::NotReady("the hub is going down or its journal is away"))
    }
}
