//! Any other server, told on the command line.

use std::{net::Ipv4Addr, path::Path, process::Stdio, str::FromStr};

use super::{Running, free_port, wait_until_it_listens};
use crate::{Result, process::Process};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rival {
    pub(crate) name: String,
    command: String,
    subscribe: String,
    publish: String,
}

impl FromStr for Rival {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts: Vec<_> = text.split('|').map(str::trim).collect();
        let &[name, command, subscribe, publish] = parts.as_slice() else {
            return Err("must be NAME|COMMAND|SUBSCRIBE_URL|PUBLISH_URL".into());
        };
        if command.is_empty() {
            return Err("the command is missing".into());
        }
        let [subscribe, publish] = [path_of(subscribe)?, path_of(publish)?];
        Ok(Self { name: name.into(), command: command.into(), subscribe, publish })
    }
}

/// The path of a URL on this machine.
fn path_of(url: &str) -> std::result::Result<String, String> {
    let rest = ["http://127.0.0.1:{port}", "http://localhost:{port}"]
        .iter()
        .find_map(|base| url.strip_prefix(base))
        .ok_or_else(|| format!("{url}: must begin with http://127.0.0.1:{{port}}"))?;
    Ok(if rest.is_empty() { "/".into() } else { rest.into() })
}

impl Rival {
    pub(super) fn start(&self) -> Result<Running> {
        let port = free_port()?;
        // Not by a shell, which would stand between the server and the signals to it.
        let command = self.command.replace("{port}", &port.to_string());
        let mut words = command.split_whitespace().map(str::to_owned);
        let program = words.next().ok_or("the command is missing")?;
        let args: Vec<_> = words.collect();
        let mut process = Process::start(Path::new(&program), &args, Stdio::null())?;
        let address = (Ipv4Addr::LOCALHOST, port).into();
        wait_until_it_listens(&mut process, address)?;
        let (subscribe, publish) = (self.subscribe.clone(), self.publish.clone());
        Ok(Running { process, address, subscribe, publish, _scratch: None })
    }
}
