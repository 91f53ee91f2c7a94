//! One way to start a hub in a test, and to speak with it.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use reqwest::{Client, RequestBuilder, Response, header::HeaderMap};
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

use crate::redis_server::RedisServer;

/// Nothing here takes so long, unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running hub; killed when dropped.
pub(crate) struct Hub {
    process: Child,
    pub(crate) port: u16,
    /// Where it has one.
    pub(crate) admin_port: Option<u16>,
    pub(crate) client: Client,
    /// There as long as the hub.
    _journal: Option<Journal>,
}

/// A new and empty journal.
struct Journal {
    place: String,
    _store: Store,
}

/// What is there as long as the journal.
enum Store {
    Disk(#[expect(dead_code, reason = "dropped at the end")] TempDir),
    Redis(#[expect(dead_code, reason = "dropped at the end")] RedisServer),
}

impl Journal {
    /// The one that all tests shall run with which ask for no other.
    async fn of_this_run() -> Option<Self> {
        match std::env::var("HERALD_TEST_JOURNAL").ok()?.as_str() {
            "disk" => {
                let directory = tempfile::tempdir().unwrap();
                let place = format!("disk:{}", directory.path().display());
                Some(Self { place, _store: Store::Disk(directory) })
            }
            "redis" => {
                let redis = RedisServer::start().await;
                Some(Self { place: redis.url(), _store: Store::Redis(redis) })
            }
            other => panic!("HERALD_TEST_JOURNAL is {other}"),
        }
    }
}

/// The program, to serve on a port.
pub(crate) fn herald_on(port: u16) -> Command {
    herald_at(&format!("127.0.0.1:{port}"))
}

/// The program, to serve at an address.
pub(crate) fn herald_at(listen: &str) -> Command {
    let mut herald = Command::new(env!("CARGO_BIN_EXE_herald"));
    herald.env("HERALD_WORKERS", "2").args(["--listen", listen, "--admin", "127.0.0.1:0"]);
    herald
}

impl Hub {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        Self::start_on(0, flags).await
    }

    /// Starts on a port that a hub of the same test has had.
    pub(crate) async fn start_on(port: u16, flags: &[&str]) -> Self {
        let mut herald = herald_on(port);
        let journal = match flags.contains(&"--journal") {
            true => None,
            false => Journal::of_this_run().await,
        };
        herald.args(journal.iter().flat_map(|journal| ["--journal", &journal.place])).args(flags);
        Self { _journal: journal, ..Self::run(herald).await }
    }

    /// Starts a program that says where it serves a hub, and where its admin listener is.
    pub(crate) async fn run(mut program: Command) -> Self {
        let mut process = program.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = within(lines.next_line()).await.unwrap().expect("it says where it serves");
        let mut ports =
            line.split(", ").map(|part| part.rsplit(':').next().unwrap().parse().unwrap());
        let (port, admin_port) = (ports.next().unwrap(), ports.next());
        Self { process, port, admin_port, client: Client::new(), _journal: None }
    }

    /// What the program has said on standard error, once it has ended.
    pub(crate) async fn stderr(&mut self) -> String {
        let mut said = String::new();
        let mut stderr = self.process.stderr.take().expect("standard error is piped");
        within(stderr.read_to_string(&mut said)).await.unwrap();
        said
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id().expect("herald runs")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(crate) fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.client.post(self.url(path)).body(body)
    }

    pub(crate) async fn admin(&self, path: &str) -> Response {
        let port = self.admin_port.expect("an admin listener");
        let url = format!("http://127.0.0.1:{port}{path}");
        within(self.client.get(url).send()).await.unwrap()
    }

    /// Publishes, and returns the id.
    pub(crate) async fn publish(&self, channel: &str, data: impl Into<String>) -> String {
        let answer = answered(self.post(&format!("/events/{channel}"), data.into())).await;
        answer["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn publish_batch(&self, batch: &Value) -> Vec<String> {
        let answer = answered(self.post("/events", batch.to_string())).await;
        answer["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn subscribe(&self, path: &str) -> Events {
        Events::open(self.get(path)).await
    }

    pub(crate) async fn resume(&self, path: &str, last_event_id: &str) -> Events {
        Events::open(self.get(path).header("Last-Event-ID", last_event_id)).await
    }

    /// What the journal keeps of a selection, read to its end.
    pub(crate) async fn kept(&self, path: &str) -> Vec<String> {
        let mut events =
            Events::open(self.get(path).query(&[("wait", "0"), ("last_event_id", "earliest")]))
                .await;
        let mut data = Vec::new();
        while let Some(event) = events.next_or_end().await {
            data.push(event.data.unwrap());
        }
        data
    }

    pub(crate) async fn subscribers(&self, channel: &str) -> u64 {
        let info = within(self.get(&format!("/channels/{channel}")).send()).await.unwrap();
        info.json::<Value>().await.unwrap()["subscribers"].as_u64().unwrap()
    }

    /// Returns when a new subscriber was pinged so often.
    pub(crate) async fn pings(&self, count: usize) {
        let mut stream = within(self.get("/events/pinged").send()).await.unwrap();
        let mut text = Vec::new();
        while text.windows(3).filter(|end| end == b"\n:\n").count() < count {
            text.extend(within(stream.chunk()).await.unwrap().unwrap());
        }
    }

    /// Sends raw bytes and returns the connection.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(bytes.as_ref()).await.unwrap();
        stream
    }

    /// Sends raw bytes and returns what comes until the hub closes the connection.
    pub(crate) async fn raw_answer(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.raw(bytes).await;
        let mut answer = Vec::new();
        // A reset after the answer is as good as an end.
        let _ = within(stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Ends without a farewell.
    pub(crate) async fn kill(mut self) {
        within(self.process.kill()).await.unwrap();
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        within(self.process.wait()).await.unwrap()
    }

    pub(crate) fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.pid())).unwrap()
    }

    /// Processor time so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// Resident memory, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }
}

/// Sends a process a signal, such as `-TERM`.
pub(crate) fn signal(pid: u32, name: &str) {
    let done = std::process::Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(done.unwrap().success());
}

/// A request's answer, which must be 200.
pub(crate) async fn answered(request: RequestBuilder) -> Value {
    let response = within(request.send()).await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// A request's problem, which must have this status.
pub(crate) async fn refused(request: RequestBuilder, status: u16) -> String {
    let response = within(request.send()).await.unwrap();
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["status"], status);
    assert!(problem["type"].is_string() && problem["title"].is_string());
    problem["detail"].as_str().unwrap().to_owned()
}

/// Fails instead of waiting for ever.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("done in time")
}

/// Waits until a condition holds.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    within(async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// A stream as another project's parser sees it.
pub(crate) struct Events {
    pub(crate) headers: HeaderMap,
    pub(crate) last_event_id: Option<String>,
    blocks: BoxStream<'static, Result<Sse, sse_stream::Error>>,
}

impl Events {
    pub(crate) async fn open(request: RequestBuilder) -> Self {
        let response = within(request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        let headers = response.headers().clone();
        let mut events = Self { last_event_id: None, ..Self::of(response.bytes_stream()) };
        events.headers = headers;
        // Only with the first block has the hub said where the stream begins.
        events.block().await.expect("a stream begins with a block");
        events
    }

    fn of<E>(bytes: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        Self {
            headers: HeaderMap::new(),
            last_event_id: None,
            blocks: SseByteStream::new(bytes).boxed(),
        }
    }

    /// The next block, with data or without.
    pub(crate) async fn block(&mut self) -> Option<Sse> {
        let block = within(self.blocks.next()).await?.ok()?;
        if block.id.is_some() {
            self.last_event_id.clone_from(&block.id);
        }
        Some(block)
    }

    /// The next event, or `None` at the end of the stream.
    pub(crate) async fn next_or_end(&mut self) -> Option<Sse> {
        loop {
            let block = self.block().await?;
            if block.data.is_some() {
                return Some(block);
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Sse {
        self.next_or_end().await.expect("the stream goes on")
    }

    /// The next event's data.
    pub(crate) async fn data(&mut self) -> String {
        self.next().await.data.unwrap()
    }

    /// Reads to the end, and returns the `retry` of the last block.
    pub(crate) async fn last_retry(mut self) -> Option<u64> {
        let mut retry = None;
        while let Some(block) = self.block().await {
            retry = block.retry;
        }
        retry
    }

    pub(crate) async fn all(mut self) -> Vec<Sse> {
        let mut events = Vec::new();
        while let Some(event) = self.next_or_end().await {
            events.push(event);
        }
        events
    }
}
