//! The publisher: a thread, a connection, an event after the other.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use memchr::memmem;

use crate::{Result, flight::Flight, tally::histogram, wire};

/// When the next event is published.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// When the event so many before has reached every subscriber.
    Window(u32),
    /// So many a second, whether the last have arrived or not.
    Rate(f64),
}

/// How long a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Time(Duration),
    Events(u32),
}

pub(crate) struct Publisher {
    stream: TcpStream,
    /// One request head for each channel; channels take turns.
    heads: Vec<Vec<u8>>,
    bytes: usize,
    answer: Vec<u8>,
    /// The next event's number.
    pub(crate) next: u32,
}

impl Publisher {
    pub(crate) fn connect(address: SocketAddr, paths: &[String], bytes: usize) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let head = |path: &String| {
            format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {bytes}\r\n\r\n")
        };
        let heads = paths.iter().map(|path| head(path).into_bytes()).collect();
        Ok(Self { stream, heads, bytes, answer: Vec::new(), next: 0 })
    }

    /// Publishes, and returns how long each publication took, in microseconds.
    pub(crate) fn run(
        &mut self,
        flight: &Flight,
        pace: Pace,
        length: Length,
    ) -> Result<Histogram<u64>> {
        let outcome = self.publish_all(flight, pace, length);
        match outcome {
            Ok(_) => flight.ends(self.next),
            Err(_) => flight.give_up(),
        }
        outcome
    }

    fn publish_all(
        &mut self,
        flight: &Flight,
        pace: Pace,
        length: Length,
    ) -> Result<Histogram<u64>> {
        let mut latencies = histogram()?;
        let (start, first) = (Instant::now(), self.next);
        loop {
            let published = self.next - first;
            let over = match length {
                Length::Time(time) => start.elapsed() >= time,
                Length::Events(events) => published >= events,
            };
            if over {
                return Ok(latencies);
            }
            let due = match pace {
                Pace::Window(window) => {
                    flight.wait_for((self.next + 1).saturating_sub(window))?;
                    Instant::now()
                }
                Pace::Rate(rate) => {
                    let due = start + Duration::from_secs_f64(f64::from(published) / rate);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    // Whoever comes late was to be sent at its time: a server that holds the
                    // publisher up must not be measured less often for it.
                    due
                }
            };
            flight.sends(self.next, due);
            self.publish()?;
            latencies.saturating_record(due.elapsed().as_micros() as u64);
        }
    }

    fn publish(&mut self) -> Result<()> {
        let head = &self.heads[self.next as usize % self.heads.len()];
        let request = [head.as_slice(), &wire::data(self.next, self.bytes)].concat();
        self.stream.write_all(&request)?;
        self.next += 1;
        self.read_answer()
    }

    fn read_answer(&mut self) -> Result<()> {
        self.answer.clear();
        let mut piece = [0; 4096];
        let mut whole = None;
        while whole.is_none_or(|whole| self.answer.len() < whole) {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err("the server has closed the publisher's connection".into()),
                Ok(len) => self.answer.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("no answer to a publication: {error}").into()),
            }
            whole = whole.or_else(|| whole_len(&self.answer));
        }
        if self.answer.starts_with(b"HTTP/1.1 2") {
            Ok(())
        } else {
            Err(format!("not published: {}", String::from_utf8_lossy(&self.answer)).into())
        }
    }
}

/// The length of head and body, once the head is there.
pub(crate) fn whole_len(message: &[u8]) -> Option<usize> {
    let head = memmem::find(message, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&message[..head]).to_ascii_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    Some(head + body.and_then(|len| len.trim().parse().ok()).unwrap_or(0))
}
