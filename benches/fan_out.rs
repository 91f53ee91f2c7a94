//! What a delivery costs: the release binary, 1,000 subscribers over real sockets, and its own
//! processor time from `/proc`. Run with `cargo bench --bench fan_out [SUBSCRIBERS]`.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    process::Stdio,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::Notify,
    task::LocalSet,
};

/// The mark that each event carries once, so that a count of it is a count of events.
const MARK: u8 = b'~';
const EVENT_BYTES: usize = 256;
const ROUND: Duration = Duration::from_secs(4);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let subscribers = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(subscribers))
}

async fn run(subscribers: usize) -> Result<()> {
    let hub = Hub::start().await?;
    let before = hub.memory()?;
    let crowd = Rc::new(Crowd::default());
    for _ in 0..subscribers {
        let stream = hub.subscribe().await?;
        tokio::task::spawn_local(read(stream, crowd.clone()));
    }
    let each = (hub.memory()? - before) as f64 / subscribers as f64;
    println!("{subscribers} subscribers, {EVENT_BYTES}-byte events; {each:.1} KiB each when idle");
    println!("| window | deliveries/s | server CPU per delivery | publish p50 | p99 |");
    println!("|-------:|-------------:|------------------------:|------------:|----:|");
    for window in [1, 32] {
        round(&hub, &crowd, subscribers, window).await?;
    }
    Ok(())
}

/// Publishes an event whenever the one `window` before has reached every subscriber.
async fn round(hub: &Hub, crowd: &Crowd, subscribers: usize, window: usize) -> Result<()> {
    let mut publisher = Publisher::connect(hub.port).await?;
    for _ in 0..3 {
        publisher.publish().await?;
        crowd.all_have(publisher.published + crowd.earlier.get(), subscribers).await;
    }
    let (cpu, start, warm_up) = (hub.cpu()?, Instant::now(), publisher.published);
    let mut latencies = Vec::new();
    while start.elapsed() < ROUND {
        let sent = Instant::now();
        publisher.publish().await?;
        latencies.push(sent.elapsed());
        let due = (publisher.published + crowd.earlier.get()).saturating_sub(window - 1);
        crowd.all_have(due, subscribers).await;
    }
    crowd.all_have(publisher.published + crowd.earlier.get(), subscribers).await;
    let (elapsed, cpu) = (start.elapsed(), hub.cpu()? - cpu);
    crowd.earlier.set(crowd.earlier.get() + publisher.published);
    let deliveries = ((publisher.published - warm_up) * subscribers) as f64;
    latencies.sort();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "| {window} | {:.0} | {:.2} µs | {:.2} ms | {:.2} ms |",
        deliveries / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / deliveries,
        at(0.5),
        at(0.99),
    );
    Ok(())
}

/// The subscribers, and how many have got how far.
#[derive(Default)]
struct Crowd {
    /// Events of earlier rounds.
    earlier: Cell<usize>,
    /// For each event not yet with everybody, how many have it; the first is number `complete`.
    reached: RefCell<VecDeque<usize>>,
    complete: Cell<usize>,
    more: Notify,
}

impl Crowd {
    fn one_has(&self, event: usize) {
        let mut reached = self.reached.borrow_mut();
        let index = event - self.complete.get();
        if reached.len() <= index {
            reached.resize(index + 1, 0);
        }
        reached[index] += 1;
        self.more.notify_one();
    }

    async fn all_have(&self, events: usize, subscribers: usize) {
        while self.complete(subscribers) < events {
            self.more.notified().await;
        }
    }

    /// How many events are with every subscriber.
    fn complete(&self, subscribers: usize) -> usize {
        let mut reached = self.reached.borrow_mut();
        while reached.front() == Some(&subscribers) {
            reached.pop_front();
            self.complete.set(self.complete.get() + 1);
        }
        self.complete.get()
    }
}

async fn read(mut stream: TcpStream, crowd: Rc<Crowd>) {
    let mut events = 0;
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
        for _ in buffer[..len].iter().filter(|byte| **byte == MARK) {
            crowd.one_has(events);
            events += 1;
        }
    }
}

struct Publisher {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
    published: usize,
}

impl Publisher {
    async fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let data = format!("{}{}", "x".repeat(EVENT_BYTES - 1), char::from(MARK));
        let request = format!(
            "POST /events/bench HTTP/1.1\r\nHost: localhost\r\nContent-Length: {EVENT_BYTES}\r\n\r\n{data}"
        );
        Ok(Self { stream, request: request.into(), answer: vec![0; 4096], published: 0 })
    }

    async fn publish(&mut self) -> Result<()> {
        self.stream.write_all(&self.request).await?;
        let len = self.stream.read(&mut self.answer).await?;
        if !self.answer[..len].starts_with(b"HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&self.answer[..len]).into());
        }
        self.published += 1;
        Ok(())
    }
}

struct Hub {
    port: u16,
    process: Child,
}

impl Hub {
    async fn start() -> Result<Self> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_herald"))
            .args(["--listen", "127.0.0.1:0", "--admin", "off"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().ok_or("no standard output")?;
        let line =
            BufReader::new(stdout).lines().next_line().await?.ok_or("herald did not start")?;
        let port = line.rsplit(':').next().ok_or("no port")?.parse()?;
        Ok(Self { port, process })
    }

    async fn subscribe(&self) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(b"GET /events/bench HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let mut head = Vec::new();
        while !String::from_utf8_lossy(&head).contains("\nid: ") {
            stream.read_buf(&mut head).await?;
        }
        Ok(stream)
    }

    fn proc(&self, file: &str) -> Result<String> {
        let pid = self.process.id().ok_or("herald has ended")?;
        Ok(std::fs::read_to_string(format!("/proc/{pid}/{file}"))?)
    }

    /// Processor time so far, of user and system, at a hundredth of a second.
    fn cpu(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        let fields: Vec<_> =
            stat.rsplit(')').next().ok_or("no fields")?.split_whitespace().collect();
        let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Memory, in KiB (proportional set size).
    fn memory(&self) -> Result<u64> {
        let rollup = self.proc("smaps_rollup")?;
        let line = rollup.lines().find(|line| line.starts_with("Pss:")).ok_or("no Pss")?;
        Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse()?)
    }
}
