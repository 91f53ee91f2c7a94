//! The server: listeners, workers and a hub, from start-up to drain.

use std::{io, net::TcpListener, time::Duration};

use actix_web::{App, HttpServer, middleware, web};
use futures_util::future::{self, join_all};
use socket2::SockRef;

use crate::{config::ServerConfig, http, hub::Hub};

/// Keeps idle connections of publishers and proxies for longer than proxies do.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// From so many bytes on, a response is handed to the kernel: a head and a small body together,
/// but each piece of a stream at once.
const WRITE_BUFFER: usize = 1024;
/// After the drain, how long publishers have to read their answers.
const LAST_ANSWERS_SECS: u64 = 2;

/// Serves a hub until `shutdown` resolves, drains it, and returns; returns at once when `abort`
/// resolves.
///
/// # Errors
/// A listener cannot be used, or the journal cannot be closed.
pub async fn serve(
    hub: Hub,
    config: ServerConfig,
    listener: TcpListener,
    admin: Option<TcpListener>,
    shutdown: impl Future<Output = ()>,
    abort: impl Future<Output = ()>,
) -> io::Result<()> {
    prepare(&listener, &config)?;
    let any_origin = config.any_origin;
    let public = {
        let hub = hub.clone();
        HttpServer::new(move || {
            App::new()
                .wrap(middleware::Condition::new(
                    !any_origin,
                    middleware::from_fn(http::from_this_machine),
                ))
                .configure(http::configure(hub.clone()))
                .default_service(web::to(http::not_found))
        })
        .workers(config.workers)
        // The hub bounds its subscribers itself, and answers who is too many.
        .max_connections(usize::MAX)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .h1_allow_half_closed(false)
        .h1_write_buffer_size(WRITE_BUFFER)
        .shutdown_timeout(LAST_ANSWERS_SECS)
        .disable_signals()
        .listen(listener)?
        .run()
    };
    let admin = match admin {
        Some(listener) => {
            let hub = hub.clone();
            let server =
                HttpServer::new(move || App::new().configure(http::configure_admin(hub.clone())))
                    .workers(1)
                    .disable_signals()
                    .shutdown_timeout(LAST_ANSWERS_SECS)
                    .listen(listener)?;
            Some(server.run())
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
    let serving = async {
        match admin {
            Some(admin) => tokio::try_join!(public, admin).map(drop),
            None => public.await,
        }
    };
    // The servers end only when told to, and must be polled while they are.
    tokio::select! {
        result = future::try_join(serving, drain) => result.map(drop),
        () = abort => Ok(()),
    }
}

/// Sets what every accepted connection inherits from its listener.
fn prepare(listener: &TcpListener, config: &ServerConfig) -> io::Result<()> {
    let socket = SockRef::from(listener);
    // Bounds what the kernel keeps for a client that does not read.
    socket.set_send_buffer_size(config.send_buffer)?;
    socket.set_tcp_nodelay(true)?;
    // Ends a connection whose peer takes nothing, by lost packets or by a window of zero.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(config.stall))?;
    Ok(())
}
