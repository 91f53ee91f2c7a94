//! The servers that are compared: how each starts, and where it is subscribed and published to.

mod floor;
mod naive;
mod nchan;
mod rival;

use std::{
    env,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub(crate) use rival::Rival;

use crate::{Result, process::Process};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Server {
    /// The release binary as it comes.
    Herald,
    /// The least that any server can do: one write for each event and socket.
    Floor,
    /// What people write first.
    Naive,
    /// nginx's module.
    Nchan,
    Rival(Rival),
}

/// What this binary serves itself, in a process of its own.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Own {
    Floor,
    Naive,
}

impl Own {
    pub(crate) fn serve(self) -> Result<()> {
        match self {
            Self::Floor => floor::serve(),
            Self::Naive => naive::serve(),
        }
    }
}

/// A server that runs; ended when dropped.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// Paths, with `{channel}` in them.
    subscribe: String,
    publish: String,
    /// Where its configuration is.
    _scratch: Option<TempDir>,
}

impl Server {
    pub(crate) const OURS: [Self; 4] = [Self::Herald, Self::Floor, Self::Naive, Self::Nchan];

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Herald => "herald",
            Self::Floor => "floor",
            Self::Naive => "naive",
            Self::Nchan => "nchan",
            Self::Rival(rival) => &rival.name,
        }
    }

    pub(crate) fn is_installed(&self) -> bool {
        *self != Self::Nchan || nchan::is_installed()
    }

    /// Whether it keeps events for those who come back.
    pub(crate) fn resumes(&self) -> bool {
        !matches!(self, Self::Floor | Self::Naive)
    }

    pub(crate) fn start(&self) -> Result<Running> {
        match self {
            Self::Herald => {
                let args = ["--listen", "127.0.0.1:0", "--admin", "off", "--drain", "0s"];
                let program = Path::new(env!("CARGO_BIN_EXE_herald"));
                announced(program, &args, "/events?channel={channel}", "/events/{channel}")
            }
            Self::Floor => announced(&env::current_exe()?, &["--serve", "floor"], "/", "/"),
            Self::Naive => announced(&env::current_exe()?, &["--serve", "naive"], "/", "/"),
            Self::Nchan => nchan::start(),
            Self::Rival(rival) => rival.start(),
        }
    }
}

impl Running {
    pub(crate) fn subscribe(&self, channels: &[String]) -> String {
        self.subscribe.replace("{channel}", &channels.join("&channel="))
    }

    pub(crate) fn publish(&self, channel: &str) -> String {
        self.publish.replace("{channel}", channel)
    }
}

/// Starts a server that chooses its port, and says it at the end of its first line.
fn announced(program: &Path, args: &[&str], subscribe: &str, publish: &str) -> Result<Running> {
    let args: Vec<_> = args.iter().map(ToString::to_string).collect();
    let mut process = Process::start(program, &args, Stdio::piped())?;
    let line = process.first_line()?;
    let port: u16 = line.trim().rsplit(':').next().ok_or("no port")?.parse()?;
    Ok(Running {
        process,
        address: (Ipv4Addr::LOCALHOST, port).into(),
        subscribe: subscribe.into(),
        publish: publish.into(),
        _scratch: None,
    })
}

/// A port that is free, for a server that cannot choose one.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn wait_until_it_listens(process: &mut Process, address: SocketAddr) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        if process.has_ended()? || Instant::now() > patience {
            return Err("the server does not listen".into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
