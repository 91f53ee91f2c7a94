//! A Redis of a test's own.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::hub::{signal, until};

/// Killed when dropped.
pub(crate) struct RedisServer {
    process: Child,
    directory: TempDir,
    port: u16,
    flags: Vec<String>,
}

impl RedisServer {
    /// One that keeps everything in memory, on a free port.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--save", ""]).await
    }

    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let flags: Vec<_> = flags.iter().map(|flag| flag.to_string()).collect();
        loop {
            // Nobody else takes it, or it is tried again.
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            if let Some(process) = spawn(&directory, port, &flags).await {
                return Self { process, directory, port, flags };
            }
        }
    }

    /// Ends it at once, and starts it again where it was.
    pub(crate) async fn restart(&mut self) {
        self.kill().await;
        self.start_again().await;
    }

    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    pub(crate) async fn start_again(&mut self) {
        let process = spawn(&self.directory, self.port, &self.flags).await;
        self.process = process.expect("the port is still free");
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.process.id().expect("redis runs"), name);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs a command.
    pub(crate) async fn run(&self, words: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(words).output().await;
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    }
}

/// Starts one; `None` if it ends at once.
async fn spawn(directory: &TempDir, port: u16, flags: &[String]) -> Option<Child> {
    let mut process = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(directory.path())
        .args(flags)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server is installed");
    let mut is_there = false;
    until(async || {
        is_there = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        is_there || process.try_wait().unwrap().is_some()
    })
    .await;
    is_there.then_some(process)
}
