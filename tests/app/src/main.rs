//! An app with a hub in it, as its author would write it: a shop that tells of its orders.

use std::{
    future::{Ready, ready},
    net::TcpListener,
    time::Duration,
};

use actix_web::{
    App, FromRequest, HttpRequest, HttpResponse, HttpServer, Responder, Result,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::ErrorUnauthorized,
    http::header::{HeaderName, HeaderValue},
    middleware::{Compress, Next, from_fn},
    rt::signal::unix::{SignalKind, signal},
    web,
};
use herald::{
    Channel, Event, Grants, Hub, Pattern,
    config::{History, HubConfig, ServerConfig},
    http, server,
};

/// Who is signed in. A real shop would look the session up.
struct User(String);

impl FromRequest for User {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let session = req.cookie("session");
        ready(
            session
                .map(|session| Self(session.value().into()))
                .ok_or_else(|| ErrorUnauthorized("sign in first")),
        )
    }
}

impl User {
    fn orders(&self) -> Result<Channel> {
        Ok(Channel::parse(&format!("orders/{}", self.0))?)
    }
}

async fn grants(user: User) -> Result<Grants> {
    if user.0 == "admin" {
        return Ok(Grants::all());
    }
    let offers = Pattern::parse("offers/**")?;
    Ok(Grants::none().subscribe(user.orders()?).subscribe(offers).publish(user.orders()?))
}

async fn order(user: User, hub: web::Data<Hub>, text: String) -> Result<impl Responder> {
    let ids = hub.publish(Event::new(user.orders()?, text)).await?;
    Ok(HttpResponse::Created().json(&ids))
}

async fn my_orders(user: User, hub: web::Data<Hub>, req: HttpRequest) -> Result<impl Responder> {
    // All of it is theirs.
    http::subscribe(&req, &hub, &Grants::all(), user.orders()?).await
}

async fn home() -> &'static str {
    "Welcome to the shop, where every order is told of as soon as it is placed."
}

/// The shop's own middleware.
async fn sign(
    req: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>> {
    let mut response = next.call(req).await?;
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-shop"), HeaderValue::from_static("open"));
    Ok(response)
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let hub = Hub::in_memory(History::default(), HubConfig::default());
    let drained = {
        let hub = hub.clone();
        let mut terminate = signal(SignalKind::terminate())?;
        async move {
            terminate.recv().await;
            if let Err(error) = hub.drain(Duration::from_secs(5)).await {
                eprintln!("{error}");
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    server::prepare(&listener, &ServerConfig::default())?;
    println!("the shop is open on http://{}", listener.local_addr()?);
    let app = move || {
        App::new()
            .app_data(web::Data::new(hub.clone()))
            .wrap(Compress::default())
            .wrap(from_fn(sign))
            .route("/", web::get().to(home))
            .route("/orders", web::post().to(order))
            .route("/orders", web::get().to(my_orders))
            .service(web::scope("/live").configure(http::configure(hub.clone(), grants)))
    };
    HttpServer::new(app)
        .workers(2)
        .shutdown_signal(drained)
        // After the drain, nobody is left to wait for.
        .shutdown_timeout(1)
        // Who closes is gone.
        .h1_allow_half_closed(false)
        .listen(listener)?
        .run()
        .await
}
