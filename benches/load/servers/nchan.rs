//! nchan, as Debian packages it for its nginx.

use std::{fs, net::Ipv4Addr, os::unix::fs::MetadataExt, path::Path, process::Stdio};

use super::{Running, free_port, wait_until_it_listens};
use crate::{Result, process::Process};

const NGINX: &str = "/usr/sbin/nginx";
const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

pub(super) fn is_installed() -> bool {
    Path::new(NGINX).exists() && Path::new(MODULE).exists()
}

pub(super) fn start() -> Result<Running> {
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path().display().to_string();
    let port = free_port()?;
    let configuration = format!("{folder}/nginx.conf");
    fs::write(&configuration, configured(&folder, port)?)?;
    let args = ["-p", &folder, "-e", "stderr", "-c", &configuration].map(str::to_owned);
    let mut process = Process::start(Path::new(NGINX), &args, Stdio::null())?;
    let address = (Ipv4Addr::LOCALHOST, port).into();
    wait_until_it_listens(&mut process, address)?;
    Ok(Running {
        process,
        address,
        subscribe: "/sub?channel={channel}".into(),
        publish: "/pub?channel={channel}".into(),
        _scratch: Some(scratch),
    })
}

/// nginx's defaults, but for what would cut the load off: how many connections there may be, how
/// long they may be idle, how many requests may come on one. The history is as long as the longest
/// that a case asks for again.
fn configured(folder: &str, port: u16) -> Result<String> {
    // Whoever starts it without being root cannot change users, and need not.
    let user = if fs::metadata("/proc/self")?.uid() == 0 { "user root;" } else { "" };
    Ok(format!(
        "load_module {MODULE};
{user}
daemon off;
master_process on;
worker_processes 2;
worker_rlimit_nofile 20000;
error_log stderr crit;
pid {folder}/pid;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    nchan_shared_memory_size 256M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /sub {{
            nchan_subscriber eventsource;
            nchan_channel_id $arg_channel;
            nchan_subscriber_first_message newest;
        }}
        location = /pub {{
            nchan_publisher;
            nchan_channel_id $arg_channel;
            nchan_message_buffer_length 1000;
            nchan_message_timeout 1h;
        }}
    }}
}}
"
    ))
}
