//! `herald serve`.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use herald::{
    config::{HubConfig, Limits, Rate, ServerConfig, parse_rate},
    server::{self, Listeners, Tls},
};
use ipnet::IpNet;
use socket2::{Domain, Socket, Type};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Error,
    access::AccessArgs,
    journal::JournalArgs,
    signals::Signals,
    values::{any_span, at_least_one, bytes, network, span, stall},
};

/// Connections that may wait to be accepted: a crowd that comes back at once.
const BACKLOG: i32 = 4_096;

/// Open files left to everything but the public listener's connections.
const SPARE_FILES: usize = 128;

/// Serve a hub (the default)
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Where to serve
    #[arg(long, env = "HERALD_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: String,
    /// Where to answer /healthz and /readyz; `off` for nowhere
    #[arg(long, env = "HERALD_ADMIN", default_value = "127.0.0.1:8081", value_name = "ADDRESS")]
    admin: String,
    /// Worker threads [default: one for each core]
    #[arg(long, env = "HERALD_WORKERS", value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "N")]
    workers: Option<u16>,
    #[command(flatten)]
    journal: JournalArgs,
    /// Ping a stream that was quiet for so long
    #[arg(long, env = "HERALD_PING", default_value = "15s", value_parser = span, value_name = "TIME")]
    ping: Duration,
    /// Cut off a client whose connection takes nothing for so long (TCP_USER_TIMEOUT)
    #[arg(long, env = "HERALD_STALL", default_value = "30s", value_parser = stall, value_name = "TIME")]
    stall: Duration,
    /// On SIGTERM, send the subscribers away over so long
    #[arg(long, env = "HERALD_DRAIN", default_value = "10s", value_parser = any_span, value_name = "TIME")]
    drain: Duration,
    /// Refuse a publication that had to wait for so long
    #[arg(long, env = "HERALD_PUBLISH_TIMEOUT", default_value = "5s", value_parser = span, value_name = "TIME")]
    publish_timeout: Duration,
    /// At most so many subscribers; the limit on open files bounds them too
    #[arg(long, env = "HERALD_MAX_SUBSCRIBERS", default_value = "100000", value_parser = at_least_one, value_name = "N")]
    max_subscribers: usize,
    /// At most so many subscribers from one address, or from one /64 network of IPv6
    #[arg(long, env = "HERALD_MAX_SUBSCRIBERS_PER_ADDRESS", value_parser = at_least_one, value_name = "N")]
    max_subscribers_per_address: Option<usize>,
    /// At most so many subscribers of one user (a token's `sub`)
    #[arg(long, env = "HERALD_MAX_SUBSCRIBERS_PER_USER", value_parser = at_least_one, value_name = "N")]
    max_subscribers_per_user: Option<usize>,
    /// How often an address may subscribe, such as 10/s, or 10/s:1000 with 1,000 at once
    #[arg(long, env = "HERALD_SUBSCRIBE_RATE", value_parser = parse_rate, value_name = "RATE")]
    subscribe_rate: Option<Rate>,
    /// How many events a user, or the address of whoever is none, may publish, such as 100/s
    #[arg(long, env = "HERALD_PUBLISH_RATE", value_parser = parse_rate, value_name = "RATE")]
    publish_rate: Option<Rate>,
    /// Believe proxies of this network or address what they say in X-Forwarded-For
    #[arg(long, env = "HERALD_TRUSTED_PROXY", value_parser = network, value_delimiter = ',', value_name = "NETWORK")]
    trusted_proxy: Vec<IpNet>,
    /// At most so many channels for a subscriber or an event
    #[arg(long, env = "HERALD_MAX_CHANNELS", default_value = "100", value_parser = at_least_one, value_name = "N")]
    max_channels: usize,
    /// At most so many bytes in a request's body
    #[arg(long, env = "HERALD_MAX_BODY", default_value = "1MiB", value_parser = bytes, value_name = "BYTES")]
    max_body: usize,
    /// At most so many events in a batch
    #[arg(long, env = "HERALD_MAX_BATCH", default_value = "1000", value_parser = at_least_one, value_name = "N")]
    max_batch: usize,
    /// The kernel's send buffer for each connection
    #[arg(long, env = "HERALD_SEND_BUFFER", default_value = "128KiB", value_parser = bytes, value_name = "BYTES")]
    send_buffer: usize,
    #[command(flatten, next_help_heading = "Who may do what")]
    access: AccessArgs,
    /// Serve HTTPS, and HTTP/2, with this chain of certificates in PEM; read again when it changes,
    /// and on SIGHUP
    #[arg(long, env = "HERALD_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key, in PEM
    #[arg(long, env = "HERALD_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Read flags from a TOML file: `ping = "15s"`
    #[arg(long, env = "HERALD_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), Error> {
        let address = resolve(&self.listen)?;
        if !address.ip().is_loopback() && self.access.is_for_this_machine() {
            return Err(format!(
                "{address} can be reached from other machines, where anybody could publish; add a \
                 key (--jwt-key), --insecure if that is meant, or --listen 127.0.0.1:{}",
                address.port()
            )
            .into());
        }
        let access = self.access.access().await?;
        let listener = bind(address)?;
        let admin = match self.admin.as_str() {
            "off" => None,
            address => Some(
                bind(resolve(address)?)
                    .map_err(|error| format!("{error} (--admin off does without)"))?,
            ),
        };
        let mut signals = Signals::new()?;
        let hub = tokio::select! {
            hub = self.journal.open(self.hub_config()) => hub?,
            _ = signals.next() => return Ok(()),
        };
        let mut more_signals = Signals::new()?;
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Some(Tls::load(cert, key)?),
            (None, None) => None,
            _ => return Err("HTTPS takes both --tls-cert and --tls-key".into()),
        };
        let reload = reload_on_hangup(tls.clone())?;
        announce(&listener, tls.is_some(), admin.as_ref())?;
        let shutdown = async move {
            signals.next().await;
        };
        let abort = async move {
            more_signals.next().await;
            more_signals.next().await;
        };
        let listeners = Listeners { public: listener, tls, admin };
        let serve = server::serve(hub, access, self.server_config(), listeners, shutdown, abort);
        tokio::select! {
            result = serve => Ok(result?),
            () = reload => Ok(()),
        }
    }

    fn hub_config(&self) -> HubConfig {
        HubConfig {
            ping: self.ping,
            publish_timeout: self.publish_timeout,
            limits: Limits {
                body_bytes: self.max_body,
                batch_events: self.max_batch,
                channels: self.max_channels,
                subscribers: self.max_subscribers,
                subscribers_per_address: self.max_subscribers_per_address,
                subscribers_per_user: self.max_subscribers_per_user,
                subscribe_rate: self.subscribe_rate,
                publish_rate: self.publish_rate,
            },
            trusted_proxies: self.trusted_proxy.clone(),
        }
    }

    fn server_config(&self) -> ServerConfig {
        let defaults = ServerConfig::default();
        let workers = self.workers.map_or(defaults.workers, usize::from);
        ServerConfig {
            workers,
            connections: (open_files().saturating_sub(SPARE_FILES) / workers).max(1),
            stall: self.stall,
            drain: self.drain,
            send_buffer: self.send_buffer,
            origins: self.access.origins(),
        }
    }
}

/// Reads the certificate again at each SIGHUP; without one, that ends the process as ever.
fn reload_on_hangup(tls: Option<Tls>) -> Result<impl Future<Output = ()>, Error> {
    let watched = match tls {
        Some(tls) => Some((tls, signal(SignalKind::hangup())?)),
        None => None,
    };
    Ok(async move {
        let Some((tls, mut hangups)) = watched else { return std::future::pending().await };
        while hangups.recv().await.is_some() {
            if let Err(error) = tls.reload() {
                log::error!("{error}; the certificate of before stays");
            }
        }
    })
}

/// How many files this process may open, after it asked for as many as it can get: each connection
/// is one, and the soft limit is often 1,024.
fn open_files() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        log::warn!("cannot raise the limit on open files: {error}");
        1024
    });
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn resolve(address: &str) -> Result<SocketAddr, Error> {
    let mut found = address
        .to_socket_addrs()
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    found.next().ok_or_else(|| format!("cannot listen on {address}: no such address").into())
}

fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // A restart must not wait for the connections of the last run.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok::<_, std::io::Error>(socket.into())
    };
    bind().map_err(|error| format!("cannot listen on {address}: {error}").into())
}

/// Tells where it serves, on standard output for whoever started it.
fn announce(
    listener: &TcpListener,
    is_secure: bool,
    admin: Option<&TcpListener>,
) -> Result<(), Error> {
    let scheme = if is_secure { "https" } else { "http" };
    let mut line = format!("herald serves on {scheme}://{}", listener.local_addr()?);
    if let Some(admin) = admin {
        line += &format!(", admin on http://{}", admin.local_addr()?);
    }
    // Nobody may be reading it.
    let _ = writeln!(std::io::stdout(), "{line}");
    Ok(())
}
