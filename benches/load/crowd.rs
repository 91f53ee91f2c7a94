//! The subscribers: thousands of sockets on one thread. It shares the machine with the server, so
//! that what a delivery costs here bounds what can be measured there.

use std::{
    io::{ErrorKind, Read, Write},
    net::{self, SocketAddr},
    thread::Thread,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::{Result, flight::Flight, tally::Tally, topics::Topics, wire::Scanner};

/// Subscribers that may wait for their first byte at once; servers' backlogs are of 511 and more.
const KNOCKING: usize = 500;

/// Nothing that works is quiet for so long.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) struct Crowd {
    poll: Poll,
    events: Events,
    /// What is read goes nowhere: one buffer does for all.
    buffer: Box<[u8]>,
    subscribers: Vec<Subscriber>,
    /// How many have got their answer's head.
    joined: usize,
    step: u32,
    pub(crate) tally: Tally,
}

struct Subscriber {
    stream: TcpStream,
    scanner: Scanner,
    /// The event that must come next.
    next: u32,
    joined: bool,
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
            step: topics.channels(),
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
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n");
            self.add(address, &format!("{request}{headers}\r\n"))?;
            while self.subscribers.len() - self.joined >= KNOCKING {
                self.pump(flight, PATIENCE)?;
            }
        }
        while self.joined < self.subscribers.len() {
            if self.pump(flight, PATIENCE)? == 0 {
                let missing = self.subscribers.len() - self.joined;
                return Err(format!("{missing} subscribers get no answer").into());
            }
        }
        Ok(())
    }

    fn add(&mut self, address: SocketAddr, request: &str) -> Result<()> {
        let mut stream = net::TcpStream::connect(address)?;
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let index = self.subscribers.len();
        self.poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
        // With several channels, event n is of channel n % channels.
        let mine = index as u32 % self.step;
        let ahead = (mine + self.step - self.tally.complete % self.step) % self.step;
        let next = self.tally.complete + ahead;
        self.subscribers.push(Subscriber {
            stream,
            scanner: Scanner::default(),
            next,
            joined: false,
        });
        Ok(())
    }

    /// Reads until the publisher has ended and everybody has everything.
    pub(crate) fn run(&mut self, flight: &Flight, publisher: &Thread) -> Result<()> {
        let outcome = self.read_all(flight, publisher);
        if outcome.is_err() {
            flight.give_up();
            publisher.unpark();
        }
        outcome
    }

    fn read_all(&mut self, flight: &Flight, publisher: &Thread) -> Result<()> {
        let mut quiet_since = Instant::now();
        while !flight.is_over() && !flight.is_given_up() {
            let complete = self.tally.complete;
            // It looks up now and then, because the publisher does not say when it ends.
            if self.pump(flight, Duration::from_millis(20))? > 0 {
                quiet_since = Instant::now();
            } else if quiet_since.elapsed() > PATIENCE {
                return Err(self.whom_it_waits_for().into());
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
            if self.pump(flight, PATIENCE)? == 0 {
                return Err(self.whom_it_waits_for().into());
            }
        }
        Ok(())
    }

    fn whom_it_waits_for(&self) -> String {
        let event = self.tally.complete;
        let without = self.subscribers.iter().filter(|subscriber| subscriber.next == event).count();
        format!("lost: {without} subscribers still wait for event {event}")
    }

    /// Reads what is there, or waits for it; returns how many sockets had something.
    fn pump(&mut self, flight: &Flight, timeout: Duration) -> Result<usize> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(0),
            other => other?,
        }
        let mut ready = 0;
        for event in &self.events {
            let Token(index) = event.token();
            let subscriber = &mut self.subscribers[index];
            ready += 1;
            loop {
                let len = match subscriber.stream.read(&mut self.buffer) {
                    Ok(0) => return Err(format!("subscriber {index} was cut off").into()),
                    Ok(len) => len,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(format!("subscriber {index}: {error}").into()),
                };
                let now = flight.at(Instant::now());
                let piece = &self.buffer[..len];
                if !subscriber.joined {
                    if !piece.starts_with(b"HTTP/1.1 200") {
                        return Err(String::from_utf8_lossy(piece).into());
                    }
                    subscriber.joined = true;
                    self.joined += 1;
                }
                let Subscriber { scanner, next, .. } = subscriber;
                scanner.scan(piece, |number| {
                    if number != *next {
                        return Err(misplaced(index, number, *next).into());
                    }
                    *next += self.step;
                    self.tally.counts(number, now, flight);
                    Ok(())
                })?;
                // A short read has emptied the socket: what comes next makes it ready again.
                if len < self.buffer.len() && !event.is_read_closed() {
                    break;
                }
            }
        }
        Ok(ready)
    }
}

fn misplaced(subscriber: usize, number: u32, next: u32) -> String {
    let what = if number > next { "events are lost" } else { "it came twice or late" };
    format!("subscriber {subscriber} got event {number} where {next} was next: {what}")
}
