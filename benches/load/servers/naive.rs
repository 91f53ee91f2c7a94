//! What people write first: one actor that knows everybody, a bounded queue of events for each
//! client, each event encoded for each client; actix-web's and actix-web-lab's defaults, but that no
//! event waits in the kernel for the last one's acknowledgement.

use std::io::Write;

use actix::{Actor, Addr, Context, Handler, Message};
use actix_web::{App, HttpResponse, HttpServer, Responder, web};
use actix_web_lab::sse::{self, Sse};
use tokio::sync::mpsc;

use crate::Result;

/// Events that may wait for a client.
const QUEUE: usize = 100;

#[derive(Default)]
struct Broadcaster {
    clients: Vec<mpsc::Sender<sse::Event>>,
}

impl Actor for Broadcaster {
    type Context = Context<Self>;
}

struct Join(mpsc::Sender<sse::Event>);

impl Message for Join {
    type Result = ();
}

struct Publish(String);

impl Message for Publish {
    type Result = ();
}

impl Handler<Join> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Join(client): Join, _: &mut Self::Context) {
        self.clients.push(client);
    }
}

impl Handler<Publish> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Publish(text): Publish, _: &mut Self::Context) {
        // Who is gone or too slow is dropped, which ends its stream.
        self.clients.retain(|client| client.try_send(sse::Data::new(text.as_str()).into()).is_ok());
    }
}

async fn subscribe(broadcaster: web::Data<Addr<Broadcaster>>) -> actix_web::Result<impl Responder> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let joined = broadcaster.send(Join(sender)).await;
    joined.map_err(actix_web::error::ErrorInternalServerError)?;
    Ok(Sse::from_infallible_receiver(receiver))
}

async fn publish(broadcaster: web::Data<Addr<Broadcaster>>, text: String) -> impl Responder {
    broadcaster.do_send(Publish(text));
    HttpResponse::Ok()
}

pub(super) fn serve() -> Result<()> {
    actix_web::rt::System::new().block_on(async {
        let broadcaster = web::Data::new(Broadcaster::default().start());
        let app = move || {
            App::new()
                .app_data(broadcaster.clone())
                .route("/", web::get().to(subscribe))
                .route("/", web::post().to(publish))
        };
        // Streams have no end, so that a graceful one would wait for its time-out.
        let server = HttpServer::new(app).disable_signals().tcp_nodelay(true);
        let server = server.bind("127.0.0.1:0")?;
        for address in server.addrs() {
            writeln!(std::io::stdout(), "{address}")?;
        }
        Ok(server.run().await?)
    })
}
