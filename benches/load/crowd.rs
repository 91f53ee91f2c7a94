//! The subscribers: thousands of sockets on one thread. It shares the machine with the server, so
//! that what a delivery costs here bounds what can be measured there.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    thread::Thread,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};

use crate::{Result, flight::Flight, subscriber::Subscriber, tally::Tally, topics::Topics, wire};

/// Subscribers that may wait for their first byte at once; servers' backlogs are of 511 and more.
const KNOCKING: usize = 500;

/// Nothing that works lets its subscribers wait for so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) struct Crowd {
    poll: Poll,
    events: Events,
    /// What is read goes nowhere: one buffer does for all.
    buffer: Box<[u8]>,
    subscribers: Vec<Subscriber>,
    /// How many have got their answer's head.
    joined: usize,
    topics: Topics,
    pub(crate) tally: Tally,
}

impl Crowd {
    /// A crowd of nobody, whose subscribers expect the events from `first` on.
    pub(crate) fn new(subscribers: u32, topics: Topics, first: u32) -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1_024),
            buffer: vec![0; 64 * 1024].into(),
            subscribers: Vec::with_capacity(subscribers as usize),
            joined: 0,
            topics,
            tally: Tally::new(topics.audience(subscribers), first)?,
        })
    }

    /// Opens a stream for each path, with further header lines, and waits for the answers' heads.
    pub(crate) fn join(
        &mut self,
        address: SocketAddr,
        paths: impl Iterator<Item = String>,
        headers: &str,
        flight: &Flight,
    ) -> Result<()> {
        for path in paths {
            self.add(address, &wire::subscription(address, &path, headers))?;
            while self.subscribers.len() - self.joined >= KNOCKING {
                self.wait(flight)?;
            }
        }
        while self.joined < self.subscribers.len() {
            self.wait(flight)?;
        }
        Ok(())
    }

    fn add(&mut self, address: SocketAddr, request: &str) -> Result<()> {
        let index = self.subscribers.len();
        let next = self.topics.next(index as u32, self.tally.complete);
        let mut subscriber = Subscriber::knock(address, request, next, PATIENCE)?;
        let registry = self.poll.registry();
        registry.register(&mut subscriber.stream, Token(index), Interest::READABLE)?;
        self.subscribers.push(subscriber);
        Ok(())
    }

    /// Reads until the publisher has ended and everybody has everything.
    pub(crate) fn run(&mut self, flight: &Flight, publisher: &Thread) -> Result<()> {
        let side = flight.side();
        self.read_all(flight, publisher)?;
        side.succeeds();
        Ok(())
    }

    fn read_all(&mut self, flight: &Flight, publisher: &Thread) -> Result<()> {
        let mut quiet_since = Instant::now();
        while !flight.is_over() && !flight.is_given_up() {
            let complete = self.tally.complete;
            // It looks up now and then, because the publisher does not say when it ends.
            let came = self.pump(flight, Duration::from_millis(20))?;
            // Between two events it may be quiet for as long as it likes.
            if came > 0 || flight.under_way() == 0 {
                quiet_since = Instant::now();
            } else if quiet_since.elapsed() > PATIENCE {
                return Err(self.what_it_waits_for().into());
            }
            if self.tally.complete > complete {
                flight.completes(self.tally.complete);
                publisher.unpark();
            }
        }
        Ok(())
    }

    /// Reads until everybody has the events below `end`.
    pub(crate) fn read_until(&mut self, end: u32, flight: &Flight) -> Result<()> {
        while self.tally.complete < end {
            self.wait(flight)?;
        }
        Ok(())
    }

    /// Reads until anything has come; fails if that takes too long.
    fn wait(&mut self, flight: &Flight) -> Result<()> {
        let start = Instant::now();
        loop {
            let patience = PATIENCE.saturating_sub(start.elapsed());
            if self.pump(flight, patience)? > 0 {
                return Ok(());
            }
            if patience.is_zero() {
                return Err(self.what_it_waits_for().into());
            }
        }
    }

    fn what_it_waits_for(&self) -> String {
        let missing = self.subscribers.len() - self.joined;
        if missing > 0 {
            return format!("{missing} subscribers get no answer");
        }
        let event = self.tally.complete;
        let waits = |subscriber: &&Subscriber| subscriber.next == Some(event);
        let without = self.subscribers.iter().filter(waits).count();
        format!("lost: {without} subscribers still wait for event {event}")
    }

    /// Reads what is there, or waits for it; returns how many answers and events came.
    fn pump(&mut self, flight: &Flight, timeout: Duration) -> Result<u64> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(0),
            other => other?,
        }
        let before = self.joined as u64 + self.tally.deliveries;
        for event in &self.events {
            let Token(index) = event.token();
            let named = |error| format!("subscriber {index}: {error}");
            let subscriber = &mut self.subscribers[index];
            while let Some(len) = subscriber.read(&mut self.buffer).map_err(named)? {
                let now = flight.at(Instant::now());
                let (step, joins) = (self.topics.channels(), !subscriber.joined);
                let counts = |number| self.tally.counts(number, now, flight);
                subscriber.take(&self.buffer[..len], step, counts).map_err(named)?;
                self.joined += usize::from(joins);
                // A short read has emptied the socket: what comes next makes it ready again.
                if len < self.buffer.len() && !event.is_read_closed() {
                    break;
                }
            }
        }
        Ok(self.joined as u64 + self.tally.deliveries - before)
    }
}
