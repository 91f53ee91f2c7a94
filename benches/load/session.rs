//! A server, its subscribers and a publisher.

use std::{
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::{
    Result,
    crowd::Crowd,
    figures::{Figure, Figures},
    flight::Flight,
    process,
    publisher::{Length, Pace, Published, Publisher},
    servers::{Running, Server},
    topics::Topics,
};

pub(crate) struct Session {
    pub(crate) server: Running,
    flight: Flight,
    pub(crate) publisher: Publisher,
    crowd: Option<Crowd>,
    pub(crate) subscribers: u32,
    topics: Topics,
    /// What the server takes without anybody, in bytes.
    alone: u64,
    pub(crate) joined_in: Duration,
}

impl Session {
    /// Starts a server, and waits until everybody has joined.
    pub(crate) fn start(
        server: &Server,
        subscribers: u32,
        topics: Topics,
        bytes: usize,
        settle: Duration,
    ) -> Result<Self> {
        let server = server.start()?;
        let paths: Vec<_> =
            topics.published().iter().map(|channel| server.publish(channel)).collect();
        let publisher = Publisher::connect(server.address, &paths, bytes)?;
        thread::sleep(settle);
        let alone = server.process.memory()?;
        let mut session = Self {
            server,
            flight: Flight::new(),
            publisher,
            crowd: None,
            subscribers,
            topics,
            alone,
            joined_in: Duration::ZERO,
        };
        session.join("")?;
        // A server may take its time between a stream's head and the subscription itself.
        thread::sleep(settle);
        Ok(session)
    }

    /// Everybody joins, and expects what is published from now on.
    fn join(&mut self, headers: &str) -> Result<()> {
        let start = Instant::now();
        let mut crowd = Crowd::new(self.subscribers, self.topics, self.publisher.next)?;
        self.add_to(&mut crowd, headers)?;
        self.crowd = Some(crowd);
        self.joined_in = start.elapsed();
        Ok(())
    }

    fn add_to(&self, crowd: &mut Crowd, headers: &str) -> Result<()> {
        let paths = (0..self.subscribers)
            .map(|subscriber| self.server.subscribe(&self.topics.of(subscriber)));
        crowd.join(self.server.address, paths, headers, &self.flight)
    }

    /// Everybody leaves and comes back at once, to get what followed `first`, which is there
    /// already. Returns how long that took.
    pub(crate) fn storm(&mut self, last_event_id: &str, first: u32) -> Result<Duration> {
        self.crowd = None;
        let start = Instant::now();
        let mut crowd = Crowd::new(self.subscribers, self.topics, first)?;
        self.add_to(&mut crowd, &format!("Last-Event-ID: {last_event_id}\r\n"))?;
        crowd.read_until(self.publisher.next, &self.flight)?;
        self.crowd = Some(crowd);
        Ok(start.elapsed())
    }

    /// The server's memory for each subscriber, in KiB.
    pub(crate) fn memory_each(&self) -> Result<f64> {
        Ok(self.each(self.server.process.memory()?))
    }

    /// The most memory that there has been, for each subscriber, in KiB, if it can be told.
    pub(crate) fn peak_each(&self) -> Result<Option<f64>> {
        Ok(self.server.process.peak()?.map(|peak| self.each(peak)))
    }

    fn each(&self, bytes: u64) -> f64 {
        (bytes as f64 - self.alone as f64) / 1_024.0 / f64::from(self.subscribers)
    }

    /// Publishes, and measures until everything has arrived.
    pub(crate) fn run(&mut self, pace: Pace, length: Length) -> Result<Run> {
        let crowd = self.crowd.as_mut().ok_or("nobody has joined")?;
        crowd.tally.reset();
        self.flight.begin();
        let first = self.publisher.next;
        let (cpu, load_cpu) = (self.server.process.cpu()?, process::cpu("self")?);
        let start = self.flight.at(Instant::now());
        let (flight, publisher) = (&self.flight, &mut self.publisher);
        let (read, published) = thread::scope(|scope| {
            let publishing = scope.spawn(|| publisher.run(flight, pace, length));
            let read = crowd.run(flight, publishing.thread());
            let published = publishing.join();
            (read, published.unwrap_or_else(|_| Err("the publisher panicked".into())))
        });
        // The subscribers miss what the publisher could not publish: it knows better.
        let published = published?;
        read?;
        let ended = "a process of the server's has ended";
        Ok(Run {
            pace,
            published,
            latencies: crowd.tally.latencies.clone(),
            events: self.publisher.next - first,
            deliveries: crowd.tally.deliveries,
            seconds: crowd.tally.last.saturating_sub(start) as f64 / 1e9,
            cpu: self.server.process.cpu()?.checked_sub(cpu).ok_or(ended)?,
            load_cpu: process::cpu("self")? - load_cpu,
        })
    }
}

/// What was measured.
pub(crate) struct Run {
    pace: Pace,
    events: u32,
    deliveries: u64,
    seconds: f64,
    cpu: Duration,
    load_cpu: Duration,
    latencies: Histogram<u64>,
    published: Published,
}

impl Run {
    pub(crate) fn figures(&self) -> Figures {
        let deliveries = self.deliveries as f64;
        let micros = |cpu: Duration| cpu.as_secs_f64() * 1e6;
        let at =
            |latencies: &Histogram<u64>, share| latencies.value_at_quantile(share) as f64 / 1e3;
        let mut figures = Figures::from([
            (Figure::Deliveries, deliveries / self.seconds),
            (Figure::Cpu, micros(self.cpu) / deliveries),
            (Figure::LoadCpu, micros(self.load_cpu) / deliveries),
            (Figure::PublishCpu, micros(self.cpu) / f64::from(self.events)),
            (Figure::P50, at(&self.latencies, 0.5)),
            (Figure::P99, at(&self.latencies, 0.99)),
            (Figure::P999, at(&self.latencies, 0.999)),
            (Figure::Max, self.latencies.max() as f64 / 1e3),
            (Figure::PublishP50, at(&self.published.latencies, 0.5)),
            (Figure::PublishP99, at(&self.published.latencies, 0.99)),
        ]);
        if let Pace::Window(_) = self.pace {
            let sum = self.published.under_way as f64;
            figures.insert(Figure::UnderWay, sum / f64::from(self.events));
        }
        figures
    }
}
