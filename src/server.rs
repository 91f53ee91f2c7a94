//! The server: listeners, workers and a hub, from start-up to drain.

use std::{fmt, io, net::TcpListener, sync::Arc, time::Duration};

#[cfg(feature = "tls")]
use actix_http::Protocol;
use actix_http::{
    HttpServiceBuilder, Request, Response,
    body::{BoxBody, MessageBody},
};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_service, map_config,
};
#[cfg(feature = "tls")]
use actix_tls::accept::{
    TlsError, max_concurrent_tls_connect,
    rustls_0_23::{Acceptor, TlsStream},
};
use actix_web::{App, dev::AppConfig, error::DispatchError, middleware, rt::net::TcpStream, web};
use futures_util::future::{self, join_all};
use socket2::SockRef;

#[cfg(feature = "tls")]
use crate::multiplexed::{self, Connections};
#[cfg(feature = "tls")]
pub use crate::tls::Tls;
use crate::{
    config::ServerConfig,
    connection::Connection,
    http::{self, Access},
    hub::Hub,
};

/// Keeps idle connections of publishers and proxies for longer than proxies do.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client that is sent away may take to read why.
const LINGER: Duration = Duration::from_secs(1);
/// From so many bytes on, a response is handed to the kernel: a head and a small body together,
/// but each piece of a stream at once.
const WRITE_BUFFER: usize = 1024;
/// After the drain, how long publishers have to read their answers.
const LAST_ANSWERS_SECS: u64 = 2;

/// Where to serve.
#[derive(Debug)]
pub struct Listeners {
    /// Everything.
    pub public: TcpListener,
    /// The public listener speaks HTTPS.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
    /// `/healthz` and `/readyz`.
    pub admin: Option<TcpListener>,
}

/// Serves a hub to whom `access` lets until `shutdown` resolves, drains it, and returns; returns at
/// once when `abort` resolves.
///
/// # Errors
/// A listener cannot be used, or the journal cannot be closed.
pub async fn serve(
    hub: Hub,
    access: Access,
    config: ServerConfig,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
    abort: impl Future<Output = ()>,
) -> io::Result<()> {
    prepare(&listeners.public, &config)?;
    // Before anybody asks, and on a thread that stays.
    hub.recall_once().await.map_err(io::Error::other)?;
    let public = {
        let builder = builder(config.workers).max_concurrent_connections(config.connections);
        let signal = builder.graceful_shutdown_signal();
        let origins: Arc<[String]> = config.origins.into();
        let hub = hub.clone();
        let app = move || {
            let welcome = origins.clone();
            let guard = middleware::from_fn(move |req, next| {
                http::from_this_machine(welcome.clone(), req, next)
            });
            let is_guarded = matches!(access, Access::ThisMachine);
            let cors = http::cors(&origins);
            App::new()
                .wrap(middleware::Condition::new(is_guarded, guard))
                .wrap(middleware::Condition::new(!origins.is_empty(), cors))
                .configure(http::configure(hub.clone(), access.clone().grants()))
                .default_service(web::to(http::not_found))
        };
        let listener = listeners.public;
        #[cfg(feature = "tls")]
        let builder = match &listeners.tls {
            Some(tls) => {
                // Whoever never ends a handshake keeps nobody else out.
                max_concurrent_tls_connect(config.connections);
                let (tls, stall) = (tls.server_config()?, config.stall);
                let app = move || app().wrap(middleware::from_fn(multiplexed::count));
                let service = move || https(app(), signal.clone(), tls.clone(), stall);
                builder.listen("herald", listener, service)?
            }
            None => builder.listen("herald", listener, move || http1(app(), signal.clone()))?,
        };
        #[cfg(not(feature = "tls"))]
        let builder = builder.listen("herald", listener, move || http1(app(), signal.clone()))?;
        builder.run()
    };
    let admin = match listeners.admin {
        Some(listener) => {
            let hub = hub.clone();
            let builder = builder(1);
            let signal = builder.graceful_shutdown_signal();
            let app = move || App::new().configure(http::configure_admin(hub.clone()));
            let service = move || http1(app(), signal.clone());
            Some(builder.listen("herald-admin", listener, service)?.run())
        }
        None => None,
    };
    let handles: Vec<_> =
        std::iter::once(&public).chain(&admin).map(|server| server.handle()).collect();
    let stop = async |graceful| join_all(handles.iter().map(|handle| handle.stop(graceful))).await;
    let drain = async {
        shutdown.await;
        log::info!("draining: subscribers={} over={:?}", hub.subscribers(), config.drain);
        let drained = hub.drain(config.drain).await.map_err(io::Error::other);
        stop(true).await;
        drained
    };
    let abort = async {
        abort.await;
        stop(false).await;
    };
    // The servers end only when told to, and must be polled while they do.
    let serving = async {
        match admin {
            Some(admin) => tokio::try_join!(public, admin).map(drop),
            None => public.await,
        }
    };
    let certificate = async {
        #[cfg(feature = "tls")]
        if let Some(tls) = &listeners.tls {
            tls.follow().await;
        }
        future::pending().await
    };
    tokio::select! {
        result = future::try_join(serving, drain) => result.map(drop),
        () = abort => Ok(()),
        () = certificate => Ok(()),
    }
}

fn builder(workers: usize) -> ServerBuilder {
    Server::build().workers(workers).disable_signals().shutdown_timeout(LAST_ANSWERS_SECS)
}

/// An app over HTTP/1, as `HttpServer` would serve it but with connections of our own.
fn http1<S, B>(
    app: impl IntoServiceFactory<S, Request>,
    stopping: GracefulShutdownSignal,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Future: 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    B: MessageBody + 'static,
{
    let app = app.into_factory().map_err(|error| error.into().error_response());
    let http = protocol(stopping).h1(map_config(app, |()| AppConfig::default()));
    fn_service(async |io: TcpStream| {
        let peer = io.peer_addr().ok();
        Ok::<_, DispatchError>((Connection::new(io), peer))
    })
    .and_then(http)
}

/// The same over TLS, and over HTTP/2 with whom speaks it.
#[cfg(feature = "tls")]
fn https<S, B>(
    app: impl IntoServiceFactory<S, Request>,
    stopping: GracefulShutdownSignal,
    tls: rustls::ServerConfig,
    stall: Duration,
) -> impl ServiceFactory<
    TcpStream,
    Config = (),
    Response = (),
    Error = TlsError<io::Error, DispatchError>,
    InitError = (),
>
where
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Future: 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    B: MessageBody + 'static,
{
    let connections = Connections::default();
    actix_web::rt::spawn(connections.clone().watch(stall));
    let app = app.into_factory().map_err(|error| error.into().error_response());
    let http = protocol(stopping)
        .on_connect_ext(|connection: &Connection<TlsStream<TcpStream>>, data| {
            if let Some(streams) = connection.streams() {
                data.insert(streams.clone());
            }
        })
        .finish(map_config(app, |()| AppConfig::default()));
    let mut acceptor = Acceptor::new(tls);
    acceptor.set_handshake_timeout(HEAD_TIMEOUT);
    acceptor
        .map_err(TlsError::into_service_error)
        .and_then(fn_service(move |io: TlsStream<TcpStream>| {
            let (socket, session) = io.get_ref();
            let peer = socket.peer_addr().ok();
            let connection = match session.alpn_protocol() {
                Some(b"h2") => {
                    (Connection::multiplexed(io, connections.open()), Protocol::Http2, peer)
                }
                _ => (Connection::new(io), Protocol::Http1, peer),
            };
            future::ready(Ok(connection))
        }))
        .and_then(http.map_err(TlsError::Service))
}

/// How HTTP is spoken.
fn protocol<T, S>(stopping: GracefulShutdownSignal) -> HttpServiceBuilder<T, S>
where
    S: ServiceFactory<Request, Config = ()>,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::InitError: fmt::Debug,
    <S::Service as Service<Request>>::Future: 'static,
{
    HttpServiceBuilder::default()
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(LINGER)
        .h1_allow_half_closed(false)
        .h1_write_buffer_size(WRITE_BUFFER)
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
}

/// Sets what every accepted connection inherits from its listener: `send_buffer` and, on Linux,
/// `stall`. For apps that run a server of their own; [`serve`] does it itself.
///
/// # Errors
/// The socket does not take them.
pub fn prepare(listener: &TcpListener, config: &ServerConfig) -> io::Result<()> {
    let socket = SockRef::from(listener);
    // Bounds what the kernel keeps for a client that does not read.
    socket.set_send_buffer_size(config.send_buffer)?;
    socket.set_tcp_nodelay(true)?;
    // Ends a connection whose peer takes nothing, by lost packets or by a window of zero.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(config.stall))?;
    Ok(())
}
